/**
 * The client's public interface: its verbs and all types that they use. Message
 * types are derived from the protocol's registry.
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

/** A connection that reconnects by itself. Its methods need no `this`. */
export interface Client {
  /** The current state; the same object until something changes. */
  readonly state: ClientState;
  /**
   * Calls `listener` when the state has changed: at once for the connection, the
   * channels and errors; at most once a second (or every `throttleTime`, with
   * `enableThrottle`) for changes by traffic alone.
   *
   * @returns a function that removes the listener.
   */
  onState(listener: (state: ClientState) => void): () => void;
  /** Connects again after the end, or at once during a pause. */
  connect(): void;
  /**
   * Ends the connection; waiting messages and requests reject with `CLOSED`.
   * Channels, positions and handlers are kept for another `connect()`.
   */
  disconnect(): void;
  /**
   * Requests a token from `auth.token` now. A new token is sent to the server on
   * the same connection; a token of another user opens a new connection, which
   * continues the channels from their positions and rejects waiting messages and
   * requests with `CLOSED`.
   */
  refresh(): void;
  /**
   * Replaces `auth.token`, as `refresh()` does; `""` signs out: the client
   * reconnects as anonymous.
   */
  setToken(token: Auth["token"]): void;
  /**
   * Waits until connected.
   *
   * @throws {RequestError} why the connection ended permanently.
   */
  ready(): Promise<ClientState>;
  /**
   * Publishes a message. If the connection breaks before the reply, it is sent
   * again with the same `id`, which the server accepts only once. The promise may
   * be ignored: a failure is then visible only in `state.lastError`.
   *
   * @param options pace and queue, instead of the connection's.
   * @returns positions of the accepted events; for `TEST` its echo.
   * @throws {RequestError} the server's refusal, `OFFLINE`, `QUEUE_FULL`,
   * `REPLACED`, `TIMEOUT`, `CLOSED` or `CONNECTION_LOST`; `INVALID_MESSAGE`
   * and `MESSAGE_TOO_LARGE` also without a request.
   */
  sendMessage<const Message extends Outgoing | OutgoingBatch>(
    message: Message,
    options?: SendOptions,
  ): Promise<Sent<Message["type"]>>;
  /**
   * Publishes many messages in order, in few frames.
   *
   * @throws {RequestError} as `sendMessage`; earlier frames remain published.
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
   * Calls `handler` for every event of a type in the joined channels: in order
   * within a channel, each once.
   *
   * @returns a function that removes the handler.
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
   * @returns a function that removes the handler.
   */
  onAny(handler: Handler): () => void;
  /**
   * Joins a channel, now and after every reconnect, from its position. Joining
   * again with `last` or `after` delivers the requested events only to handlers
   * that have received nothing of the channel yet.
   *
   * @param channel its name or alias.
   */
  joinChannel<const Name extends string>(
    channel: Asked<Name>,
    options?: JoinOptions,
  ): void;
  /**
   * Leaves a channel for all of its holders, and drops its position.
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
   * Sends a request to the server.
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
   * Tracks a transaction: yields its current state, then each different one, and
   * ends at the requested state, across reconnects. Starts with the first
   * iteration, and loads `track.js` then.
   *
   * @throws {RequestError} the server's refusal, `CLOSED` when the connection
   * ended permanently, `QUEUE_FULL` when 10,000 states wait to be read.
   */
  track(
    txId: string,
    options?: TrackOptions,
  ): AsyncGenerator<TrackedState, void>;
  /**
   * Follows the chain up to the requested finality, across reconnects. Starts
   * with the first iteration, and loads `chain.js` then.
   *
   * @throws {RequestError} why the channel was refused, `CLOSED` when the
   * connection ended permanently, `QUEUE_FULL` when too many blocks are held
   * back, or 10,000 changes wait to be read.
   */
  chain(options?: ChainOptions): AsyncGenerator<ChainChange, void>;
  /**
   * Follows the events of a channel that match a filter, across reconnects; the
   * channel need not be joined. Loads `watch.js`: resolves with the handle before
   * its first event can arrive.
   *
   * @param channel its name or alias.
   * @throws {RequestError} `QUEUE_FULL`, or why the connection ended permanently
   * before the module was loaded.
   */
  watch<const Name extends string>(
    channel: Asked<Name>,
    options: WatchOptions,
  ): Promise<Watch>;
  /**
   * Calls `listener` when events are permanently lost.
   *
   * @returns a function that removes the listener.
   */
  onGap(listener: (gap: Gap) => void): () => void;
  /**
   * Calls `listener` with every frame received or sent.
   *
   * @returns a function that removes the listener.
   */
  onFrame(listener: (frame: TappedFrame) => void): () => void;
}
