/**
 * What the toolbar remembers of a connection: the last frames, and how many
 * arrived when. Pure; the element draws it.
 *
 * @module
 */
import type { TappedFrame } from "../types.ts";

/** Messages kept; the oldest leave first. */
export const MAX_RECORDED = 1000;
/** Characters of JSON kept in all; the oldest messages leave first. */
export const MAX_RECORDED_CHARACTERS = 8_000_000;
/** Seconds of measurements kept. */
export const MAX_SECONDS = 120;
/** Latencies considered for one second. */
export const MAX_LATENCIES_PER_SECOND = 256;
/** Longest exported recording that is read, in characters. */
export const MAX_IMPORTED_CHARACTERS = 32_000_000;
/** Marks an exported recording. */
export const FORMAT = "kaldrix-devtoolbar/1";

/** Last moment that a date can name, in epoch milliseconds. */
const MAX_DATE_MS = 8.64e15;

/** One message that passed; a batch is recorded as the messages in it. */
export interface Recorded {
  /** Running number, from 1. */
  readonly number: number;
  /** Epoch milliseconds. */
  readonly at: number;
  /** `in`: from the server. */
  readonly direction: "in" | "out";
  /** Its `type`. */
  readonly type: string;
  /** Its `channel`, `""` for what has none. */
  readonly channel: string;
  /** Characters of JSON, estimated for parts of a batch. */
  readonly length: number;
  /** The message, not to be changed. */
  readonly frame: Readonly<Record<string, unknown>>;
}

/** One second of a connection. */
export interface Second {
  /** Epoch seconds. */
  readonly second: number;
  /** Messages received. */
  received: number;
  /** Messages sent. */
  sent: number;
  /** Characters of JSON, both ways. */
  characters: number;
  /** Latencies of live events, in milliseconds, in order of arrival. */
  readonly latencies: number[];
}

/** What of a recording to look at. */
export interface Filter {
  /** Must be part of the type, the channel or the JSON; case does not matter. */
  readonly text: string;
  /** Received or sent. */
  readonly direction: "in" | "out" | "both";
}

/** A recording as JSON. */
export interface Exported {
  /** Always {@link FORMAT}. */
  readonly format: typeof FORMAT;
  /** ISO 8601. */
  readonly exportedAt: string;
  /** State of the connection. */
  readonly state: unknown;
  /** The messages, oldest first. */
  readonly messages: readonly Recorded[];
}

/** The last messages of a connection. */
export class Recording {
  /**
   * Reads what {@link Recording.export} gave, as JSON.
   *
   * @throws {TypeError} it is something else, is too long, or states of a message
   * what cannot be; the text is for a person.
   */
  static read(json: string): Recording {
    if (json.length > MAX_IMPORTED_CHARACTERS) {
      throw new TypeError("The file is too long for a recording.");
    }
    const recording = new Recording();
    for (const [index, message] of messagesIn(json).entries()) {
      if (!isRecorded(message)) {
        throw new TypeError(
          `Message ${index + 1} of the recording is damaged.`,
        );
      }
      recording.add({ ...message, length: JSON.stringify(message).length });
    }
    return recording;
  }

  #messages: Recorded[] = [];
  readonly #seconds: Second[] = [];
  #characters = 0;
  #number = 0;
  #wireBytes = 0;
  #textBytes = 0;

  /** Bytes received, as they arrived; estimated from characters for text. */
  get wireBytes(): number {
    return this.#wireBytes;
  }

  /** The same before compression, estimated from characters. */
  get textBytes(): number {
    return this.#textBytes;
  }

  /** Oldest first, at most {@link MAX_RECORDED}. */
  get messages(): readonly Recorded[] {
    return this.#messages;
  }

  /** Oldest first, at most {@link MAX_SECONDS}; quiet ones are left out. */
  get seconds(): readonly Second[] {
    return this.#seconds;
  }

  /** Messages ever recorded. */
  get total(): number {
    return this.#number;
  }

  /**
   * Records a frame.
   *
   * @param tapped as the client gave it.
   * @param clockOffsetMs the server's clock minus this one.
   */
  add(
    { direction, frame, at, length, wireBytes = length }: TappedFrame,
    clockOffsetMs = 0,
  ): void {
    const second = this.#secondOf(at);
    if (direction === "in") {
      this.#wireBytes += wireBytes;
      this.#textBytes += length;
    }
    second.characters += length;
    const messages = messagesOf(frame);
    for (const message of messages) {
      if (direction === "in") second.received++;
      else second.sent++;
      const latency = at + clockOffsetMs - Date.parse(text(message.timestamp));
      const live = message.replay !== true && text(message.channel) !== "";
      if (
        direction === "in" && live && !Number.isNaN(latency) &&
        second.latencies.length < MAX_LATENCIES_PER_SECOND
      ) second.latencies.push(Math.max(0, latency));
      this.#keep({
        number: ++this.#number,
        at,
        direction,
        type: text(message.type),
        channel: text(message.channel),
        length: Math.round(length / messages.length),
        frame: message,
      });
    }
  }

  /** The messages that pass `filter`, newest first, at most `limit`. */
  matching({ text: part, direction }: Filter, limit: number): Recorded[] {
    const wanted = part.trim().toLowerCase();
    const found: Recorded[] = [];
    for (let i = this.#messages.length; i-- > 0 && found.length < limit;) {
      const message = this.#messages[i]!;
      if (direction !== "both" && message.direction !== direction) continue;
      if (wanted === "" || mentions(message, wanted)) found.push(message);
    }
    return found;
  }

  /** Forgets the messages; measurements stay. */
  clear(): void {
    this.#messages = [];
    this.#characters = 0;
  }

  /**
   * Mean messages a second over the seconds before `now`, the running one
   * left out.
   *
   * @param now epoch milliseconds.
   */
  throughput(now: number, seconds = 5): { received: number; sent: number } {
    const end = Math.floor(now / 1000);
    let received = 0;
    let sent = 0;
    for (const each of this.#seconds) {
      if (each.second < end && each.second >= end - seconds) {
        received += each.received;
        sent += each.sent;
      }
    }
    return { received: received / seconds, sent: sent / seconds };
  }

  /** Middle, 95th of 100 and longest latency of the last `seconds`. */
  latency(
    now: number,
    seconds = 30,
  ): { p50: number; p95: number; max: number } | undefined {
    const start = now / 1000 - seconds;
    const all = this.#seconds.filter(({ second }) => second >= start)
      .flatMap(({ latencies }) => latencies)
      .sort((a, b) => a - b);
    if (all.length === 0) return undefined;
    const rank = (share: number) =>
      all[Math.min(all.length - 1, Math.ceil(all.length * share) - 1)]!;
    return { p50: rank(0.5), p95: rank(0.95), max: all.at(-1)! };
  }

  /** The recording as JSON, with the state of the connection. */
  export(state: unknown, now: number): Exported {
    return {
      format: FORMAT,
      exportedAt: new Date(now).toISOString(),
      state,
      messages: [...this.#messages],
    };
  }

  #keep(message: Recorded): void {
    this.#messages.push(message);
    this.#characters += message.length;
    let drop = Math.max(0, this.#messages.length - MAX_RECORDED);
    for (let i = 0; i < drop; i++) {
      this.#characters -= this.#messages[i]!.length;
    }
    while (
      this.#characters > MAX_RECORDED_CHARACTERS &&
      drop < this.#messages.length
    ) this.#characters -= this.#messages[drop++]!.length;
    if (drop > 0) this.#messages.splice(0, drop);
  }

  #secondOf(at: number): Second {
    const second = Math.floor(at / 1000);
    const last = this.#seconds.at(-1);
    if (last && last.second >= second) return last;
    const next = {
      second,
      received: 0,
      sent: 0,
      characters: 0,
      latencies: [],
    };
    this.#seconds.push(next);
    if (this.#seconds.length > MAX_SECONDS) this.#seconds.shift();
    return next;
  }
}

function messagesOf(
  frame: Readonly<Record<string, unknown>>,
): readonly Readonly<Record<string, unknown>>[] {
  const { updates } = (frame.payload ?? {}) as { updates?: unknown };
  if (frame.type !== "BATCH_UPDATE" || !Array.isArray(updates)) return [frame];
  return updates.length === 0 ? [frame] : updates;
}

function messagesIn(json: string): unknown[] {
  let exported: Partial<Exported> | null = null;
  try {
    exported = JSON.parse(json);
  } catch {
    // What is no JSON is no recording either.
  }
  if (exported?.format !== FORMAT || !Array.isArray(exported.messages)) {
    throw new TypeError("The file is not a recording of this toolbar.");
  }
  return exported.messages;
}

function isRecorded(
  message: unknown,
): message is Pick<Recorded, "at" | "direction" | "frame"> {
  const { at, direction, frame } = Object(message);
  return Number.isFinite(at) && Math.abs(at) <= MAX_DATE_MS &&
    (direction === "in" || direction === "out") &&
    typeof frame?.type === "string";
}

function mentions({ type, channel, frame }: Recorded, wanted: string): boolean {
  return type.toLowerCase().includes(wanted) ||
    channel.toLowerCase().includes(wanted) ||
    JSON.stringify(frame).toLowerCase().includes(wanted);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
