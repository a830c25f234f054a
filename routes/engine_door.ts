/**
 * Engine.IO over HTTP: handshakes, polls and upgrades of Socket.IO's clients.
 *
 * @module
 * @see {@link https://socket.io/docs/v4/engine-io-protocol/}
 */
import type { Context } from "hono";
import { Refusal } from "../protocol/refusals.ts";
import { EngineConnection } from "../realtime/engine_io.ts";
import type {
  EngineRequest,
  EngineSessions,
} from "../realtime/engine_sessions.ts";
import { Session } from "../realtime/session.ts";
import type { Socket } from "../realtime/session.ts";
import {
  DISCONNECT,
  RESUME,
  SocketIoCodec,
} from "../realtime/socket_io_codec.ts";
import type { Arrival } from "./gate.ts";
import { textOf } from "./http.ts";
import type { Env } from "./http.ts";
import { handshake, OPEN_DEADLINE_MS, SOCKET_EVENTS } from "./socket.ts";
import type { SocketParts } from "./socket.ts";

/** Version of Engine.IO that is supported. */
const VERSION = "4";
/** The packet with which a client leaves, without the type of its message. */
const LEAVE = "1";

/** Headers of the answer to every poll. */
const HEADERS = {
  "content-type": "text/plain; charset=UTF-8",
  "cache-control": "no-store",
} as const;

/** What the door needs. */
export interface EngineParts extends SocketParts {
  /** Finds the sessions of clients that poll. */
  engines: EngineSessions;
}

/** Arguments that clients send in the query; applications may add more. */
interface Arguments {
  readonly transport: "polling" | "websocket";
  readonly sid: string | undefined;
}

/** An admitted client. */
interface Client {
  readonly engine: EngineConnection;
  /** The transport is open: the client may send CONNECT. */
  begin(): void;
}

/** Answers requests to `/socket.io/`. */
export class EngineDoor {
  readonly #parts: EngineParts;

  /** The parts stay the caller's. */
  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /**
   * Opens a session, or answers its poll once there are packets.
   *
   * @throws {Refusal} as the gate, `INVALID_MESSAGE`, `UNSUPPORTED_VERSION`.
   */
  async get(c: Context<Env>): Promise<Response> {
    const { transport, sid } = await this.#argumentsOf(c);
    if (transport !== "polling" || c.req.raw.method !== "GET") {
      throw await this.#charged(c, bad("This transport needs an upgrade"));
    }
    if (sid !== undefined) return await this.#ask(c, sid, { kind: "poll" });
    const { clock } = this.#parts.session;
    const since = clock.monotonic();
    const engine = await this.#parts.gate.connection(c, (arrival) => {
      const { engine, begin } = this.#enter(arrival, since);
      begin();
      return engine;
    });
    return new Response(await engine.poll(), { headers: HEADERS });
  }

  /**
   * Takes packets of a client that polls.
   *
   * @throws {Refusal} `INVALID_MESSAGE`, `MESSAGE_TOO_LARGE`.
   */
  async post(c: Context<Env>): Promise<Response> {
    const { transport, sid } = await this.#argumentsOf(c);
    if (transport !== "polling" || sid === undefined) {
      throw await this.#charged(c, bad("A session begins with GET"));
    }
    let body: string;
    try {
      body = await textOf(c.req.raw, this.#parts.session.maxMessageBytes);
    } catch (error) {
      throw await this.#charged(c, error);
    }
    return await this.#ask(c, sid, { kind: "post", body });
  }

  /**
   * Opens a session on a WebSocket, or lets one replace polling.
   *
   * @throws {Refusal} as {@link get}.
   */
  async upgrade(c: Context<Env>): Promise<Response> {
    const { transport, sid } = await this.#argumentsOf(c);
    if (transport !== "websocket") {
      throw await this.#charged(c, bad("This transport takes no upgrade"));
    }
    if (sid !== undefined) return await this.#replacePolling(c, sid);
    const since = this.#parts.session.clock.monotonic();
    return await this.#parts.gate.connection(c, (arrival) => {
      const { socket, response } = handshake(c, undefined);
      const { engine, begin } = this.#enter(arrival, since, socket);
      // A peer that resets the connection during the upgrade causes no event.
      const deadline = this.#parts.session.clock.after(
        OPEN_DEADLINE_MS,
        () => engine.abandon(),
      );
      listen(socket, engine, () => {
        deadline[Symbol.dispose]();
        begin();
      }, () => deadline[Symbol.dispose]());
      return response;
    });
  }

  /** A session of another instance stays on polling: its client tries once. */
  async #replacePolling(c: Context<Env>, sid: string): Promise<Response> {
    await this.#parts.gate.request(c, "greet");
    const engine = this.#parts.engines.get(sid);
    if (!engine) throw bad("This session is not known here");
    const { socket, response } = handshake(c, undefined);
    if (engine.canUpgrade) {
      engine.upgrade(socket);
      listen(socket, engine);
    } else {
      // Clients treat a refused handshake as a network failure.
      socket.addEventListener("open", () => socket.close());
    }
    return response;
  }

  /** Callers that know a session's secret name are not counted by request. */
  async #ask(
    c: Context<Env>,
    sid: string,
    request: EngineRequest,
  ): Promise<Response> {
    const { bucket: address } = this.#parts.gate.visitorOf(c);
    const { signal } = c.req.raw;
    try {
      const how = { address, signal };
      const body = await this.#parts.engines.ask(sid, request, how);
      return new Response(body, { headers: HEADERS });
    } catch (error) {
      throw await this.#charged(c, error);
    }
  }

  #enter(
    { visitor, principal, refusal }: Arrival,
    since: number,
    socket?: Socket,
  ): Client {
    const { engines, gate, session: parts, sessions } = this.#parts;
    let hasLeft = false;
    const engine = new EngineConnection(parts.clock, {
      sid: engines.newSid(),
      maxPayload: parts.maxMessageBytes,
      farewell: DISCONNECT,
      ...(socket ? { socket } : {}),
    }, {
      message(data) {
        // A client that has left closes the transport, and sends nothing else.
        if (hasLeft) return engine.close();
        if (data !== LEAVE) return session.receive(data);
        hasLeft = true;
        session.end();
        engine.leave();
      },
      closed(code) {
        session.end(code);
        engines.remove(engine);
        release();
      },
    });
    const codec = new SocketIoCodec({
      newPid: () => engines.newSid(),
      resume: () => session.receive(RESUME),
    });
    const guard = gate.guard(visitor);
    const session = new Session(engine, parts, {
      principal,
      guard,
      codec,
    });
    const release = sessions.add(session, visitor);
    engines.add(engine);
    return {
      engine,
      begin() {
        engine.open();
        if (refusal) return session.reject(refusal);
        session.open({ awaitsConnect: true });
        parts.opened?.(parts.clock.monotonic() - since);
      },
    };
  }

  async #argumentsOf(c: Context<Env>): Promise<Arguments> {
    const at = c.req.url.indexOf("?");
    const query = new URLSearchParams(at < 0 ? "" : c.req.url.slice(at + 1));
    const transport = query.get("transport");
    if (query.get("EIO") !== VERSION) {
      throw await this.#charged(
        c,
        new Refusal(
          "UNSUPPORTED_VERSION",
          "This is for clients of Socket.IO 3 and 4: EIO=4",
        ),
      );
    }
    if (transport !== "polling" && transport !== "websocket") {
      throw await this.#charged(c, bad("transport is polling or websocket"));
    }
    return { transport, sid: query.get("sid") ?? undefined };
  }

  /** An invalid request is charged as any other over HTTP. */
  async #charged(c: Context<Env>, error: unknown): Promise<unknown> {
    await this.#parts.gate.request(c, "greet");
    return error;
  }
}

function listen(
  socket: WebSocket,
  engine: EngineConnection,
  onOpen: () => void = () => {},
  onClose: () => void = () => {},
): void {
  const listener = {
    handleEvent(event: Event): void {
      switch (event.type) {
        case "open":
          return onOpen();
        case "message":
          return engine.receive(socket, (event as MessageEvent).data);
        default:
          // May be emitted twice, after an idle close.
          onClose();
          return engine.lost(socket, (event as CloseEvent).code);
      }
    },
  };
  for (const type of SOCKET_EVENTS) socket.addEventListener(type, listener);
}

function bad(message: string): Refusal {
  return new Refusal("INVALID_MESSAGE", message);
}
