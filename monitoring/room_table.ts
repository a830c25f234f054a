/**
 * The rooms of the whole cluster: those that have events, from the log, and
 * those that are followed, from all instances.
 *
 * @module
 */
import type { HeadRecord } from "../store/log_heads.ts";
import { pageOf } from "./paging.ts";
import type { PageRange } from "./paging.ts";

/** What rooms are sorted by. */
export const ROOM_ORDERS = [
  "followers",
  "lag",
  "room",
  "seq",
  "lastEventAt",
] as const;

/** A room, as operators see it. */
export interface RoomInfo {
  /** Its channel, such as `room:lobby`. */
  readonly room: string;
  /** Subscriptions, on all instances. */
  readonly followers: number;
  /** How many events its slowest follower is behind. */
  readonly lag: number;
  /** Its newest number; 0 before the first event. */
  readonly seq: number;
  /** When its newest event was accepted, in epoch milliseconds; `null`: unknown. */
  readonly lastEventAt: number | null;
}

/** Which rooms to list. */
export interface RoomQuery extends PageRange {
  /** Words that all must occur in the name. */
  readonly search: string;
  /** What is sorted by. */
  readonly sort: (typeof ROOM_ORDERS)[number];
}

/** A followed room of one instance: name, followers, newest number, lag. */
export type FollowedRoom = readonly [string, number, number, number];

/** A page of rooms. */
export interface RoomPage {
  /** In order. */
  readonly rooms: readonly RoomInfo[];
  /** How many rooms there are. */
  readonly total: number;
  /** How many of them match. */
  readonly matched: number;
  /** The cursor of the next page; `null` on the last. */
  readonly next: string | null;
}

/**
 * Joins what is stored and what is followed.
 *
 * @param heads of the rooms that have events.
 * @param followed what each instance answered.
 */
export async function roomTable(
  heads: AsyncIterable<HeadRecord & { readonly channel: string }>,
  followed: readonly (readonly FollowedRoom[])[],
): Promise<RoomInfo[]> {
  const rooms = new Map<string, RoomInfo>();
  for await (const { channel: room, seq, at } of heads) {
    const lastEventAt = at === 0 ? null : at;
    rooms.set(room, { room, followers: 0, lag: 0, seq, lastEventAt });
  }
  for (const [room, followers, seq, lag] of followed.flat()) {
    const known = rooms.get(room);
    rooms.set(room, {
      room,
      followers: (known?.followers ?? 0) + followers,
      lag: Math.max(known?.lag ?? 0, lag),
      seq: Math.max(known?.seq ?? 0, seq),
      lastEventAt: known?.lastEventAt ?? null,
    });
  }
  return [...rooms.values()];
}

/** Finds a page of rooms. */
export function findRooms(
  rooms: readonly RoomInfo[],
  query: RoomQuery,
): RoomPage {
  const words = query.search.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = rooms.filter(({ room }) => {
    const text = room.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const { rows, next } = pageOf(
    matching,
    (it) => ({ value: it[query.sort] ?? 0, id: it.room }),
    query,
  );
  return { rooms: rows, total: rooms.length, matched: matching.length, next };
}
