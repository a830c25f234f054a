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
import type { Gate } from "./gate.ts";
import { bearerOf } from "./http.ts";
import type { Env } from "./http.ts";
import { STRANGER } from "./identity.ts";

/** Seconds without a sign of life after which Deno gives a socket up. */
export const IDLE_TIMEOUT_S = Math.ceil(HEARTBEAT_MS * 2.4 / 1_000);

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
      return upgrade(c, parts);
    })
    .get("/", (c, next) => wantsUpgrade(c) ? upgrade(c, parts) : next());
}

function wantsUpgrade(c: Context<Env>): boolean {
  return c.req.header("upgrade")?.toLowerCase() === "websocket";
}

async function upgrade(
  c: Context<Env>,
  { gate, session: parts, sessions }: SocketParts,
): Promise<Response> {
  const visitor = gate.connection(c);
  const token = bearerOf(c);
  // A failed upgrade reaches a client without its reason, so a bad token is
  // refused on the socket.
  let caller = STRANGER;
  let refusal: Refusal | undefined;
  if (token !== undefined) {
    try {
      caller = await gate.identify(token, visitor.ip);
    } catch (error) {
      refusal = Refusal.of(error);
    }
  }
  const offered = c.req.header("sec-websocket-protocol")?.split(",")
    .map((name) => name.trim());
  const { socket, response } = Deno.upgradeWebSocket(c.req.raw, {
    idleTimeout: IDLE_TIMEOUT_S,
    ...(offered?.includes(SUBPROTOCOL) ? { protocol: SUBPROTOCOL } : {}),
  });
  const guard = gate.guard(visitor);
  const session = new Session(socket, parts, { caller, guard });
  const release = sessions.add(session, visitor);
  socket.onopen = () => refusal ? session.reject(refusal) : session.open();
  socket.onmessage = ({ data }) => session.receive(data);
  socket.onerror = () => session.end();
  // May come twice, after an idle close.
  socket.onclose = () => {
    session.end();
    release();
  };
  return response;
}
