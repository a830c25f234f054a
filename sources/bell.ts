/**
 * Waiting for something to happen, or for a while.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** Wakes the waiter; a ring without a waiter is remembered. */
export class Bell {
  #rung = false;
  #wake = () => {};

  /** Something happened. */
  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  /**
   * Waits for a ring.
   *
   * @param clock measures the wait.
   * @param ms longest wait, in milliseconds.
   * @param signal ends the wait at once; the promise still resolves.
   */
  async wait(
    clock: Pick<Clock, "after">,
    ms: number,
    signal: AbortSignal,
  ): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      // Applications run this in Node 20, which has neither `using` nor
      // `Promise.withResolvers`.
      let wake = () => {};
      const woken = new Promise<void>((resolve) => wake = resolve);
      this.#wake = wake;
      signal.addEventListener("abort", wake);
      const timer = clock.after(ms, wake);
      await woken;
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", wake);
    }
    this.#rung = false;
  }
}
