/**
 * What the live page begins with.
 *
 * @module
 */

/** Channels that the live page joins, and how many events each brings first. */
export const HISTORY: Readonly<Record<string, number>> = {
  blocks: 40,
  dag: 120,
  transactions: 120,
  validators: 200,
  nodes: 100,
  alerts: 20,
};
