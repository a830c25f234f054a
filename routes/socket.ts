/**
 * The WebSocket endpoint: `/ws`, and `/` with an upgrade.
 *
 * @module
 */
import type { Context, Hono } from "hono";
import { Refusal } from "../protocol/refusals.ts";
import { CODECS } from "../realtime/codecs.ts";
import type { Codecs } from "../realtime/codecs.ts";
import { CountingSocket } from "../realtime/counting_socket.ts";
import { HEARTBEAT_MS, Session } from "../realtime/session.ts";
import type { SessionParts } from "../realtime/session.ts";
import type { Sessions } from "../realtime/sessions.ts";
import type { Arrival, Gate } from "./gate.ts";
import type { Env } from "./http.ts";
import { queryOf } from "./input.ts";
import { connection } from "./route.ts";
import type { Route } from "./route.ts";

/** Seconds without any frame after which Deno closes a socket. */
export const IDLE_TIMEOUT_S = Math.ceil(HEARTBEAT_MS * 2.4 / 1_000);

/** How long a socket may take to open after its upgrade, in milliseconds. */
export const OPEN_DEADLINE_MS = 10_000;

/** All events of a socket. */
export const SOCKET_EVENTS = ["open", "message", "error", "close"] as const;

/** What the socket routes need. */
export interface SocketParts {
  /** Admits connections. */
  gate: Gate;
  /** For every session. */
  session: SessionParts;
  /** Those connected here. */
  sessions: Sessions;
  /** Codecs by subprotocol; those of the service when omitted. */
  codecs?: Codecs;
}

/** Declares `GET /ws`. */
export function socketRoutes(parts: SocketParts): Route[] {
  return [connection({
    path: "/ws",
    right: "greet",
    describe: () => ({
      tag: "events",
      summary: "The WebSocket; see the AsyncAPI document",
      answers: [{ status: 101, description: "Upgraded" }],
      refuses: ["INVALID_MESSAGE", "FORBIDDEN", "TOO_MANY_CONNECTIONS"],
    }),
    open(c) {
      if (wantsUpgrade(c)) return enter(c, parts);
      throw new Refusal(
        "INVALID_MESSAGE",
        "This is a WebSocket endpoint; connect with ws:// or wss://",
      );
    },
  })];
}

/** Takes the upgrades at `/`, which is a page otherwise. */
export function mountRootSocket(app: Hono<Env>, parts: SocketParts): void {
  app.get("/", (c, next) => wantsUpgrade(c) ? enter(c, parts) : next());
}

function enter(c: Context<Env>, parts: SocketParts): Promise<Response> {
  const since = parts.session.clock.monotonic();
  return parts.gate.connection(
    c,
    (arrival) => upgrade(c, parts, arrival, since),
  );
}

/** Whether a request asks for a WebSocket. */
export function wantsUpgrade(c: Context<Env>): boolean {
  return c.req.raw.method === "GET" &&
    c.req.header("upgrade")?.toLowerCase() === "websocket";
}

function upgrade(
  c: Context<Env>,
  { gate, session: parts, sessions, codecs = CODECS }: SocketParts,
  { visitor, principal, refusal }: Arrival,
  since: number,
): Response {
  const fault = refusal ?? refusalIn(c);
  const protocol = protocolOf(c, codecs);
  const codec = codecs.get(protocol ?? "") ?? [...codecs.values()][0]!;
  const { socket, response } = handshake(c, protocol);
  const guard = gate.guard(visitor);
  const session = new Session(new CountingSocket(socket), parts, {
    principal,
    guard,
    codec,
  });
  const release = sessions.add(session, visitor);
  // A peer that resets the connection during the handshake causes no event.
  const deadline = parts.clock.after(OPEN_DEADLINE_MS, () => {
    session.disconnect("SLOW_CONSUMER");
    release();
  });
  // One listener for all: each costs memory, and there are many sockets.
  const listener = {
    handleEvent(event: Event): void {
      switch (event.type) {
        case "message":
          return session.receive((event as MessageEvent).data);
        case "open":
          deadline[Symbol.dispose]();
          // A failed upgrade reaches a browser's page without its reason, so
          // a bad token or query is refused on the socket.
          if (fault) return session.reject(fault);
          session.open();
          return parts.opened?.(parts.clock.monotonic() - since);
        case "close":
          // May be emitted twice, after an idle close.
          deadline[Symbol.dispose]();
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

/** The first subprotocol offered that selects a codec. */
function protocolOf(c: Context<Env>, codecs: Codecs): string | undefined {
  return c.req.header("sec-websocket-protocol")?.split(",")
    .map((name) => name.trim()).find((name) => codecs.has(name));
}

/** A socket takes no arguments of a query. */
function refusalIn(c: Context<Env>): Refusal | undefined {
  try {
    queryOf(c.req.url, undefined, "INVALID_MESSAGE");
    return undefined;
  } catch (error) {
    return Refusal.of(error);
  }
}

/**
 * Begins a WebSocket, whose binary frames will be `ArrayBuffer`s.
 *
 * @param protocol the subprotocol chosen, if the client offered any.
 * @throws {Refusal} `INVALID_MESSAGE` when the request is no handshake.
 */
export function handshake(
  c: Context<Env>,
  protocol: string | undefined,
): Deno.WebSocketUpgrade {
  try {
    const upgrade = Deno.upgradeWebSocket(c.req.raw, {
      idleTimeout: IDLE_TIMEOUT_S,
      ...(protocol === undefined ? {} : { protocol }),
    });
    upgrade.socket.binaryType = "arraybuffer";
    return upgrade;
  } catch (cause) {
    throw new Refusal("INVALID_MESSAGE", "This is no WebSocket handshake", {
      cause,
    });
  }
}
