/**
 * What the parts of one client share: its state, of which the application gets
 * snapshots, and the sending of frames.
 *
 * @module
 */
import type { Cursor, Event, Handlers, Holder } from "./cursor.ts";
import { RequestError } from "./failure.ts";
import { TRAFFIC_MS } from "./limits.ts";
import type { Call, Listeners } from "./listeners.ts";
import { after, stop } from "./timers.ts";
import type { Timed } from "./timers.ts";
import type { Client, ClientState, EventsOptions, Failure } from "./types.ts";
import type { Gap, JoinOptions, Options, Received } from "./types.ts";
import type { TappedFrame } from "./types.ts";
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";

/** {@link ClientState} but for what is computed, while it is being written. */
export type Core = {
  -readonly [
    Key in Exclude<keyof ClientState, "isConnected" | "pending" | "channels">
  ]: ClientState[Key];
};

/** What sends messages and requests. */
export interface Sender
  extends Record<SendingVerb, (...given: never[]) => Promise<unknown>> {
  /** How many wait for the connection or an answer. */
  readonly size: number;
  /** Sends what waits, as much as the server takes at once. */
  flush(): void;
  /**
   * The connection is lost.
   *
   * @param isFinal whether all are refused.
   */
  lost(isFinal: boolean): void;
  /**
   * Settles the request that a reply answers.
   *
   * @returns whether there is one.
   */
  answered(id: unknown, type: string, payload: object): boolean;
  /**
   * Delivers history of a joined channel to the handlers that have received
   * nothing of it.
   *
   * @param cursor holds its new events already.
   * @param from the position when it began to.
   * @param joining what is asked for.
   */
  lookBack(cursor: Cursor, from: Position, joining: JoinOptions): Promise<void>;
  /** Yields what waits, and what is pushed to it, until it ends. */
  iterate(
    waiting: Received[],
    ends: Listeners<void>,
    options: EventsOptions,
  ): AsyncGenerator<Received, void>;
}

/** Verbs that wait until what sends is loaded. */
export type SendingVerb =
  | "sendMessage"
  | "sendBatch"
  | "sendEvent"
  | "request"
  | "track"
  | "chain"
  | "watch";

/** One client, from inside. */
export interface Parts extends Timed, Holder {
  /** Handlers of events in all channels, by type. */
  readonly handlers: Handlers;
  /** `core.received` when a handler was added. */
  readonly since: WeakMap<object, number>;
  /** As given by the application. */
  readonly options: Options;
  /** Of the server, `ws:` or `wss:`. */
  readonly address: string;
  /** Takes a frame from the socket. */
  receive(data: string): void;
  /** What the application holds. */
  self: Client;
  /** What applications see; `changed` or `stirred` follows each writing. */
  readonly core: Core;
  /** The present snapshot, until something changes. */
  state?: ClientState | undefined;
  /** Calls listeners. */
  call: Call;
  /** Listeners to the state. */
  readonly onState: Listeners<ClientState>;
  /** Listeners to gaps. */
  readonly gaps: Listeners<Gap>;
  /** Listeners to frames. */
  readonly onFrame: Listeners<TappedFrame>;
  /** What it sends; absent until it is loaded. */
  sending?: Sender;
  /** Calls that wait for it to be loaded. */
  calls: number;
  /** Delivers an event to its listeners, to all unless `isFor` selects. */
  hand(
    cursor: Cursor,
    event: Event,
    isFor?: (handler: object) => boolean,
  ): void;
  /** Loads what sends. */
  load(): Promise<void>;
  /** Makes a verb that waits until it is loaded. */
  sender(verb: SendingVerb): (...given: unknown[]) => Promise<unknown>;
  /** The joined channels, by canonical name. */
  readonly channels: Map<string, Cursor>;
  /** The present socket, from dialling to losing it. */
  socket?: WebSocket | undefined;
  /** Loads what shares a socket with other tabs, if asked for. */
  sharing?: Promise<void>;
  /** Dials what takes the place of sockets. */
  dial?: (() => WebSocket) | undefined;
  /** Why no connection opens, once that is known. */
  reason?: Failure | undefined;
  /** Increases when a socket is dropped: work of earlier turns is void. */
  turn: number;
  /** The server's `connected` payload; nothing unless connected. */
  welcome?: ReplyPayload<"connected"> | undefined;
  /** Whether a frame arrived since the last ping. */
  isHeard?: boolean;
}

/** What the client does about a reply. */
export type Replies = {
  [Type in ReplyType]?: (
    payload: ReplyPayload<Type>,
    ref: string | undefined,
  ) => void;
};

/** Details of the connection for the diagnosis of a failure. */
export interface Failing {
  /** Drops the socket, and reconnects or ends. */
  lose(error: Failure | null, isFinal?: boolean): void;
  /** Reconnects at once. */
  redial(): void;
  /** Takes a refusal as the server's own. */
  readonly replies: Replies;
}

/** Clients of this page that are not closed, for the DevToolbar. */
const open: Set<Client> = (globalThis as { kaldrix?: Set<Client> })
  .kaldrix ??= new Set();

const prefix = Date.now() + Math.random().toString(36);
let serial = 0;

/** A new id, unique everywhere: it is also an idempotency key. */
export function nextId(): string {
  return `${prefix}-${++serial}`;
}

/** The snapshot: the same object until something changes. */
export function stateOf(parts: Parts): ClientState {
  return parts.state ??= {
    ...parts.core,
    isConnected: !!parts.welcome,
    pending: parts.calls + (parts.sending?.size ?? 0),
    channels: Object.fromEntries(
      [...parts.channels].map(([name, { view, alias, position }]) => [
        name,
        { ...view, alias, epoch: null, seq: null, ...position },
      ]),
    ),
  };
}

/** Notifies of a new state at once. */
export function changed(parts: Parts): void {
  const { core, self, call, onState } = parts;
  parts.state = undefined;
  stop(parts, "state");
  open[core.status === "closed" ? "delete" : "add"](self);
  call(onState, stateOf(parts));
}

/** Notifies soon: changes that every message causes are collected. */
export function stirred(parts: Parts): void {
  const { enableThrottle, throttleTime = 100 } = parts.options;
  parts.state = undefined;
  if (parts.timers.has("state")) return;
  const ms = enableThrottle ? throttleTime : TRAFFIC_MS;
  after(parts, "state", ms, () => changed(parts));
}

/** Notes a failure in the state; returns it as an error. */
export function failed(
  parts: Parts,
  code: Failure["code"],
  message: string = code,
): RequestError {
  stirred(parts);
  return parts.core.lastError = new RequestError(code, { message });
}

/** Hides secrets from listeners to frames. */
function hideSecrets(key: string, value: unknown): unknown {
  return /^(token|headers)$/.test(key) ? "*" : value;
}

/** Sends a frame over the socket. */
export function send(
  parts: Parts,
  text: string,
  reviver?: typeof hideSecrets,
): void {
  parts.socket!.send(text);
  if (parts.onFrame.size) tap(parts, "out", text, JSON.parse(text, reviver));
}

/** Sends a command; returns its id. */
export function transmit(parts: Parts, type: string, payload: object): string {
  const id = nextId();
  send(parts, JSON.stringify({ type, id, payload }), hideSecrets);
  return id;
}

/** Shows a frame to listeners. */
export function tap(
  { call, onFrame }: Parts,
  direction: "in" | "out",
  text: string,
  frame: TappedFrame["frame"],
): void {
  call(onFrame, { direction, frame, at: Date.now(), length: text.length });
}
