/**
 * Opens the socket, authenticates, watches it by a heartbeat, and reconnects
 * when it is lost.
 *
 * @module
 */
import { backoffMs } from "./backoff.ts";
import { ask, gap, refuse, subscribed, subscribeRefused } from "./channels.ts";
import { RequestError } from "./failure.ts";
import { isLasting } from "./lasting.ts";
import {
  BEST_AGEING,
  CONNECT_TIMEOUT_MS,
  FINAL_CLOSE,
  HEARTBEAT_GRACE_MS,
  LATE_MS,
  MIN_REFRESH_MS,
  REFRESH_AT,
} from "./limits.ts";
import { changed, failed, transmit } from "./parts.ts";
import type { Parts, Replies } from "./parts.ts";
import { after, monotonic, stop } from "./timers.ts";
import type { Auth, ClientState, Failure } from "./types.ts";

/** Events after which a wait may be over, or the connection lost unnoticed. */
const WAKING = ["online", "offline", "pageshow", "visibilitychange"];

/** What a page has and other runtimes may not. */
export const page = globalThis as {
  location?: { href: string };
  navigator?: { onLine?: boolean };
  document?: unknown;
  addEventListener?: EventTarget["addEventListener"];
  reportError?: (error: unknown) => void;
};

/** The connection of one client. */
export interface Connection {
  /** Connects again after the end, or at once while waiting to. */
  connect(): void;
  /** Ends the connection. */
  disconnect(): void;
  /** Asks for the token again, now. */
  refresh(): void;
  /** Takes another token. */
  setToken(token: Auth["token"]): void;
  /** The frame was handled: pings when it is time. */
  beat(): void;
  /** What the connection does about replies. */
  readonly replies: Replies;
}

/** Makes a connection that is closed. */
export function connectionOf(
  parts: Parts,
): Connection {
  const {
    options: {
      autoReconnect = true,
      reconnectInterval,
      maxReconnectAttempts = Infinity,
      batch = true,
      client,
      WebSocket: Socket,
    },
    core,
    address,
  } = parts;
  let { auth } = parts.options;
  let outside: AbortController | undefined;
  let greeting: string | undefined;
  /** What the connection began with; empty if anonymous. */
  let token: string | undefined;
  /** What the server was given last, unless it could not be checked. */
  let given: string | undefined;
  let refreshing: string | undefined;
  // Instants of the monotonic clock.
  let tokenEndsAt = 0;
  let retryAt = 0;
  let pingAt = 0;
  let pingId = "";
  let tries = 0;
  let bestMs = Infinity;

  function open(): void {
    parts.turn++;
    after(parts, "beat", CONNECT_TIMEOUT_MS, () => {
      lose(new RequestError("TIMEOUT"));
    });
    withToken(dial);
  }

  /** Asks the application for the token, and uses it if it is not too late. */
  async function withToken(
    use: (token: string | undefined) => void,
  ): Promise<void> {
    const mine = parts.turn;
    try {
      if (parts.sharing) await parts.sharing;
      const source = auth?.token;
      const fresh = await (typeof source === "function" ? source() : source);
      if (mine === parts.turn) use(fresh);
    } catch (error) {
      const failure = failed(parts, "CONNECT_FAILED", `${error}`);
      if (mine === parts.turn && !parts.welcome) lose(failure);
    }
  }

  function dial(fresh: string | undefined): void {
    token = given = fresh;
    const socket = parts.socket = parts.dial?.() ??
      new (Socket ?? WebSocket)(address) as WebSocket;
    socket.onopen = () => {
      pingAt = monotonic();
      greeting = transmit(parts, "connect", {
        auth: token ? { ...auth, token } : undefined,
        client,
        batch,
      });
    };
    socket.onmessage = ({ data }) => parts.receive(data);
    // The socket of `ws` throws errors without a listener; `onclose` follows.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => {
      // The server gives a code for a reason; proxies may not.
      const isKnown = /^[A-Z_]+$/.test(reason);
      const lost = parts.welcome ? "CONNECTION_LOST" : "CONNECT_FAILED";
      lose(
        new RequestError((isKnown ? reason : lost) as Failure["code"], {
          message: `Closed ${code}, ${address}`,
        }),
        code >= FINAL_CLOSE,
      );
    };
  }

  /**
   * Drops the socket, without waiting for a peer that may be gone, and
   * reconnects or ends.
   */
  function lose(
    error: Failure | null,
    isFinal = false,
    isOther = false,
  ): void {
    parts.turn++;
    stop(parts);
    const { socket, welcome } = parts;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    parts.socket = parts.welcome = greeting = undefined;
    // Unless a more precise reason is known.
    const isVague = /^(CONNECT_|TIME)/.test(`${error?.code}`);
    core.connectionError = isVague ? parts.reason ?? error : error;
    isFinal ||= !autoReconnect ||
      core.reconnectAttempts >= maxReconnectAttempts ||
      // An expired token that cannot be renewed is refused for ever.
      error?.code === "TOKEN_EXPIRED" && typeof auth?.token === "string";
    core.status = isFinal ? "closed" : "reconnecting";
    for (const cursor of parts.channels.values()) {
      cursor.ref = undefined;
      cursor.view.status = "joining";
    }
    parts.sending?.lost(isFinal || isOther);
    if (isFinal) {
      outside?.abort();
      core.nextRetryAt = null;
    } else {
      const jitter = backoffMs(tries++, reconnectInterval);
      const ms = Math.max(retryAt - monotonic(), jitter);
      core.nextRetryAt = Date.now() + ms;
      after(parts, "retry", ms, retry);
    }
    changed(parts);
    // Twice silent since the last sign of life.
    if (isVague && (!welcome || tries > 1)) {
      import("./fallback.ts")
        .then((it) => it.failing(parts, { lose, redial, replies }))
        .catch(() => {});
    }
  }

  function retry(): void {
    stop(parts, "retry");
    core.nextRetryAt = null;
    if (page.navigator?.onLine !== false) core.reconnectAttempts++;
    open();
    changed(parts);
  }

  /** The page is shown again, or its network changed. */
  function wake(): void {
    if (parts.welcome) probe();
    else if (parts.timers.has("retry") && monotonic() >= retryAt) retry();
  }

  /** Asks whether the server is there. */
  function probe(wasLate = false): void {
    parts.isHeard = false;
    pingAt = monotonic();
    pingId = transmit(parts, "ping", {});
    // The wall clock continues while the machine sleeps.
    const sentAt = Date.now();
    after(parts, "beat", HEARTBEAT_GRACE_MS, () => {
      const isLate = Date.now() - sentAt > HEARTBEAT_GRACE_MS + LATE_MS;
      if (parts.isHeard) {
        after(parts, "beat", parts.welcome!.heartbeatMs, probe);
      } else if (isLate && !wasLate) probe(true);
      else lose(new RequestError("TIMEOUT"));
    });
    if (auth && !token) refresh();
  }

  /**
   * The shortest round trip gives the best estimate of the clocks: what delays a frame
   * in one direction shifts the estimate by half of the delay.
   */
  function roundTrip({ serverTime }: { readonly serverTime: string }): void {
    const took = monotonic() - pingAt;
    bestMs = bestMs * BEST_AGEING + 1;
    if (took > bestMs) return;
    core.roundTripMs = bestMs = took;
    core.clockOffsetMs = Date.parse(serverTime) + took / 2 - Date.now();
  }

  /** Sends another token to the server, once there is one. */
  function refresh(): void {
    withToken((fresh) => {
      if (!fresh || fresh === given) return;
      // A connection cannot change its user: the anonymous need another one.
      if (!token) return redial();
      // Not when it is answered: the server may warn of the new one before.
      stop(parts, "token");
      given = fresh;
      refreshing = transmit(parts, "refresh", { token: fresh });
    });
  }

  /** Refreshes in `ms`, and again before the token ends until it is done. */
  function renew(ms: number): void {
    after(parts, "token", ms, () => {
      renew(Math.max(MIN_REFRESH_MS, (tokenEndsAt - monotonic()) * REFRESH_AT));
      refresh();
    });
  }

  /** Sets a new status, and clears the previous failure. */
  function begin(status: ClientState["status"]): void {
    core.status = status;
    core.connectionError = null;
    parts.reason = undefined;
    core.reconnectAttempts = retryAt = 0;
  }

  /**
   * Reconnects at once; the channels keep their positions.
   *
   * @param isOther it is another user's, unlike what waits.
   */
  function redial(reason: Failure | null = null, isOther = false): void {
    lose(reason, false, isOther);
    retry();
  }

  function renewNow(): void {
    if (parts.welcome) refresh();
    else if (parts.timers.has("beat")) redial();
  }

  const replies: Replies = {
    connected(payload, ref) {
      // Without a `ref` it greets the anonymous, before it read our `connect`.
      if (ref !== greeting) return;
      parts.welcome = payload;
      if (core.sessionId) core.reconnects++;
      core.sessionId = payload.sessionId;
      core.identity = payload.identity;
      if (auth && !token) failed(parts, "NO_TOKEN");
      begin("connected");
      roundTrip(payload);
      ask(parts, [...parts.channels.values()]);
      parts.sending?.flush();
      after(parts, "beat", payload.heartbeatMs, probe);
    },

    pong(payload, ref) {
      if (ref !== pingId) return;
      tries = 0; // Not at `connected`: a server may welcome and then break.
      roundTrip(payload);
    },

    draining({ retryInMs }) {
      retryAt = monotonic() + retryInMs;
    },

    token_expiring({ inMs }) {
      // Not at once: of a token that lives shorter than the server warns
      // before its end, it warns as soon as it sees it.
      tokenEndsAt = monotonic() + inMs;
      renew(inMs * REFRESH_AT);
    },

    error(payload, ref) {
      const { code, retryAfterMs = 0 } = payload;
      core.lastError = payload;
      if (!ref || ref === greeting) {
        retryAt = monotonic() + retryAfterMs;
        if (ref) lose(payload, isLasting(payload));
      } else if (ref !== refreshing) subscribeRefused(parts, ref, payload);
      else if (code === "FORBIDDEN") {
        // The token is another user's.
        redial(payload, true);
      } else if (!isLasting(payload)) {
        given = undefined;
        renew(Math.max(MIN_REFRESH_MS, retryAfterMs));
      }
    },

    subscribed: (answer, ref) => subscribed(parts, answer, ref),
    unsubscribed({ channels }, ref) {
      // Sent by the server when a refreshed token grants fewer rights.
      for (const name of ref ? [] : channels) {
        refuse(parts, parts.channels.get(name), new RequestError("FORBIDDEN"));
      }
    },

    gap: (lost) => gap(parts, lost),

    refreshed(payload) {
      core.identity = { ...core.identity!, ...payload };
    },
  };

  return {
    replies,
    connect() {
      if (parts.timers.has("retry")) return retry();
      if (core.status !== "closed") return;
      outside = new AbortController();
      for (const type of WAKING) page.addEventListener?.(type, wake, outside);
      begin("connecting");
      tries = 0;
      open();
      changed(parts);
    },
    disconnect: () => lose(null, true),
    beat() {
      // Frames wake a throttled tab more often than its timers do.
      if (parts.welcome && monotonic() - pingAt >= parts.welcome.heartbeatMs) {
        probe();
      }
    },
    refresh: renewNow,
    setToken(fresh) {
      auth = { ...auth, token: fresh };
      if (fresh) return renewNow();
      if (core.status !== "closed") redial(null, true);
    },
  };
}
