/**
 * How many rooms a publisher began: `["room", publisher, channel]` is stored
 * with a room's first event, and lasts as long as events do.
 *
 * @module
 */
import type { Draft } from "./event_log.ts";
import type { Store } from "./store.ts";

/**
 * Counts the rooms of those publishers who are about to begin more.
 *
 * @param store where they are counted.
 * @param drafts about to be stored.
 * @param isBorn whether a channel has had an event.
 * @returns rooms by subject, as far as its publisher's bound needs them.
 */
export async function roomsBegun(
  store: Store,
  drafts: readonly Draft[],
  isBorn: (channel: string) => boolean,
): Promise<Map<string, number>> {
  const rooms = new Map<string, number>();
  for (const { channel, publisher } of drafts) {
    if (!publisher || isBorn(channel)) continue;
    const { subject, maxRooms } = publisher;
    if (maxRooms === Infinity || rooms.has(subject)) continue;
    let count = 0;
    const selector = { prefix: ["room", subject] };
    for await (const _ of store.list(selector, { limit: maxRooms })) count++;
    rooms.set(subject, count);
  }
  return rooms;
}
