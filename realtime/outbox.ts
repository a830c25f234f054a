/**
 * What one client is still to be sent.
 *
 * @module
 */
import type { FrameOptions, ReplyFrame } from "../protocol/encode.ts";
import type { GapReason } from "../protocol/replies.ts";
import type { Clock } from "../platform/clock.ts";
import { UNBORN_EPOCH } from "../store/event_log.ts";
import type { LogPage, SeqRange } from "../store/event_log.ts";
import type { Codec, Frame, MarkedEntry } from "./codec.ts";
import type { Pace, Paced } from "./pace.ts";
import { FRAME_EVENTS, FRAME_LENGTH } from "./stream.ts";
import type { Stream } from "./stream.ts";
import { Subscription } from "./subscription.ts";
import type { Sender, StreamPosition } from "./subscription.ts";

/** Nothing more is sent to a socket that holds this many unsent bytes. */
export const HIGH_WATER_BYTES = 256 * 1024;
/** Replies alone may fill a socket up to here; then its client is too slow. */
export const MAX_REPLY_BACKLOG_BYTES = 1024 * 1024;
/** Without progress for so long a client is too slow, in milliseconds. */
export const STALL_MS = 30_000;
/** Events read from the log at once for one client. */
export const PAGE_EVENTS = 256;
/** Bytes read from the log at once for one client, never before one event. */
export const PAGE_BYTES = 256 * 1024;
/** Wait after the log could not be read, in milliseconds. */
export const READ_RETRY_MS = 500;

/** Where frames go: the part of a WebSocket that an outbox uses. */
export interface Peer {
  /** Bytes accepted but not yet handed to the network. */
  readonly bufferedAmount: number;
  /** Sends one frame; does nothing once closed. */
  send(frame: Frame): void;
}

/** What an outbox needs of the machine around it. */
export interface OutboxParts {
  /** Time, for stalls and retries. */
  clock: Clock;
  /** Reads events of a channel after a number, oldest first. */
  readPage: (
    channel: string,
    after: number,
    upTo: number,
  ) => Promise<LogPage>;
  /** Reads the oldest number of a channel that is still kept. */
  readOldest: (channel: string) => Promise<number>;
  /** Envelope fields for frames made here. */
  envelope: () => FrameOptions;
  /** Ticks outboxes that are behind. */
  pace: Pace;
}

/**
 * One client's subscriptions, and what moves them: events go out while the
 * socket takes them, from the stream's ring or, further back, from the log. A
 * slow client costs a number for each channel, not a queue.
 */
export class Outbox implements Paced, Sender {
  readonly #peer: Peer;
  readonly #codec: Codec;
  readonly #parts: OutboxParts;
  readonly #onStall: () => void;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #behind = new Set<Subscription>();
  /** Whether frames due together may be joined. */
  batch = false;
  #replies: ReplyFrame[] = [];
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
   * @param onStall called once, when the client is too slow.
   */
  constructor(
    peer: Peer,
    codec: Codec,
    parts: OutboxParts,
    onStall: () => void,
  ) {
    this.#peer = peer;
    this.#codec = codec;
    this.#parts = parts;
    this.#onStall = onStall;
  }

  /** How many channels the client is subscribed to. */
  get size(): number {
    return this.#subscriptions.size;
  }

  /** Whether the client is subscribed to `channel`. */
  has(channel: string): boolean {
    return this.#subscriptions.has(channel);
  }

  /** The client's position in `stream`, if it is subscribed. */
  positionIn(stream: Stream): StreamPosition | undefined {
    const subscription = this.#subscriptions.get(stream.channel);
    return subscription &&
      { epoch: subscription.epoch, seq: subscription.seq };
  }

  /** The client's positions, by channel. */
  *positions(): IterableIterator<
    { channel: string; seq: number; lag: number }
  > {
    for (const [channel, { seq, stream }] of this.#subscriptions) {
      yield { channel, seq, lag: stream.seq - seq };
    }
  }

  /**
   * Subscribes to `stream` from `start` on; again moves the position there.
   * Replies that must precede the first event have to be sent already.
   */
  attach(stream: Stream, start: StreamPosition): void {
    // The client may have been found too slow while it was being answered.
    if (!this.#open) return;
    this.detach(stream.channel);
    const subscription = new Subscription(stream, start, this);
    this.#subscriptions.set(stream.channel, subscription);
    stream.cursors.add(subscription);
    this.advance(subscription);
  }

  /**
   * Ends the subscription to `channel`.
   *
   * @returns whether there was one.
   */
  detach(channel: string): boolean {
    const subscription = this.#subscriptions.get(channel);
    if (!subscription) return false;
    subscription.stream.cursors.delete(subscription);
    this.#subscriptions.delete(channel);
    this.#behind.delete(subscription);
    return true;
  }

  /** Ends all subscriptions and sends nothing any more. */
  close(): void {
    this.#open = false;
    for (const channel of this.#subscriptions.keys()) this.detach(channel);
    this.#replies = [];
  }

  /** Sends a reply, joined with others of the turn if allowed. */
  reply(reply: ReplyFrame): void {
    if (!this.#open) return;
    if (this.#peer.bufferedAmount > MAX_REPLY_BACKLOG_BYTES) {
      return this.#stall();
    }
    if (!this.batch) {
      this.flush();
      return this.#peer.send(this.#codec.reply(reply));
    }
    this.#replies.push(reply);
    if (this.#replies.length === 1) {
      this.#parts.clock.soon(() => this.flush());
    } else if (this.#replies.length === FRAME_EVENTS) this.flush();
  }

  /** Sends replies that were kept to be joined with others of the turn. */
  flush(): void {
    const replies = this.#replies;
    if (replies.length === 0) return;
    this.#replies = [];
    this.#peer.send(
      replies.length === 1
        ? this.#codec.reply(replies[0]!)
        : this.#codec.batch(replies, this.#parts.envelope()),
    );
  }

  /** Sends what `subscription` is due; called for its stream. */
  advance(subscription: Subscription): void {
    if (!this.#open || subscription.behind) return;
    if (!this.#sendFromRing(subscription)) this.#fallBehind(subscription);
  }

  /**
   * Continues if the socket takes frames again.
   *
   * @returns whether anything is still to be caught up.
   */
  tick(): boolean {
    if (!this.#open || this.#behind.size === 0) return false;
    const now = this.#parts.clock.monotonic();
    const buffered = this.#peer.bufferedAmount;
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
    this.#onStall();
  }

  #fallBehind(subscription: Subscription): void {
    subscription.behind = true;
    if (this.#behind.size === 0) {
      this.#progressAt = this.#parts.clock.monotonic();
      this.#buffered = this.#peer.bufferedAmount;
    }
    this.#behind.add(subscription);
    this.#parts.pace.add(this);
    this.#catchUp();
  }

  /** @returns whether the client has everything the stream has. */
  #sendFromRing(to: Subscription): boolean {
    const { stream } = to;
    const peer = this.#peer;
    const codec = this.#codec;
    while (to.epoch === stream.epoch && to.seq < stream.seq) {
      if (to.seq + 1 < stream.first) return false;
      if (peer.bufferedAmount >= HIGH_WATER_BYTES) return false;
      if (this.#replies.length > 0) this.flush();
      if (this.batch) {
        const joined = stream.frameAfter(codec, to.seq, to.replayUntil);
        peer.send(joined.frame);
        to.seq = joined.seq;
      } else {
        const seq = ++to.seq;
        peer.send(codec.event(stream.entryAt(seq), to.marksOf(seq)));
      }
    }
    return to.epoch === stream.epoch;
  }

  /** Serves subscriptions that are behind, one step each in turn. */
  async #catchUp(): Promise<void> {
    if (this.#catchingUp) return;
    this.#catchingUp = true;
    try {
      while (this.#open && this.#peer.bufferedAmount < HIGH_WATER_BYTES) {
        const [subscription] = this.#behind;
        if (!subscription) break;
        this.#behind.delete(subscription);
        if (this.#sendFromRing(subscription)) {
          subscription.behind = false;
          continue;
        }
        this.#behind.add(subscription);
        if (this.#peer.bufferedAmount >= HIGH_WATER_BYTES) break;
        await this.#sendFromLog(subscription);
      }
    } catch {
      // The log cannot be read now; positions stay as they are.
      this.#retryAt = this.#parts.clock.monotonic() + READ_RETRY_MS;
    } finally {
      this.#catchingUp = false;
    }
  }

  async #sendFromLog(to: Subscription): Promise<void> {
    const { stream } = to;
    const { channel, epoch } = stream;
    if (!stream.logged) {
      // Live only: what was missed is gone, as `subscribed` said.
      to.epoch = epoch;
      to.seq = Math.max(to.seq, stream.first - 1);
      return;
    }
    if (to.epoch !== epoch) {
      const oldest = to.epoch === UNBORN_EPOCH
        ? undefined
        : await this.#parts.readOldest(channel);
      if (!this.#isCurrent(to) || stream.epoch !== epoch) return;
      to.epoch = epoch;
      if (oldest === undefined) return;
      to.replayUntil = stream.seq;
      this.#sendGap(to, 1, oldest - 1, "epoch_changed");
      to.seq = oldest - 1;
      return;
    }
    const upTo = stream.first - 1;
    const page = await this.#parts.readPage(channel, to.seq, upTo);
    if (!this.#isCurrent(to) || stream.epoch !== epoch) return;
    // The log is another by now; the stream finds out, and then this does.
    if (page.entries.some((entry) => entry.epoch !== epoch)) {
      throw new Error(`${channel} has another log`);
    }
    this.#sendPage(to, page);
    // A page without events has none in all its range.
    if (page.entries.length === 0) this.#skip(to, upTo, page.unreadable);
  }

  /** Whether the subscription still holds, after waiting for the log. */
  #isCurrent(subscription: Subscription): boolean {
    const { channel } = subscription.stream;
    return this.#open && this.#subscriptions.get(channel) === subscription;
  }

  /** Reports what the log does not hold any more, up to a number. */
  #skip(
    to: Subscription,
    upTo: number,
    unreadable: readonly SeqRange[],
  ): void {
    const gap = (until: number, reason: GapReason) => {
      if (until <= to.seq) return;
      this.#sendGap(to, to.seq + 1, until, reason);
      to.seq = until;
    };
    for (const range of unreadable) {
      if (range.from > upTo) break;
      gap(range.from - 1, "retention");
      gap(Math.min(range.to, upTo), "unreadable");
    }
    gap(upTo, "retention");
  }

  #sendPage(
    to: Subscription,
    { entries: page, unreadable }: LogPage,
  ): void {
    for (let i = 0; i < page.length;) {
      if (this.#peer.bufferedAmount >= HIGH_WATER_BYTES) return;
      const first = page[i]!.seq;
      this.#skip(to, first - 1, unreadable);
      const parts: MarkedEntry[] = [];
      let length = 0;
      let seq = first - 1;
      while (i < page.length && page[i]!.seq === seq + 1) {
        const entry = page[i++]!;
        parts.push({ entry, marks: to.marksOf(++seq) });
        length += entry.json.length;
        if (!this.batch || length >= FRAME_LENGTH) break;
      }
      this.flush();
      this.#peer.send(
        parts.length === 1
          ? this.#codec.event(parts[0]!.entry, parts[0]!.marks)
          : this.#codec.batch(parts, this.#parts.envelope()),
      );
      to.seq = seq;
    }
  }

  #sendGap(
    { stream }: Subscription,
    from: number,
    to: number,
    reason: GapReason,
  ): void {
    const { channel, epoch } = stream;
    this.flush();
    this.#peer.send(this.#codec.reply({
      type: "gap",
      payload: { channel, from, to, epoch, reason },
      ...this.#parts.envelope(),
    }));
  }
}
