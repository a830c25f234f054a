/**
 * One channel in one isolate.
 *
 * @module
 */
import { asReplay, encodeBatch } from "../protocol/encode.ts";
import type { FrameOptions } from "../protocol/encode.ts";
import { UNBORN_EPOCH } from "../store/event_log.ts";
import type { Entry, LoggedEntry } from "../store/entry.ts";
import type { Head } from "../store/event_log.ts";

/** Newest events a stream keeps encoded, in number. */
export const RING_EVENTS = 1_024;
/** Newest events a stream keeps encoded, in UTF-16 units. */
export const RING_LENGTH = 4 * 1024 * 1024;
/** Most events held back while an earlier one is missing. */
export const MAX_HELD = 2_048;
/** Most events joined into one frame. */
export const FRAME_EVENTS = 256;
/** Joined frames end after so many UTF-16 units, never before one event. */
export const FRAME_LENGTH = 128 * 1024;
/** Frames kept joined for subscribers who stand at the same place. */
export const MAX_FRAMES = 16;

/** A subscriber's place in a stream: all that a slow one costs. */
export interface Cursor {
  /** Last number handed to the subscriber. */
  seq: number;
  /** The log that `seq` counts in. */
  epoch: string;
  /** Up to here events are history to this subscriber. */
  replayUntil: number;
  /** Whether it takes events at its own pace instead of as they come. */
  behind: boolean;
  /** Takes what is due, as far as the socket lets it. Must not throw. */
  advance(): void;
}

/** One event or several, as one frame. */
export interface Frame {
  /** What to send. */
  readonly text: string;
  /** The number of the last event in it. */
  readonly seq: number;
}

/** A frame, and whom it serves. */
interface Joined extends Frame {
  /** Where its subscribers stand. */
  readonly after: number;
  /** Where what it may hold ends. */
  readonly last: number;
  /** Whether it is history to them. */
  readonly replay: boolean;
}

/** Handing out, from one subscriber to the next. */
interface Round {
  /** What was newest when it began. */
  readonly upTo: number;
  /** Those who are still to be served. */
  readonly cursors: Iterator<Cursor, undefined>;
}

/**
 * The newest events of one channel, encoded, contiguous by construction: an
 * event that does not follow the last is held back until those between came.
 */
export class Stream {
  /** Canonical name of the channel. */
  readonly channel: string;
  /** Whether events carry numbers and are kept in the log. */
  readonly logged: boolean;
  /** Those who are to be handed events. */
  readonly cursors: Set<Cursor> = new Set();
  readonly #envelope: () => FrameOptions;
  readonly #capacity: number;
  readonly #ring: (Entry | undefined)[] = [];
  readonly #held = new Map<number, Entry>();
  readonly #frames: Joined[] = [];
  #round: Round | undefined;
  #epoch: string;
  #seq: number;
  #first: number;
  #flushed: number;
  #length = 0;

  /**
   * Begins at the log's head, with nothing in memory.
   *
   * @param channel canonical name.
   * @param options `logged`: as the field; `head`: of the log; `envelope`:
   * fields for joined frames; `ringEvents`: {@link RING_EVENTS} if absent.
   */
  constructor(
    channel: string,
    { logged, head, envelope, ringEvents = RING_EVENTS }: {
      logged: boolean;
      head: Head;
      envelope: () => FrameOptions;
      ringEvents?: number;
    },
  ) {
    this.channel = channel;
    this.logged = logged;
    this.#envelope = envelope;
    this.#capacity = ringEvents;
    this.#epoch = head.epoch;
    this.#seq = head.seq;
    this.#first = head.seq + 1;
    this.#flushed = head.seq;
  }

  /** Identity of the log. */
  get epoch(): string {
    return this.#epoch;
  }

  /** Newest number, everything before it delivered or on its way. */
  get seq(): number {
    return this.#seq;
  }

  /** Oldest number that is still in memory; one past `seq` when none is. */
  get first(): number {
    return this.#first;
  }

  /** Whether events are held back because an earlier one is missing. */
  get waits(): boolean {
    return this.#held.size > 0;
  }

  /**
   * Takes an event, from whatever way it came.
   *
   * @returns `"taken"` when it was next (and perhaps brought held ones along),
   * `"held"` when earlier ones are missing, `"known"` when it is an old one,
   * `"foreign"` when it belongs to another log of this name.
   */
  offer(
    entry: LoggedEntry,
  ): "taken" | "held" | "known" | "foreign" {
    const { epoch, seq } = entry;
    if (epoch !== this.#epoch) {
      // The first event of a channel that had none names its log.
      if (this.#epoch !== UNBORN_EPOCH || seq !== 1) return "foreign";
      this.#epoch = epoch;
      // Who still stands in an older log has to be told of the change.
      for (const cursor of this.cursors) {
        if (cursor.epoch === UNBORN_EPOCH) cursor.epoch = epoch;
      }
    }
    if (seq <= this.#seq) return "known";
    if (seq > this.#seq + 1) {
      if (this.#held.size < MAX_HELD) this.#held.set(seq, entry);
      return "held";
    }
    this.#push(entry);
    for (let next; (next = this.#held.get(this.#seq + 1)) !== undefined;) {
      this.#held.delete(this.#seq + 1);
      this.#push(next);
    }
    return "taken";
  }

  /** Takes an event of a channel without retention. */
  pass(entry: Entry): void {
    this.#push(entry);
  }

  /**
   * Leaps to a place the ring cannot reach: what the log no longer holds, or
   * a new log. Subscribers find out on their own what they missed.
   */
  resetTo({ epoch, seq }: Head): void {
    this.#epoch = epoch;
    this.#seq = seq;
    this.#first = seq + 1;
    this.#flushed = seq;
    this.#ring.length = 0;
    this.#length = 0;
    this.#held.clear();
    this.#frames.length = 0;
    this.#round = undefined;
  }

  /** Whether some who keep up have yet to be handed what is new. */
  get isDue(): boolean {
    return this.#round !== undefined || this.#flushed < this.#seq;
  }

  /**
   * Hands what is new to those who keep up, going on where it stopped before.
   *
   * @param most subscribers to look at, all when omitted; others may be served
   * before the rest.
   * @returns how many events are new to all of them since the last time; 0
   * while some have yet to be served.
   */
  flush(most = Infinity): number {
    // A subscriber may come or leave meanwhile: a Set iterates safely over
    // its own changes.
    this.#round ??= { upTo: this.#seq, cursors: this.cursors.values() };
    const { upTo, cursors } = this.#round;
    for (let seen = 0; seen < most; seen++) {
      const { value: cursor, done } = cursors.next();
      if (done) return this.#end(upTo);
      if (!cursor.behind) cursor.advance();
    }
    return 0;
  }

  /** The encoded event `seq`, which must lie between `first` and `seq`. */
  textOf(seq: number, replay: boolean): string {
    const { json } = this.#ring[seq % this.#capacity]!;
    return replay ? asReplay(json) : json;
  }

  /**
   * The frame after `seq` for clients that take several events in one: joined
   * once, shared by all who stand at the same place.
   *
   * @param seq at least `first - 1` and below the stream's own.
   * @param replayUntil where history ends for this subscriber.
   */
  frameAfter(seq: number, replayUntil: number): Frame {
    const replay = seq < replayUntil;
    const last = replay ? Math.min(replayUntil, this.#seq) : this.#seq;
    const known = this.#frames.findLast((frame) =>
      frame.after === seq && frame.last === last && frame.replay === replay
    );
    if (known) return known;
    const texts: string[] = [];
    let length = 0;
    let at = seq;
    while (at < last && texts.length < FRAME_EVENTS && length < FRAME_LENGTH) {
      const text = this.textOf(++at, replay);
      texts.push(text);
      length += text.length;
    }
    const text = texts.length === 1
      ? texts[0]!
      : encodeBatch(texts, this.#envelope());
    const frame = { text, seq: at, after: seq, last, replay };
    this.#frames.push(frame);
    if (this.#frames.length > MAX_FRAMES) this.#frames.shift();
    return frame;
  }

  #end(upTo: number): number {
    this.#round = undefined;
    const fresh = Math.max(0, upTo - this.#flushed);
    this.#flushed = upTo;
    return fresh;
  }

  #push(entry: Entry): void {
    this.#frames.length = 0;
    this.#seq++;
    if (this.#seq - this.#first >= this.#capacity) this.#forget();
    this.#ring[this.#seq % this.#capacity] = entry;
    this.#length += entry.json.length;
    while (this.#length > RING_LENGTH && this.#first < this.#seq) {
      this.#forget();
    }
  }

  #forget(): void {
    const slot = this.#first++ % this.#capacity;
    this.#length -= this.#ring[slot]!.json.length;
    this.#ring[slot] = undefined;
  }
}
