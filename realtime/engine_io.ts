/**
 * One connection of Engine.IO v4: long polling, a WebSocket, or polling that is
 * upgraded to a WebSocket. It handles packets and time, not HTTP.
 *
 * @module
 * @see {@link https://socket.io/docs/v4/engine-io-protocol/}
 */
import { decodePacket } from "engine.io-parser";
import type { Packet } from "engine.io-parser";
import type { Clock } from "../platform/clock.ts";
import { FINAL_CLOSE, Refusal } from "../protocol/refusals.ts";
import type { Frame } from "./codec.ts";
import { HEARTBEAT_MS } from "./session.ts";
import type { Socket } from "./session.ts";

/** Time between pings to the client, in milliseconds. */
export const PING_INTERVAL_MS = HEARTBEAT_MS;
/** How long the client may take to answer one, in milliseconds. */
export const PING_TIMEOUT_MS = 20_000;
/**
 * How long a closed connection waits for a poll of its last packets, and one
 * whose client has left for the close of its transport.
 */
export const LINGER_MS = 10_000;
/** How long a WebSocket may take to replace polling, in milliseconds. */
export const PROBE_DEADLINE_MS = 10_000;
/** Most WebSockets that may try to replace polling, one after the other. */
export const MAX_PROBES = 4;
/**
 * Most packets of one polled body: more than the shortest events of a client can
 * fill it with, and few enough for the replies to fit into
 * `MAX_REPLY_BACKLOG_BYTES`.
 */
export const MAX_PACKETS = 4_096;

/** Separates packets of one body; JSON text never contains it. */
export const SEPARATOR = "\x1e";
/** Type of a packet that carries a message. */
export const MESSAGE = "4";
/** The packet that ends a connection. */
export const CLOSE = "1";
const OPEN = "0";
const PING = "2";
const NOOP = "6";
const PROBE = "probe";
const PROBE_ANSWER = `3${PROBE}`;

/** What a connection reports. */
export interface EngineListener {
  /** The client sent a message: text, or bytes. */
  message(data: unknown): void;
  /**
   * The connection has ended; called once.
   *
   * @param code with which the client's WebSocket closed, if one did.
   */
  closed(code: number | undefined): void;
}

/** Options of a connection. */
export interface EngineOptions {
  /** Its name, which is a secret of its client. */
  readonly sid: string;
  /** Longest polled body accepted, in bytes. */
  readonly maxPayload: number;
  /** The client's WebSocket; it polls when absent. */
  readonly socket?: Socket;
  /** Packets that precede a final close, after which clients do not reconnect. */
  readonly farewell?: string;
}

/** A poll that waits for packets. */
interface Poll {
  answer(body: string): void;
}

/** A WebSocket that may replace polling. */
interface Probe {
  readonly socket: Socket;
  readonly deadline: Disposable;
  confirmed: boolean;
}

/** One connection. */
export class EngineConnection implements Socket {
  /** Its name, which is a secret of its client. */
  readonly sid: string;
  readonly #clock: Pick<Clock, "after" | "soon">;
  readonly #listener: EngineListener;
  #state: "open" | "closing" | "closed" = "open";
  #socket: Socket | undefined;
  #probe: Probe | undefined;
  #probes = 0;
  #queue: string[] = [];
  #queued = 0;
  #poll: Poll | undefined;
  #isPinged = false;
  #timer: Disposable | undefined;
  #leaving: Disposable | undefined;
  readonly #maxPayload: number;
  readonly #farewell: string;

  /** Waits for {@link open}. */
  constructor(
    clock: Pick<Clock, "after" | "soon">,
    { sid, maxPayload, socket, farewell = "" }: EngineOptions,
    listener: EngineListener,
  ) {
    this.sid = sid;
    this.#clock = clock;
    this.#socket = socket;
    this.#listener = listener;
    this.#maxPayload = maxPayload;
    this.#farewell = farewell;
  }

  /** Opens: the first packet holds its intervals and limits. */
  open(): void {
    this.#timer = this.#beat();
    this.send(
      OPEN + JSON.stringify({
        sid: this.sid,
        upgrades: this.#socket ? [] : ["websocket"],
        pingInterval: PING_INTERVAL_MS,
        pingTimeout: PING_TIMEOUT_MS,
        maxPayload: this.#maxPayload,
      }),
    );
  }

  /** Length of the packets that the client has not fetched, in bytes of ASCII. */
  get bufferedAmount(): number {
    return this.#socket ? this.#socket.bufferedAmount : this.#queued;
  }

  /** Whether a WebSocket may replace polling now. */
  get canUpgrade(): boolean {
    return this.#state === "open" && !this.#socket && !this.#probe &&
      this.#probes < MAX_PROBES;
  }

  /** Sends packets, separated; {@link CLOSE} among them ends the connection. */
  send(frame: Frame): void {
    if (this.#state !== "open" || frame.length === 0) return;
    const text = frame as string;
    // Most frames are events, one packet each.
    if (!text.includes(SEPARATOR)) return this.#sendOne(text);
    for (const packet of text.split(SEPARATOR)) this.#sendOne(packet);
  }

  #sendOne(packet: string): void {
    if (this.#state !== "open") return;
    if (packet === CLOSE) this.close();
    else if (this.#socket) this.#socket.send(packet);
    else this.#enqueue(packet);
  }

  /** Ends the connection once the client has received all sent packets. */
  close(code?: number, reason?: string): void {
    if (code !== undefined && code >= FINAL_CLOSE) this.send(this.#farewell);
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#leaving?.[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
    this.#endProbe();
    if (this.#socket) return this.#socket.close(code, reason);
    this.#timer = this.#clock.after(LINGER_MS, () => this.#finish(undefined));
    if (this.#poll) this.#flush();
  }

  /** The client has left: it closes its transport itself, up to a deadline. */
  leave(): void {
    this.#leaving = this.#clock.after(LINGER_MS, () => this.close());
  }

  /**
   * Handles a poll of the client.
   *
   * @returns a body of packets, as soon as there is one.
   * @throws {Refusal} `INVALID_MESSAGE` when it polls twice, which ends the
   * connection, or when it no longer polls.
   */
  poll(): Promise<string> {
    this.#requirePolling();
    if (this.#poll) {
      this.#finish(undefined, CLOSE);
      throw new Refusal("INVALID_MESSAGE", "Two polls at a time");
    }
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#poll = { answer: resolve };
    // A client that upgrades waits for its poll to end.
    if (this.#probe?.confirmed && this.#queue.length === 0) {
      this.#enqueue(NOOP);
    }
    if (this.#queue.length > 0 || this.#state === "closing") this.#flush();
    return promise;
  }

  /** The client aborted a poll: its answer may be lost. */
  abandon(): void {
    this.#finish(undefined);
  }

  /**
   * Handles a body of packets from the client.
   *
   * @throws {Refusal} `INVALID_MESSAGE` for an invalid body, which ends the
   * connection.
   */
  post(body: string): void {
    this.#requirePolling();
    const packets = body.split(SEPARATOR, MAX_PACKETS + 1);
    if (packets.length > MAX_PACKETS) {
      throw this.#broken(`A body holds at most ${MAX_PACKETS} packets`);
    }
    const decoded = packets.map((it) => decodePacket(it, "arraybuffer"));
    // A body is validated as a whole: its first packet may end the connection.
    if (decoded.some(({ type }) => type === "error")) throw this.#mismatch();
    for (const packet of decoded) {
      if (!this.#receive(packet)) throw this.#mismatch();
      if (this.#state !== "open") return;
    }
  }

  /** Replaces polling by a WebSocket; only while {@link canUpgrade}. */
  upgrade(socket: Socket): void {
    this.#probes++;
    const deadline = this.#clock.after(PROBE_DEADLINE_MS, () => {
      this.#endProbe();
    });
    this.#probe = { socket, deadline, confirmed: false };
  }

  /** One of its WebSockets delivered `data`: text, or an `ArrayBuffer`. */
  receive(socket: Socket, data: unknown): void {
    if (this.#state !== "open") return;
    const packet = decodePacket(data as string, "arraybuffer");
    if (socket === this.#probe?.socket) return this.#probed(packet);
    if (socket !== this.#socket) return socket.close();
    if (!this.#receive(packet)) this.close();
  }

  /** One of its WebSockets has closed. */
  lost(socket: Socket, code: number | undefined): void {
    if (socket === this.#probe?.socket) return this.#endProbe();
    if (socket === this.#socket) this.#finish(code);
  }

  /** @returns whether the packet is allowed now. */
  #receive({ type, data }: Packet): boolean {
    switch (type) {
      case "message":
        this.#listener.message(data);
        return true;
      case "pong":
        // An unsolicited pong is charged to no budget, so it is not accepted.
        if (!this.#isPinged) return false;
        this.#timer?.[Symbol.dispose]();
        this.#timer = this.#beat();
        return true;
      case "close":
        this.#socket?.close();
        this.#finish(undefined);
        return true;
      default:
        return false;
    }
  }

  #probed({ type, data }: Packet): void {
    const probe = this.#probe!;
    if (type === "ping" && data === PROBE && !probe.confirmed) {
      probe.confirmed = true;
      probe.socket.send(PROBE_ANSWER);
      if (!this.#poll) return;
      this.#enqueue(NOOP);
      return this.#flush();
    }
    if (type !== "upgrade" || !probe.confirmed) return this.#endProbe();
    probe.deadline[Symbol.dispose]();
    this.#probe = undefined;
    this.#poll?.answer(NOOP);
    this.#poll = undefined;
    this.#socket = probe.socket;
    for (const packet of this.#take()) probe.socket.send(packet);
  }

  #endProbe(): void {
    this.#probe?.deadline[Symbol.dispose]();
    this.#probe?.socket.close();
    this.#probe = undefined;
  }

  #enqueue(packet: string): void {
    this.#queue.push(packet);
    this.#queued += packet.length + SEPARATOR.length;
    if (this.#queue.length > 1 || !this.#poll) return;
    // Packets sent in one turn are sent together.
    this.#clock.soon(() => this.#flush());
  }

  /** Answers the poll. Clients read CLOSE before the packets ahead of it. */
  #flush(): void {
    if (!this.#poll) return;
    if (this.#queue.length > 0) {
      this.#poll.answer(this.#take().join(SEPARATOR));
      this.#poll = undefined;
    } else if (this.#state === "closing") this.#finish(undefined, CLOSE);
  }

  #take(): string[] {
    const packets = this.#queue;
    this.#queue = [];
    this.#queued = 0;
    return packets;
  }

  /** Pings after an interval; the client's pong starts the next interval. */
  #beat(): Disposable {
    this.#isPinged = false;
    return this.#clock.after(PING_INTERVAL_MS, () => {
      this.send(PING);
      this.#isPinged = true;
      this.#timer = this.#clock.after(PING_TIMEOUT_MS, () => {
        this.#socket?.close();
        this.#finish(undefined);
      });
    });
  }

  #requirePolling(): void {
    if (this.#state !== "closed" && !this.#socket) return;
    throw new Refusal("INVALID_MESSAGE", "This session does not poll");
  }

  #mismatch(): Refusal {
    return this.#broken("Body does not match Engine.IO");
  }

  #broken(why: string): Refusal {
    this.#finish(undefined);
    return new Refusal("INVALID_MESSAGE", why);
  }

  /** @param last answer to a waiting poll. */
  #finish(code: number | undefined, last: string = NOOP): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#leaving?.[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
    this.#endProbe();
    this.#poll?.answer(last);
    this.#poll = undefined;
    this.#take();
    this.#listener.closed(code);
  }
}
