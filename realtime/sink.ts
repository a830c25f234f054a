/**
 * The output of one client: encodes frames, and joins those due in the same
 * turn if the client allows it.
 *
 * @module
 */
import type { FrameOptions, ReplyFrame } from "../protocol/encode.ts";
import type { Clock } from "../platform/clock.ts";
import type { Codec, Frame, MarkedEntry } from "./codec.ts";
import { FRAME_EVENTS } from "./shared_frames.ts";

/** Most unsent bytes of a socket: beyond them nothing more is sent. */
export const HIGH_WATER_BYTES = 256 * 1024;

/** The part of a WebSocket that an outbox uses. */
export interface Peer {
  /** Bytes accepted but not yet passed to the network. */
  readonly bufferedAmount: number;
  /** Whether it is at least `bytes`; absent where reading it costs nothing. */
  holds?(bytes: number): boolean;
  /** Sends one frame; does nothing once closed. */
  send(frame: Frame): void;
}

/** Parts that a sink needs. */
export interface SinkParts {
  /** Time, for the end of a turn. */
  readonly clock: Clock;
  /** Envelope fields for frames made here. */
  readonly envelope: () => FrameOptions;
  /** Called with every frame sent. */
  readonly sent?: ((frame: Frame) => void) | undefined;
}

/** Sends frames to one client. */
export class Sink {
  /** How its frames are encoded. */
  codec: Codec;
  readonly #peer: Peer;
  readonly #parts: SinkParts;
  #batch = false;
  #replies: ReplyFrame[] = [];

  /** Sends to `peer` as `codec` encodes. */
  constructor(peer: Peer, codec: Codec, parts: SinkParts) {
    this.#peer = peer;
    this.codec = codec;
    this.#parts = parts;
  }

  /** Whether frames due together may be joined; else none ever waits. */
  get batch(): boolean {
    return this.#batch;
  }

  set batch(batch: boolean) {
    if (!batch) this.flush();
    this.#batch = batch;
  }

  /** Bytes accepted but not yet passed to the network. */
  get buffered(): number {
    return this.#peer.bufferedAmount;
  }

  /** Whether the socket accepts no more events now. */
  get isFull(): boolean {
    return this.#peer.holds?.(HIGH_WATER_BYTES) ??
      this.#peer.bufferedAmount >= HIGH_WATER_BYTES;
  }

  /** Sends a reply, joined with others of the same turn if allowed. */
  reply(reply: ReplyFrame): void {
    if (!this.#batch) return this.put(this.codec.reply(reply));
    this.#replies.push(reply);
    if (this.#replies.length === 1) {
      this.#parts.clock.soon(() => this.flush());
    } else if (this.#replies.length === FRAME_EVENTS) this.flush();
  }

  /** Whether replies wait to be joined with others of the same turn. */
  get waits(): boolean {
    return this.#replies.length > 0;
  }

  /** Sends a frame, after earlier replies. */
  send(frame: Frame): void {
    if (this.waits) this.flush();
    this.put(frame);
  }

  /** Sends events for this client alone as one frame, after earlier replies. */
  events(parts: readonly MarkedEntry[]): void {
    const [first] = parts;
    if (!first) return;
    const { unshared: codec = this.codec } = this.codec;
    this.send(
      parts.length === 1
        ? codec.event(first.entry, first.marks)
        : codec.batch(parts, this.#parts.envelope()),
    );
  }

  /** Sends the replies that wait to be joined. */
  flush(): void {
    const replies = this.#replies;
    if (replies.length === 0) return;
    this.#replies = [];
    this.put(
      replies.length === 1
        ? this.codec.reply(replies[0]!)
        : this.codec.batch(replies, this.#parts.envelope()),
    );
  }

  /** Drops the replies that wait to be joined. */
  clear(): void {
    this.#replies = [];
  }

  /** Sends a frame; nothing may {@link waits}. */
  put(frame: Frame): void {
    this.#peer.send(frame);
    this.#parts.sent?.(frame);
  }
}
