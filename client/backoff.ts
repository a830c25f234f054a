/**
 * How long to wait before trying again.
 *
 * @module
 */

/** Last ceiling unless another is given, in milliseconds. */
export const CAP_MS = 5_000;
/** First ceiling, in milliseconds. */
export const BASE_MS = 500;

/**
 * Full-jitter exponential backoff: spreads clients that lost the same server
 * evenly over the wait.
 *
 * @param attempt 0 for the first retry.
 * @param capMs last ceiling, in milliseconds.
 * @param random uniform in [0, 1).
 * @returns milliseconds in [0, min(capMs, 500 * 2^attempt)).
 * @see {@link https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/}
 */
export function backoffMs(
  attempt: number,
  capMs: number = CAP_MS,
  random: () => number = Math.random,
): number {
  return random() * Math.min(capMs, BASE_MS * 2 ** attempt);
}
