/**
 * The state of a connection: its channels, errors and lost events.
 *
 * @module
 */
import type { Position } from "../protocol/commands.ts";
import type { Issue, RefusalCode } from "../protocol/refusals.ts";
import type { GapReason, Identity } from "../protocol/replies.ts";

/**
 * State of a connection. `connecting`: the first attempt; `reconnecting`: later
 * attempts and the pauses between; `closed`: until another `connect()`.
 */
export type Status = "connecting" | "connected" | "reconnecting" | "closed";

/**
 * Errors of the client itself. `CONNECTION_LOST`: the socket closed without a
 * reason; `CONNECT_FAILED`: it never opened, or the token function or the
 * creation of a socket threw. `connectionError` is refined soon after, if a
 * request to the same address allows it: `NOT_FOUND`: there is nothing at the
 * path; `NOT_A_SERVICE`: another program answers; `SERVER_ERROR`: a proxy or the
 * server is not ready; `WRONG_SCHEME`: `wss:` instead of `ws:`, or the reverse;
 * `NO_ANSWER`: no answer at all; or the server's refusal. `TIMEOUT`: no
 * `connected` within 10 s, no reply to a request within 10 s, or no frame within
 * 5 s after a ping; `OFFLINE`: refused because not connected; `QUEUE_FULL`: too
 * many wait already; `REPLACED`: not sent, because a newer message with the same
 * `key` was; `DROPPED`: volatile, and could not be sent at once; `CLOSED`: the
 * client was closed meanwhile; `NO_TOKEN`: connected as anonymous, because
 * `auth` returned no token; `EVENTS_LOST`: the history is incomplete;
 * `MALFORMED_FRAME`: the server sent an invalid frame.
 */
export type ClientErrorCode =
  | "CONNECTION_LOST"
  | "CONNECT_FAILED"
  | "NOT_FOUND"
  | "NOT_A_SERVICE"
  | "SERVER_ERROR"
  | "WRONG_SCHEME"
  | "NO_ANSWER"
  | "TIMEOUT"
  | "OFFLINE"
  | "QUEUE_FULL"
  | "REPLACED"
  | "DROPPED"
  | "CLOSED"
  | "NO_TOKEN"
  | "EVENTS_LOST"
  | "MALFORMED_FRAME";

/** A failure: a code to switch on, a sentence for a person. */
export interface Failure {
  /** The server's refusal, or the client's own reason. */
  readonly code: RefusalCode | ClientErrorCode;
  /** A sentence. */
  readonly message: string;
  /** Milliseconds until a retry can succeed. */
  readonly retryAfterMs?: number | undefined;
  /** What exactly was wrong with a frame. */
  readonly issues?: readonly Issue[] | undefined;
}

/** State of one joined channel. */
export interface ChannelState {
  /**
   * `joining`: requested; `joined`: events arrive; `rejected`: the server
   * refused, see `code`; requested again with the next connection.
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

/** An immutable snapshot of a connection; each change creates a new one. */
export interface ClientState {
  /** State of the connection. */
  readonly status: Status;
  /**
   * The transport of events: `sse` where sockets are blocked, `polling` where
   * streams are blocked too.
   */
  readonly transport: "websocket" | "sse" | "polling";
  /** Whether `status` is `connected`: the server sent `connected`. */
  readonly isConnected: boolean;
  /** Why the connection was lost or refused; `null` while connected. */
  readonly connectionError: Failure | null;
  /** Attempts since the connection was lost; 0 while connected. */
  readonly reconnectAttempts: number;
  /** When the next attempt starts, in epoch milliseconds; `null` unless waiting. */
  readonly nextRetryAt: number | null;
  /** Connections before the current one. */
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

/** Events that are permanently lost. */
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

/** Starting position in a channel; live from now on when neither is given. */
export interface JoinOptions {
  /** Replay the events after this position. */
  readonly after?: Position;
  /** Replay this many of the newest events, 0 to 1,000. */
  readonly last?: number;
}

/** A frame received or sent, for tools. Tokens are removed. */
export interface TappedFrame {
  /** `in`: from the server. */
  readonly direction: "in" | "out";
  /** As parsed; not validated, read-only. */
  readonly frame: Readonly<Record<string, unknown>>;
  /** Epoch milliseconds of this clock. */
  readonly at: number;
  /** Characters of JSON. */
  readonly length: number;
  /** Bytes on the wire; absent unless the frame was compressed. */
  readonly wireBytes?: number;
}
