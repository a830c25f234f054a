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
import { bearerOf } from "./http.ts";
import type { CallerParts, Env } from "./http.ts";

/** Seconds without a sign of life after which Deno gives a socket up. */
export const IDLE_TIMEOUT_S = Math.ceil(HEARTBEAT_MS * 2.4 / 1_000);

/** What the socket routes need. */
export interface SocketParts extends CallerParts {
  /**
   * Lets callers in.
   * @throws {Refusal} `DRAINING` when nobody is let in any more.
   */
  admit: () => void;
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
      return upgrade(c, parts);
    })
    .get("/", (c, next) => wantsUpgrade(c) ? upgrade(c, parts) : next());
}

function wantsUpgrade(c: Context<Env>): boolean {
  return c.req.header("upgrade")?.toLowerCase() === "websocket";
}

async function upgrade(
  c: Context<Env>,
  parts: SocketParts,
): Promise<Response> {
  parts.admit();
  const ip = c.env.remoteAddr.hostname;
  const token = bearerOf(c);
  const stranger = await parts.identify(undefined);
  // A failed upgrade reaches a client without its reason, so a bad token is
  // refused on the socket.
  const [caller, refusal] = await parts.identify(token).then(
    (caller) => [caller, undefined] as const,
    (error) => [stranger, Refusal.of(error)] as const,
  );
  const offered = c.req.header("sec-websocket-protocol")?.split(",")
    .map((name) => name.trim());
  const { socket, response } = Deno.upgradeWebSocket(c.req.raw, {
    idleTimeout: IDLE_TIMEOUT_S,
    ...(offered?.includes(SUBPROTOCOL) ? { protocol: SUBPROTOCOL } : {}),
  });
  const session = new Session(socket, parts.session, { caller });
  parts.sessions.add(session, ip);
  let released = false;
  socket.onopen = () => refusal ? session.reject(refusal) : session.open();
  socket.onmessage = ({ data }) => session.receive(data);
  socket.onerror = () => session.end();
  socket.onclose = () => {
    session.end();
    // An idle close may fire twice.
    if (!released) parts.sessions.released(ip);
    released = true;
  };
  return response;
}
