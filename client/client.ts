/**
 * The client core: one connection that reconnects by itself, resumes at its
 * positions and reports lost events. Runs in browsers, Deno and Node 22.
 *
 * @module
 */
import { askAgain, join, leave } from "./channels.ts";
import { connectionOf, page } from "./connection.ts";
import { take } from "./cursor.ts";
import { RequestError } from "./failure.ts";
import { LATENCY_WEIGHT, MAX_PENDING } from "./limits.ts";
import { ANY, channelOf, listen, roomOf } from "./handles.ts";
import { add, caller } from "./listeners.ts";
import { changed, failed, stateOf, stirred, tap } from "./parts.ts";
import type { Core, Parts, SendingVerb } from "./parts.ts";
import type { ReplyType } from "../protocol/replies.ts";
import type { Cursor } from "./cursor.ts";
import type { Client, ClientState, JoinOptions, Options } from "./types.ts";

export { RequestError } from "./failure.ts";
export type * from "./types.ts";

/** A received frame: its shape is validated, its content is not. */
interface Frame {
  readonly type: string;
  readonly payload: Record<string, unknown>;
  readonly [field: string]: unknown;
}

/**
 * Creates a client, which connects and reconnects by itself.
 *
 * @param url overrides `options.url`.
 * @param options options of the connection.
 * @returns the client, before it is connected; see `state` and `onState`.
 * @throws {TypeError} when the URL is invalid, or relative without a page.
 */
export function connect(url?: string, options: Options = {}): Client {
  const {
    onError = (error: unknown) => {
      // deno-lint-ignore no-console -- where else, without a page?
      (page.document ? page.reportError! : console.error)(error);
    },
  } = options;
  const address = new URL(url ?? options.url ?? "/ws", page.location?.href)
    .href.replace(/^http/, "ws");

  const call = caller(onError);
  const core: Core = {
    status: "closed",
    connectionError: null,
    reconnectAttempts: 0,
    reconnects: 0,
    sessionId: null,
    identity: null,
    gaps: 0,
    received: 0,
    lastEventAt: null,
    lastError: null,
    transport: "websocket",
    nextRetryAt: null,
    messageLatency: null,
    roundTripMs: null,
    clockOffsetMs: 0,
  };

  const parts = {
    options,
    core,
    call,
    address,
    receive,
    onState: new Set(),
    gaps: new Set(),
    onFrame: new Set(),
    handlers: new Map(),
    since: new WeakMap(),
    timers: new Map(),
    calls: 0,
    channels: new Map(),
    turn: 0,
  } as unknown as Parts;
  const { beat, replies, ...verbs } = connectionOf(parts);

  function receive(data: string): void {
    const mine = parts.turn;
    parts.isHeard = true;
    try {
      const frame = JSON.parse(data);
      tap(parts, "in", data, frame);
      const isBatch = frame.type === "BATCH_UPDATE";
      for (const each of isBatch ? frame.payload.updates : [frame]) {
        if (mine !== parts.turn) return;
        const { type, payload } = each;
        if (!type || Object(payload) !== payload) throw each;
        handle(each);
      }
    } catch {
      failed(parts, "MALFORMED_FRAME");
    }
    beat();
  }

  parts.hand = (cursor, event, isFor) => {
    if (!isFor) cursor.at = core.received;
    for (const { handlers } of [parts, ...cursor.holders]) {
      for (const type of [event.type, ANY]) {
        call(handlers?.get(type), event as never, isFor);
      }
    }
  };

  function handle(frame: Frame): void {
    const { type, channel, sub = channel, ref, payload } = frame;
    if (typeof channel !== "string") {
      const isAnswer = parts.sending?.answered(ref, type, payload);
      replies[type as ReplyType]?.(payload as never, ref as string | undefined);
      call(parts.handlers.get(type), frame as never);
      if (!isAnswer && type !== "pong") return changed(parts);
    } else {
      // Filtered subscriptions handle their own events.
      const cursor = parts.channels.get(sub as string);
      if (!cursor || !deliver(cursor, frame)) return;
    }
    stirred(parts);
  }

  /** Delivers an event to its handlers, unless it was delivered before. */
  function deliver(cursor: Cursor, frame: Frame): boolean {
    const verdict = take(cursor, frame);
    if (verdict !== true) {
      if (verdict) askAgain(parts, cursor);
      return false;
    }
    core.received++;
    core.lastEventAt = Date.now();
    if (frame["replay"]) cursor.view.caughtUp++;
    else {
      const sentAt = Date.parse(frame["timestamp"] as string);
      const took = Math.max(0, Date.now() + core.clockOffsetMs - sentAt || 0);
      core.messageLatency ??= took;
      core.messageLatency += (took - core.messageLatency) * LATENCY_WEIGHT;
    }
    if (cursor.held) cursor.held.push(frame);
    else parts.hand(cursor, frame);
    return true;
  }

  const on = (type: string, handler: (message: never) => void) =>
    listen(parts, parts.handlers, type, handler);

  /** Loads the sending module; retries when there is a connection. */
  parts.load = async () => {
    const get = () => import("./sending.ts");
    const { Sending } = await get().catch(() => parts.self.ready().then(get));
    parts.sending ??= new Sending(parts);
  };

  parts.sender = (verb: SendingVerb) => {
    return (...given: unknown[]): Promise<unknown> => {
      // deno-lint-ignore ban-types -- as the verb takes them
      const send = () => (parts.sending![verb] as Function)(...given);
      if (parts.sending) return send();
      if (parts.calls >= MAX_PENDING) {
        return Promise.reject(failed(parts, "QUEUE_FULL"));
      }
      parts.calls++;
      const answer = parts.load().finally(() => parts.calls--).then(send);
      answer.catch(() => {});
      return answer;
    };
  };
  const { sender } = parts;

  /** Makes a verb that yields once the sending module is loaded. */
  const streamer = (verb: SendingVerb) =>
    async function* (...given: unknown[]) {
      yield* await sender(verb)(...given) as AsyncIterable<unknown>;
    };

  const sendBatch = sender("sendBatch");
  parts.self = {
    get state() {
      return stateOf(parts);
    },
    onState: (listener) => add(parts.onState, listener),
    onGap: (listener) => add(parts.gaps, listener),
    onFrame: (listener) => add(parts.onFrame, listener),
    ...verbs,
    sendMessage: sender("sendMessage"),
    sendBatch,
    batch: sendBatch,
    subscribe: on,
    on,
    onAny: (handler: (message: never) => void) => on(ANY, handler),
    channel: (name: string, joining?: JoinOptions) =>
      channelOf(parts, name, joining),
    room: (name: string, joining?: JoinOptions) => roomOf(parts, name, joining),
    ready: () =>
      new Promise((resolve, reject) => {
        const undo = add(parts.onState, check);
        function check(state: ClientState): void {
          if (state.isConnected) resolve(state);
          else if (state.status === "closed") {
            reject(state.connectionError ?? new RequestError("CLOSED"));
          } else return;
          undo();
        }
        check(stateOf(parts));
      }),
    joinChannel: (name, joining) => join(parts, name, joining),
    leaveChannel: (name) => leave(parts, name),
    request: sender("request"),
    track: streamer("track"),
    chain: streamer("chain"),
    watch: sender("watch"),
  } as Client;

  if (options.shared) {
    parts.sharing = import("./shared.ts").then((it) => it.share(parts))
      .catch(() => {});
  }
  if (options.compress) {
    import("./inflate.ts").then((it) => it.inflate(parts)).catch(() => {});
  }
  parts.self.connect();
  return parts.self;
}
