/**
 * Frames as Socket.IO packets, each in an Engine.IO message. The codec also
 * answers CONNECT, because it maps one protocol to the other. Each connection
 * has its own codec, because every event ends with its client's offset.
 *
 * @module
 * @see {@link https://socket.io/docs/v4/connection-state-recovery}
 */
import type { FrameRights } from "../protocol/frame_rights.ts";
import { COMMANDS } from "../protocol/commands.ts";
import { interpret, requireLength } from "../protocol/decode.ts";
import type { ClientFrame } from "../protocol/decode.ts";
import { isId } from "../protocol/envelope.ts";
import { encodeReply } from "../protocol/encode.ts";
import type { FrameOptions, ReplyFrame } from "../protocol/encode.ts";
import { MESSAGES } from "../protocol/messages.ts";
import { Refusal, REFUSALS } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Entry } from "../store/entry.ts";
import type { Codec, Marks, Part } from "./codec.ts";
import { isEvent } from "./codec.ts";
import { CLOSE, MESSAGE, SEPARATOR } from "./engine_io.ts";
import { JSON_CODEC } from "./json_codec.ts";
import { entriesOf, SocketIoCursor } from "./socket_io_cursor.ts";
import type { OffsetEntry } from "./socket_io_cursor.ts";
import { eventPacket, isFields, parsePacket } from "./socket_io_packet.ts";
import type { Fields, Packet } from "./socket_io_packet.ts";

/** Ends a client's session; its client does not reconnect by itself. */
export const DISCONNECT = `${MESSAGE}1`;
/** Decoded as the command that continues an interrupted session. */
export const RESUME: unique symbol = Symbol("resume");

/** Names of events that are verbs or application messages. */
const TYPES: ReadonlySet<string> = new Set([
  ...Object.keys(COMMANDS),
  ...Object.keys(MESSAGES),
  "BATCH_UPDATE",
]);
/** Replies that change the offset. */
const WITH_OFFSET: ReadonlySet<string> = new Set([
  "subscribed",
  "unsubscribed",
  "gap",
]);
/** Longest `pid` that is read, in characters. */
const MAX_PID_LENGTH = 64;

/**
 * The target of a reply, as the `ref` of a frame: the client's own `id`, or,
 * after a space, which no id contains: `c` for CONNECT, `r` for {@link RESUME},
 * `n/name` for the CONNECT of a namespace, `g` for an invalid packet,
 * `a<ack>:<id>` for an ack.
 */
type Address = string;
const TO_CONNECT: Address = " c";
const TO_RESUME: Address = " r";
const TO_GARBAGE: Address = " g";
const TO_NAMESPACE = " n";
const TO_ACK = /^ a(\d+):(.*)$/;

/** Encoded events for all clients that follow only the event's channel. */
const shared = new WeakMap<Entry, string>();

/** A session that was interrupted. */
interface Interrupted {
  readonly pid: string;
  readonly entries: readonly OffsetEntry[];
}

/** Reads and writes one client's packets. */
export class SocketIoCodec implements Codec {
  readonly #newPid: () => string;
  readonly #resume: () => void;
  readonly #cursor = new SocketIoCursor();
  #state: "new" | "connecting" | "connected" = "new";
  #interrupted: Interrupted | undefined;
  #welcome: ReplyFrame | undefined;
  #hasOffset = true;

  /**
   * Waits for CONNECT.
   *
   * @param newPid names a session for its recovery.
   * @param resume called when {@link RESUME} is decoded.
   */
  constructor(
    { newPid, resume }: { newPid: () => string; resume: () => void },
  ) {
    this.#newPid = newPid;
    this.#resume = resume;
  }

  /** An event named by its type, with its whole frame and the offset. */
  event(entry: Entry, marks?: Marks): string {
    const { channel, epoch, seq } = entry;
    if (!this.#hasOffset) return eventOf(entry, marks);
    const isFiltered = marks?.prev !== undefined;
    if (epoch !== undefined && seq !== undefined && !isFiltered) {
      this.#cursor.move(channel, epoch, seq);
    }
    if (!this.#cursor.isCommon || marks) {
      return eventOf(entry, marks, this.#cursor);
    }
    const known = shared.get(entry);
    if (known !== undefined) return known;
    const text = eventOf(entry, marks, this.#cursor);
    shared.set(entry, text);
    return text;
  }

  /** One packet after the other. */
  batch(parts: readonly Part[], _envelope: FrameOptions): string {
    return parts.map((part) =>
      isEvent(part) ? this.event(part.entry, part.marks) : this.reply(part)
    ).join(SEPARATOR);
  }

  /** An event named by the reply's type, or an answer to a packet. */
  reply(reply: ReplyFrame): string {
    this.#follow(reply);
    const address = reply.ref;
    if (reply.type === "connected") return this.#connected(reply);
    const isResuming = this.#interrupted && this.#welcome;
    if (reply.type === "subscribed" && address === TO_RESUME && isResuming) {
      return this.#resumed(reply);
    }
    if (reply.type === "error") return this.#refused(reply, address);
    return this.#answer(reply);
  }

  /**
   * Decodes one packet.
   *
   * @param data its text, {@link RESUME}, or bytes, which are refused.
   * @param maxBytes longest packet accepted.
   * @param rights of the client.
   * @throws {Refusal} as `decode` in `protocol/decode.ts`.
   */
  decode(
    data: unknown,
    maxBytes: number,
    rights?: FrameRights,
  ): ClientFrame {
    if (data === RESUME) return this.#resuming();
    if (typeof data !== "string") throw binary();
    addressed(this.glance(data), () => requireLength(data, maxBytes));
    const packet = parsePacket(data);
    if (!packet) throw garbage("This is no packet of Socket.IO");
    if (packet.kind === "connect" && packet.namespace !== "/") {
      throw otherNamespace(
        packet.namespace,
        TO_NAMESPACE + packet.namespace,
      );
    }
    if (packet.kind === "connect") return this.#connect(packet.auth, maxBytes);
    if (this.#state === "new") throw garbage("Send CONNECT first");
    if (packet.namespace !== "/") throw otherNamespace(packet.namespace);
    switch (packet.kind) {
      case "event":
        return frameOf(packet, maxBytes, rights);
      case "binary":
        throw binary(addressOf(packet.ack, undefined));
      case "ack":
        throw new Refusal("INVALID_MESSAGE", "No ack was asked for");
      case "disconnect":
        throw garbage("A disconnect is no frame");
    }
  }

  /** The target of the reply to a packet that is refused without decoding. */
  glance(data: unknown): string | undefined {
    if (data === RESUME) return TO_RESUME;
    if (typeof data !== "string") return undefined;
    const [, type, ack] = /^([02])(\d{1,15})?/.exec(data) ?? [];
    if (type === "0" && this.#state === "new") return TO_CONNECT;
    return ack === undefined ? undefined : addressOf(Number(ack), undefined);
  }

  #connect(auth: Fields, maxBytes: number): ClientFrame {
    if (this.#state !== "new") throw garbage("CONNECT was sent already");
    const { token, client = "socket.io", recovery, pid, offset } = auth;
    const payload = {
      client,
      ...(token === undefined || token === null ? {} : { auth: { token } }),
    };
    const frame = framed(
      TO_CONNECT,
      () => interpret({ type: "connect", payload }, maxBytes),
    );
    this.#state = "connecting";
    this.#hasOffset = recovery !== false;
    if (typeof pid === "string" && typeof offset === "string") {
      const entries = entriesOf(offset);
      const isPid = pid !== "" && pid.length <= MAX_PID_LENGTH;
      this.#interrupted = entries && isPid ? { pid, entries } : undefined;
    }
    return frame;
  }

  #connected(reply: ReplyFrame): string {
    // A client may send `connect` again with another token, even while its
    // positions are being resumed; they are resumed once.
    if (this.#state === "connected" || this.#welcome) {
      return this.#answer(reply);
    }
    this.#welcome = reply;
    if (!this.#interrupted) return this.#greet(this.#newPid());
    if (this.#interrupted.entries.length === 0) {
      return this.#greet(this.#interrupted.pid);
    }
    this.#resume();
    return "";
  }

  #resuming(): ClientFrame {
    const channels = [...this.#interrupted!.entries];
    return {
      kind: "command",
      type: "subscribe",
      id: TO_RESUME,
      payload: { channels },
    };
  }

  /** The client derives `recovered` from the `pid`, which it had before. */
  #resumed(reply: ReplyFrame & { type: "subscribed" }): string {
    const { channels, rejected } = reply.payload;
    const isWhole = rejected.length === 0 &&
      channels.every(({ recovered }) => recovered);
    const pid = isWhole ? this.#interrupted!.pid : this.#newPid();
    return `${this.#greet(pid)}${SEPARATOR}${this.#event(reply)}`;
  }

  #greet(pid: string): string {
    const welcome = this.#welcome!;
    this.#state = "connected";
    this.#welcome = undefined;
    this.#interrupted = undefined;
    const { sessionId } = welcome.payload as ReplyPayload<"connected">;
    const names = this.#hasOffset
      ? { sid: sessionId, pid }
      : { sid: sessionId };
    const connected = `${MESSAGE}0${JSON.stringify(names)}`;
    return `${connected}${SEPARATOR}${this.#event(welcome)}`;
  }

  #refused(
    reply: ReplyFrame & { type: "error" },
    address: Address | undefined,
  ): string {
    const { message, ...data } = reply.payload;
    const failure = JSON.stringify({ message, data });
    if (address?.startsWith(TO_NAMESPACE)) {
      const namespace = address.slice(TO_NAMESPACE.length);
      return `${MESSAGE}4${namespace},${failure}`;
    }
    if (this.#state !== "connected") {
      this.#state = "new";
      // Clients reconnect after a lost connection, but not after a refused one.
      if (isTemporary(reply.payload.code)) return CLOSE;
      const refusal = `${MESSAGE}4${failure}`;
      return address === TO_GARBAGE ? refusal + SEPARATOR + CLOSE : refusal;
    }
    const answer = this.#answer(reply);
    return address === TO_GARBAGE ? answer + SEPARATOR + CLOSE : answer;
  }

  #answer(reply: ReplyFrame): string {
    const [, ack, id = ""] = TO_ACK.exec(reply.ref ?? "") ?? [];
    if (ack === undefined) return this.#event(reply);
    const named = { ...reply, ref: id === "" ? undefined : id };
    const answer = `${MESSAGE}3${ack}[${encodeReply(named)}]`;
    // Acks carry no offset.
    if (!WITH_OFFSET.has(reply.type)) return answer;
    return `${this.#event(named)}${SEPARATOR}${answer}`;
  }

  #event(reply: ReplyFrame): string {
    const isOwn = reply.ref === undefined || !reply.ref.startsWith(" ");
    const text = encodeReply(isOwn ? reply : { ...reply, ref: undefined });
    const args = this.#hasOffset && WITH_OFFSET.has(reply.type)
      ? [text, `"${this.#cursor.offset()}"`]
      : [text];
    return MESSAGE + eventPacket(reply.type, ...args);
  }

  #follow({ type, payload }: ReplyFrame): void {
    if (type === "subscribed") this.#cursor.begin(payload.channels);
    if (type === "unsubscribed") this.#cursor.leave(payload.channels);
    if (type === "gap") {
      const { channel, as, epoch, to, reason } = payload;
      // An unknown position is beyond the end of the log.
      if (as !== undefined || reason === "position_unknown") return;
      this.#cursor.move(channel, epoch, to);
    }
  }
}

function eventOf(
  entry: Entry,
  marks: Marks | undefined,
  cursor?: SocketIoCursor,
): string {
  const json = JSON_CODEC.event(entry, marks) as string;
  const end = cursor ? `,"${cursor.offset()}"]` : "]";
  return `${MESSAGE}2["${entry.type}",${json}${end}`;
}

/** The protocol's frame for a client's event. */
function frameOf(
  { name, args, ack }: Packet & { kind: "event" },
  maxBytes: number,
  rights: FrameRights | undefined,
): ClientFrame {
  const [arg, ...more] = args;
  const value = typeof name === "string" ? valueOf(name, arg) : undefined;
  const own = isFields(value) && isId(value.id) ? value.id : undefined;
  const to = addressOf(ack, own);
  // Wrappers pass an absent ack or absent options as null.
  if (more.some((it) => it !== null)) {
    throw new Refusal("INVALID_MESSAGE", "An event takes one argument", {
      ref: to,
    });
  }
  return framed(to, () => interpret(value, maxBytes, rights));
}

function valueOf(name: string, arg: unknown): unknown {
  // `socket.send(frame)`.
  if (name === "message") return arg;
  if (name === "joinChannel") {
    return { type: "subscribe", payload: listOf(arg) };
  }
  if (name === "leaveChannel") {
    return { type: "unsubscribe", payload: listOf(arg) };
  }
  if (!TYPES.has(name)) return roomMessage(name, arg) ?? { type: name };
  if (isFields(arg) && arg.type === name && "payload" in arg) return arg;
  if (name === "subscribe" || name === "unsubscribe") {
    return { type: name, payload: listOf(arg) };
  }
  if (name === "request_data" && typeof arg === "string") {
    return { type: name, payload: { key: arg } };
  }
  return arg === undefined || arg === null
    ? { type: name }
    : { type: name, payload: arg };
}

/** One channel, several, or the payload that names them. */
function listOf(arg: unknown): unknown {
  if (typeof arg === "string") return { channels: [arg] };
  if (Array.isArray(arg)) return { channels: arg };
  if (isFields(arg) && typeof arg.channel === "string") {
    return { channels: [arg] };
  }
  return arg;
}

/** `emit("moved", {room: "lobby", data})`: an application's own event. */
function roomMessage(event: string, arg: unknown): unknown {
  if (!isFields(arg) || typeof arg.room !== "string") return undefined;
  const { room, data, id, ...more } = arg;
  const channel = room.startsWith("room:") ? room : `room:${room}`;
  const payload = { event, ...(data === undefined ? {} : { data }), ...more };
  const named = id === undefined ? {} : { id };
  return { type: "ROOM_MESSAGE", channel, payload, ...named };
}

function addressOf(
  ack: number | undefined,
  id: string | undefined,
): Address | undefined {
  return ack === undefined ? id : ` a${ack}:${id ?? ""}`;
}

/** Addresses the answer to a frame, or its refusal, to `to`. */
function framed(
  to: Address | undefined,
  read: () => ClientFrame,
): ClientFrame {
  return { ...addressed(to, read), id: to };
}

/** Addresses a refusal to `to`. */
function addressed<T>(to: Address | undefined, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { code, message, issues, cause } = Refusal.of(error);
    throw new Refusal(code, message, {
      cause,
      ref: to,
      ...(issues ? { issues } : {}),
    });
  }
}

function isTemporary(code: RefusalCode): boolean {
  const { http } = REFUSALS[code];
  return http === 429 || http >= 500;
}

function garbage(why: string): Refusal {
  return new Refusal("INVALID_MESSAGE", why, { ref: TO_GARBAGE });
}

function binary(ref?: string): Refusal {
  return new Refusal("INVALID_MESSAGE", "Binary is not accepted; send JSON", {
    ref,
  });
}

function otherNamespace(name: string, ref?: string): Refusal {
  return new Refusal(
    "INVALID_MESSAGE",
    `Namespace ${name} is not known: there is only /`,
    { ref },
  );
}
