/**
 * One socket after another: dialled, greeted, watched by a heartbeat, lost and
 * dialled again.
 *
 * @module
 */
import { backoffMs } from "./backoff.ts";
import { failure, isLasting } from "./failure.ts";
import {
  BEST_AGEING,
  CONNECT_TIMEOUT_MS,
  FINAL_CLOSE,
  HEARTBEAT_GRACE_MS,
  LATE_MS,
  REFRESH_AT,
} from "./limits.ts";
import type { Parts } from "./parts.ts";
import type { Failure } from "./types.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";

/** What may end a wait, or a connection unseen. */
const WAKING = ["online", "offline", "pageshow", "visibilitychange"];

/** What a page has and other runtimes may not. */
export const page = globalThis as {
  location?: { href: string };
  navigator?: { onLine?: boolean };
  document?: unknown;
  addEventListener?: EventTarget["addEventListener"];
  reportError?: (error: unknown) => void;
};

/** What the client does about a reply. */
export type Hears = {
  [Type in ReplyType]?: (
    payload: ReplyPayload<Type>,
    ref: string | undefined,
  ) => void;
};

/** The connection of one client. */
export interface Connection {
  /** Connects again after the end, or at once while waiting to. */
  connect(): void;
  /** Ends the connection. */
  disconnect(): void;
  /** A frame arrived: the server is there. */
  heard(): void;
  /** The frame was handled: pings when it is time. */
  beat(): void;
  /** An `error` that no request waits for; returns whether it was ours. */
  refused(payload: Failure, ref: string | undefined): boolean;
  /** What the connection does about replies. */
  readonly hears: Hears;
}

/** Makes a connection that is closed. */
export function connectionOf(
  parts: Omit<Parts, "stirred" | "send">,
  address: string,
): Connection {
  const {
    options: {
      autoReconnect = true,
      reconnectInterval = 5_000,
      maxReconnectAttempts = Infinity,
      auth,
      batch = true,
      client,
      WebSocket: Socket,
    },
    timers: { after, isDue, stop, stopAll },
    core,
    changed,
    transmit,
  } = parts;
  let outside: AbortController | undefined;
  let greeting: string | undefined;
  let tries = 0;
  let retryAt = 0;
  let pingId = "";
  let pingAt = 0;
  let bestMs = Infinity;
  let isHeard = false;

  async function open(): Promise<void> {
    const mine = ++parts.generation;
    after("beat", CONNECT_TIMEOUT_MS, () => lose(failure("TIMEOUT")));
    try {
      const token = await freshToken();
      if (mine === parts.generation) dial(token);
    } catch (error) {
      if (mine === parts.generation) {
        lose(failure("CONNECT_FAILED", { message: `${error}` }));
      }
    }
  }

  async function freshToken(): Promise<string | undefined> {
    return typeof auth?.token === "function" ? await auth.token() : auth?.token;
  }

  function dial(token: string | undefined): void {
    const socket = parts.socket = new (Socket ?? WebSocket)(address);
    socket.onopen = () => {
      pingAt = Date.now();
      greeting = transmit("connect", {
        auth: token && { ...auth, token },
        client,
        batch,
      });
    };
    socket.onmessage = ({ data }) => parts.receive(data);
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
   * Gives up the socket, without waiting for a peer that may be gone, and
   * tries again or ends.
   */
  function lose(error: Failure | null, isFinal = false): void {
    parts.generation++;
    stopAll();
    const { socket } = parts;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    parts.socket = parts.welcome = greeting = undefined;
    core.connectionError = error;
    isFinal ||= !autoReconnect ||
      core.reconnectAttempts >= maxReconnectAttempts ||
      // An expired token that cannot be renewed is refused for ever.
      error?.code === "TOKEN_EXPIRED" && typeof auth?.token === "string";
    core.status = isFinal ? "closed" : "reconnecting";
    parts.channels.lost();
    parts.requests.lost(isFinal);
    if (isFinal) outside?.abort();
    else {
      const jitter = backoffMs(tries++, reconnectInterval);
      after("retry", Math.max(retryAt - Date.now(), jitter), retry);
    }
    changed();
  }

  function retry(): void {
    stop("retry");
    if (page.navigator?.onLine !== false) core.reconnectAttempts++;
    open();
    changed();
  }

  /** The page is shown again, or its network changed. */
  function wake(): void {
    if (parts.welcome) probe();
    else if (isDue("retry") && Date.now() >= retryAt) retry();
  }

  /** Asks whether the server is there. */
  function probe(wasLate = false): void {
    isHeard = false;
    pingAt = Date.now();
    pingId = transmit("ping", {});
    after("beat", HEARTBEAT_GRACE_MS, () => {
      const isLate = Date.now() - pingAt > HEARTBEAT_GRACE_MS + LATE_MS;
      if (isHeard) after("beat", parts.welcome!.heartbeatMs, probe);
      else if (isLate && !wasLate) probe(true);
      else lose(failure("TIMEOUT"));
    });
  }

  /**
   * The shortest round trip says most about the clocks: what delays a frame
   * on one way shifts the estimate by half of the delay.
   */
  function roundTrip({ serverTime }: { readonly serverTime: string }): void {
    const took = Date.now() - pingAt;
    bestMs = bestMs * BEST_AGEING + 1;
    if (took > bestMs) return;
    core.roundTripMs = bestMs = took;
    core.clockOffsetMs = Date.parse(serverTime) - pingAt - took / 2;
  }

  const hears: Hears = {
    connected(payload, ref) {
      // Without a `ref` it greets the anonymous, before it read our `connect`.
      if (ref !== greeting) return;
      parts.welcome = payload;
      if (core.sessionId) core.reconnects++;
      core.sessionId = payload.sessionId;
      core.identity = payload.identity;
      core.status = "connected";
      core.connectionError = null;
      core.reconnectAttempts = retryAt = 0;
      roundTrip(payload);
      parts.channels.resume();
      parts.requests.flush();
      after("beat", payload.heartbeatMs, probe);
    },

    pong(payload, ref) {
      if (ref !== pingId) return;
      tries = 0; // Not at `connected`: a server may welcome and then break.
      roundTrip(payload);
    },

    draining({ retryInMs }) {
      retryAt = Date.now() + retryInMs;
    },

    token_expiring({ inMs }) {
      // Not at once: of a token that lives shorter than the server warns
      // before its end, it warns as soon as it sees it.
      after("token", inMs * REFRESH_AT, () => {
        const mine = parts.generation;
        freshToken().then((token) => {
          if (token && mine === parts.generation) {
            transmit("refresh", { token });
          }
        }).catch(parts.onError);
      });
    },

    refreshed(payload) {
      core.identity = { ...core.identity!, ...payload };
    },
  };

  return {
    hears,
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
    heard: () => void (isHeard = true),
    beat() {
      // Frames wake a throttled tab more often than its timers do.
      if (parts.welcome && Date.now() - pingAt >= parts.welcome.heartbeatMs) {
        probe();
      }
    },
    refused(payload, ref) {
      if (!ref) retryAt = Date.now() + (payload.retryAfterMs ?? 0);
      else if (ref === greeting) lose(payload, isLasting(payload));
      else return false;
      return true;
    },
  };
}
