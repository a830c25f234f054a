/**
 * The rooms that a publisher created: `["room", publisher, channel]` is stored
 * with a room's first event, with the retention of events.
 *
 * @module
 */
import type { Draft } from "./event_log.ts";
import type { Store } from "./store.ts";

/**
 * Counts the rooms of the publishers that are about to create more.
 *
 * @param store holds them.
 * @param drafts to be stored.
 * @param isBorn whether a channel has had an event.
 * @returns rooms by subject, up to the bound of each publisher.
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
