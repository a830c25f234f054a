/**
 * Tests whether the store accepts writes, which reads do not show.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import { isBusy } from "./store.ts";
import type { Key, Store } from "./store.ts";

/** How long the result of one write is valid, in milliseconds. */
export const PROBE_MS = 1_000;
/** The key of the write; one row for all callers. */
const PROBE_KEY: Key = ["probe"];

/** Writes at most once per {@link PROBE_MS}, for any number of callers. */
export class WriteProbe {
  readonly #store: Store;
  readonly #clock: Clock;
  #last: Promise<void> | undefined;
  #at = -Infinity;

  /** Starts without a write. */
  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * Verifies that the store accepts writes.
   *
   * @throws the error of the latest write.
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
