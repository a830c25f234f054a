/**
 * Deletes the oldest rows of channels, beyond the configured number of events.
 * The store itself deletes expired rows.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Random } from "../platform/random.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import type { LoggedEntry } from "./entry.ts";
import type { LogObserver, Retention } from "./event_log.ts";
import { isBusy } from "./store.ts";
import type { Check, Selector, Store } from "./store.ts";

/** Events of a channel between two trims of it. */
export const TRIM_EVERY = 100;
/** Rows deleted in one commit. */
export const TRIM_ROWS = 500;

/**
 * Deletes the first rows of a selection.
 *
 * @param store holds them.
 * @param selector selects the rows.
 * @param checks conditions of the deletion.
 * @returns number of deleted rows, at most {@link TRIM_ROWS}; 0 when there were
 * none or a check failed.
 */
export async function deleteRows(
  store: Store,
  selector: Selector,
  ...checks: readonly Check[]
): Promise<number> {
  const commit = store.atomic().check(...checks);
  let rows = 0;
  for await (const { key } of store.list(selector, { limit: TRIM_ROWS })) {
    commit.delete(key);
    rows++;
  }
  if (rows === 0) return 0;
  const { ok } = await commit.commit();
  return ok ? rows : 0;
}

/** Parts that a {@link Trimmer} needs. */
export interface TrimmerOptions {
  /** Holds the rows. */
  readonly store: Store;
  /** Paces retries. */
  readonly clock: Pick<Clock, "after">;
  /** The retention of `channel`. */
  readonly retention: (channel: string) => Retention;
  /** Uniform in [0, 1), for jitter. */
  readonly random: Random;
  /** Receives failures. */
  readonly observer: LogObserver;
}

/** Keeps channels within their number of events, outside the hot path. */
export class Trimmer {
  readonly #options: TrimmerOptions;
  /** The number from which each channel must be trimmed. */
  readonly #due = new Map<string, number>();
  #running: Promise<void> | undefined;

  /** Idle until {@link consider}. */
  constructor(options: TrimmerOptions) {
    this.#options = options;
  }

  /** Trims the channels that have grown enough with these events. */
  consider(entries: readonly LoggedEntry[]): void {
    for (const { channel, seq } of entries) {
      if (seq % TRIM_EVERY !== 0) continue;
      if (seq > this.#options.retention(channel).events) {
        this.#due.set(channel, seq);
      }
    }
    this.#start();
  }

  /** Starts a run; `finally` clears the state even of one that ends at once. */
  #start(): void {
    if (this.#due.size === 0 || this.#running) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      this.#start();
    });
  }

  /** Resolves when nothing is due. */
  async settled(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    const { observer } = this.#options;
    for (const [channel, seq] of this.#due) {
      this.#due.delete(channel);
      try {
        await this.#trim(channel, seq);
      } catch (error) {
        // The next trim of the channel deletes these rows too.
        if (!isBusy(error)) observer.failed?.(error);
      }
    }
  }

  async #trim(channel: string, seq: number): Promise<void> {
    const { store, retention } = this.#options;
    const last = seq - retention(channel).events;
    const range = {
      start: ["log", channel, 0],
      end: ["log", channel, last + 1],
    };
    const once = () => deleteRows(store, range);
    const options = { ...this.#options, isBusy };
    // Fewer than it may delete are the last.
    while (await retryWhileBusy(options, once) === TRIM_ROWS);
  }
}
