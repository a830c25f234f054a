/**
 * A signal that ends with the first of several, and takes no listener along
 * when it is done: `AbortSignal.any`, which browsers of early 2024 lack.
 *
 * @module
 */

/**
 * Ends what is under way with the first signal.
 *
 * @returns abort it when done: it listens to the signals until then.
 */
export function either(...signals: readonly AbortSignal[]): AbortController {
  const made = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) made.abort();
    signal.addEventListener("abort", () => made.abort(), {
      signal: made.signal,
    });
  }
  return made;
}
