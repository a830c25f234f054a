/**
 * The tiny client: one connection that keeps itself, resumes where it stood
 * and says what was lost. Runs in browsers, Deno and Node 22.
 *
 * @module
 */
import { backoffMs } from "./backoff.ts";
import { answered, skip, take } from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import {
  BEST_AGEING,
  CONNECT_TIMEOUT_MS,
  FINAL_CLOSE,
  HEARTBEAT_GRACE_MS,
  LATE_MS,
  LATENCY_WEIGHT,
  MAX_BATCH_LENGTH,
  MAX_BATCH_MESSAGES,
  MAX_PENDING,
  MAX_RESEND_MS,
  REFRESH_AT,
  REQUEST_TIMEOUT_MS,
  TRAFFIC_MS,
} from "./limits.ts";
import { timerTable } from "./timers.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";
import type { Client, ClientState, Failure, Gap } from "./types.ts";
import type { RequestError } from "./types.ts";
import type { Options, Outgoing, OutgoingBatch } from "./types.ts";
import type { TappedFrame } from "./types.ts";

export type * from "./types.ts";

/** Refusals that another try would only meet again. */
const LASTING = /^(UN|INVALID|FORBIDDEN|IP_|TOO_MANY_SUB|MESSAGE)/;
/** What may end a wait, or a connection unseen. */
const WAKING = ["online", "offline", "pageshow", "visibilitychange"];

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
  timer?: ReturnType<typeof setTimeout>;
}

/** {@link ClientState}, while it is being written. */
type Core = {
  -readonly [
    Key in
      | "status"
      | "connectionError"
      | "reconnectAttempts"
      | "reconnects"
      | "sessionId"
      | "identity"
      | "gaps"
      | "received"
      | "lastEventAt"
      | "lastError"
      | "messageLatency"
      | "roundTripMs"
      | "clockOffsetMs"
  ]: ClientState[Key];
};

/** What a page has and other runtimes may not. */
const page = globalThis as {
  location?: { href: string };
  navigator?: { onLine?: boolean };
  document?: unknown;
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

function failure(
  code: Failure["code"],
  details?: Partial<Failure>,
): RequestError {
  return Object.assign(new Error(), { code, message: code, ...details });
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
    url: path = "/ws",
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
      // deno-lint-ignore no-console -- where else, without a page?
      (page.document ? page.reportError! : console.error)(error);
    },
  } = options;
  const { max: maxQueued = 0 } = offlineQueue as { readonly max?: number };
  const address = new URL(url ?? path, page.location?.href)
    .href.replace(/^http/, "ws");

  const { after, isDue, stop, stopAll } = timerTable();
  const channels = new Map<string, Cursor>();
  const aliases = new Map<string, string>();
  const handlers = new Map<string, Set<(message: never) => void>>();
  const stateListeners = new Set<(state: ClientState) => void>();
  const gapListeners = new Set<(gap: Gap) => void>();
  const taps = new Set<(frame: TappedFrame) => void>();
  const faulty = new WeakSet<(argument: never) => void>();
  const pending = new Map<string, Pending>();
  const slots = new Map<string, Slot>();

  const prefix = now() + Math.random().toString(36);
  let serial = 0;
  // Unique everywhere: an id is also an idempotency key.
  const nextId = () => `${prefix}-${++serial}`;

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
  let snapshot: ClientState | undefined;
  let socket: WebSocket | undefined;
  let outside: AbortController | undefined;
  /** Grows when a socket is let go: what began before is void. */
  let generation = 0;
  let greeting: string | undefined;
  /** What the server welcomed us with; nothing unless connected. */
  let welcome: ReplyPayload<"connected"> | undefined;
  let tries = 0;
  let retryAt = 0;
  let inFlight = 0;
  let pingId = "";
  let pingAt = 0;
  let bestMs = Infinity;
  let isHeard = false;

  // State

  function state(): ClientState {
    return snapshot ??= {
      ...core,
      isConnected: !!welcome,
      pending: pending.size,
      channels: Object.fromEntries(
        [...channels].map(([name, { view, position }]) => [
          name,
          { ...view, epoch: null, seq: null, ...position },
        ]),
      ),
    };
  }

  function changed(): void {
    snapshot = undefined;
    stop("state");
    call(stateListeners, state());
  }

  /** Changes that come with every message wait for each other. */
  function stirred(): void {
    snapshot = undefined;
    if (!isDue("state")) {
      after("state", enableThrottle ? throttleTime : TRAFFIC_MS, changed);
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

  function on(type: string, handler: (message: never) => void): () => void {
    const set = handlers.get(type) ?? new Set();
    handlers.set(type, set);
    return add(set, handler);
  }

  // Connection

  async function open(): Promise<void> {
    const mine = ++generation;
    after("beat", CONNECT_TIMEOUT_MS, () => lose(failure("TIMEOUT")));
    try {
      const token = await freshToken();
      if (mine === generation) dial(token);
    } catch (error) {
      if (mine === generation) {
        lose(failure("CONNECT_FAILED", { message: `${error}` }));
      }
    }
  }

  async function freshToken(): Promise<string | undefined> {
    return typeof auth?.token === "function" ? await auth.token() : auth?.token;
  }

  function dial(token: string | undefined): void {
    socket = new (options.WebSocket ?? WebSocket)(address);
    socket.onopen = () => {
      pingAt = now();
      greeting = transmit("connect", {
        auth: token && { ...auth, token },
        client: program,
        batch,
      });
    };
    socket.onmessage = ({ data }) => receive(data);
    socket.onclose = ({ code, reason }) => {
      // The server gives a code for a reason; proxies may not.
      const known = /^[A-Z_]+$/.test(reason) ? reason : "CONNECTION_LOST";
      lose(
        failure(known as Failure["code"], {
          message: `Closed ${code}`,
        }),
        code >= FINAL_CLOSE,
      );
    };
  }

  /**
   * Lets go of the socket, without waiting for a peer that may be gone, and
   * tries again or ends.
   */
  function lose(error: Failure | null, isFinal = false): void {
    generation++;
    stopAll();
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    socket = greeting = welcome = undefined;
    inFlight = 0;
    for (const cursor of channels.values()) {
      cursor.ref = undefined;
      cursor.view.status = "joining";
    }
    core.connectionError = error;
    isFinal ||= !autoReconnect ||
      core.reconnectAttempts >= maxReconnectAttempts ||
      // An expired token that cannot be renewed is refused for ever.
      error?.code === "TOKEN_EXPIRED" && typeof auth?.token === "string";
    core.status = isFinal ? "closed" : "reconnecting";
    for (const [id, each] of pending) {
      each.isSent = false;
      if (isFinal) refuse(id, "CLOSED");
      else if (!maxQueued || now() - each.at > MAX_RESEND_MS) {
        refuse(id, "CONNECTION_LOST");
      }
    }
    if (isFinal) outside?.abort();
    else {
      const jitter = backoffMs(tries++, reconnectInterval);
      after("retry", Math.max(retryAt - now(), jitter), retry);
    }
    changed();
  }

  function retry(): void {
    stop("retry");
    if (page.navigator?.onLine !== false) core.reconnectAttempts++;
    open();
    changed();
  }

  /** The page came back, or its network did or went. */
  function wake(): void {
    if (welcome) probe();
    else if (isDue("retry") && now() >= retryAt) retry();
  }

  // Heartbeat

  /** Asks whether the server is there. */
  function probe(wasLate = false): void {
    isHeard = false;
    pingAt = now();
    pingId = transmit("ping", {});
    after("beat", HEARTBEAT_GRACE_MS, () => {
      const isLate = now() - pingAt > HEARTBEAT_GRACE_MS + LATE_MS;
      if (isHeard) after("beat", welcome!.heartbeatMs, probe);
      else if (isLate && !wasLate) probe(true);
      else lose(failure("TIMEOUT"));
    });
  }

  /**
   * The shortest round trip says most about the clocks: what delays a frame
   * on one way shifts the estimate by half of the delay.
   */
  function roundTrip({ serverTime }: { readonly serverTime: string }): void {
    const took = now() - pingAt;
    bestMs = bestMs * BEST_AGEING + 1;
    if (took > bestMs) return;
    core.roundTripMs = bestMs = took;
    core.clockOffsetMs = Date.parse(serverTime) - pingAt - took / 2;
  }

  // Frames out

  function transmit(type: string, payload: object): string {
    const id = nextId();
    send(JSON.stringify({ type, id, payload }), veil);
    return id;
  }

  function send(text: string, reviver?: typeof veil): void {
    socket!.send(text);
    if (taps.size) tap("out", JSON.parse(text, reviver), text);
  }

  function tap(direction: "in" | "out", frame: Frame, text: string): void {
    call(taps, { direction, frame, at: now(), length: text.length });
  }

  /** Sends what waits, as much as the server takes at once. */
  function flush(): void {
    for (const [id, each] of pending) {
      // The other half is for the client's own commands.
      if (!welcome || inFlight >= welcome.limits.maxCommandsInFlight / 2) {
        return;
      }
      if (each.isSent) continue;
      each.isSent = true;
      each.at = Math.min(each.at, now());
      inFlight++;
      after(`@${id}`, REQUEST_TIMEOUT_MS, () => refuse(id, "TIMEOUT"));
      send(each.text);
    }
  }

  function enqueue(id: string, frame: object): Promise<unknown> {
    const twin = pending.get(id);
    if (twin) return twin.answer.promise;
    const answer = deferred();
    const text = JSON.stringify(frame);
    const isClosed = core.status === "closed";
    const max = welcome ? MAX_PENDING : isClosed ? 0 : maxQueued;
    if (pending.size < max) {
      pending.set(id, { text, answer, at: Infinity, isSent: false });
      flush();
      stirred();
    } else answer.reject(failure(max ? "QUEUE_FULL" : "OFFLINE"));
    return answer.promise;
  }

  /** Takes a request out, its answer at hand. */
  function settle(id: unknown): Pending["answer"] | undefined {
    const each = pending.get(id as string);
    if (!each) return;
    pending.delete(id as string);
    stop(`@${id}`);
    if (each.isSent) inFlight--;
    flush();
    return each.answer;
  }

  function refuse(id: string, code: Failure["code"]): void {
    settle(id)?.reject(core.lastError = failure(code));
    stirred();
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
      message.id || message.type === "BATCH_UPDATE" ||
      !(enableThrottle || enableDebounce)
    ) return publish(message);
    const key = `${message.type} ${message.channel}`;
    const known = slots.get(key);
    const slot = known ?? {} as Slot;
    const answer = slot.answer ??= deferred();
    slots.set(key, slot);
    slot.message = message;
    const release = () => {
      const { answer, message } = slot;
      slot.answer = undefined;
      if (enableDebounce || !answer) slots.delete(key);
      else setTimeout(release, throttleTime);
      answer?.resolve(publish(message));
    };
    if (enableDebounce) {
      if (known && enableThrottle) return answer.promise;
      clearTimeout(slot.timer);
      slot.timer = setTimeout(release, debounceTime);
    } else if (!known) release();
    return answer.promise;
  }

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

  // Channels

  /** Asks for channels from where each stands. */
  function ask(cursors: readonly Cursor[]): void {
    if (!welcome || !cursors.length) return;
    const ref = transmit("subscribe", {
      channels: cursors.map(({ name: channel, position: after, last }) =>
        after ? { channel, after } : last ? { channel, last } : channel
      ),
    });
    for (const cursor of cursors) cursor.ref = ref;
    after(ref, REQUEST_TIMEOUT_MS, () => refused(ref, failure("TIMEOUT")));
  }

  /** Asks again, later each time that it did not help. */
  function askAgain(cursor: Cursor, leastMs = 0): void {
    const key = `#${cursor.name}`;
    if (cursor.ref || isDue(key)) return;
    const ms = cursor.tries++ && backoffMs(cursor.tries, reconnectInterval);
    after(key, leastMs + ms, () => ask([cursor]));
  }

  /** A `subscribe` was refused as a whole. */
  function refused(ref: string, failure: Failure): void {
    const hit = [...channels.values()].filter((cursor) => cursor.ref === ref);
    for (const cursor of hit) {
      // Not all may be at fault.
      if (hit.length > 1) ask([cursor]);
      else reject(cursor, failure);
    }
  }

  function reject(cursor: Cursor | undefined, failure: Failure): void {
    if (!cursor) return;
    cursor.ref = undefined;
    core.lastError = failure;
    if (LASTING.test(failure.code)) {
      cursor.view.status = "rejected";
      cursor.view.code = failure.code;
    } else {
      cursor.tries++;
      askAgain(cursor, failure.retryAfterMs);
    }
  }

  function joinChannel(
    name: string,
    { after, last }: { after?: Cursor["position"]; last?: number } = {},
  ): void {
    name = aliases.get(name) ?? name;
    if (channels.has(name)) return;
    const cursor: Cursor = {
      name,
      position: after && { ...after },
      last,
      tries: 0,
      view: { status: "joining", recovered: null, caughtUp: 0 },
    };
    channels.set(name, cursor);
    ask([cursor]);
    changed();
  }

  function leaveChannel(name: string): void {
    name = aliases.get(name) ?? name;
    if (!channels.delete(name)) return;
    stop(`#${name}`);
    if (welcome) transmit("unsubscribe", { channels: [name] });
    changed();
  }

  // Frames in

  function receive(data: string): void {
    const mine = generation;
    isHeard = true;
    try {
      const frame = JSON.parse(data);
      if (taps.size) tap("in", frame, data);
      const isBatch = frame.type === "BATCH_UPDATE";
      for (const each of isBatch ? frame.payload.updates : [frame]) {
        if (mine !== generation) return;
        const { type, payload } = each;
        if (!type || Object(payload) !== payload) throw each;
        handle(each);
      }
    } catch {
      core.lastError = failure("MALFORMED_FRAME");
      changed();
    }
    // Frames wake a throttled tab more often than its timers do.
    if (welcome && now() - pingAt >= welcome.heartbeatMs) probe();
  }

  function handle(frame: Frame): void {
    const { type, channel, ref, payload } = frame;
    let isNews = false;
    if (typeof channel === "string") {
      const cursor = channels.get(channel);
      const verdict = cursor && take(cursor, frame);
      if (verdict === "hole") askAgain(cursor!);
      if (verdict !== true) return;
      core.received++;
      core.lastEventAt = now();
      if (frame["replay"]) cursor!.view.caughtUp++;
      else {
        const at = Date.parse(frame["timestamp"] as string);
        const took = Math.max(0, now() + core.clockOffsetMs - at || 0);
        const average = core.messageLatency ?? took;
        core.messageLatency = average + (took - average) * LATENCY_WEIGHT;
      }
    } else {
      const answer = settle(ref);
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

  /** What the client itself does about a reply. */
  const hears: {
    [Type in ReplyType]?: (
      payload: ReplyPayload<Type>,
      ref: string | undefined,
    ) => void;
  } = {
    connected(payload, ref) {
      // Without a `ref` it greets the anonymous, before it heard of us.
      if (ref !== greeting) return;
      welcome = payload;
      if (core.sessionId) core.reconnects++;
      core.sessionId = payload.sessionId;
      core.identity = payload.identity;
      core.status = "connected";
      core.connectionError = null;
      core.reconnectAttempts = retryAt = 0;
      roundTrip(payload);
      ask([...channels.values()]);
      flush();
      after("beat", payload.heartbeatMs, probe);
    },

    subscribed({ channels: answers, rejected }, ref) {
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
        answered(cursor, answer);
      }
      for (const { channel, code } of rejected) {
        const cursor = channels.get(channel);
        if (cursor?.ref === ref) reject(cursor, failure(code));
      }
    },

    unsubscribed({ channels: lost }, ref) {
      // Unasked: a refreshed token gives fewer rights.
      for (const name of ref ? [] : lost) {
        reject(channels.get(name), failure("FORBIDDEN"));
      }
    },

    gap(gap) {
      const cursor = channels.get(gap.channel);
      if (!cursor) return;
      if (!skip(cursor, gap)) return askAgain(cursor);
      core.gaps++;
      call(gapListeners, gap);
    },

    error(payload, ref) {
      core.lastError = payload;
      if (!ref) retryAt = now() + (payload.retryAfterMs ?? 0);
      else if (ref === greeting) lose(payload, LASTING.test(payload.code));
      else refused(ref, payload);
    },

    pong(payload, ref) {
      if (ref !== pingId) return;
      tries = 0; // Not at `connected`: a server may welcome and then break.
      roundTrip(payload);
    },

    draining({ retryInMs }) {
      retryAt = now() + retryInMs;
    },

    token_expiring({ inMs }) {
      // Not at once: of a token that lives shorter than the server warns
      // before its end, it warns as soon as it sees it.
      after("token", inMs * REFRESH_AT, () => {
        const mine = generation;
        freshToken().then((token) => {
          if (token && mine === generation) transmit("refresh", { token });
        }).catch(onError);
      });
    },

    refreshed(payload) {
      core.identity = { ...core.identity!, ...payload };
    },
  };

  const self = {
    get state() {
      return state();
    },
    onState: (listener) => add(stateListeners, listener),
    onGap: (listener) => add(gapListeners, listener),
    onFrame: (listener) => add(taps, listener),
    connect() {
      if (isDue("retry")) return retry();
      if (core.status !== "closed") return;
      outside = new AbortController();
      for (const type of WAKING) page.addEventListener?.(type, wake, outside);
      core.status = "connecting";
      core.connectionError = null;
      core.reconnectAttempts = tries = retryAt = 0;
      open();
      changed();
    },
    disconnect: () => lose(null, true),
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

  self.connect();
  return self;
}
