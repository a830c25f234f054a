/**
 * The codec of one connection writes and reads its frames. It is chosen when
 * the connection opens; streams and outboxes hold entries, never encoded text.
 *
 * @module
 */
import type { ClientFrame } from "../protocol/decode.ts";
import type { FrameRights } from "../protocol/frame_rights.ts";
import type { FrameOptions, ReplyFrame } from "../protocol/encode.ts";
import type { Entry } from "../store/entry.ts";

/** One frame on the wire: text or binary. */
export type Frame = string | Uint8Array<ArrayBuffer>;

/** Fields that one subscription adds to an event shared by all subscribers. */
export interface Marks {
  /** The event is replayed from history, not live. */
  readonly replay?: true;
  /** In filtered subscriptions: every match up to this number was sent before. */
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
   * A codec whose encoding is costly caches the unmarked result with the entry,
   * so that it encodes once for all subscribers.
   *
   * @param marks fields of this subscription; absent for a live event.
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
   * Encodes frames for a single client, where this codec's cost is worth it only
   * for several clients; absent when this codec encodes them itself.
   */
  readonly unshared?: Codec;
  /** Encodes one reply as a frame. */
  reply(reply: ReplyFrame): Frame;
  /**
   * Decodes one frame of the client.
   *
   * @param data the data of the socket's event: text or an `ArrayBuffer`.
   * @param maxBytes longest frame accepted, in bytes.
   * @param rights of its sender, checked before its content.
   * @throws {Refusal} as `decode` in `protocol/decode.ts`.
   */
  decode(data: unknown, maxBytes: number, rights?: FrameRights): ClientFrame;
  /**
   * Reads the `id` of a frame that is refused without decoding, if that is cheap.
   *
   * @param data the data of the socket's event.
   */
  glance(data: unknown): string | undefined;
}

/** Whether `part` is an event. */
export function isEvent(part: Part): part is MarkedEntry {
  return "entry" in part;
}
