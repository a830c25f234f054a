/**
 * The tiny client: one connection that keeps itself, resumes where it stood
 * and reports what was lost. Runs in browsers, Deno and Node 22.
 *
 * @module
 */
import { channelsOf } from "./channels.ts";
import { connectionOf, page } from "./connection.ts";
import type { Hears } from "./connection.ts";
import { take } from "./cursor.ts";
import { failure } from "./failure.ts";
import {
  LATENCY_WEIGHT,
  MAX_BATCH_LENGTH,
  MAX_BATCH_MESSAGES,
  TRAFFIC_MS,
} from "./limits.ts";
import { add, caller } from "./listeners.ts";
import type { Listeners } from "./listeners.ts";
import { paced } from "./pacing.ts";
import { nextId } from "./parts.ts";
import type { Core, Parts } from "./parts.ts";
import { requestsOf } from "./requests.ts";
import { timerTable } from "./timers.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";
import type { Client, ClientState, Gap, Options } from "./types.ts";
import type { Outgoing, OutgoingBatch, TappedFrame } from "./types.ts";

export type * from "./types.ts";

/** What came off the wire: shape checked, meaning not. */
interface Frame {
  readonly type: string;
  readonly payload: Record<string, unknown>;
  readonly [field: string]: unknown;
}

/** Keeps secrets from those who watch frames. */
function veil(key: string, value: unknown): unknown {
  return /^(token|headers)$/.test(key) ? "*" : value;
}

/**
 * Connects, and keeps the connection.
 *
 * @param url as `options.url`, which it overrides.
 * @param options how.
 * @returns at once; see `state` and `onState` for how it goes.
 * @throws {TypeError} the URL is none, or there is no page to complete it.
 */
export function connect(url?: string, options: Options = {}): Client {
  const {
    enableThrottle,
    throttleTime = 100,
    onError = (error: unknown) => {
      // deno-lint-ignore no-console -- where else, without a page?
      (page.document ? page.reportError! : console.error)(error);
    },
  } = options;
  const address = new URL(url ?? options.url ?? "/ws", page.location?.href)
    .href.replace(/^http/, "ws");

  const handlers = new Map<string, Listeners<never>>();
  const stateListeners: Listeners<ClientState> = new Set();
  const gapListeners: Listeners<Gap> = new Set();
  const taps: Listeners<TappedFrame> = new Set();
  const call = caller(onError);
  const timers = timerTable();
  let snapshot: ClientState | undefined;

  /** The state but for what is computed. */
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
    messageLatency: null,
    roundTripMs: null,
    clockOffsetMs: 0,
  };

  const parts = {
    options,
    timers,
    core,
    generation: 0,
    onError,
    changed,
    stirred,
    send,
    transmit,
    receive,
  } as Parts;
  const requests = parts.requests = requestsOf(parts);
  const channels = parts.channels = channelsOf(parts);
  const connection = connectionOf(parts, address);

  const hears: Hears = {
    ...connection.hears,
    subscribed: channels.subscribed,
    unsubscribed({ channels: lost }, ref) {
      // Unasked: a refreshed token gives fewer rights.
      if (!ref) channels.forbidden(lost);
    },
    gap(gap) {
      if (!channels.gap(gap)) return;
      core.gaps++;
      call(gapListeners, gap);
    },
    error(payload, ref) {
      core.lastError = payload;
      if (!connection.refused(payload, ref)) channels.refused(ref!, payload);
    },
  };

  function state(): ClientState {
    return snapshot ??= {
      ...core,
      isConnected: !!parts.welcome,
      pending: requests.count(),
      channels: channels.views(),
    };
  }

  function changed(): void {
    snapshot = undefined;
    timers.stop("state");
    call(stateListeners, state());
  }

  function stirred(): void {
    snapshot = undefined;
    if (timers.isDue("state")) return;
    timers.after("state", enableThrottle ? throttleTime : TRAFFIC_MS, changed);
  }

  function transmit(type: string, payload: object): string {
    const id = nextId();
    send(JSON.stringify({ type, id, payload }), veil);
    return id;
  }

  function send(text: string, reviver?: typeof veil): void {
    parts.socket!.send(text);
    if (taps.size) tap("out", JSON.parse(text, reviver), text);
  }

  function tap(direction: "in" | "out", frame: Frame, text: string): void {
    call(taps, { direction, frame, at: Date.now(), length: text.length });
  }

  function receive(data: string): void {
    const mine = parts.generation;
    connection.heard();
    try {
      const frame = JSON.parse(data);
      if (taps.size) tap("in", frame, data);
      const isBatch = frame.type === "BATCH_UPDATE";
      for (const each of isBatch ? frame.payload.updates : [frame]) {
        if (mine !== parts.generation) return;
        const { type, payload } = each;
        if (!type || Object(payload) !== payload) throw each;
        handle(each);
      }
    } catch {
      core.lastError = failure("MALFORMED_FRAME");
      changed();
    }
    connection.beat();
  }

  function handle(frame: Frame): void {
    const { type, channel, ref, payload } = frame;
    let isNews = false;
    if (typeof channel === "string") {
      const cursor = channels.get(channel);
      const verdict = cursor && take(cursor, frame);
      if (verdict === "hole") channels.askAgain(cursor!);
      if (verdict !== true) return;
      core.received++;
      core.lastEventAt = Date.now();
      if (frame["replay"]) cursor!.view.caughtUp++;
      else {
        const at = Date.parse(frame["timestamp"] as string);
        const took = Math.max(0, Date.now() + core.clockOffsetMs - at || 0);
        const average = core.messageLatency ?? took;
        core.messageLatency = average + (took - average) * LATENCY_WEIGHT;
      }
    } else {
      const answer = requests.settle(ref);
      isNews = !answer && type !== "pong";
      if (type === "error") {
        answer?.reject(failure("INTERNAL", payload));
      } else answer?.resolve(payload);
      hears[type as ReplyType]?.(payload as never, ref as string | undefined);
    }
    call(handlers.get(type), frame as never);
    if (isNews) changed();
    else stirred();
  }

  function on(type: string, handler: (message: never) => void): () => void {
    const set = handlers.get(type) ?? new Set();
    handlers.set(type, set);
    return add(set, handler);
  }

  function publish(message: Outgoing | OutgoingBatch): Promise<unknown> {
    const id = message.id ?? nextId();
    const payload = message.type === "BATCH_UPDATE"
      ? {
        updates: message.payload.updates.map((each) => (
          { ...each, id: each.id ?? nextId() }
        )),
      }
      : message.payload;
    return requests.enqueue(id, { ...message, id, payload });
  }

  const publishPaced = paced(options, publish);

  function sendBatch(updates: readonly Outgoing[]): Promise<unknown> {
    const half = updates.length >> 1;
    const isLong = updates.length > MAX_BATCH_MESSAGES ||
      half && JSON.stringify(updates).length > MAX_BATCH_LENGTH;
    if (!isLong) return publish({ type: "BATCH_UPDATE", payload: { updates } });
    const done = Promise.all([
      sendBatch(updates.slice(0, half)),
      sendBatch(updates.slice(half)),
    ]).then((replies) => ({
      accepted: (replies as ReplyPayload<"published">[])
        .flatMap(({ accepted }) => accepted),
    }));
    done.catch(() => {}); // May be ignored, as each of them.
    return done;
  }

  const self = {
    get state() {
      return state();
    },
    onState: (listener) => add(stateListeners, listener),
    onGap: (listener) => add(gapListeners, listener),
    onFrame: (listener) => add(taps, listener),
    connect: connection.connect,
    disconnect: connection.disconnect,
    sendMessage: (message: Outgoing | OutgoingBatch) =>
      message.id || message.type === "BATCH_UPDATE"
        ? publish(message)
        : publishPaced(message),
    sendBatch,
    batch: sendBatch,
    subscribe: on,
    on,
    joinChannel: channels.join,
    leaveChannel: channels.leave,
    request(verb: string, payload: object = {}) {
      const id = nextId();
      return requests.enqueue(id, { type: verb, id, payload });
    },
  } as Client;

  self.connect();
  return self;
}
