/**
 * Frames as raw DEFLATE of their JSON text, each compressed once for all
 * subscribers that receive it.
 *
 * The platform's compressor is the fastest but ignores a preset dictionary, so
 * it compresses long frames, which repeat themselves enough; a library
 * compresses short ones, where the dictionary is most of the gain. An inflater
 * that has the dictionary reads both.
 *
 * @module
 * @see {@link https://www.rfc-editor.org/rfc/rfc1951}
 */
import { deflateSync } from "fflate";
import { deflateRawSync } from "node:zlib";
import type { FrameOptions, ReplyFrame } from "../protocol/encode.ts";
import type { Entry } from "../store/entry.ts";
import { isEvent } from "./codec.ts";
import type { Codec, Frame, Marks, Part } from "./codec.ts";
import type { CompressionBudget } from "./compression_budget.ts";
import { JSON_CODEC } from "./json_codec.ts";

/** Shorter texts are not compressed, in UTF-16 units. */
export const MIN_TEXT_LENGTH = 128;
/**
 * Texts from this length on are compressed by the platform, without the
 * dictionary. Measured with the simulator's events: at 8 KB 0.21 of the bytes
 * in 40 us, against 0.19 in 140 us with it; at 24 KB 0.15 in 70 us against 230.
 */
export const LONG_TEXT_LENGTH = 8 * 1024;
/**
 * Level for long texts. Measured with joined frames of 200 KB: level 1 makes
 * 0.15 of the bytes in 0.2 ms, level 3 0.10 in 0.4 ms, level 6 0.09 in 0.7 ms.
 */
const LONG_LEVEL = 3;
/**
 * Level and memory for short texts. Measured with events of 790 bytes: 0.35 of
 * the bytes in 45 us; lower levels are no faster and more memory is slower.
 */
const SHORT = { level: 3, mem: 0 } as const;

/** A compressed frame, with its length as text. */
export class DeflatedFrame extends Uint8Array<ArrayBuffer> {
  /** Length of the uncompressed text, in bytes. */
  textBytes = 0;
}

/** Writes shared frames as raw DEFLATE, and all others as text. */
export class DeflateCodec implements Codec {
  readonly #budget: CompressionBudget;
  readonly #dictionary: Uint8Array<ArrayBuffer> | undefined;
  /** Compressed form of each event, garbage collected with the event. */
  readonly #events = new WeakMap<Entry, Frame>();
  /** Frames for a single client stay text: no other client shares their cost. */
  readonly unshared: Codec = JSON_CODEC;

  /**
   * A codec for the clients that hold `dictionary`.
   *
   * @param budget bounds what one turn compresses; more is text.
   * @param dictionary absent for clients whose inflater supports none.
   */
  constructor(
    budget: CompressionBudget,
    dictionary?: Uint8Array<ArrayBuffer>,
  ) {
    this.#budget = budget;
    this.#dictionary = dictionary;
  }

  /** Deflates a live event once; one with marks is for few clients, and text. */
  event(entry: Entry, marks?: Marks): Frame {
    if (marks !== undefined) return JSON_CODEC.event(entry, marks);
    let frame = this.#events.get(entry);
    if (frame === undefined) {
      frame = this.#deflated(entry.json);
      this.#events.set(entry, frame);
    }
    return frame;
  }

  /** Deflates joined events; replies are for a single client and stay text. */
  batch(parts: readonly Part[], envelope: FrameOptions): Frame {
    const text = JSON_CODEC.batch(parts, envelope) as string;
    return parts.every(isEvent) ? this.#deflated(text) : text;
  }

  /** Text: it may hold the client's identity, and only that client receives it. */
  reply(reply: ReplyFrame): Frame {
    return JSON_CODEC.reply(reply);
  }

  /** As JSON: frames from clients are never inflated. */
  decode(...frame: Parameters<Codec["decode"]>): ReturnType<Codec["decode"]> {
    return JSON_CODEC.decode(...frame);
  }

  /** As JSON. */
  glance(data: unknown): string | undefined {
    return JSON_CODEC.glance(data);
  }

  /** The text, deflated if that makes it shorter and the turn has time. */
  #deflated(text: string): Frame {
    if (text.length < MIN_TEXT_LENGTH) return text;
    const bytes = new TextEncoder().encode(text);
    const { byteLength } = bytes;
    const made = this.#budget.spend(
      byteLength,
      () => this.#deflate(bytes, text.length),
    );
    if (!made || made.byteLength >= byteLength) return text;
    // A copy: the platform's result is part of a larger buffer.
    const frame = new DeflatedFrame(new ArrayBuffer(made.byteLength));
    frame.set(made);
    frame.textBytes = byteLength;
    return frame;
  }

  #deflate(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array {
    if (length >= LONG_TEXT_LENGTH) {
      return deflateRawSync(bytes, { level: LONG_LEVEL });
    }
    const dictionary = this.#dictionary;
    return deflateSync(bytes, dictionary ? { ...SHORT, dictionary } : SHORT);
  }
}
