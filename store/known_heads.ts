/**
 * The ends of logs, cached between commits: each commit is checked against this
 * cache, so an outdated head costs only a retry.
 *
 * @module
 */
import { UNBORN_EPOCH } from "./event_log.ts";
import { FORGOTTEN_KEY, headKey, readHeads } from "./log_heads.ts";
import type { FoundHead, HeadRecord } from "./log_heads.ts";
import { deleteRows } from "./log_retention.ts";
import type { Store } from "./store.ts";

/** Most heads cached between commits. */
export const MAX_KNOWN_HEADS = 20_000;

/** Heads as last read or written. */
export class KnownHeads {
  readonly #store: Store;
  readonly #heads = new Map<string, FoundHead>();

  /** Empty. */
  constructor(store: Store) {
    this.#store = store;
  }

  /** The cached head of a channel. */
  get(channel: string): FoundHead | undefined {
    return this.#heads.get(channel);
  }

  /** Whether a channel is known to have had an event. */
  isBorn(channel: string): boolean {
    const epoch = this.#heads.get(channel)?.head.epoch;
    return epoch !== undefined && epoch !== UNBORN_EPOCH;
  }

  /** Removes channels, so that they are read again. */
  forget(channels: Iterable<string>): void {
    for (const channel of channels) this.#heads.delete(channel);
  }

  /** Caches the heads of a commit, once its versionstamp is known. */
  keep(
    heads: ReadonlyMap<string, HeadRecord>,
    versionstamp: string | undefined,
  ): void {
    for (const [channel, head] of heads) {
      this.#heads.delete(channel);
      if (versionstamp !== undefined) {
        this.#heads.set(channel, { head, versionstamp });
      }
    }
    for (const channel of this.#heads.keys()) {
      if (this.#heads.size <= MAX_KNOWN_HEADS) break;
      this.#heads.delete(channel);
    }
  }

  /** Reads the heads of channels that are not known to have had an event. */
  async learn(channels: ReadonlySet<string>): Promise<void> {
    const unknown = [...channels].filter((name) => !this.isBorn(name));
    const found = await readHeads(this.#store, unknown);
    let isReborn: boolean | undefined;
    for (const [i, { head, versionstamp }] of found.entries()) {
      const channel = unknown[i]!;
      if (head.epoch === UNBORN_EPOCH) {
        isReborn ??= (await this.#store.get(FORGOTTEN_KEY)).value !== null;
        await this.#clear(channel, versionstamp);
      }
      this.#heads.set(channel, {
        head: isReborn ? { ...head, isReborn } : head,
        versionstamp,
      });
    }
  }

  /**
   * Deletes the rest of an earlier log of the name before a new one begins,
   * unless another instance has begun one meanwhile.
   */
  async #clear(channel: string, versionstamp: string | null): Promise<void> {
    const unborn = { key: headKey(channel), versionstamp };
    const rows = { prefix: ["log", channel] };
    while (await deleteRows(this.#store, rows, unborn) > 0);
  }
}
