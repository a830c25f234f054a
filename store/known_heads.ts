/**
 * Where logs end, remembered between commits: each commit is checked against
 * what is remembered here, so an old head costs a retry and nothing else.
 *
 * @module
 */
import { UNBORN_EPOCH } from "./event_log.ts";
import { FORGOTTEN_KEY, headKey, readHeads } from "./log_heads.ts";
import type { FoundHead, HeadRecord } from "./log_heads.ts";
import { deleteRows } from "./log_retention.ts";
import type { Store } from "./store.ts";

/** Heads remembered between commits. */
export const MAX_KNOWN_HEADS = 20_000;

/** Heads as they were read or written last. */
export class KnownHeads {
  readonly #store: Store;
  readonly #heads = new Map<string, FoundHead>();

  /** Knows none yet. */
  constructor(store: Store) {
    this.#store = store;
  }

  /** What is remembered of a channel. */
  get(channel: string): FoundHead | undefined {
    return this.#heads.get(channel);
  }

  /** Whether a channel is known to have had an event. */
  isBorn(channel: string): boolean {
    const epoch = this.#heads.get(channel)?.head.epoch;
    return epoch !== undefined && epoch !== UNBORN_EPOCH;
  }

  /** Forgets channels, so that they are read again. */
  forget(channels: Iterable<string>): void {
    for (const channel of channels) this.#heads.delete(channel);
  }

  /** Remembers what a commit wrote, when its versionstamp is known. */
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
   * Deletes what an earlier log of the name left, before a new one begins; not
   * when another instance has begun one meanwhile.
   */
  async #clear(channel: string, versionstamp: string | null): Promise<void> {
    const unborn = { key: headKey(channel), versionstamp };
    const rows = { prefix: ["log", channel] };
    while (await deleteRows(this.#store, rows, unborn) > 0);
  }
}
