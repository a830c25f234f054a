/**
 * One client's position in one stream: all that a slow subscriber costs.
 *
 * @module
 */
import type { Entry } from "../store/entry.ts";
import { REPLAY } from "./codec.ts";
import type { Marks } from "./codec.ts";
import type { FilteredCursor } from "./cursor.ts";
import { FilterIndex } from "./filter_index.ts";
import type { Filter } from "./filter_index.ts";
import type { Stream } from "./stream.ts";

/** A position in a channel's log. */
export interface StreamPosition {
  /** The log that `seq` counts in. */
  readonly epoch: string;
  /** Number of the last event the client has. */
  readonly seq: number;
}

/** Which events of a channel a client wants, and what it calls that. */
export interface Selection {
  /** The client's name for it; the channel's when absent. */
  readonly as?: string | undefined;
  /** What the events have to match. */
  readonly filter: Filter;
}

/** Who sends what a subscription is due. */
export interface Sender {
  /** Sends what `subscription` is due, as far as the socket takes it. */
  advance(subscription: Subscription): void;
  /** Sends events that a filtered `subscription` is due. */
  take(subscription: Subscription, entries: readonly Entry[]): void;
}

/** What only a filtered subscription has. */
export interface Selected extends Selection {
  /** What the events have to match now. */
  filter: Filter;
  /** The position that the client knows of, from the last frame that had one. */
  known: number;
  /** {@link known} when progress was last looked at. */
  knownBefore: number;
}

/** A subscription of one client to one channel, or to a selection of it. */
export class Subscription implements FilteredCursor {
  /** The channel's events. */
  readonly stream: Stream;
  /** The log that {@link seq} counts in. */
  epoch: string;
  /**
   * Number of the last event handed to the client. Filtered: up to here it was
   * sent everything; see {@link Stream.settle}.
   */
  seq: number;
  /** Up to this number events are history to the client. */
  replayUntil: number;
  /** Whether it takes events at its own pace instead of as they arrive. */
  behind = false;
  /** What events have to match; `undefined` when it takes all. */
  readonly selected: Selected | undefined;
  readonly #sender: Sender;

  /**
   * Begins after `start`; what the stream already has is history.
   *
   * @param sender must not throw.
   * @param selection all events when absent.
   */
  constructor(
    stream: Stream,
    { epoch, seq }: StreamPosition,
    sender: Sender,
    selection?: Selection,
  ) {
    this.stream = stream;
    this.epoch = epoch;
    this.seq = seq;
    this.replayUntil = stream.seq;
    this.selected = selection && { ...selection, known: seq, knownBefore: seq };
    this.#sender = sender;
  }

  /** What the client calls it. */
  get name(): string {
    return this.selected?.as ?? this.stream.channel;
  }

  /** Whether it is behind the stream's newest event, as far as is known. */
  get isBehind(): boolean {
    return this.epoch !== this.stream.epoch || this.seq < this.stream.seq;
  }

  /** Begins to receive, or goes on by another filter. */
  join(): void {
    const { stream, selected } = this;
    if (selected) stream.filtered.set(this, selected.filter);
    else stream.cursors.add(this);
  }

  /** Receives no more. */
  leave(): void {
    if (this.selected) this.stream.filtered.delete(this);
    else this.stream.cursors.delete(this);
  }

  /** Has its sender send what is due. */
  advance(): void {
    this.#sender.advance(this);
  }

  /** Has its sender send events that match. */
  take(entries: readonly Entry[]): void {
    this.#sender.take(this, entries);
  }

  /** Whether the client is to be sent an event. */
  concerns(entry: Entry): boolean {
    return !this.selected || this.stream.filtered.concerns(this, entry);
  }

  /** The marks of the event `seq` for this client, which learns its position. */
  mark(seq: number): Marks | undefined {
    const replay = seq <= this.replayUntil ? REPLAY : undefined;
    return this.selected ? markOf(this.selected, seq, replay) : replay;
  }

  /** The client knows its position now. */
  markKnown(): void {
    const { selected } = this;
    if (selected) selected.known = this.seq;
  }
}

function markOf(
  selected: Selected,
  seq: number,
  replay: Marks | undefined,
): Marks {
  const marks = { prev: selected.known, sub: selected.as, ...replay };
  selected.known = seq;
  return marks;
}

/**
 * What a filtered subscription missed while its filter was another: read once,
 * beside it, up to where it is.
 */
export class Replay extends Subscription {
  /** The subscription. */
  readonly of: Subscription;
  /** To be called when it has sent everything. */
  readonly done: () => void;
  readonly #index = new FilterIndex<Replay>([]);

  /** Begins after `after`; see {@link Subscription}. */
  constructor(
    of: Subscription,
    filter: Filter,
    after: StreamPosition,
    done: () => void,
  ) {
    const sender = { advance: () => {}, take: () => {} };
    super(of.stream, after, sender, { as: of.selected?.as, filter });
    this.of = of;
    this.done = done;
    this.behind = true;
    this.#index.set(this, filter);
  }

  /** Only what matches: the rest was delivered by the subscription. */
  override concerns({ tags }: Entry): boolean {
    return this.#index.matches(this, tags);
  }

  /** No `prev`: the subscription's own position stays. */
  override mark(): Marks {
    return { sub: this.selected?.as, ...REPLAY };
  }
}
