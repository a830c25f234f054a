/**
 * What applications see of one channel: its own handlers, history and state.
 *
 * @module
 */
import type { ChannelName, Received, TypesIn } from "./messages.ts";
import type { Response, SendOptions } from "./outgoing.ts";
import type { ChannelState, Gap } from "./state.ts";
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** Which page of a channel's history, oldest first. */
export interface HistoryQuery {
  /** Only later than this. */
  readonly after?: Position;
  /** Only earlier than this. */
  readonly before?: Position;
  /** Most events, 1 to 1,000. Default 100. */
  readonly limit?: number;
}

/** How events are iterated. */
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
  /** Canonical, once known; until then as asked for. */
  readonly name: string;
  /** State of the channel; `undefined` once it is closed or left. */
  readonly state: ChannelState | undefined;
  /** Last event delivered; `undefined` until known and without retention. */
  readonly position: Position | undefined;
  /**
   * Calls `handler` for every event of a type in this channel.
   *
   * @returns its undo.
   */
  on<Type extends TypesIn<Name>>(
    type: Type,
    handler: (message: Received<Type>) => void,
  ): () => void;
  /**
   * Calls `handler` for every event in this channel.
   *
   * @returns its undo.
   */
  onAny(handler: (message: Received<TypesIn<Name>>) => void): () => void;
  /**
   * Calls `listener` when events of this channel are lost for good.
   *
   * @returns its undo.
   */
  onGap(listener: (gap: Gap) => void): () => void;
  /**
   * Asks for a page of the channel's history; handlers are not called.
   *
   * @throws {RequestError} as `Client.request`.
   */
  history(
    query?: HistoryQuery,
    options?: SendOptions,
  ): Promise<Response<"query">>;
  /**
   * The events from now on, one by one, through every reconnect. Ends when the
   * handle is closed or the channel left. Iterating the handle itself is the
   * same without options.
   *
   * @throws {RequestError} `QUEUE_FULL` when 10,000 events wait to be taken.
   */
  events(
    options?: EventsOptions,
  ): AsyncGenerator<Received<TypesIn<Name>>, void>;
  /** Removes the handlers, and leaves the channel unless others hold it. */
  close(): void;
}

/**
 * A room. `Events` gives the data of each event by its name:
 * `client.room<{ chat: { text: string } }>("lobby")`.
 */
export interface Room<
  Events extends object = Record<string, unknown>,
> extends Omit<Channel<`room:${string}`>, "on"> {
  /**
   * Calls `handler` for every event of a name in this room.
   *
   * @returns its undo.
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
