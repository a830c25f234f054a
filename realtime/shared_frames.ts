/**
 * Joined frames that several subscribers receive, each encoded once.
 *
 * @module
 */
import type { FrameOptions } from "../protocol/encode.ts";
import { REPLAY } from "./codec.ts";
import type { Codec, Frame } from "./codec.ts";
import type { Entry } from "../store/entry.ts";

/** Most events joined into one frame. */
export const FRAME_EVENTS = 256;
/**
 * UTF-16 units of their events' JSON after which joined frames end, never
 * before one event.
 */
export const FRAME_LENGTH = 128 * 1024;
/** Joined frames kept for other subscribers at the same position. */
export const MAX_FRAMES = 16;

/** Several events as one frame, or one alone. */
export interface JoinedFrame {
  /** What to send. */
  readonly frame: Frame;
  /** The number of the last event in it. */
  readonly seq: number;
}

/** A joined frame, and which subscribers it serves. */
interface Shared extends JoinedFrame {
  /** Their codec. */
  readonly codec: Codec;
  /** Their position. */
  readonly after: number;
  /** The last event that it may hold. */
  readonly last: number;
  /** Whether it is history to them. */
  readonly replay: boolean;
  /** Whether it is encoded for several subscribers. */
  readonly isShared: boolean;
}

/** The newest frames of one source of events, by position and codec. */
export class SharedFrames {
  readonly #envelope: () => FrameOptions;
  readonly #frames: Shared[] = [];

  /** Empty; `envelope` names new frames. */
  constructor(envelope: () => FrameOptions) {
    this.#envelope = envelope;
  }

  /** Forgets all. */
  clear(): void {
    // Setting the length of an empty array costs more than asking for it.
    if (this.#frames.length > 0) this.#frames.length = 0;
  }

  /**
   * The frame after `after`, as full as may be.
   *
   * @param codec how to encode it.
   * @param after number of the event before it.
   * @param last the last event that it may hold, above `after`.
   * @param replay whether it is history to the subscriber.
   * @param entryAt the event of a number; `undefined` where there is none,
   * which ends the frame. There is one after `after`.
   */
  after(
    codec: Codec,
    after: number,
    last: number,
    replay: boolean,
    entryAt: (seq: number) => Entry | undefined,
  ): JoinedFrame {
    const known = this.#known(codec, after, last, replay);
    if (known?.isShared) return known;
    // Only a second subscriber shows that a frame of history is shared.
    const isFirst = replay && !known && codec.unshared !== undefined;
    const encoder = isFirst ? codec.unshared : codec;
    const marks = replay ? REPLAY : undefined;
    const seq = endOfFrame(after, last, entryAt);
    const parts = Array.from(
      { length: seq - after },
      (_, i) => ({ entry: entryAt(after + 1 + i)!, marks }),
    );
    const frame = parts.length === 1
      ? encoder.event(parts[0]!.entry, marks)
      : encoder.batch(parts, this.#envelope());
    const isShared = !isFirst;
    const shared = { frame, codec, seq, after, last, replay, isShared };
    if (known) this.#frames.splice(this.#frames.indexOf(known), 1);
    this.#frames.push(shared);
    if (this.#frames.length > MAX_FRAMES) this.#frames.shift();
    return shared;
  }

  /** The joined frame that serves a position, the newest first. */
  #known(
    codec: Codec,
    after: number,
    last: number,
    replay: boolean,
  ): Shared | undefined {
    for (let i = this.#frames.length; i-- > 0;) {
      const it = this.#frames[i]!;
      if (
        it.after === after && it.codec === codec && it.last === last &&
        it.replay === replay
      ) return it;
    }
    return undefined;
  }
}

/**
 * The number of the last event that fits a frame.
 *
 * @param after number of the event before the frame.
 * @param last the last event that it may hold.
 * @param entryAt the event of a number; `undefined` ends the frame.
 */
export function endOfFrame(
  after: number,
  last: number,
  entryAt: (seq: number) => Entry | undefined,
): number {
  const most = Math.min(last, after + FRAME_EVENTS);
  let length = 0;
  let seq = after;
  while (seq < most && length < FRAME_LENGTH) {
    const entry = entryAt(seq + 1);
    if (!entry) break;
    length += entry.json.length;
    seq++;
  }
  return seq;
}
