/**
 * Waiting for a while.
 *
 * @module
 */
import type { Clock } from "./clock.ts";

/**
 * Waits.
 *
 * @param clock measures the wait.
 * @param ms how long, in milliseconds.
 * @param signal ends the wait at once; the promise still resolves.
 */
export function pause(
  clock: Pick<Clock, "after">,
  ms: number,
  signal?: AbortSignal,
): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      timer[Symbol.dispose]();
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = clock.after(ms, end);
    signal?.addEventListener("abort", end);
  });
}
