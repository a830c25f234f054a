/**
 * What the parts of one client share: its state, of which the application gets
 * snapshots, and the sending of frames.
 *
 * @module
 */
import type { Cursor } from "./cursor.ts";
import { RequestError } from "./failure.ts";
import { DEFAULT_MESSAGE_BYTES, TRAFFIC_MS } from "./limits.ts";
import type { Call, Listeners } from "./listeners.ts";
import { after, stop } from "./timers.ts";
import type { Timed } from "./timers.ts";
import type { Client, ClientState, Failure, Gap, Options } from "./types.ts";
import type { TappedFrame } from "./types.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** {@link ClientState} but for what is computed, while it is being written. */
export type Core = {
  -readonly [
    Key in Exclude<keyof ClientState, "isConnected" | "pending" | "channels">
  ]: ClientState[Key];
};

/** A promise with its two ends. */
export type Answer = PromiseWithResolvers<unknown>;

/** A message or request that waits for its answer. */
export interface Pending {
  /** The frame. */
  readonly text: string;
  /** Settles with the answer. */
  readonly answer: Answer;
  /** How many may wait beside it while not connected; 0: none, nor it. */
  readonly max: number;
  /** Milliseconds since it was first sent; absent until then. */
  age?: () => number;
  /** The turn whose socket was given it. */
  sentIn?: number;
}

/** One client, from inside. */
export interface Parts extends Timed {
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
  readonly call: Call;
  /** Listeners to the state. */
  readonly onState: Listeners<ClientState>;
  /** Listeners to gaps. */
  readonly onGap: Listeners<Gap>;
  /** Listeners to frames. */
  readonly onFrame: Listeners<TappedFrame>;
  /** Messages and requests that wait, by id. */
  readonly pending: Map<string, Pending>;
  /** How many of them the server has not answered. */
  inFlight: number;
  /** The joined channels, by canonical name. */
  readonly channels: Map<string, Cursor>;
  /** The present socket, from dialling to losing it. */
  socket?: WebSocket | undefined;
  /** Grows when a socket is given up: what began in an earlier turn is void. */
  turn: number;
  /** What the server welcomed us with; nothing unless connected. */
  welcome?: ReplyPayload<"connected"> | undefined;
  /** Whether a frame arrived since the last ping. */
  isHeard?: boolean;
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
    pending: parts.pending.size,
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

/** Hands a frame to the socket. */
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

/**
 * Whether a list should be sent in two halves: in UTF-8 a character takes up
 * to three bytes, the fourth is for the envelope.
 */
export function isTooLong(
  { welcome }: Parts,
  list: readonly unknown[],
): boolean {
  return JSON.stringify(list).length * 4 >
    (welcome?.limits.maxMessageBytes ?? DEFAULT_MESSAGE_BYTES);
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
