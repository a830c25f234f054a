/**
 * One channel in one instance.
 *
 * @module
 */
import type { FrameOptions } from "../protocol/encode.ts";
import type { Entry, LoggedEntry } from "../store/entry.ts";
import { UNBORN_EPOCH } from "../store/event_log.ts";
import type { Head } from "../store/event_log.ts";
import { channelNamed } from "../protocol/channels.ts";
import { filterFields } from "../protocol/filters.ts";
import { isCarriedBy } from "../protocol/messages.ts";
import type { Codec } from "./codec.ts";
import type { Cursor, FilteredCursor } from "./cursor.ts";
import { FilteredCursors } from "./filtered_cursors.ts";
import type { Matches } from "./filtered_cursors.ts";
import { endOfFrame, SharedFrames } from "./shared_frames.ts";
import type { JoinedFrame } from "./shared_frames.ts";

/** Newest events a stream keeps in memory, in number. */
export const RING_EVENTS = 1_024;
/** Newest events a stream keeps in memory, in UTF-16 units of their JSON. */
export const RING_LENGTH = 4 * 1024 * 1024;
/** Most events held while an earlier one is missing. */
export const MAX_HELD = 2_048;
/** One pass over the subscribers, possibly in several turns. */
interface Round {
  /** Subscribers that have not been served yet. */
  readonly cursors: Iterator<Cursor, undefined>;
  /** Filtered ones, served after them; absent when there are none. */
  readonly matches?: Iterator<[FilteredCursor, Entry[]], undefined>;
}

/** A block whose events are all up to a number of the stream. */
export interface CompleteBlock {
  /** Number of the event that reports it. */
  readonly seq: number;
  /** Blocks above genesis. */
  readonly height: number;
  /** Its name. */
  readonly blockId: string;
}

/**
 * The newest events of one channel, contiguous by construction: an event that
 * does not follow the last is held until those between arrive.
 */
export class Stream {
  /** Canonical name of the channel. */
  readonly channel: string;
  /** Whether events carry numbers and are kept in the log. */
  readonly logged: boolean;
  /** Its subscribers to all events. */
  readonly cursors: Set<Cursor> = new Set();
  /** Its subscribers to events that match a filter. */
  readonly filtered: FilteredCursors;
  /** Whether its events name the blocks that are complete. */
  readonly #hasBlocks: boolean;
  readonly #capacity: number;
  readonly #ring: (Entry | undefined)[] = [];
  readonly #held = new Map<number, Entry>();
  readonly #frames: SharedFrames;
  readonly #entryAt = (seq: number) => this.entryAt(seq);
  #round: Round | undefined;
  #epoch: string;
  #seq: number;
  #first: number;
  #flushed: number;
  #until: number;
  #length = 0;
  #matched = 0;
  /** Whether filtered subscribers have to look for what is new themselves. */
  #moved = false;
  #complete: Entry | undefined;

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
    const { kind } = channelNamed(channel)!;
    this.filtered = new FilteredCursors(filterFields(kind).keys());
    this.#hasBlocks = isCarriedBy("BLOCK_COMPLETE", kind);
    this.#frames = new SharedFrames(envelope);
    this.#capacity = ringEvents;
    this.#epoch = head.epoch;
    this.#seq = head.seq;
    this.#first = head.seq + 1;
    this.#flushed = head.seq;
    this.#until = head.seq;
  }

  /** Identity of the log. */
  get epoch(): string {
    return this.#epoch;
  }

  /** Newest number; all before it were delivered or are being delivered. */
  get seq(): number {
    return this.#seq;
  }

  /** Oldest number that is still in memory; one past `seq` when none is. */
  get first(): number {
    return this.#first;
  }

  /** How many subscribers there are, filtered or not. */
  get subscribers(): number {
    return this.cursors.size + this.filtered.size;
  }

  /** Up to here every subscriber that keeps up was sent what concerns it. */
  get flushed(): number {
    return this.#flushed;
  }

  /** Events delivered to filtered subscribers by the last complete pass. */
  get matched(): number {
    return this.#matched;
  }

  /** The newest block known to be complete; `undefined` when none is. */
  get completeBlock(): CompleteBlock | undefined {
    if (this.#complete?.seq === undefined) return undefined;
    const { seq, json } = this.#complete;
    const { height, blockId } = JSON.parse(json).payload;
    return { seq, height, blockId };
  }

  /** Whether events are held because an earlier one is missing. */
  get waits(): boolean {
    return this.#held.size > 0;
  }

  /**
   * Takes an event of the log, from whichever way it arrived.
   *
   * @returns `"taken"` when it was next (and perhaps released held ones),
   * `"held"` when earlier ones are missing, `"known"` when it is an old one,
   * `"foreign"` when it belongs to another log of this name.
   */
  offer(entry: LoggedEntry): "taken" | "held" | "known" | "foreign" {
    const { epoch, seq } = entry;
    if (epoch !== this.#epoch) {
      // The first event of a channel that had none names its log.
      if (this.#epoch !== UNBORN_EPOCH || seq !== 1) return "foreign";
      this.#epoch = epoch;
      // A subscriber with a position in an older log is sent a gap later.
      for (const cursors of [this.cursors, this.filtered]) {
        for (const cursor of cursors) {
          if (cursor.epoch === UNBORN_EPOCH) cursor.epoch = epoch;
        }
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
   * Moves to a position the ring cannot reach: past what the log no longer
   * holds, or into a new log. Each subscriber then detects what it missed.
   */
  resetTo({ epoch, seq }: Head): void {
    for (const cursor of this.filtered) this.settle(cursor);
    this.#moved = true;
    this.#complete = undefined;
    this.#epoch = epoch;
    this.#seq = seq;
    this.#first = seq + 1;
    this.#flushed = seq;
    this.#until = seq;
    this.#ring.length = 0;
    this.#length = 0;
    this.#held.clear();
    this.#frames.clear();
    this.#round = undefined;
  }

  /**
   * Number up to which subscribers are sent what is new. While a pass over
   * them is under way it is the same for all, so that they share frames
   * even when further events arrive.
   */
  get until(): number {
    return this.#until;
  }

  /**
   * Whether the events not yet sent to subscribers fill half of the ring: those
   * that leave it must be read from the log for each subscriber.
   */
  get isCrowded(): boolean {
    const due = this.#seq - this.#flushed;
    const kept = this.#seq - this.#first + 1;
    return due > this.#capacity / 2 ||
      due / kept * this.#length > RING_LENGTH / 2;
  }

  /** Whether some subscribers that keep up have not been sent new events. */
  get isDue(): boolean {
    return this.#round !== undefined || this.#flushed < this.#seq;
  }

  /**
   * Delivers what is new to subscribers that keep up, continuing where it
   * stopped before. One pass delivers at most what one frame holds.
   *
   * @param most subscribers to visit, all when omitted; other streams may be
   * flushed before the rest.
   * @returns how many events were delivered to all of them since the last
   * time; 0 while some have yet to be served.
   */
  flush(most = Infinity): number {
    const round = this.#round ??= this.#begin();
    const { cursors } = round;
    for (let seen = 0; seen < most; seen++) {
      const { value: cursor, done } = cursors.next();
      if (done) return this.#flushMatches(round, most - seen);
      if (!cursor.behind) cursor.advance();
    }
    return 0;
  }

  /**
   * Moves a filtered subscriber to where it was sent everything that concerns
   * it: one that keeps up is not moved by events that do not.
   */
  settle(cursor: FilteredCursor): void {
    if (this.#moved || cursor.behind || cursor.epoch !== this.#epoch) return;
    cursor.seq = Math.max(cursor.seq, this.#flushed);
  }

  /** The event `seq`, which must lie between `first` and `seq`. */
  entryAt(seq: number): Entry {
    return this.#ring[seq % this.#capacity]!;
  }

  /**
   * The frame after `seq` for clients that take several events in one: encoded
   * once, shared by all subscribers of the codec at the same position.
   *
   * @param codec how to encode it.
   * @param seq at least `first - 1` and below {@link until}.
   * @param replayUntil where history ends for this subscriber.
   */
  frameAfter(codec: Codec, seq: number, replayUntil: number): JoinedFrame {
    const { until } = this;
    const replay = seq < replayUntil;
    const last = replay ? Math.min(replayUntil, until) : until;
    return this.#frames.after(codec, seq, last, replay, this.#entryAt);
  }

  #begin(): Round {
    this.#frames.clear();
    const kept = Math.max(this.#flushed, this.#first - 1);
    this.#until = endOfFrame(kept, this.#seq, this.#entryAt);
    // Subscribers may join or leave meanwhile: a Set iterates safely over its
    // own changes.
    const cursors = this.cursors.values();
    this.#matched = 0;
    if (this.filtered.size === 0) return { cursors };
    return { cursors, matches: this.#matches().entries() };
  }

  /** What is new up to {@link until}, for each subscriber that it concerns. */
  #matches(): Matches {
    const matches: Matches = new Map();
    const isKept = this.#flushed + 1 >= this.#first;
    if (this.#moved || !isKept) {
      // Each looks in the log for what the ring does not hold.
      for (const cursor of this.filtered) {
        this.settle(cursor);
        matches.set(cursor, []);
      }
      this.#moved = true;
      return matches;
    }
    for (let seq = this.#flushed + 1; seq <= this.#until; seq++) {
      this.filtered.collect(this.entryAt(seq), matches);
    }
    return matches;
  }

  #flushMatches({ matches }: Round, most: number): number {
    if (!matches) return this.#end();
    for (let seen = 0; seen < most; seen++) {
      const { value, done } = matches.next();
      if (done) return this.#end();
      const [cursor, entries] = value;
      if (cursor.behind) continue;
      if (this.#moved) cursor.advance();
      else cursor.take(entries);
      this.#matched += entries.length;
    }
    return 0;
  }

  #end(): number {
    const fresh = Math.max(0, this.#until - this.#flushed);
    this.#flushed = this.#until;
    this.#round = undefined;
    this.#until = this.#seq;
    this.#moved = false;
    return fresh;
  }

  #push(entry: Entry): void {
    this.#seq++;
    if (!this.#round) this.#until = this.#seq;
    if (this.#seq - this.#first >= this.#capacity) this.#forget();
    this.#ring[this.#seq % this.#capacity] = entry;
    this.#length += entry.json.length;
    if (this.#hasBlocks) this.#noteBlock(entry);
    while (this.#length > RING_LENGTH && this.#first < this.#seq) {
      this.#forget();
    }
  }

  #noteBlock(entry: Entry): void {
    if (entry.type === "BLOCK_COMPLETE") this.#complete = entry;
    else if (entry.type === "CHAIN_RESET") this.#complete = undefined;
  }

  #forget(): void {
    const slot = this.#first++ % this.#capacity;
    this.#length -= this.#ring[slot]!.json.length;
    this.#ring[slot] = undefined;
  }
}
