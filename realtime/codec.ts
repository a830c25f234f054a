/**
 * How one connection's frames are written and read. A codec is chosen when the
 * connection opens; streams and outboxes hold entries, never encoded text.
 *
 * @module
 */
import type { ClientFrame } from "../protocol/decode.ts";
import type { FrameRights } from "../protocol/frame_rights.ts";
import type { FrameOptions, ReplyFrame } from "../protocol/encode.ts";
import type { Entry } from "../store/entry.ts";

/** One frame on the wire: text or binary. */
export type Frame = string | Uint8Array<ArrayBuffer>;

/** What one subscription adds to an event that all subscribers share. */
export interface Marks {
  /** The event comes from history rather than live. */
  readonly replay?: true;
  /** Of filtered subscriptions: up to where everything was sent before. */
  readonly prev?: number;
  /** Name of the filtered subscription, where it has one. */
  readonly sub?: string | undefined;
}

/** The marks of an event from history. */
export const REPLAY: Marks = { replay: true };

/** An event of a batch, with its marks for the receiver. */
export interface MarkedEntry {
  /** The event. */
  readonly entry: Entry;
  /** Its marks; `undefined` for an unmarked event. */
  readonly marks: Marks | undefined;
}

/** One part of a batch: an event or a reply. */
export type Part = MarkedEntry | ReplyFrame;

/** Writes frames for a client, and reads its frames. */
export interface Codec {
  /**
   * Encodes one event as a frame.
   *
   * A codec whose encoding costs something keeps the unmarked result for as
   * long as the entry lives, so that it encodes once for all subscribers.
   *
   * @param marks what this subscription adds; absent for a live event.
   */
  event(entry: Entry, marks?: Marks): Frame;
  /**
   * Encodes several events or replies as one frame. The caller shares the
   * result among all subscribers at the same position of a stream.
   *
   * @param parts at least two, in the order the client reads them.
   * @param envelope of the frame that holds them.
   */
  batch(parts: readonly Part[], envelope: FrameOptions): Frame;
  /**
   * Encodes frames that one client alone receives, where this codec's cost is
   * worth it for several only; absent when it is this codec.
   */
  readonly unshared?: Codec;
  /** Encodes one reply as a frame. */
  reply(reply: ReplyFrame): Frame;
  /**
   * Decodes one frame of the client.
   *
   * @param data what the socket delivered: text or an `ArrayBuffer`.
   * @param maxBytes longest frame accepted, in bytes.
   * @param rights of its sender, asked before its content is looked at.
   * @throws {Refusal} as `decode` in `protocol/decode.ts`.
   */
  decode(data: unknown, maxBytes: number, rights?: FrameRights): ClientFrame;
  /**
   * Reads the `id` of a frame that is refused undecoded, if that is cheap.
   *
   * @param data what the socket delivered.
   */
  glance(data: unknown): string | undefined;
}

/** Whether `part` is an event. */
export function isEvent(part: Part): part is MarkedEntry {
  return "entry" in part;
}
