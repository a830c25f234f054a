/**
 * Types of sent messages and requests, and of their options.
 *
 * @module
 */
import type { Options } from "./options.ts";
import type { KnownFields } from "../protocol/builders.ts";
import type { COMMANDS } from "../protocol/commands.ts";
import type { MessageType, PayloadOf } from "../protocol/messages.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";

/** Options of one message or request: the pace and queue of {@link Options}. */
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
   * Subject of the message. Of waiting messages with the same key, only the
   * newest is sent; the others reject with `REPLACED`.
   */
  readonly key?: string;
  /**
   * Withdraws the message or request: it rejects with the signal's reason, and
   * is not sent if it still waits.
   */
  readonly signal?: AbortSignal;
  /**
   * Longest time from the call to the reply, in milliseconds; rejects with
   * `TIMEOUT`. Default: the time until the connection, and 10 s more.
   */
  readonly timeout?: number;
  /**
   * Sends at once or not at all: without a connection, or while earlier messages
   * are still unsent, it rejects with `DROPPED`, which does not set `lastError`.
   * Never sent again. Default `false`.
   */
  readonly volatile?: boolean;
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

/** Verbs that applications may use, and the reply to each. */
export interface Requests {
  /** Latest state of a block, transaction, validator, node or channel. */
  readonly request_data: "data_response";
  /** A page of a channel's history. */
  readonly query: "query_result";
  /** The current state of a block, and its transactions. */
  readonly block: "block_response";
  /** The service's measurements. */
  readonly request_metrics: "metrics_response";
  /** The server's time. */
  readonly ping: "pong";
}

/** The payload of a verb. */
export type RequestPayload<Verb extends keyof Requests> =
  (typeof COMMANDS)[Verb]["_zod"]["input"];

/** The reply to a verb. */
export type Response<Verb extends keyof Requests> = ReplyPayload<
  Requests[Verb] & ReplyType
>;
