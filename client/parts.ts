/**
 * What the parts of one client share. Each part names in its type what it uses
 * of it.
 *
 * @module
 */
import type { Cursor } from "./cursor.ts";
import type { Timers } from "./timers.ts";
import type {
  ChannelState,
  ClientState,
  Failure,
  Gap,
  JoinOptions,
  Options,
} from "./types.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** {@link ClientState} but for what is computed, while it is being written. */
export type Core = {
  -readonly [
    Key in Exclude<keyof ClientState, "isConnected" | "pending" | "channels">
  ]: ClientState[Key];
};

/** A promise with its two ends. */
export type Answer = PromiseWithResolvers<unknown>;

/** The requests of one client. */
export interface Requests {
  /** How many wait. */
  count(): number;
  /** Sends what waits, as much as the server takes at once. */
  flush(): void;
  /**
   * Adds a frame; one with the same id that waits already is answered for
   * both.
   */
  enqueue(id: string, frame: object): Promise<unknown>;
  /** Removes a request whose answer arrived. */
  settle(id: unknown): Answer | undefined;
  /**
   * The connection is lost.
   *
   * @param isFinal whether there will be no other: all are refused.
   */
  lost(isFinal: boolean): void;
}

/** The channels of one client. */
export interface Channels {
  /** What applications see of them, by canonical name. */
  views(): Record<string, ChannelState>;
  /** Where we stand in a channel; nothing unless joined. */
  get(name: string): Cursor | undefined;
  /** Joins, now and after every connect. */
  join(name: string, options?: JoinOptions): void;
  /** Leaves and forgets the position. */
  leave(name: string): void;
  /** Connected: asks for all of them. */
  resume(): void;
  /** The connection is lost. */
  lost(): void;
  /** Events before the one that arrived are missing: asks for them. */
  askAgain(cursor: Cursor): void;
  /** A `subscribe` was refused as a whole. */
  refused(ref: string, failure: Failure): void;
  /** A `subscribe` was answered. */
  subscribed(
    answer: ReplyPayload<"subscribed">,
    ref: string | undefined,
  ): void;
  /** The server ended these: a refreshed token gives fewer rights. */
  forbidden(names: readonly string[]): void;
  /** Events are lost for good; returns whether applications are notified. */
  gap(gap: Gap): boolean;
}

/** One client, from inside. */
export interface Parts {
  /** As given by the application. */
  readonly options: Options;
  /** End with the socket. */
  readonly timers: Timers;
  /** What applications see; `changed` or `stirred` follows each writing. */
  readonly core: Core;
  /** Grows when a socket is given up: what began before is void. */
  generation: number;
  /** What the server welcomed us with; nothing unless connected. */
  welcome: ReplyPayload<"connected"> | undefined;
  /** Messages and requests that wait. */
  requests: Requests;
  /** The joined channels. */
  channels: Channels;
  /** Receives errors of the application's own functions. */
  readonly onError: (error: unknown) => void;
  /** Notifies of a new state at once. */
  changed(): void;
  /** Notifies soon: changes that come with every message are collected. */
  stirred(): void;
  /** The present socket, from dialling to losing it. */
  socket: WebSocket | undefined;
  /** Hands a frame to the socket. */
  send(text: string): void;
  /** Sends a command; returns its id. */
  transmit(type: string, payload: object): string;
  /** Takes a frame from the socket. */
  receive(data: string): void;
}

const prefix = Date.now() + Math.random().toString(36);
let serial = 0;

/** A new id, unique everywhere: it is also an idempotency key. */
export function nextId(): string {
  return `${prefix}-${++serial}`;
}
