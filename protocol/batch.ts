/**
 * The bound of one publish.
 *
 * @module
 */

/** Most messages published at once. */
export const MAX_BATCH_MESSAGES = 100;
