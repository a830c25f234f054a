/**
 * The WebSocket door: `/ws`, and `/` with an upgrade.
 *
 * @module
 */
import { Hono } from "hono";
import type { Context } from "hono";
import { SUBPROTOCOL } from "../protocol/envelope.ts";
import { Refusal } from "../protocol/refusals.ts";
import { HEARTBEAT_MS, Session } from "../realtime/session.ts";
import type { SessionParts } from "../realtime/session.ts";
import type { Sessions } from "../realtime/sessions.ts";
import type { Arrival, Gate } from "./gate.ts";
import type { Env } from "./http.ts";

/** Seconds without a sign of life after which Deno gives a socket up. */
export const IDLE_TIMEOUT_S = Math.ceil(HEARTBEAT_MS * 2.4 / 1_000);

/** All that can happen to a socket. */
const SOCKET_EVENTS = ["open", "message", "error", "close"] as const;

/** What the socket routes need. */
export interface SocketParts {
  /** Lets connections in. */
  gate: Gate;
  /** For every session. */
  session: SessionParts;
  /** Those connected here. */
  sessions: Sessions;
}

/** Mounts the WebSocket endpoint. */
export function socketRoutes(parts: SocketParts): Hono<Env> {
  return new Hono<Env>()
    .get("/ws", (c) => {
      if (!wantsUpgrade(c)) {
        throw new Refusal(
          "INVALID_MESSAGE",
          "This is a WebSocket endpoint; connect with ws:// or wss://",
        );
      }
      return enter(c, parts);
    })
    .get("/", (c, next) => wantsUpgrade(c) ? enter(c, parts) : next());
}

function enter(c: Context<Env>, parts: SocketParts): Promise<Response> {
  const since = performance.now();
  return parts.gate.connection(
    c,
    (arrival) => upgrade(c, parts, arrival, since),
  );
}

function wantsUpgrade(c: Context<Env>): boolean {
  return c.req.header("upgrade")?.toLowerCase() === "websocket";
}

function upgrade(
  c: Context<Env>,
  { gate, session: parts, sessions }: SocketParts,
  { visitor, principal, refusal }: Arrival,
  since: number,
): Response {
  const { socket, response } = handshake(c);
  const guard = gate.guard(visitor);
  const session = new Session(socket, parts, { principal, guard });
  const release = sessions.add(session, visitor);
  // One listener for all: each costs memory, and there are many sockets.
  const listener = {
    handleEvent(event: Event): void {
      switch (event.type) {
        case "message":
          return session.receive((event as MessageEvent).data);
        case "open":
          // A failed upgrade reaches a browser's page without its reason, so
          // a bad token is refused on the socket.
          if (refusal) return session.reject(refusal);
          session.open();
          return parts.opened?.(performance.now() - since);
        case "close":
          // May come twice, after an idle close.
          session.end((event as CloseEvent).code);
          return release();
        default:
          return session.end();
      }
    },
  };
  for (const type of SOCKET_EVENTS) socket.addEventListener(type, listener);
  return response;
}

function handshake(c: Context<Env>): Deno.WebSocketUpgrade {
  const offered = c.req.header("sec-websocket-protocol")?.split(",")
    .map((name) => name.trim());
  try {
    return Deno.upgradeWebSocket(c.req.raw, {
      idleTimeout: IDLE_TIMEOUT_S,
      ...(offered?.includes(SUBPROTOCOL) ? { protocol: SUBPROTOCOL } : {}),
    });
  } catch (cause) {
    throw new Refusal("INVALID_MESSAGE", "This is no WebSocket handshake", {
      cause,
    });
  }
}
