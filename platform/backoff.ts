/**
 * How long to wait before trying again.
 *
 * @module
 */
import { systemRandom } from "./random.ts";
import type { Random } from "./random.ts";

/** How the ceiling of the wait grows. */
export interface Growth {
  /** First ceiling, in milliseconds. */
  readonly baseMs: number;
  /** Last ceiling, in milliseconds. */
  readonly capMs: number;
}

/**
 * Full-jitter exponential backoff: spreads those that failed together.
 *
 * @param attempt 0 for the first retry.
 * @param growth first and last ceiling.
 * @param random uniform in [0, 1).
 * @returns milliseconds in [0, min(capMs, baseMs * 2^attempt)).
 * @see {@link https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/}
 */
export function backoffMs(
  attempt: number,
  { baseMs, capMs }: Growth,
  random: Random = systemRandom,
): number {
  return random() * Math.min(capMs, baseMs * 2 ** attempt);
}
