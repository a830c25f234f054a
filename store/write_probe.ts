/**
 * Whether the store takes writes: reading alone does not show it.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import { isBusy } from "./store.ts";
import type { Key, Store } from "./store.ts";

/** The answer of one write counts for so long, in milliseconds. */
export const PROBE_MS = 1_000;
/** Where it is written; one row for all callers. */
const PROBE_KEY: Key = ["probe"];

/** Tries a write, however often it is asked, once a {@link PROBE_MS}. */
export class WriteProbe {
  readonly #store: Store;
  readonly #clock: Clock;
  #last: Promise<void> | undefined;
  #at = -Infinity;

  /** Writes nothing yet. */
  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * Makes sure that the store takes writes.
   *
   * @throws whatever the store threw at the latest try.
   */
  run(): Promise<void> {
    const now = this.#clock.monotonic();
    if (this.#last && now - this.#at < PROBE_MS) return this.#last;
    this.#at = now;
    const clock = this.#clock;
    this.#last = retryWhileBusy(
      { clock, isBusy },
      () => this.#store.set(PROBE_KEY, clock.now()),
    );
    return this.#last;
  }
}
