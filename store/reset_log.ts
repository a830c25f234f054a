/**
 * Deletes the log, and nothing else: blocks, revocations, limits and the records
 * of operators have other keys.
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
 * First parts of the log's keys. Heads are deleted first: rows without a head
 * belong to no log, even if the deletion is interrupted.
 */
const LOG_PREFIXES = ["head", "log", "state", "id", "room", "commit"];

/**
 * Deletes every event of every channel, and their ids and states. Each channel
 * gets a new epoch with its next event, so that clients detect that their
 * positions are of another log. Running instances keep their memory: stop them
 * before.
 *
 * @param store holds the log.
 * @param clock paces retries.
 * @returns number of deleted rows.
 * @throws errors of the store; another call continues the deletion.
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
