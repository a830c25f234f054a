/**
 * How good a connection is, in the four grades of the product's thresholds.
 *
 * @module
 */

/** The grades, best first, each with the latency it stays below. */
export const GRADES = [
  { name: "Excellent", belowMs: 10 },
  { name: "Good", belowMs: 50 },
  { name: "Acceptable", belowMs: 100 },
  { name: "Poor", belowMs: Infinity },
] as const;

/** One of {@link GRADES}. */
export type Grade = (typeof GRADES)[number]["name"];

/**
 * Grades a latency.
 *
 * @param latencyMs from the server's acceptance to arrival; `null`: unknown.
 * @returns nothing for an unknown latency.
 */
export function gradeOf(latencyMs: number | null): Grade | undefined {
  if (latencyMs === null) return undefined;
  return GRADES.find(({ belowMs }) => latencyMs < belowMs)?.name;
}
