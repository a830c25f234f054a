/**
 * Entries for tests that care for a few of their fields only.
 *
 * @module
 */
import type { LoggedEntry } from "../../store/entry.ts";

/**
 * An event of the channel `blocks`.
 *
 * @param epoch of its log.
 * @param seq position in it.
 * @param json its frame.
 * @param rest what differs from an untagged block accepted at 0.
 */
export function entryOf(
  epoch: string,
  seq: number,
  json: string,
  rest: Partial<LoggedEntry> = {},
): LoggedEntry {
  const known = { channel: "blocks", type: "NEW_BLOCK", at: 0, tags: {} };
  return { ...known, epoch, seq, json, ...rest };
}
