/**
 * Keeps the log within its bounds of bytes and heads. Rooms are created by
 * users, so their events are deleted first, starting with the rooms idle for
 * longest; then the oldest events of the largest channels.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Random } from "../platform/random.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import { UNBORN_EPOCH } from "./event_log.ts";
import type { LogObserver } from "./event_log.ts";
import { ID_MEMORY_MS } from "./id_memory.ts";
import { FORGOTTEN_KEY, headIn } from "./log_heads.ts";
import type { HeadRecord } from "./log_heads.ts";
import { deleteRows, TRIM_ROWS } from "./log_retention.ts";
import { offsetIn, ROW_OVERHEAD_BYTES } from "./rows.ts";
import { isBusy } from "./store.ts";
import type { Key, Store } from "./store.ts";

/** Most heads stored; beyond it the rooms idle for longest are deleted. */
export const MAX_HEADS = 100_000;
/**
 * Shortest idle time before a log is deleted, in milliseconds: ids that name its
 * events have expired by then, and no commit to it is in flight.
 */
export const FORGET_IDLE_MS = ID_MEMORY_MS;
/** Part of a bound that is left after its excess is deleted. */
const LEFT_SHARE = 0.9;
/** Part of the bound that may be added before the next count. */
const COUNT_SHARE = 1 / 64;
/** Channels counted together. */
const LOOKS = 16;
/** Approximate size of an event besides its frame, in bytes. */
const EVENT_BYTES = 100;

/** Parts that a {@link LogBudget} needs. */
export interface LogBudgetOptions {
  /** Holds the log. */
  readonly store: Store;
  /** Paces retries, and decides what is idle. */
  readonly clock: Pick<Clock, "after" | "now">;
  /** Uniform in [0, 1), for jitter. */
  readonly random: Random;
  /** Approximate bytes of all rows, without the store's own overhead. */
  readonly maxBytes: number;
  /** Heads of all channels; {@link MAX_HEADS} when absent. */
  readonly maxHeads?: number | undefined;
  /** Receives evictions and failures. */
  readonly observer: LogObserver;
}

/** A channel's log, and its size. */
interface Holding {
  readonly channel: string;
  readonly key: Key;
  readonly versionstamp: string;
  readonly head: HeadRecord;
  bytes: number;
}

/** Counts the log at intervals, and deletes the excess. */
export class LogBudget {
  readonly #options: LogBudgetOptions;
  /** Bytes added by this instance since its last count; it starts with a count. */
  #added = Infinity;
  #running: Promise<void> | undefined;

  /** Idle until {@link note}. */
  constructor(options: LogBudgetOptions) {
    this.#options = options;
  }

  /** Events were added. */
  note(entries: readonly { readonly json: string }[]): void {
    for (const { json } of entries) this.#added += json.length + EVENT_BYTES;
    if (this.#running) return;
    if (this.#added < this.#options.maxBytes * COUNT_SHARE) return;
    this.#added = 0;
    this.#running = this.#run().finally(() => this.#running = undefined);
  }

  /** Resolves when nothing is being counted or deleted. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { observer } = this.#options;
    try {
      const holdings = await this.#holdings();
      await this.#evict(holdings);
      await this.#forget(holdings);
    } catch (error) {
      // The next count follows after the same amount.
      if (!isBusy(error)) observer.failed?.(error);
    }
  }

  async #holdings(): Promise<Holding[]> {
    const { store } = this.#options;
    const holdings: Holding[] = [];
    const heads = store.list({ prefix: ["head"] }, { batchSize: 500 });
    for await (const { key, value, versionstamp } of heads) {
      const head = headIn(value);
      if (head === "damaged" || head.epoch === UNBORN_EPOCH) continue;
      const channel = key[1] as string;
      holdings.push({ channel, key, versionstamp, head, bytes: 0 });
    }
    for (let i = 0; i < holdings.length; i += LOOKS) {
      const some = holdings.slice(i, i + LOOKS);
      await Promise.all(some.map((holding) => this.#weigh(holding)));
    }
    return holdings;
  }

  /** Bytes ever added, minus those before the oldest row. */
  async #weigh(holding: Holding): Promise<void> {
    const { channel, head } = holding;
    const rows = this.#options.store.list<Uint8Array>(
      { prefix: ["log", channel] },
      { limit: 1 },
    );
    for await (const { value } of rows) {
      holding.bytes = Math.max(0, head.bytes - offsetIn(value));
    }
  }

  async #evict(holdings: readonly Holding[]): Promise<void> {
    const { maxBytes } = this.#options;
    const total = holdings.reduce((sum, { bytes }) => sum + bytes, 0);
    if (total <= maxBytes) return;
    let excess = total - maxBytes * LEFT_SHARE;
    const channels = holdings.filter(({ channel }) => !isRoom(channel))
      .toSorted((a, b) => b.bytes - a.bytes);
    for (const holding of [...idlestRooms(holdings), ...channels]) {
      if (excess <= 0) return;
      if (holding.bytes === 0) continue;
      excess -= await this.#shrink(holding, excess);
    }
  }

  /** Deletes the oldest rows of a channel. @returns their bytes. */
  async #shrink(holding: Holding, excess: number): Promise<number> {
    const { observer } = this.#options;
    const { channel } = holding;
    let freed = 0;
    while (freed < excess) {
      const bytes = await this.#persistently(() =>
        this.#deleteOldest(channel, excess - freed)
      );
      if (bytes === 0) break;
      freed += bytes;
    }
    holding.bytes -= Math.min(freed, holding.bytes);
    if (freed > 0) observer.evicted?.(channel, freed);
    return freed;
  }

  async #deleteOldest(channel: string, excess: number): Promise<number> {
    const { store } = this.#options;
    const commit = store.atomic();
    let freed = 0;
    let last: unknown;
    const rows = store.list<Uint8Array>({ prefix: ["log", channel] }, {
      limit: TRIM_ROWS,
    });
    for await (const { key, value } of rows) {
      // Rows are deleted as a whole.
      if (freed >= excess && key[2] !== last) break;
      commit.delete(key);
      freed += value.byteLength + (key[2] === last ? 0 : ROW_OVERHEAD_BYTES);
      last = key[2];
    }
    if (freed > 0) await commit.commit();
    return freed;
  }

  /** Deletes logs, and records that logs were deleted. */
  async #forget(holdings: readonly Holding[]): Promise<void> {
    const { store, clock, maxHeads = MAX_HEADS } = this.#options;
    if (holdings.length <= maxHeads) return;
    const excess = Math.ceil(holdings.length - maxHeads * LEFT_SHARE);
    const before = clock.now() - FORGET_IDLE_MS;
    const idle = idlestRooms(holdings).filter(({ head }) => head.at <= before);
    for (const holding of idle.slice(0, excess)) {
      const { key, versionstamp, channel } = holding;
      await this.#persistently(async () => {
        // A log written meanwhile is not idle.
        const { ok } = await store.atomic().check({ key, versionstamp })
          .delete(key).set(FORGOTTEN_KEY, 1).commit();
        const gone = { key, versionstamp: null };
        const rows = { prefix: ["log", channel] };
        while (ok && await deleteRows(store, rows, gone) > 0);
      });
    }
  }

  #persistently<T>(work: () => Promise<T>): Promise<T> {
    return retryWhileBusy({ ...this.#options, isBusy }, work);
  }
}

function isRoom(channel: string): boolean {
  return channel.startsWith("room:");
}

/** Rooms, those idle for longest first. */
function idlestRooms(holdings: readonly Holding[]): Holding[] {
  return holdings.filter(({ channel }) => isRoom(channel))
    .toSorted((a, b) => a.head.at - b.head.at);
}
