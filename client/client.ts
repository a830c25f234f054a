/**
 * The tiny client: one connection that keeps itself, resumes where it stood
 * and says what was lost. Runs in browsers, Deno and Node 22.
 *
 * @module
 */
import { backoffMs } from "./backoff.ts";
import { answered, skip, take } from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import { latencyMeter } from "./latency.ts";
import { RequestError } from "./request_error.ts";
import { timerTable } from "./timers.ts";
import type { AnyReply, ReplyPayload } from "../protocol/replies.ts";
import type { Client, ClientState, Failure, Gap, Handler } from "./types.ts";
import type { Options, Outgoing, OutgoingBatch, Status } from "./types.ts";
import type { ChannelState, TappedFrame } from "./types.ts";

export type * from "./types.ts";
export { RequestError } from "./request_error.ts";

/** Longest wait for `connected`, the token function's time included. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** Longest wait for an answer, once asked. */
export const REQUEST_TIMEOUT_MS = 10_000;
/** Longest silence after a ping. */
export const HEARTBEAT_GRACE_MS = 5_000;
/** A timer this much behind says that the machine slept, not the server. */
export const LATE_MS = 1_000;
/** How often traffic alone notifies of a new state. */
export const TRAFFIC_MS = 1_000;
/** How long a connection keeps positions of channels left while it was down. */
export const LEFT_MS = 1_000;
/** Oldest unanswered message sent again; the server knows ids for 10 min. */
export const MAX_RESEND_MS = 300_000;
/** Most messages and requests that wait for answers. */
export const MAX_PENDING = 1_000;
/** Most channels in one `subscribe`, so that it fits a frame. */
export const MAX_CHANNELS_PER_FRAME = 200;
/** Most messages in one frame of `sendBatch`. */
export const MAX_BATCH_MESSAGES = 100;
/** Most characters in one; in UTF-8 they fit the server's least limit. */
export const MAX_BATCH_LENGTH = 20_000;

/** Commands in flight that are left to the client itself. */
const OWN_COMMANDS = 4;
/** Refusals that another try may not meet. */
const PASSING =
  /^(TOKEN_EXP|RATE_|TOO_MANY_CON|SLOW_|DRAIN|STORE_|INTERNAL|TIMEOUT)/;

/** What came off the wire: shape checked, meaning not. */
interface Frame {
  readonly type: string;
  readonly payload: Record<string, unknown>;
  readonly [field: string]: unknown;
}

/** A message or request that waits for its answer. */
interface Pending {
  readonly text: string;
  readonly answer: PromiseWithResolvers<unknown>;
  /** When it was first sent, in epoch milliseconds; 0 until then. */
  at: number;
  isSent: boolean;
}

/** A message that waits for its pace. */
interface Slot {
  message: Outgoing;
  answer?: PromiseWithResolvers<unknown> | undefined;
  since?: number | undefined;
}

/** What a page has and other runtimes may not. */
const page = globalThis as {
  location?: { href: string };
  navigator?: { onLine?: boolean };
  document?: EventTarget & { visibilityState: string };
  addEventListener?: EventTarget["addEventListener"];
  reportError?: (error: unknown) => void;
};

const now = (): number => Date.now();

/** A promise whose failure may be ignored. */
function deferred(): PromiseWithResolvers<unknown> {
  const answer = Promise.withResolvers<unknown>();
  answer.promise.catch(() => {});
  return answer;
}

function isFrame(value: unknown): value is Frame {
  const { type, payload } = (value ?? {}) as Record<string, unknown>;
  return typeof type === "string" && typeof payload === "object" &&
    payload !== null;
}

/**
 * Connects, and keeps the connection.
 *
 * @param url as `options.url`, which it overrides.
 * @param options how.
 * @returns at once; see `state` and `onState` for how it goes.
 * @throws {TypeError} the URL is none.
 */
export function connect(url?: string, options: Options = {}): Client {
  const {
    autoReconnect = true,
    reconnectInterval = 5_000,
    maxReconnectAttempts = Infinity,
    enableThrottle = false,
    throttleTime = 100,
    enableDebounce = false,
    debounceTime = 200,
    auth,
    batch = true,
    offlineQueue = { max: 100 },
    client: program,
    onError = (error: unknown) => {
      if (page.document) page.reportError?.(error);
      // deno-lint-ignore no-console -- where else, without a page?
      else console.error(error);
    },
  } = options;
  const { href, protocol } = new URL(
    (url ?? options.url ?? "/ws").replace(/^http/, "ws"),
    page.location?.href.replace(/^http/, "ws"),
  );
  if (!/^wss?:$/.test(protocol)) throw new TypeError(`No WebSocket: ${href}`);

  /** Ended with the connection. */
  const timers = timerTable();
  /** Ended with the client. */
  const ownTimers = timerTable();
  const channels = new Map<string, Cursor>();
  const aliases = new Map<string, string>();
  const handlers = new Map<string, Set<(message: never) => void>>();
  const stateListeners = new Set<(state: ClientState) => void>();
  const gapListeners = new Set<(gap: Gap) => void>();
  const taps = new Set<(frame: TappedFrame) => void>();
  const faulty = new WeakSet<(argument: never) => void>();
  const pending = new Map<string, Pending>();
  const slots = new Map<string, Slot>();
  const meter = latencyMeter();

  const random = () => Math.random().toString(36).slice(2);
  const prefix = random() + random();
  let serial = 0;
  // Unique everywhere: an id is also an idempotency key.
  const nextId = () => `${prefix}-${++serial}`;

  let status: Status = "closed";
  let socket: WebSocket | undefined;
  let outside: AbortController | undefined;
  let generation = 0;
  let greeting: string | undefined;
  let welcome: ReplyPayload<"connected"> | undefined;
  let identity: ClientState["identity"] = null;
  let connectionError: Failure | null = null;
  let lastError: Failure | null = null;
  let refusal: Failure | undefined;
  let reconnectAttempts = 0;
  let connections = 0;
  let tries = 0;
  let connectedAt = 0;
  let retryAt = 0;
  let inFlight = 0;
  let pingId = "";
  let pingAt = 0;
  let isHeard = false;
  let gaps = 0;
  let received = 0;
  let lastEventAt: number | null = null;
  let snapshot: ClientState | undefined;

  // State

  function state(): ClientState {
    const live = [...channels.values()].filter(({ isLeft }) => !isLeft);
    return snapshot ??= {
      status,
      isConnected: status === "connected",
      connectionError,
      reconnectAttempts,
      reconnects: Math.max(0, connections - 1),
      messageLatency: meter.average,
      roundTripMs: meter.roundTripMs,
      clockOffsetMs: meter.offsetMs,
      channels: Object.fromEntries(live.map((cursor) => {
        const { name, status, position, recovered, caughtUp, code } = cursor;
        const { epoch = null, seq = null } = position ?? {};
        const state = { status, epoch, seq, recovered, caughtUp };
        return [name, (code ? { ...state, code } : state) as ChannelState];
      })),
      sessionId: welcome?.sessionId ?? null,
      identity,
      gaps,
      received,
      lastEventAt,
      pending: pending.size,
      lastError,
    };
  }

  function changed(): void {
    snapshot = undefined;
    ownTimers.stop("state");
    call(stateListeners, state());
  }

  /** Changes that come with every message wait for each other. */
  function stirred(): void {
    snapshot = undefined;
    if (stateListeners.size && !ownTimers.has("state")) {
      const ms = enableThrottle ? throttleTime : TRAFFIC_MS;
      ownTimers.after("state", ms, changed);
    }
  }

  /** One listener's fault is not another's. */
  function call<T>(
    listeners: Set<(argument: T) => void> | undefined,
    argument: T,
  ): void {
    for (const listener of listeners ?? []) {
      try {
        listener(argument);
      } catch (error) {
        if (!faulty.has(listener)) onError(error);
        faulty.add(listener);
      }
    }
  }

  function add<T>(listeners: Set<T>, listener: T): () => void {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  // Connection

  function open(): void {
    const mine = ++generation;
    refusal = undefined;
    const late = { code: "CONNECT_TIMEOUT", message: "No answer" } as const;
    timers.after("connect", CONNECT_TIMEOUT_MS, () => lose(late));
    token().then((token) => {
      if (mine === generation) dial(token);
    }, (error) => {
      const message = String(error);
      if (mine === generation) lose({ code: "TOKEN_FAILED", message });
    });
  }

  async function token(): Promise<string | undefined> {
    return typeof auth?.token === "function" ? await auth.token() : auth?.token;
  }

  function dial(token: string | undefined): void {
    try {
      socket = new (options.WebSocket ?? WebSocket)(href);
    } catch (error) {
      return lose({ code: "CONNECTION_LOST", message: String(error) });
    }
    socket.onopen = () => {
      pingAt = now();
      greeting = transmit("connect", {
        ...(token && { auth: { ...auth, token } }),
        ...(program && { client: program }),
        batch,
      });
    };
    socket.onmessage = ({ data }) => receive(data);
    socket.onclose = ({ code, reason }) => {
      const known = /^[A-Z_]+$/.test(reason) ? reason : "CONNECTION_LOST";
      const failure = code >= 4000 && refusal || {
        code: (code === 1012 ? "DRAINING" : known) as Failure["code"],
        message: `Connection closed: ${code} ${reason}`,
      };
      // An expired token that cannot be renewed is refused for ever.
      const isStale = code === 4401 && typeof auth?.token !== "function";
      lose(failure, code >= 4500 || isStale);
    };
  }

  /** Lets go of the socket, without waiting for a peer that may be gone. */
  function detach(): void {
    generation++;
    timers.stop();
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    socket = greeting = welcome = undefined;
    inFlight = 0;
    for (const cursor of channels.values()) {
      cursor.ref = undefined;
      cursor.tries = 0;
      cursor.status = "joining";
    }
  }

  function lose(failure: Failure, isFinal = false): void {
    detach();
    connectionError = lastError = failure;
    if (connectedAt && now() - connectedAt > reconnectInterval) tries = 0;
    connectedAt = 0;
    for (const [id, each] of pending) {
      const isOld = each.at && now() - each.at > MAX_RESEND_MS;
      each.isSent = false;
      if (isOld || offlineQueue === "refuse") {
        refuse(id, "CONNECTION_LOST");
      }
    }
    if (
      isFinal || !autoReconnect || reconnectAttempts >= maxReconnectAttempts
    ) {
      return close();
    }
    status = "reconnecting";
    const jitter = backoffMs(tries++, reconnectInterval);
    timers.after("retry", Math.max(retryAt - now(), jitter), retry);
    changed();
  }

  function retry(): void {
    timers.stop("retry");
    if (page.navigator?.onLine !== false) reconnectAttempts++;
    open();
    changed();
  }

  function close(): void {
    status = "closed";
    outside?.abort();
    outside = undefined;
    ownTimers.stop();
    for (const id of pending.keys()) refuse(id, "CLOSED");
    for (const { answer } of slots.values()) answer?.reject(gone("CLOSED"));
    slots.clear();
    changed();
  }

  /** The page came back, or its network did or went. */
  function wake({ type }: { readonly type: string }): void {
    if (page.document?.visibilityState === "hidden") return;
    if (status === "connected") probe();
    else if (type !== "offline" && timers.has("retry") && now() >= retryAt) {
      retry();
    }
  }

  // Heartbeat

  function beat(): void {
    timers.after("beat", welcome!.heartbeatMs, () => {
      probe();
      beat();
    });
  }

  /** Asks whether the server is there. */
  function probe(wasLate = false): void {
    isHeard = false;
    pingAt = now();
    pingId = transmit("ping", {});
    const due = pingAt + HEARTBEAT_GRACE_MS;
    timers.after("grace", HEARTBEAT_GRACE_MS, () => {
      if (isHeard) return;
      if (!wasLate && now() - due > LATE_MS) return probe(true);
      lose({ code: "HEARTBEAT_TIMEOUT", message: "The server fell silent" });
    });
  }

  // Frames out

  function transmit(type: string, payload: unknown, id = nextId()): string {
    transmitText(
      JSON.stringify({ type, id, payload }),
      /^(conn|refr)/.test(type),
    );
    return id;
  }

  function transmitText(text: string, isSecret = false): void {
    socket!.send(text);
    if (taps.size) {
      const veil = (key: string, value: unknown) =>
        isSecret && /^(token|headers)$/.test(key) ? "…" : value;
      tap("out", JSON.parse(text, veil), text);
    }
  }

  function tap(direction: "in" | "out", frame: Frame, text: string): void {
    call(taps, { direction, frame, at: now(), length: text.length });
  }

  /** Sends what waits, as much as the server takes at once. */
  function flush(): void {
    const most = (welcome?.limits.maxCommandsInFlight ?? 0) - OWN_COMMANDS;
    for (const [id, each] of pending) {
      if (!welcome || inFlight >= Math.max(1, most)) break;
      if (each.isSent) continue;
      each.isSent = true;
      each.at ||= now();
      inFlight++;
      timers.after(id, REQUEST_TIMEOUT_MS, () => refuse(id, "TIMEOUT"));
      transmitText(each.text);
    }
  }

  function enqueue(id: string, frame: object): Promise<unknown> {
    const twin = pending.get(id);
    if (twin) return twin.answer.promise;
    const answer = deferred();
    const isOn = status === "connected";
    const max = offlineQueue === "refuse" ? 0 : offlineQueue.max;
    if (status === "closed") answer.reject(gone("CLOSED"));
    else if (!isOn && !max) answer.reject(gone("OFFLINE"));
    else if (pending.size >= (isOn ? MAX_PENDING : max)) {
      answer.reject(gone("QUEUE_FULL"));
    } else {
      pending.set(id, {
        text: JSON.stringify(frame),
        answer,
        at: 0,
        isSent: false,
      });
      flush();
      stirred();
    }
    return answer.promise;
  }

  function gone(code: Failure["code"]): RequestError {
    return new RequestError({
      code,
      message: `Not sent or not answered: ${code}`,
    });
  }

  /** Takes a request out, its answer at hand. */
  function settle(id: unknown): Pending["answer"] | undefined {
    const each = pending.get(id as string);
    if (!each) return;
    pending.delete(id as string);
    timers.stop(id as string);
    if (each.isSent) inFlight--;
    stirred();
    return each.answer;
  }

  function refuse(id: string, code: Failure["code"]): void {
    const error = lastError = gone(code);
    settle(id)?.reject(error);
    flush();
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
    return enqueue(id, { ...message, id, payload });
  }

  function sendMessage(message: Outgoing | OutgoingBatch): Promise<unknown> {
    if (
      status === "closed" || message.id || message.type === "BATCH_UPDATE" ||
      !(enableThrottle || enableDebounce)
    ) return publish(message);
    const key = `${message.type} ${message.channel}`;
    const known = slots.get(key);
    const slot = known ?? { message };
    const answer = slot.answer ??= deferred();
    slots.set(key, slot);
    slot.message = message;
    if (enableDebounce) {
      const until = (slot.since ??= now()) + throttleTime - now();
      const ms = enableThrottle ? Math.min(until, debounceTime) : debounceTime;
      ownTimers.after(key, ms, () => release(key, slot));
    } else if (!known) release(key, slot);
    return answer.promise;
  }

  /** Sends what a slot holds; without anything, its time is over. */
  function release(key: string, slot: Slot): void {
    const { answer, message } = slot;
    slot.answer = undefined;
    if (enableDebounce || !answer) slots.delete(key);
    else ownTimers.after(key, throttleTime, () => release(key, slot));
    if (answer) publish(message).then(answer.resolve, answer.reject);
  }

  async function sendBatch(
    messages: readonly Outgoing[],
  ): Promise<ReplyPayload<"published">> {
    const sent: Promise<unknown>[] = [];
    let updates: Outgoing[] = [];
    let length = 0;
    const cut = () => {
      if (updates.length) {
        sent.push(publish({ type: "BATCH_UPDATE", payload: { updates } }));
      }
      updates = [];
      length = 0;
    };
    for (const message of messages) {
      const more = JSON.stringify(message).length;
      if (
        updates.length === MAX_BATCH_MESSAGES ||
        length + more > MAX_BATCH_LENGTH
      ) cut();
      updates.push(message);
      length += more;
    }
    cut();
    const replies = await Promise.all(sent) as ReplyPayload<"published">[];
    return { accepted: replies.flatMap(({ accepted }) => accepted) };
  }

  // Channels

  /** Asks for channels from where each stands. */
  function ask(cursors: readonly Cursor[]): void {
    if (!welcome) return;
    for (let i = 0; i < cursors.length; i += MAX_CHANNELS_PER_FRAME) {
      const some = cursors.slice(i, i + MAX_CHANNELS_PER_FRAME);
      const ref = transmit("subscribe", {
        channels: some.map(({ name: channel, position: after, last }) =>
          after ? { channel, after } : last ? { channel, last } : channel
        ),
      });
      for (const cursor of some) cursor.ref = ref;
      timers.after(
        ref,
        REQUEST_TIMEOUT_MS,
        () => refused(ref, { code: "TIMEOUT", message: "No answer" }),
      );
    }
  }

  /** Asks again, later each time that it did not help. */
  function askAgain(cursor: Cursor, leastMs = 0): void {
    const { name, ref } = cursor;
    if (ref || timers.has(`#${name}`)) return;
    const ms = cursor.tries++ && backoffMs(cursor.tries, reconnectInterval);
    if (leastMs || ms) {
      timers.after(`#${name}`, leastMs + ms, () => ask([cursor]));
    } else ask([cursor]);
  }

  /** A `subscribe`, or one channel of it, was refused. */
  function refused(ref: unknown, failure: Failure, name?: string): void {
    const hit = [...channels.values()].filter((cursor) =>
      cursor.ref === ref && (!name || cursor.name === name)
    );
    for (const cursor of hit) {
      const isPassing = PASSING.test(failure.code);
      cursor.ref = undefined;
      if (isPassing) {
        cursor.tries++;
        askAgain(cursor, failure.retryAfterMs);
      } else if (hit.length > 1) ask([cursor]); // Not all may be at fault.
      else {
        cursor.status = "rejected";
        cursor.code = failure.code;
      }
    }
  }

  function subscribed({ ref, payload }: Frame): void {
    const { channels: answers, rejected } = payload as unknown as ReplyPayload<
      "subscribed"
    >;
    for (const answer of answers) {
      const { channel, requested = channel } = answer;
      const cursor = channels.get(requested);
      if (!cursor || cursor.ref !== ref) continue;
      if (requested !== channel) {
        aliases.set(requested, channel);
        channels.delete(requested);
        if (channels.has(channel)) continue;
        channels.set(cursor.name = channel, cursor);
      }
      tell(answered(cursor, answer));
    }
    for (const { channel, code } of rejected) {
      const message = `${channel}: ${code}`;
      refused(ref, lastError = { code, message }, channel);
    }
  }

  function tell(gap: Gap | undefined): void {
    if (!gap) return;
    gaps++;
    call(gapListeners, gap);
  }

  function joinChannel(
    name: string,
    { after, last }: { after?: Cursor["position"]; last?: number } = {},
  ): void {
    name = aliases.get(name) ?? name;
    const known = channels.get(name);
    if (known && !known.isLeft) return;
    const cursor: Cursor = {
      name,
      position: after ? { ...after } : last ? undefined : known?.position,
      last,
      ref: undefined,
      tries: 0,
      isLeft: false,
      status: "joining",
      recovered: null,
      caughtUp: 0,
      code: undefined,
    };
    channels.set(name, cursor);
    ask([cursor]);
    changed();
  }

  function leaveChannel(name: string): void {
    name = aliases.get(name) ?? name;
    const cursor = channels.get(name);
    if (!cursor) return;
    timers.stop(`#${name}`);
    if (welcome) {
      channels.delete(name);
      transmit("unsubscribe", { channels: [name] });
    } else cursor.isLeft = true;
    changed();
  }

  function forgetLeft(): void {
    for (const [name, { isLeft }] of channels) {
      if (isLeft) channels.delete(name);
    }
  }

  // Frames in

  function receive(data: unknown): void {
    const mine = generation;
    isHeard = true;
    let frame: unknown;
    try {
      frame = JSON.parse(data as string);
    } catch {
      // Not a frame, then.
    }
    if (!isFrame(frame)) return malformed();
    if (taps.size) tap("in", frame, data as string);
    const { type, payload: { updates } } = frame;
    const frames = type === "BATCH_UPDATE" && Array.isArray(updates)
      ? updates
      : [frame];
    for (const each of frames) {
      if (mine !== generation) return;
      try {
        if (!isFrame(each)) throw each;
        handle(each);
      } catch {
        malformed();
      }
    }
    // Frames wake a throttled tab more often than its timers do.
    if (welcome && now() - pingAt >= welcome.heartbeatMs) probe();
  }

  function malformed(): void {
    lastError = { code: "MALFORMED_FRAME", message: "Not a frame" };
    changed();
  }

  function handle(frame: Frame): void {
    const { type, channel, ref } = frame;
    if (typeof channel === "string") return event(channel, frame);
    const reply = frame as unknown as AnyReply;
    if (reply.type === "error") return failed(reply.payload, ref);
    if (reply.type === "connected") {
      if (ref === greeting) greet(reply.payload);
      return;
    }
    const answer = settle(ref);
    if (answer) {
      answer.resolve(frame.payload);
      flush();
    }
    if (reply.type === "pong") {
      if (ref === pingId) {
        meter.roundTrip(pingAt, now(), reply.payload.serverTime);
        stirred();
      }
    } else if (reply.type === "subscribed") {
      subscribed(frame);
      changed();
    } else if (reply.type === "gap") {
      const cursor = channels.get(reply.payload.channel);
      const gap = cursor && skip(cursor, reply.payload);
      if (gap === "hole") askAgain(cursor!);
      else tell(gap);
      changed();
    } else if (reply.type === "draining") {
      retryAt = now() + reply.payload.retryInMs;
    } else if (reply.type === "token_expiring") {
      const mine = generation;
      token().then((token) => {
        if (token && mine === generation) transmit("refresh", { token });
      }, onError);
    } else if (reply.type === "refreshed" && identity) {
      identity = { ...identity, ...reply.payload };
      changed();
    } else call(handlers.get(type), frame as never);
  }

  function event(channel: string, frame: Frame): void {
    const cursor = channels.get(channel);
    if (!cursor || cursor.isLeft) return;
    const verdict = take(cursor, frame);
    if (verdict === "hole") askAgain(cursor);
    if (verdict !== true) return;
    received++;
    lastEventAt = now();
    if (frame["replay"]) cursor.caughtUp++;
    else meter.arrival(lastEventAt, frame["timestamp"] as string);
    call(handlers.get(frame.type), frame as never);
    stirred();
  }

  function greet(payload: ReplyPayload<"connected">): void {
    welcome = payload;
    identity = payload.identity;
    timers.stop("connect");
    meter.roundTrip(pingAt, now(), payload.serverTime);
    status = "connected";
    connectionError = null;
    connectedAt = now();
    reconnectAttempts = retryAt = 0;
    connections++;
    ask([...channels.values()].filter(({ isLeft }) => !isLeft));
    timers.after("left", LEFT_MS, forgetLeft);
    flush();
    beat();
    changed();
  }

  function failed(failure: Failure, ref: unknown): void {
    lastError = failure;
    const answer = settle(ref);
    if (answer) {
      answer.reject(new RequestError(failure));
      flush();
    } else {
      refusal = failure;
      if (!ref || ref === greeting) {
        retryAt = now() + (failure.retryAfterMs ?? 0);
      }
      if (greeting && ref === greeting && !welcome) {
        return lose(failure, !PASSING.test(failure.code));
      }
      if (ref) refused(ref, failure);
    }
    changed();
  }

  const self = {
    get state() {
      return state();
    },
    onState: (listener) => add(stateListeners, listener),
    onGap: (listener) => add(gapListeners, listener),
    onFrame: (listener) => add(taps, listener),
    connect() {
      if (status === "reconnecting" && timers.has("retry")) return retry();
      if (status !== "closed") return;
      outside = new AbortController();
      const { signal } = outside;
      for (const type of ["online", "offline", "pageshow"]) {
        page.addEventListener?.(type, wake, { signal });
      }
      page.document?.addEventListener("visibilitychange", wake, { signal });
      status = "connecting";
      connectionError = null;
      reconnectAttempts = tries = retryAt = 0;
      open();
      changed();
    },
    disconnect() {
      detach();
      connectionError = null;
      close();
    },
    sendMessage,
    sendBatch,
    batch: sendBatch,
    subscribe: on,
    on,
    joinChannel,
    leaveChannel,
    request(verb: string, payload: object = {}) {
      const id = nextId();
      return enqueue(id, { type: verb, id, payload });
    },
  } as Client;

  function on(type: string, handler: Handler): () => void {
    const set = handlers.get(type) ?? new Set();
    handlers.set(type, set);
    return add(set, handler as (message: never) => void);
  }

  self.connect();
  return self;
}
