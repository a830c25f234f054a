/**
 * The handle of one channel: its own handlers, history and state.
 *
 * @module
 */
import type { ChannelName, Received, TypesIn } from "./messages.ts";
import type { Response, SendOptions } from "./outgoing.ts";
import type { ChannelState, Gap } from "./state.ts";
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** Selects a page of a channel's history, oldest first. */
export interface HistoryQuery {
  /** Only events after this position. */
  readonly after?: Position;
  /** Only events before this position. */
  readonly before?: Position;
  /** Most events, 1 to 1,000. Default 100. */
  readonly limit?: number;
}

/** Options of an iteration. */
export interface EventsOptions {
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
}

/**
 * A joined channel, held by one part of an application. The channel is left
 * when all of its handles are closed and `joinChannel` was not called for it.
 * Its methods need no `this`.
 */
export interface Channel<Name extends ChannelName = ChannelName>
  extends AsyncIterable<Received<TypesIn<Name>>> {
  /** The canonical name, once known; until then the requested one. */
  readonly name: string;
  /** State of the channel; `undefined` once it is closed or left. */
  readonly state: ChannelState | undefined;
  /** Last event delivered; `undefined` until known and without retention. */
  readonly position: Position | undefined;
  /**
   * Calls `handler` for every event of a type in this channel.
   *
   * @returns a function that removes the handler.
   */
  on<Type extends TypesIn<Name>>(
    type: Type,
    handler: (message: Received<Type>) => void,
  ): () => void;
  /**
   * Calls `handler` for every event in this channel.
   *
   * @returns a function that removes the handler.
   */
  onAny(handler: (message: Received<TypesIn<Name>>) => void): () => void;
  /**
   * Calls `listener` when events of this channel are permanently lost.
   *
   * @returns a function that removes the listener.
   */
  onGap(listener: (gap: Gap) => void): () => void;
  /**
   * Requests a page of the channel's history; handlers are not called.
   *
   * @throws {RequestError} as `Client.request`.
   */
  history(
    query?: HistoryQuery,
    options?: SendOptions,
  ): Promise<Response<"query">>;
  /**
   * Iterates the events from now on, across reconnects. Ends when the handle is
   * closed or the channel is left. Iterating the handle itself is the same
   * without options.
   *
   * @throws {RequestError} `QUEUE_FULL` when 10,000 events wait to be read.
   */
  events(
    options?: EventsOptions,
  ): AsyncGenerator<Received<TypesIn<Name>>, void>;
  /** Removes the handlers, and leaves the channel unless others hold it. */
  close(): void;
}

/**
 * A room. `Events` maps names of events to their data:
 * `client.room<{ chat: { text: string } }>("lobby")`.
 */
export interface Room<
  Events extends object = Record<string, unknown>,
> extends Omit<Channel<`room:${string}`>, "on"> {
  /**
   * Calls `handler` for every event of a name in this room.
   *
   * @returns a function that removes the handler.
   */
  on<Name extends keyof Events & string>(
    event: Name,
    handler: (data: Events[Name], message: Received<"ROOM_MESSAGE">) => void,
  ): () => void;
  /**
   * Publishes into the room.
   *
   * @throws {RequestError} as `Client.sendMessage`.
   */
  send<Name extends keyof Events & string>(
    event: Name,
    data: Events[Name],
    options?: SendOptions,
  ): Promise<ReplyPayload<"published">>;
}
