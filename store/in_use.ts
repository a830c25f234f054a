/**
 * Whether instances serve from a store: each renews its own row.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import type { Store } from "./store.ts";

/** First part of the keys under which instances report that they serve. */
export const INSTANCE_PREFIX = "instance";
/** Interval of these reports, in milliseconds. */
export const BEAT_MS = 5_000;
/** Why a store in use is not changed. */
export const IN_USE = "the service runs on it; stop all instances first";
/** Interval of reading these reports, in milliseconds. */
const LOOK_MS = 250;

/**
 * Watches for as long as an instance may take to report. The row of a killed
 * instance remains for some time, but does not change.
 *
 * @param store holds the reports.
 * @param clock measures the wait.
 * @returns whether one reported; without a row at once, otherwise within two
 * {@link BEAT_MS}.
 * @throws errors of the store.
 */
export async function isInUse(
  store: Store,
  clock: Pick<Clock, "after" | "monotonic">,
): Promise<boolean> {
  const first = await reports(store);
  const end = clock.monotonic() + 2 * BEAT_MS;
  for (let now = first; now.size > 0; now = await reports(store)) {
    for (const [id, stamp] of now) if (first.get(id) !== stamp) return true;
    if (clock.monotonic() >= end) return false;
    await pause(clock, LOOK_MS);
  }
  return false;
}

/** The latest change of each instance's row. */
async function reports(store: Store): Promise<Map<string, string>> {
  const stamps = new Map<string, string>();
  for await (const row of store.list({ prefix: [INSTANCE_PREFIX] })) {
    stamps.set(String(row.key[1]), row.versionstamp);
  }
  return stamps;
}
