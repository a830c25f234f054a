/**
 * The tiny client: one connection that maintains itself, resumes at its positions
 * and reports what was lost. Runs in browsers, Deno and Node 22.
 *
 * @module
 */
import { askAgain, join, leave } from "./channels.ts";
import { connectionOf, page } from "./connection.ts";
import { take } from "./cursor.ts";
import { RequestError } from "./failure.ts";
import { LATENCY_WEIGHT, MAX_BATCH_MESSAGES } from "./limits.ts";
import { add, caller } from "./listeners.ts";
import type { Listeners } from "./listeners.ts";
import { paced } from "./pacing.ts";
import {
  changed,
  failed,
  isTooLong,
  nextId,
  stateOf,
  stirred,
  tap,
} from "./parts.ts";
import type { Core, Parts } from "./parts.ts";
import { deferred, enqueue, settle } from "./requests.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";
import type { Client, Options } from "./types.ts";
import type { Outgoing, OutgoingBatch, SendOptions } from "./types.ts";

export { RequestError } from "./failure.ts";
export type * from "./types.ts";

/** A received frame: shape checked, content not. */
interface Frame {
  readonly type: string;
  readonly payload: Record<string, unknown>;
  readonly [field: string]: unknown;
}

/**
 * Connects, and maintains the connection.
 *
 * @param url as `options.url`, which it overrides.
 * @param options how.
 * @returns at once; see `state` and `onState` for its progress.
 * @throws {TypeError} the URL is none, or there is no page to complete it.
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

  const handlers = new Map<string, Listeners<never>>();
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
    onGap: new Set(),
    onFrame: new Set(),
    timers: new Map(),
    pending: new Map(),
    inFlight: 0,
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

  function handle(frame: Frame): void {
    const { type, channel, sub = channel, ref, payload } = frame;
    let isNews = false;
    if (typeof channel === "string") {
      // A filtered subscription's events are its own affair.
      const cursor = parts.channels.get(sub as string);
      const verdict = cursor && take(cursor, frame);
      if (verdict === "hole") askAgain(parts, cursor!);
      if (verdict !== true) return;
      core.received++;
      core.lastEventAt = Date.now();
      if (frame["replay"]) cursor!.view.caughtUp++;
      else {
        const at = Date.parse(frame["timestamp"] as string);
        const took = Math.max(0, Date.now() + core.clockOffsetMs - at || 0);
        core.messageLatency ??= took;
        core.messageLatency += (took - core.messageLatency) * LATENCY_WEIGHT;
      }
    } else {
      const answer = settle(parts, ref);
      isNews = !answer && type !== "pong";
      if (type === "error") {
        answer?.reject(new RequestError("INTERNAL", payload));
      } else answer?.resolve(payload);
      replies[type as ReplyType]?.(payload as never, ref as string | undefined);
    }
    call(handlers.get(type), frame as never);
    if (isNews) changed(parts);
    else stirred(parts);
  }

  function on(type: string, handler: (message: never) => void): () => void {
    const set = handlers.get(type) ?? new Set();
    handlers.set(type, set);
    return add(set, handler);
  }

  const publishPaced = paced((...sent) => enqueue(parts, ...sent));

  function sendMessage(
    message: Outgoing | OutgoingBatch,
    sending?: SendOptions,
  ): Promise<unknown> {
    if (message?.type === "BATCH_UPDATE") {
      return sendBatch(message.payload?.updates, sending, message);
    }
    return message?.type
      ? publishPaced(message, { ...options, ...sending })
      : enqueue(parts);
  }

  function sendBatch(
    messages: readonly Outgoing[],
    sending: SendOptions = {},
    envelope: Partial<OutgoingBatch> = {},
  ): Promise<unknown> {
    if (!Array.isArray(messages)) return enqueue(parts);
    const half = messages.length >> 1;
    const isLong = messages.length > MAX_BATCH_MESSAGES ||
      half && isTooLong(parts, messages);
    if (!isLong) {
      const updates = messages.map((each) => (
        { ...each, id: each?.id ?? nextId() }
      ));
      return enqueue(
        parts,
        { ...envelope, type: "BATCH_UPDATE", payload: { updates } },
        sending,
      );
    }
    const answer = deferred();
    answer.resolve(
      Promise.all([
        sendBatch(messages.slice(0, half), sending),
        sendBatch(messages.slice(half), sending),
      ]).then((replies) => ({
        accepted: (replies as ReplyPayload<"published">[])
          .flatMap(({ accepted }) => accepted),
      })),
    );
    return answer.promise;
  }

  parts.self = {
    get state() {
      return stateOf(parts);
    },
    onState: (listener) => add(parts.onState, listener),
    onGap: (listener) => add(parts.onGap, listener),
    onFrame: (listener) => add(parts.onFrame, listener),
    ...verbs,
    sendMessage,
    sendBatch,
    batch: sendBatch,
    subscribe: on,
    on,
    joinChannel: (name, joining) => join(parts, name, joining),
    leaveChannel: (name) => leave(parts, name),
    request: (type: string, payload: object = {}, sending?: SendOptions) =>
      enqueue(parts, { type, payload }, sending),
  } as Client;

  if (options.compress) {
    import("./inflate.ts").then((it) => it.inflate(parts)).catch(() => {});
  }
  parts.self.connect();
  return parts.self;
}
