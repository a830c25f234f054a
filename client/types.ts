/**
 * What applications see of the client: its verbs, and all types that they
 * mention. Every message type follows from the protocol's registry.
 *
 * @module
 */
import type { Channel, Room } from "./channel.ts";
import type { ChainChange, ChainOptions, TrackedState } from "./following.ts";
import type { TrackOptions, Watch, WatchOptions } from "./following.ts";
import type { Asked, Handler, NamedChannel } from "./messages.ts";
import type { Auth } from "./options.ts";
import type { Outgoing, OutgoingBatch, RequestPayload } from "./outgoing.ts";
import type { Requests, Response, SendOptions, Sent } from "./outgoing.ts";
import type { ClientState, Gap, JoinOptions, TappedFrame } from "./state.ts";
import type { MessageType } from "../protocol/messages.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

export type * from "./channel.ts";
export type * from "./following.ts";
export type * from "./messages.ts";
export type * from "./options.ts";
export type * from "./outgoing.ts";
export type * from "./state.ts";
export type { Position } from "../protocol/commands.ts";
export type { AnyEvent, Event, MessageType } from "../protocol/messages.ts";
export type { RefusalCode } from "../protocol/refusals.ts";
export type { GapReason, Identity } from "../protocol/replies.ts";

/** A connection that maintains itself. Its methods need no `this`. */
export interface Client {
  /** The present state; the same object until something changes. */
  readonly state: ClientState;
  /**
   * Calls `listener` when the state changed: at once for the connection, the
   * channels and errors; at most once a second (or every `throttleTime`, with
   * `enableThrottle`) for what traffic alone changes.
   *
   * @returns its undo.
   */
  onState(listener: (state: ClientState) => void): () => void;
  /** Connects again after the end, or at once while waiting to. */
  connect(): void;
  /**
   * Ends the connection; what waits is refused with `CLOSED`. Channels,
   * positions and handlers are kept for another `connect()`.
   */
  disconnect(): void;
  /**
   * Asks for the token again, now. Another one is given to the server on the
   * same connection; one of another user makes another connection, which
   * continues the channels from their positions and refuses with `CLOSED`
   * what waits.
   */
  refresh(): void;
  /**
   * Takes another token in place of `auth.token`, as `refresh()` does; `""`
   * signs out: the connection is made again as anonymous.
   */
  setToken(token: Auth["token"]): void;
  /**
   * Waits until connected.
   *
   * @throws {RequestError} why the connection ended for good.
   */
  ready(): Promise<ClientState>;
  /**
   * Publishes a message. When the connection breaks before the answer, it is
   * sent again under the same `id`, which the server takes only once. May be
   * ignored: a failure is then seen in `state.lastError` only.
   *
   * @param options pace and queue, in place of the connection's.
   * @returns positions of what was accepted; for `TEST` its echo.
   * @throws {RequestError} the server's refusal, `OFFLINE`, `QUEUE_FULL`,
   * `REPLACED`, `TIMEOUT`, `CLOSED` or `CONNECTION_LOST`; `INVALID_MESSAGE`
   * and `MESSAGE_TOO_LARGE` also without asking the server.
   */
  sendMessage<const Message extends Outgoing | OutgoingBatch>(
    message: Message,
    options?: SendOptions,
  ): Promise<Sent<Message["type"]>>;
  /**
   * Publishes many messages in order, in few frames.
   *
   * @throws {RequestError} as `sendMessage`; earlier frames stay published.
   */
  sendBatch(
    messages: readonly Outgoing[],
    options?: SendOptions,
  ): Promise<ReplyPayload<"published">>;
  /** The same as `sendBatch`. */
  batch(
    messages: readonly Outgoing[],
    options?: SendOptions,
  ): Promise<ReplyPayload<"published">>;
  /**
   * Calls `handler` for every event of a type in the joined channels: in
   * order within a channel, none twice.
   *
   * @returns its undo.
   */
  subscribe<Type extends MessageType>(
    type: Type,
    handler: Handler<Type>,
  ): () => void;
  /** The same as `subscribe`. */
  on<Type extends MessageType>(type: Type, handler: Handler<Type>): () => void;
  /**
   * Calls `handler` for every event in the joined channels.
   *
   * @returns its undo.
   */
  onAny(handler: Handler): () => void;
  /**
   * Joins a channel, now and after every reconnect, from its position. Joining
   * again with `last` or `after` delivers what is asked for to the handlers
   * that have received nothing of the channel yet, and to no others.
   *
   * @param channel its name or alias.
   */
  joinChannel<const Name extends string>(
    channel: Asked<Name>,
    options?: JoinOptions,
  ): void;
  /**
   * Leaves a channel for all of its holders, and forgets the position in it.
   *
   * @param channel its name or alias.
   */
  leaveChannel(channel: string): void;
  /**
   * Joins a channel, as `joinChannel`, for one part of the application: with
   * its own handlers, and left when the last handle is closed.
   *
   * @param name its name or alias.
   */
  channel<const Name extends string>(
    name: Asked<Name>,
    options?: JoinOptions,
  ): Channel<NamedChannel<Name>>;
  /**
   * Joins a room, as `channel`.
   *
   * @param name with or without `room:`.
   */
  room<Events extends object = Record<string, unknown>>(
    name: string,
    options?: JoinOptions,
  ): Room<Events>;
  /**
   * Asks the server.
   *
   * @throws {RequestError} as `sendMessage`.
   */
  request<Verb extends keyof Requests>(
    verb: Verb,
    ...payload: Record<never, never> extends RequestPayload<Verb>
      ? [payload?: RequestPayload<Verb>, options?: SendOptions]
      : [payload: RequestPayload<Verb>, options?: SendOptions]
  ): Promise<Response<Verb>>;
  /**
   * Follows a transaction: yields its present state, then each that differs
   * from the one before, and ends once it has come as far as asked for, through
   * every reconnect. Begins when it is first asked for a state; loads
   * `track.js` then.
   *
   * @throws {RequestError} the server's refusal, `CLOSED` when the connection
   * ended for good, `QUEUE_FULL` when 10,000 states wait to be taken.
   */
  track(
    txId: string,
    options?: TrackOptions,
  ): AsyncGenerator<TrackedState, void>;
  /**
   * Follows the chain, held back until it is as firm as asked for, through
   * every reconnect. Begins when it is first asked for a change; loads
   * `chain.js` then.
   *
   * @throws {RequestError} why the channel was refused, `CLOSED` when the
   * connection ended for good, `QUEUE_FULL` when too many blocks are held back,
   * or 10,000 changes wait to be taken.
   */
  chain(options?: ChainOptions): AsyncGenerator<ChainChange, void>;
  /**
   * Follows the events of a channel that match a filter, through every
   * reconnect; the channel need not be joined. Loads `watch.js`: resolves with
   * the handle before anything of it can arrive.
   *
   * @param channel its name or alias.
   * @throws {RequestError} `QUEUE_FULL`, or why the connection ended for good
   * before the module was loaded.
   */
  watch<const Name extends string>(
    channel: Asked<Name>,
    options: WatchOptions,
  ): Promise<Watch>;
  /**
   * Calls `listener` when events are lost for good.
   *
   * @returns its undo.
   */
  onGap(listener: (gap: Gap) => void): () => void;
  /**
   * Calls `listener` with every frame that passes.
   *
   * @returns its undo.
   */
  onFrame(listener: (frame: TappedFrame) => void): () => void;
}
