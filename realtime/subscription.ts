/**
 * One client's position in one stream: the only cost of a slow subscriber.
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
  /** Number of the last event that the client has received. */
  readonly seq: number;
}

/** The events of a channel that a client selects, and its name for them. */
export interface Selection {
  /** The client's name for it; the channel's when absent. */
  readonly as?: string | undefined;
  /** The filter that events must match. */
  readonly filter: Filter;
}

/** Sends the due events of a subscription. */
export interface Sender {
  /** Sends the due events of `subscription`, as far as the socket accepts them. */
  advance(subscription: Subscription): void;
  /** Sends events to a filtered `subscription`. */
  take(subscription: Subscription, entries: readonly Entry[]): void;
}

/** The state of a filtered subscription. */
export interface Selected extends Selection {
  /** The current filter. */
  filter: Filter;
  /** The position in the last frame to the client that had one. */
  known: number;
  /** {@link known} at the last progress check. */
  knownBefore: number;
}

/** A subscription of one client to one channel, or to a selection of it. */
export class Subscription implements FilteredCursor {
  /** The channel's events. */
  readonly stream: Stream;
  /** The log that {@link seq} counts in. */
  epoch: string;
  /**
   * Number of the last event sent to the client. Filtered: every match up to this
   * number was sent; see {@link Stream.settle}.
   */
  seq: number;
  /** Up to this number events are history to the client. */
  replayUntil: number;
  /** Whether it takes events at its own pace instead of as they arrive. */
  behind = false;
  /** The filter and its state; `undefined` when it receives all events. */
  readonly selected: Selected | undefined;
  readonly #sender: Sender;

  /**
   * Begins after `start`; events that the stream already has are history.
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

  /** The client's name for it. */
  get name(): string {
    return this.selected?.as ?? this.stream.channel;
  }

  /** Whether it is behind the newest event known to the stream. */
  get isBehind(): boolean {
    return this.epoch !== this.stream.epoch || this.seq < this.stream.seq;
  }

  /** Starts to receive, or continues with another filter. */
  join(): void {
    const { stream, selected } = this;
    if (selected) stream.filtered.set(this, selected.filter);
    else stream.cursors.add(this);
  }

  /** Stops receiving. */
  leave(): void {
    if (this.selected) this.stream.filtered.delete(this);
    else this.stream.cursors.delete(this);
  }

  /** Makes its sender send the due events. */
  advance(): void {
    this.#sender.advance(this);
  }

  /** Makes its sender send matching events. */
  take(entries: readonly Entry[]): void {
    this.#sender.take(this, entries);
  }

  /** Whether an event must be sent to the client. */
  concerns(entry: Entry): boolean {
    return !this.selected || this.stream.filtered.concerns(this, entry);
  }

  /** The marks of the event `seq`, which give the client its position. */
  mark(seq: number): Marks | undefined {
    const replay = seq <= this.replayUntil ? REPLAY : undefined;
    return this.selected ? markOf(this.selected, seq, replay) : replay;
  }

  /** Records that the client has received its position. */
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
 * Events that a filtered subscription missed under its earlier filter: read
 * once, in parallel with it, up to its position.
 */
export class Replay extends Subscription {
  /** The subscription. */
  readonly of: Subscription;
  /** Called when all events were sent. */
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

  /** Only newly matching events: the subscription delivered the others. */
  override concerns({ tags }: Entry): boolean {
    return this.#index.matches(this, tags);
  }

  /** No `prev`: the subscription's own position does not change. */
  override mark(): Marks {
    return { sub: this.selected?.as, ...REPLAY };
  }
}
