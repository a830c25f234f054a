/**
 * Randomness that comes back.
 *
 * @module
 */

/**
 * Mulberry32: small, and the same everywhere.
 *
 * @param seed the same seed, the same numbers.
 * @returns uniform in [0, 1).
 */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
