/**
 * Frames as Server-Sent Events. Each event's `id` contains the positions that an
 * `EventSource` sends back, so every connection has its own codec.
 *
 * @module
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html}
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Entry } from "../store/entry.ts";
import type { Codec, Marks, Part } from "./codec.ts";
import { isEvent } from "./codec.ts";
import type { FrameOptions, ReplyFrame } from "../protocol/encode.ts";
import { JSON_CODEC } from "./json_codec.ts";
import type { SseCursor } from "./sse_cursor.ts";

/** Replies that carry an `id`, because they name positions. */
const WITH_ID: ReadonlySet<string> = new Set(["subscribed", "gap", "progress"]);

/** Writes one connection's frames as Server-Sent Events. */
export class SseCodec implements Codec {
  readonly #cursor: SseCursor;

  /** Advances `cursor` with every event it encodes. */
  constructor(cursor: SseCursor) {
    this.#cursor = cursor;
  }

  /** An unnamed event with an `id`; without retention one named by its type. */
  event(entry: Entry, marks?: Marks): string {
    const { channel, epoch, seq, type } = entry;
    const data = JSON_CODEC.event(entry, marks);
    if (epoch === undefined || seq === undefined) {
      return `event: ${type}\ndata: ${data}\n\n`;
    }
    this.#cursor.move(channel, { epoch, seq });
    return `${this.#id()}data: ${data}\n\n`;
  }

  /** Concatenates the events: the format needs no enclosing frame. */
  batch(parts: readonly Part[], _envelope: FrameOptions): string {
    return parts.map((part) =>
      isEvent(part) ? this.event(part.entry, part.marks) : this.reply(part)
    ).join("");
  }

  /** An event named by the reply's type. */
  reply(reply: ReplyFrame): string {
    if (reply.type === "subscribed") this.#cursor.begin(reply.payload.channels);
    if (reply.type === "progress") {
      for (const { channel, epoch, seq } of reply.payload.positions) {
        this.#cursor.move(channel, { epoch, seq });
      }
    }
    const retry = reply.type === "draining"
      ? retryLine(reply.payload.retryInMs)
      : "";
    // An EventSource names failures of its connection "error".
    const name = reply.type === "error" ? "refused" : reply.type;
    const id = WITH_ID.has(reply.type) ? this.#id() : "";
    const data = JSON_CODEC.reply(reply);
    return `${retry}event: ${name}\n${id}data: ${data}\n\n`;
  }

  /** Refuses frames of a client. @throws {Refusal} always: the format is one-way. */
  decode(): never {
    throw new Refusal("INVALID_MESSAGE", "This connection only receives");
  }

  /** Returns nothing: the format is one-way. */
  glance(): undefined {
    return undefined;
  }

  #id(): string {
    const id = this.#cursor.id();
    return id === "" ? "" : `id: ${id}\n`;
  }
}

/**
 * Makes an `EventSource` wait before it reconnects.
 *
 * @param ms milliseconds.
 */
export function retryLine(ms: number): string {
  return `retry: ${Math.round(ms)}\n`;
}
