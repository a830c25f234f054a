/**
 * Starts a new log, and leaves everything else as it is: blocks,
 * revocations, limits and the records of operators have keys of their own.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import { FORGOTTEN_KEY } from "./log_heads.ts";
import { deleteRows } from "./log_retention.ts";
import { isBusy } from "./store.ts";
import type { Store } from "./store.ts";

/**
 * What the log keeps, by the first part of its keys. Heads come first: rows
 * without a head belong to no log, whenever the rest is cut short.
 */
const LOG_PREFIXES = ["head", "log", "state", "id", "room", "commit"];

/**
 * Deletes every event of every channel, and what is remembered about them. Each
 * channel gets a new epoch with its next event, so that clients learn that
 * their positions are of another log. Instances that run keep what they have in
 * memory: stop them before.
 *
 * @param store where the log is.
 * @param clock paces retries.
 * @returns how many rows were deleted.
 * @throws whatever the store throws; again goes on with it.
 */
export async function resetLog(
  store: Store,
  clock: Pick<Clock, "after">,
): Promise<number> {
  const retry = <T>(work: () => Promise<T>) =>
    retryWhileBusy({ clock, isBusy }, work);
  await retry(() => store.set(FORGOTTEN_KEY, 1));
  let rows = 0;
  for (const prefix of LOG_PREFIXES) {
    for (let some = 1; some > 0; rows += some) {
      some = await retry(() => deleteRows(store, { prefix: [prefix] }));
    }
  }
  return rows;
}
