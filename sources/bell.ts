/**
 * Waiting for something to happen, or for a while.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** Wakes the one that waits; a ring while none waits is remembered. */
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
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      this.#wake = wake;
      signal.addEventListener("abort", wake);
      using _timer = clock.after(ms, wake);
      await promise;
      signal.removeEventListener("abort", wake);
    }
    this.#rung = false;
  }
}
