/**
 * Randomness as a dependency, so that tests can repeat it.
 *
 * @module
 */

/** Returns a number that is uniform in [0, 1). */
export type Random = () => number;

/** The machine's own; not for secrets. */
export const systemRandom: Random = () => Math.random();
