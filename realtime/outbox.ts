/**
 * The events and replies not yet sent to one client.
 *
 * @module
 */
import type { ReplyFrame } from "../protocol/encode.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Clock } from "../platform/clock.ts";
import type { Entry } from "../store/entry.ts";
import { REPLAY } from "./codec.ts";
import type { Codec, Frame } from "./codec.ts";
import { FilterShare } from "./filter_budget.ts";
import type { Filter } from "./filter_index.ts";
import type { FilterBudget } from "./filter_budget.ts";
import type { Pace, Paced } from "./pace.ts";
import type { Progress, Progressing } from "./progress.ts";
import { Feed } from "./feed.ts";
import type { FeedParts } from "./feed.ts";
import { HIGH_WATER_BYTES, Sink } from "./sink.ts";
import type { Peer } from "./sink.ts";
import type { Stream } from "./stream.ts";
import { Replay, Subscription } from "./subscription.ts";
import type { Selection, Sender, StreamPosition } from "./subscription.ts";

/** Most unsent bytes when a reply is sent; beyond, the client is too slow. */
export const MAX_REPLY_BACKLOG_BYTES = 1024 * 1024;
/** Milliseconds without progress after which a client is too slow. */
export const STALL_MS = 30_000;
/** Events read from the log at once for one client. */
export const PAGE_EVENTS = 256;
/** Bytes read from the log at once for one client, never before one event. */
export const PAGE_BYTES = 256 * 1024;
/** Wait after the log could not be read, in milliseconds. */
export const READ_RETRY_MS = 500;

/** A position in a `progress`. */
type Position = ReplyPayload<"progress">["positions"][number];

/** What an outbox needs of the machine around it. */
export interface OutboxParts extends FeedParts {
  /** Time, for stalls and retries. */
  clock: Clock;
  /** Ticks outboxes that are behind. */
  pace: Pace;
  /** Calls outboxes with filtered subscriptions. */
  progress: Progress;
  /** Bounds what filters hold. */
  filters: FilterBudget;
  /** Called with every frame sent. */
  sent?: ((frame: Frame) => void) | undefined;
}

/** The connection that an outbox belongs to. */
export interface OutboxOwner {
  /** Its address, whose share of common bounds it takes. */
  readonly address: string;
  /** Called once, when the client is too slow. */
  stalled(): void;
  /**
   * Charges the client for a page of the log.
   *
   * @returns milliseconds to wait before it is read; 0: now.
   */
  charge(): number;
  /** Charges the client for a page that was read, of `length` UTF-16 units. */
  read(length: number): void;
}

/**
 * One client's subscriptions and their delivery: events are sent while the
 * socket accepts them, from the stream's ring or, further back, from the log. A
 * slow client costs one number for each channel, not a queue.
 */
export class Outbox extends Sink implements Paced, Progressing, Sender {
  readonly #feed: Feed;
  readonly #parts: OutboxParts;
  readonly #owner: OutboxOwner;
  readonly #share: FilterShare;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #behind = new Set<Subscription>();
  #open = true;
  #catchingUp = false;
  #retryAt = 0;
  #progressAt = 0;
  #buffered = 0;

  /**
   * Empty.
   *
   * @param peer where frames go.
   * @param codec how they are encoded.
   * @param parts the machine around it.
   * @param owner the connection.
   */
  constructor(
    peer: Peer,
    codec: Codec,
    parts: OutboxParts,
    owner: OutboxOwner,
  ) {
    super(peer, codec, parts);
    this.#feed = new Feed(this, parts, (it) => this.#isCurrent(it));
    this.#parts = parts;
    this.#owner = owner;
    this.#share = new FilterShare(parts.filters, owner.address);
  }

  /** The client's address, whose share of common bounds it takes. */
  get address(): string {
    return this.#owner.address;
  }

  /** How many subscriptions the client has. */
  get size(): number {
    return this.#subscriptions.size;
  }

  /** Whether the client has a subscription of that name. */
  has(name: string): boolean {
    return this.#subscriptions.has(name);
  }

  /** The subscription of that name: a channel's, or one that the client gave. */
  get(name: string): Subscription | undefined {
    return this.#subscriptions.get(name);
  }

  /** All subscriptions. */
  [Symbol.iterator](): IterableIterator<Subscription> {
    return this.#subscriptions.values();
  }

  /**
   * Reserves the values of a filter for the subscription `name`.
   *
   * @returns whether they are within the bounds.
   */
  reserve(name: string, values: number): boolean {
    return this.#open && this.#share.set(name, values);
  }

  /** The position of the subscription `name`, if there is one. */
  positionOf(name: string): StreamPosition | undefined {
    const subscription = this.#subscriptions.get(name);
    if (!subscription) return undefined;
    if (subscription.selected) subscription.stream.settle(subscription);
    return { epoch: subscription.epoch, seq: subscription.seq };
  }

  /** The client's positions, by channel. */
  *positions(): IterableIterator<
    { channel: string; seq: number; lag: number }
  > {
    for (const { stream, seq, selected, behind } of this) {
      const { channel } = stream;
      const at = selected && !behind ? Math.max(seq, stream.flushed) : seq;
      yield { channel, seq: at, lag: stream.seq - at };
    }
  }

  /**
   * Subscribes to `stream` from `start` on; again moves the position there.
   * Replies that must precede the first event have to be sent already.
   *
   * @param selection all events when absent; its values are reserved already.
   */
  attach(
    stream: Stream,
    start: StreamPosition,
    selection?: Selection,
  ): void {
    // The client may have become too slow before its answer was sent.
    if (!this.#open) return;
    const subscription = new Subscription(stream, start, this, selection);
    const { name } = subscription;
    this.#remove(name);
    if (selection) this.#parts.progress.add(this);
    else this.#share.delete(name);
    this.#subscriptions.set(name, subscription);
    const { isBehind } = subscription;
    // Until it has what the stream has, its position is its own.
    subscription.behind = true;
    subscription.join();
    if (!this.#sendFromRing(subscription)) this.#fallBehind(subscription);
    else if (isBehind) this.#caughtUp(subscription);
    else subscription.behind = false;
  }

  /**
   * Ends a subscription.
   *
   * @returns whether there was one.
   */
  detach(name: string): boolean {
    this.#share.delete(name);
    return this.#remove(name);
  }

  #remove(name: string): boolean {
    const subscription = this.#subscriptions.get(name);
    if (!subscription) return false;
    subscription.leave();
    this.#subscriptions.delete(name);
    this.#behind.delete(subscription);
    return true;
  }

  /**
   * Changes the filter of a subscription.
   *
   * @param filter its values are reserved already.
   * @returns from where on it is in force.
   */
  select(subscription: Subscription, filter: Filter): StreamPosition {
    // Events due by the old filter are sent by it, or found by the new one.
    if (!subscription.behind) this.advance(subscription);
    subscription.selected!.filter = filter;
    subscription.join();
    const { epoch, seq } = subscription;
    return { epoch, seq };
  }

  /**
   * Sends what a subscription did not receive under its previous filter.
   *
   * @param filter what the events have to match.
   * @param after where to begin.
   * @returns resolves when all was sent up to the position of the subscription
   * at that time; `done` was called in the same turn. Never when the
   * subscription ends before.
   */
  replay(
    subscription: Subscription,
    filter: Filter,
    after: StreamPosition,
    done: () => void,
  ): Promise<void> {
    return new Promise((resolve) => {
      this.#fallBehind(
        new Replay(subscription, filter, after, () => {
          done();
          resolve();
        }),
      );
    });
  }

  /** Ends all subscriptions and stops sending. */
  close(): void {
    this.#open = false;
    this.#parts.progress.delete(this);
    for (const name of this.#subscriptions.keys()) this.#remove(name);
    this.#share.clear();
    this.clear();
  }

  /** Sends a reply, joined with others of the turn if allowed. */
  override reply(reply: ReplyFrame): void {
    if (!this.#open) return;
    if (this.buffered > MAX_REPLY_BACKLOG_BYTES) return this.#stall();
    super.reply(reply);
  }

  /** Sends the positions of filtered subscriptions that had no event lately. */
  progress(): void {
    const quiet = [];
    for (const subscription of this) {
      const { selected } = subscription;
      if (!selected) continue;
      if (selected.known === selected.knownBefore) quiet.push(subscription);
      selected.knownBefore = selected.known;
    }
    this.#reportMoved(quiet);
  }

  /** Sends the positions of all filtered subscriptions that have moved. */
  reportPositions(): void {
    this.#reportMoved([...this]);
  }

  #reportMoved(subscriptions: readonly Subscription[]): void {
    const moved = subscriptions.filter((subscription) => {
      const { selected, stream } = subscription;
      if (!selected) return false;
      stream.settle(subscription);
      return subscription.seq > selected.known;
    });
    this.#report(moved);
  }

  #report(subscriptions: readonly Subscription[]): void {
    if (this.isFull) return;
    const positions: Position[] = [];
    for (const subscription of subscriptions) {
      const { stream, selected, epoch, seq } = subscription;
      if (!selected) continue;
      const { as } = selected;
      const block = stream.completeBlock;
      selected.known = selected.knownBefore = seq;
      positions.push({
        channel: stream.channel,
        ...(as === undefined ? {} : { as }),
        epoch,
        seq,
        ...(block && block.seq <= seq
          ? { block: { height: block.height, blockId: block.blockId } }
          : {}),
      });
    }
    if (positions.length === 0) return;
    const payload = { positions };
    this.reply({ ...this.#parts.envelope(), type: "progress", payload });
  }

  /** Sends what a `subscription` that is not behind is due; called for its stream. */
  advance(subscription: Subscription): void {
    if (!this.#open) return;
    if (!this.#sendFromRing(subscription)) this.#fallBehind(subscription);
  }

  /** Sends events that a filtered subscription is due; called for its stream. */
  take(subscription: Subscription, entries: readonly Entry[]): void {
    if (!this.#isCurrent(subscription) || subscription.behind) return;
    if (!this.#feed.some(subscription, entries)) {
      this.#fallBehind(subscription);
    }
  }

  /**
   * Continues if the socket takes frames again.
   *
   * @returns whether anything is still to be caught up.
   */
  tick(): boolean {
    if (!this.#open || this.#behind.size === 0) return false;
    const now = this.#parts.clock.monotonic();
    const { buffered } = this;
    const takes = buffered <= HIGH_WATER_BYTES / 2;
    if (takes || buffered < this.#buffered) this.#progressAt = now;
    this.#buffered = buffered;
    if (now - this.#progressAt >= STALL_MS) {
      this.#stall();
      return false;
    }
    if (takes && now >= this.#retryAt) this.#catchUp();
    return true;
  }

  #stall(): void {
    this.close();
    this.#owner.stalled();
  }

  #fallBehind(subscription: Subscription): void {
    subscription.behind = true;
    if (this.#behind.size === 0) {
      this.#progressAt = this.#parts.clock.monotonic();
      this.#buffered = this.buffered;
    }
    this.#behind.add(subscription);
    this.#parts.pace.add(this);
    this.#catchUp();
  }

  /** @returns whether the client has everything the stream has due for it. */
  #sendFromRing(to: Subscription): boolean {
    if (to.selected) return this.#feed.fromRing(to);
    const { stream } = to;
    if (to.epoch !== stream.epoch) return false;
    const { until } = stream;
    while (to.seq < until) {
      if (to.seq + 1 < stream.first || this.isFull) return false;
      if (this.batch) this.#sendJoined(to);
      else this.#sendSingly(to, until);
    }
    return true;
  }

  #sendJoined(to: Subscription): void {
    const { stream, seq, replayUntil } = to;
    const joined = stream.frameAfter(this.codec, seq, replayUntil);
    this.send(joined.frame);
    to.seq = joined.seq;
  }

  /** A frame an event, as far as the ring has them and the socket takes them. */
  #sendSingly(to: Subscription, until: number): void {
    const { stream, replayUntil } = to;
    const { codec } = this;
    do {
      const entry = stream.entryAt(++to.seq);
      const marks = to.seq <= replayUntil ? REPLAY : undefined;
      this.put(codec.event(entry, marks));
    } while (to.seq < until && !this.isFull);
  }

  /** Serves subscriptions that are behind, one step each in turn. */
  async #catchUp(): Promise<void> {
    if (this.#catchingUp) return;
    this.#catchingUp = true;
    try {
      while (this.#open && !this.isFull) {
        const [subscription] = this.#behind;
        if (!subscription) break;
        this.#behind.delete(subscription);
        if (this.#sendFromRing(subscription)) {
          this.#caughtUp(subscription);
          continue;
        }
        this.#behind.add(subscription);
        if (this.isFull || this.#mustWait()) break;
        this.#owner.read(await this.#feed.fromLog(subscription));
      }
    } catch {
      // The log cannot be read now; positions stay as they are.
      this.#retryAt = this.#parts.clock.monotonic() + READ_RETRY_MS;
    } finally {
      this.#catchingUp = false;
    }
  }

  #caughtUp(subscription: Subscription): void {
    subscription.behind = false;
    if (!(subscription instanceof Replay)) return this.#report([subscription]);
    const { of } = subscription;
    if (!this.#isCurrent(of)) return;
    if (!of.behind) this.advance(of);
    if (!of.behind && !subscription.isBehind) return subscription.done();
    subscription.behind = true;
    this.#behind.add(subscription);
  }

  /** A client that has read more than its budget holds is served later. */
  #mustWait(): boolean {
    const ms = this.#owner.charge();
    if (ms > 0) this.#retryAt = this.#parts.clock.monotonic() + ms;
    return ms > 0;
  }

  /** Whether the subscription still holds, after waiting for the log. */
  #isCurrent(subscription: Subscription): boolean {
    const held = subscription instanceof Replay
      ? subscription.of
      : subscription;
    return this.#open && this.#subscriptions.get(held.name) === held;
  }
}
