/**
 * What applications see of the client: its options, its state, its verbs.
 * Every message type follows from the protocol's registry.
 *
 * @module
 */
import type { KnownFields } from "../protocol/builders.ts";
import type { COMMANDS, Position } from "../protocol/commands.ts";
import type { AnyEvent, Event, MessageType } from "../protocol/messages.ts";
import type { PayloadOf } from "../protocol/messages.ts";
import type { Issue, RefusalCode } from "../protocol/refusals.ts";
import type { Identity, ReplyPayload, ReplyType } from "../protocol/replies.ts";
import type { GapReason } from "../protocol/replies.ts";

export type { Position } from "../protocol/commands.ts";
export type { AnyEvent, Event, MessageType } from "../protocol/messages.ts";
export type { RefusalCode } from "../protocol/refusals.ts";
export type { GapReason, Identity } from "../protocol/replies.ts";

/** How a connection is made and kept. */
export interface Options {
  /**
   * Where to: `wss://…`, `https://…`, or a path on the page's origin.
   * Default `/ws` on the page's origin; required where there is no page.
   */
  readonly url?: string;
  /** Whether a lost connection is made again. Default `true`. */
  readonly autoReconnect?: boolean;
  /**
   * Longest wait before trying again, in milliseconds. The wait is drawn at
   * random below a ceiling that begins at 500 and doubles up to this.
   * Default 5,000.
   */
  readonly reconnectInterval?: number;
  /**
   * Tries in a row without success before the client gives up; tries while
   * the browser reports that it is offline do not count. Default `Infinity`.
   */
  readonly maxReconnectAttempts?: number;
  /**
   * Whether `sendMessage` sends at most one message of a type, channel and, in
   * rooms, `event` every `throttleTime`. The others wait for their turn, in
   * order; of those with the same `key`, only the newest is sent. Messages
   * with an `id` of their own and batches are sent at once. Also sets how often
   * traffic alone notifies `onState`. Received messages are never skipped.
   * Default `false`.
   */
  readonly enableThrottle?: boolean;
  /** Milliseconds between two such messages. Default 100. */
  readonly throttleTime?: number;
  /**
   * Whether `sendMessage` waits until no other such message was sent for
   * `debounceTime`, and then sends all that wait, in order; of those with the
   * same `key`, only the newest. With `enableThrottle`, too, they are sent
   * `debounceTime` after the first that waits. Default `false`.
   */
  readonly enableDebounce?: boolean;
  /** Milliseconds of quiet before messages are sent. Default 200. */
  readonly debounceTime?: number;
  /** Who we are; anonymous when absent. */
  readonly auth?: Auth;
  /** Whether events due together may share a frame. Default `true`. */
  readonly batch?: boolean;
  /**
   * Whether to receive fewer bytes: events compressed by the server, once for
   * all. Loads `inflate.js` beside the client's own file and, once, the
   * server's dictionary; should either fail, nothing is compressed. Default
   * `false`.
   */
  readonly compress?: boolean;
  /**
   * What happens to messages and requests made while not connected: up to
   * `max` wait for the connection, or all are refused with `OFFLINE`.
   * Default `{ max: 100 }`.
   */
  readonly offlineQueue?: { readonly max: number } | "refuse";
  /** Name and version of the program, for the operator, 1 to 128 characters. */
  readonly client?: string;
  /**
   * Receives what a handler threw, once for each handler. Default: `reportError` in a
   * page, the console elsewhere.
   */
  readonly onError?: (error: unknown) => void;
  /** Makes sockets. Default: the platform's `WebSocket`. */
  readonly WebSocket?: new (url: string) => WebSocket;
}

/** How one message or request is sent: the pace and queue of {@link Options}. */
export interface SendOptions extends
  Pick<
    Options,
    | "enableThrottle"
    | "throttleTime"
    | "enableDebounce"
    | "debounceTime"
    | "offlineQueue"
  > {
  /**
   * What the message is about. Of messages with the same key that wait for
   * their pace, only the newest is sent; the others reject with `REPLACED`.
   */
  readonly key?: string;
}

/** Credentials. */
export interface Auth {
  /**
   * A token, or a function that gives a fresh one. The function is called
   * before every connection and when the token is about to expire, again until
   * it gives another one; with a fixed token, expiry ends the connection for
   * good. Without a token (`""`, `undefined`) the connection is anonymous,
   * `state.lastError` is `NO_TOKEN`, and the function is called at each
   * heartbeat until it gives one.
   */
  readonly token:
    | string
    | undefined
    | (() => string | undefined | Promise<string | undefined>);
  /** Custom headers for the server, as in HTTP. */
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * State of a connection. `connecting`: the first try; `reconnecting`: later
 * ones and the waits between; `closed`: not without another `connect()`.
 */
export type Status = "connecting" | "connected" | "reconnecting" | "closed";

/**
 * Why the client itself gave up on something. `CONNECTION_LOST`: the socket
 * ended without a reason; `CONNECT_FAILED`: the token function or the making
 * of a socket threw; `TIMEOUT`: no `connected` within 10 s, no answer to a
 * request within 10 s, or silence after a ping for 5 s; `OFFLINE`: refused
 * since not connected; `QUEUE_FULL`: too many wait already; `REPLACED`: not
 * sent, since a newer message of the same `key` was; `CLOSED`: the client was
 * closed meanwhile; `NO_TOKEN`: connected as anonymous, since `auth` gives no
 * token; `MALFORMED_FRAME`: the server sent what is no frame.
 */
export type ClientErrorCode =
  | "CONNECTION_LOST"
  | "CONNECT_FAILED"
  | "TIMEOUT"
  | "OFFLINE"
  | "QUEUE_FULL"
  | "REPLACED"
  | "CLOSED"
  | "NO_TOKEN"
  | "MALFORMED_FRAME";

/** What went wrong: a code to switch on, a sentence for a person. */
export interface Failure {
  /** The server's refusal, or the client's own reason. */
  readonly code: RefusalCode | ClientErrorCode;
  /** A sentence. */
  readonly message: string;
  /** Milliseconds after which trying again makes sense. */
  readonly retryAfterMs?: number | undefined;
  /** What exactly was wrong with a frame. */
  readonly issues?: readonly Issue[] | undefined;
}

/** State of one joined channel. */
export interface ChannelState {
  /**
   * `joining`: asked for; `joined`: events arrive; `rejected`: the server
   * refused, see `code`; asked again with the next connection.
   */
  readonly status: "joining" | "joined" | "rejected";
  /** Identity of its log; `null` until known and without retention. */
  readonly epoch: string | null;
  /** Number of the last event delivered; `null` as for `epoch`. */
  readonly seq: number | null;
  /** Whether the last join or resume missed nothing; `null` until known. */
  readonly recovered: boolean | null;
  /** Events received from history since the last join or resume. */
  readonly caughtUp: number;
  /** The alias that it was joined by. */
  readonly alias?: string | undefined;
  /** Why it was refused. */
  readonly code?: RefusalCode | ClientErrorCode | undefined;
}

/** A snapshot of a connection; never changes, a new one takes its place. */
export interface ClientState {
  /** State of the connection. */
  readonly status: Status;
  /** Whether `status` is `connected`: welcomed by the server. */
  readonly isConnected: boolean;
  /** Why the connection was lost or refused; `null` while connected. */
  readonly connectionError: Failure | null;
  /** Tries since the connection was lost; 0 while connected. */
  readonly reconnectAttempts: number;
  /** When the next try begins, in epoch milliseconds; `null` unless waiting. */
  readonly nextRetryAt: number | null;
  /** Connections made before the present one. */
  readonly reconnects: number;
  /**
   * Moving average of the time from the server's acceptance of a live event
   * to its arrival here, in milliseconds, corrected for the difference of
   * the clocks; `null` until measured.
   */
  readonly messageLatency: number | null;
  /** Shortest recent round trip of a ping, in milliseconds. */
  readonly roundTripMs: number | null;
  /** The server's clock minus this one, in milliseconds, estimated. */
  readonly clockOffsetMs: number;
  /** Joined channels by canonical name. */
  readonly channels: Readonly<Record<string, ChannelState>>;
  /** The server's name for the present or last connection. */
  readonly sessionId: string | null;
  /** Who the server takes us for, or did last. */
  readonly identity: Identity | null;
  /** Gaps reported since the client was made. */
  readonly gaps: number;
  /** Events delivered since the client was made. */
  readonly received: number;
  /** When the last event arrived, in epoch milliseconds. */
  readonly lastEventAt: number | null;
  /** Messages and requests that wait for a connection or an answer. */
  readonly pending: number;
  /** The last refusal of a request, a channel or a frame. */
  readonly lastError: Failure | null;
}

/** Events that are lost for good. */
export interface Gap {
  /** Canonical name of the channel. */
  readonly channel: string;
  /** Name of the filtered subscription, where it is one. */
  readonly as?: string | undefined;
  /** First number missed, of `epoch`. */
  readonly from: number;
  /** Last number missed; below `from` when it cannot be known. */
  readonly to: number;
  /** Identity of the log the numbers belong to. */
  readonly epoch: string;
  /** Why. */
  readonly reason: GapReason;
}

/** Where to begin in a channel; live from now on when neither is given. */
export interface JoinOptions {
  /** Replay the events after this position. */
  readonly after?: Position;
  /** Replay this many of the newest events, 0 to 1,000. */
  readonly last?: number;
}

/** A frame that passed, for tools. Tokens are left out. */
export interface TappedFrame {
  /** `in`: from the server. */
  readonly direction: "in" | "out";
  /** As parsed; not checked, not to be changed. */
  readonly frame: Readonly<Record<string, unknown>>;
  /** Epoch milliseconds of this clock. */
  readonly at: number;
  /** Characters of JSON. */
  readonly length: number;
}

/** An application message as `sendMessage` takes it. */
export type Outgoing<Type extends MessageType = MessageType> = Type extends
  MessageType ? {
    /** Which message. */
    readonly type: Type;
    /** Its content, by type. */
    readonly payload: Readonly<KnownFields<PayloadOf<Type>>>;
    /** Idempotency key; a new unique one when absent. */
    readonly id?: string;
    /** The channel, where the type allows several, as in rooms. */
    readonly channel?: string;
    /** ISO 8601; the server replaces it. */
    readonly timestamp?: string;
    /** Semantic version of the protocol. */
    readonly version?: string;
  }
  : never;

/** Many messages in one. */
export interface OutgoingBatch {
  /** Always this. */
  readonly type: "BATCH_UPDATE";
  /** The messages, in order. */
  readonly payload: { readonly updates: readonly Outgoing[] };
  /** Named in the reply. */
  readonly id?: string;
}

/** What a sent message resolves to: an echo for `TEST`, else its positions. */
export type Sent<Type> = Type extends "TEST" ? Record<string, unknown>
  : ReplyPayload<"published">;

/** Verbs that applications may use, and the reply that each brings. */
export interface Requests {
  /** Latest state of a block, transaction, validator, node or channel. */
  readonly request_data: "data_response";
  /** A page of a channel's history. */
  readonly query: "query_result";
  /** A block as it stands now, and its transactions. */
  readonly block: "block_response";
  /** The service's measurements. */
  readonly request_metrics: "metrics_response";
  /** The server's time. */
  readonly ping: "pong";
}

/** What a verb must be given. */
export type RequestPayload<Verb extends keyof Requests> =
  (typeof COMMANDS)[Verb]["_zod"]["input"];

/** What a verb is answered. */
export type Response<Verb extends keyof Requests> = ReplyPayload<
  Requests[Verb] & ReplyType
>;

/** Takes events of one type. */
export type Handler<Type extends MessageType = MessageType> = (
  message: Type extends MessageType ? Extract<AnyEvent, Event<Type>> : never,
) => void;

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
   * Joins a channel, now and after every reconnect, from its position.
   * Joining again changes nothing.
   *
   * @param channel its name or alias.
   */
  joinChannel(channel: string, options?: JoinOptions): void;
  /** Leaves a channel and forgets the position in it. */
  leaveChannel(channel: string): void;
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
