/**
 * Handles of channels: several parts of an application hold the same channel,
 * each with its own handlers.
 *
 * @module
 */
import { cursorOf, join, leave } from "./channels.ts";
import type { Handlers } from "./cursor.ts";
import { add } from "./listeners.ts";
import type { Listeners } from "./listeners.ts";
import { stateOf } from "./parts.ts";
import type { Parts } from "./parts.ts";
import type { Channel, EventsOptions, Gap, HistoryQuery } from "./types.ts";
import type { JoinOptions, Received, Room, SendOptions } from "./types.ts";

/** The key of handlers of all types. */
export const ANY = "*";

/** Adds a handler, and records which events it cannot have received. */
export function listen(
  parts: Parts,
  handlers: Handlers,
  type: string,
  handler: (message: never) => void,
): () => void {
  const set = handlers.get(type) ?? new Set();
  handlers.set(type, set);
  parts.since.set(handler, parts.core.received);
  return add(set, handler);
}

/** Joins a channel for one holder. */
export function channelOf(
  parts: Parts,
  name: string,
  joining?: JoinOptions,
): Channel {
  const holder = {
    handlers: new Map() as Handlers,
    gaps: new Set() as Listeners<Gap>,
    ends: new Set() as Listeners<void>,
  };
  join(parts, name, joining, holder);
  const held = () => {
    const cursor = cursorOf(parts, name);
    return cursor?.holders.has(holder) ? cursor : undefined;
  };
  const on = (type: string, handler: (message: never) => void) =>
    listen(parts, holder.handlers, type, handler);

  async function* events(options: EventsOptions = {}) {
    const waiting: Received[] = [];
    const undo = on(ANY, (event: Received) => waiting.push(event));
    try {
      await parts.load();
      if (held()) yield* parts.sending!.iterate(waiting, holder.ends, options);
    } finally {
      undo();
    }
  }

  return {
    get name() {
      return held()?.name ?? name;
    },
    get state() {
      const cursor = held();
      return cursor && stateOf(parts).channels[cursor.name];
    },
    get position() {
      const position = held()?.position;
      return position && { ...position };
    },
    on,
    onAny: (handler: (message: never) => void) => on(ANY, handler),
    onGap: (listener: (gap: Gap) => void) => add(holder.gaps, listener),
    history: (query?: HistoryQuery, options?: SendOptions) =>
      parts.self.request("query", { channel: name, ...query }, options),
    events,
    [Symbol.asyncIterator]: events,
    close() {
      const cursor = held();
      parts.call(holder.ends, undefined);
      cursor?.holders.delete(holder);
      if (cursor?.holders.size === 0) leave(parts, name);
    },
  } as Channel;
}

/** Joins a room for one holder. */
export function roomOf(
  parts: Parts,
  room: string,
  joining?: JoinOptions,
): Room {
  const channel = room.replace(/^(room:)?/, "room:") as `room:${string}`;
  const it = channelOf(parts, channel, joining);
  const { on } = it as Channel<`room:${string}`>;
  return Object.assign(it, {
    on: (
      event: string,
      handler: (data: unknown, message: Received<"ROOM_MESSAGE">) => void,
    ) =>
      on("ROOM_MESSAGE", (message) => {
        const { payload } = message;
        if (payload.event === event) handler(payload.data, message);
      }),
    send: (...given: unknown[]) => parts.sender("sendEvent")(channel, ...given),
  }) as Room;
}
