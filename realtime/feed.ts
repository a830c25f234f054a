/**
 * What sends one client the events that its subscriptions are due, from the
 * stream's ring or, further back, from the log.
 *
 * @module
 */
import type { FrameOptions } from "../protocol/encode.ts";
import type { GapReason } from "../protocol/replies.ts";
import type { Entry, LoggedEntry } from "../store/entry.ts";
import { UNBORN_EPOCH } from "../store/event_log.ts";
import type { LogPage, SeqRange } from "../store/event_log.ts";
import type { MarkedEntry } from "./codec.ts";
import type { Sink } from "./sink.ts";
import { FRAME_EVENTS, FRAME_LENGTH, SharedFrames } from "./shared_frames.ts";
import type { Subscription } from "./subscription.ts";

/** What a feed needs of the machine around it. */
export interface FeedParts {
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
}

/** Frames of pages that several clients read together. */
const framesOfPages = new WeakMap<LogPage, SharedFrames>();

/** Sends events to one client. */
export class Feed {
  readonly #sink: Sink;
  readonly #parts: FeedParts;
  readonly #isCurrent: (subscription: Subscription) => boolean;

  /**
   * Sends through `sink`.
   *
   * @param isCurrent whether a subscription still holds, after waiting for the
   * log.
   */
  constructor(
    sink: Sink,
    parts: FeedParts,
    isCurrent: (subscription: Subscription) => boolean,
  ) {
    this.#sink = sink;
    this.#parts = parts;
    this.#isCurrent = isCurrent;
  }

  /**
   * Sends a filtered subscription what the ring holds for it, as far as the
   * socket takes it.
   *
   * @returns whether the client has everything the stream has for it.
   */
  fromRing(to: Subscription): boolean {
    const { stream } = to;
    stream.settle(to);
    while (to.epoch === stream.epoch && to.seq < stream.seq) {
      if (to.seq + 1 < stream.first || this.#sink.isFull) return false;
      const upTo = stream.seq;
      this.#select(to, (seq) => seq > upTo ? undefined : stream.entryAt(seq));
    }
    return to.epoch === stream.epoch;
  }

  /**
   * Sends a filtered subscription events that match, as far as the socket takes
   * them; those up to its position are known.
   *
   * @returns whether it was sent all of them.
   */
  some(to: Subscription, entries: readonly Entry[]): boolean {
    to.stream.settle(to);
    let i = 0;
    const next = () => {
      while (i < entries.length && entries[i]!.seq! <= to.seq) i++;
      const entry = entries[i];
      // The events between do not match this subscription.
      if (entry) to.seq = entry.seq! - 1;
      return entry;
    };
    while (next()) {
      if (this.#sink.isFull) return false;
      this.#select(to, next);
    }
    return true;
  }

  /**
   * Sends the next events that concern the client, as one frame.
   *
   * @param next the event of a number; `undefined` ends the frame before it.
   */
  #select(
    to: Subscription,
    next: (seq: number) => Entry | undefined,
  ): void {
    const parts: MarkedEntry[] = [];
    let length = 0;
    for (let entry; (entry = next(to.seq + 1)) !== undefined;) {
      const seq = ++to.seq;
      if (!to.concerns(entry)) continue;
      parts.push({ entry, marks: to.mark(seq) });
      length += entry.json.length;
      if (!this.#sink.batch || length >= FRAME_LENGTH) break;
      if (parts.length === FRAME_EVENTS) break;
    }
    this.#sink.events(parts);
  }

  /**
   * Sends a page of what the ring does not hold any more.
   *
   * @returns how much was read, in UTF-16 units.
   * @throws what reading the log throws; positions stay as they are.
   */
  async fromLog(to: Subscription): Promise<number> {
    const { stream } = to;
    const { channel, epoch } = stream;
    if (!stream.logged) {
      // Live only: missed events are not replayed, as `subscribed` reported.
      to.epoch = epoch;
      to.seq = Math.max(to.seq, stream.first - 1);
      return 0;
    }
    if (to.epoch !== epoch) {
      const oldest = to.epoch === UNBORN_EPOCH
        ? undefined
        : await this.#parts.readOldest(channel);
      if (!this.#isCurrent(to) || stream.epoch !== epoch) return 0;
      to.epoch = epoch;
      if (oldest === undefined) return 0;
      to.replayUntil = stream.seq;
      this.#sendGap(to, 1, oldest - 1, "epoch_changed");
      return 0;
    }
    const upTo = stream.first - 1;
    const page = await this.#parts.readPage(channel, to.seq, upTo);
    const length = page.entries.reduce((sum, { json }) => sum + json.length, 0);
    if (!this.#isCurrent(to) || stream.epoch !== epoch) return length;
    // The log was replaced; the stream detects that first, then this feed.
    if (page.entries.some((entry) => entry.epoch !== epoch)) {
      throw new Error(`${channel} has another log`);
    }
    this.#sendPage(to, page);
    // A page without events has none in all its range.
    if (page.entries.length === 0) this.#skip(to, upTo, page.unreadable);
    return length;
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
    };
    for (const range of unreadable) {
      if (range.from > upTo) break;
      gap(range.from - 1, "retention");
      gap(Math.min(range.to, upTo), "unreadable");
    }
    gap(upTo, "retention");
  }

  #sendPage(to: Subscription, page: LogPage): void {
    const { entries, unreadable } = page;
    const first = entries[0]?.seq ?? 0;
    // Without a hole, an event's number gives its index.
    const isWhole = entries.at(-1)?.seq === first + entries.length - 1;
    const isShared = isWhole && this.#sink.batch && !to.selected;
    for (let i = 0; i < entries.length;) {
      if (this.#sink.isFull) return;
      this.#skip(to, entries[i]!.seq - 1, unreadable);
      if (isShared) {
        this.#sendJoined(to, page, (seq) => entries[seq - first]);
        i = to.seq + 1 - first;
      } else {
        this.#select(
          to,
          (seq) => entries[i]?.seq === seq ? entries[i++] : undefined,
        );
      }
    }
  }

  /** Sends the next events of a page, as all who read it with this client. */
  #sendJoined(
    to: Subscription,
    page: LogPage,
    entryAt: (seq: number) => LoggedEntry | undefined,
  ): void {
    let frames = framesOfPages.get(page);
    if (!frames) {
      frames = new SharedFrames(this.#parts.envelope);
      framesOfPages.set(page, frames);
    }
    const { seq: after, replayUntil } = to;
    const end = page.entries.at(-1)!.seq;
    const replay = after < replayUntil;
    const last = replay ? Math.min(replayUntil, end) : end;
    const { codec } = this.#sink;
    const { frame, seq } = frames.after(codec, after, last, replay, entryAt);
    this.#sink.send(frame);
    to.seq = seq;
  }

  /** Reports permanently lost events; the client continues after them. */
  #sendGap(
    subscription: Subscription,
    from: number,
    to: number,
    reason: GapReason,
  ): void {
    const { stream: { channel, epoch }, selected } = subscription;
    const as = selected?.as;
    this.#sink.flush();
    this.#sink.send(this.#sink.codec.reply({
      ...this.#parts.envelope(),
      type: "gap",
      payload: {
        channel,
        ...(as === undefined ? {} : { as }),
        from,
        to,
        epoch,
        reason,
      },
    }));
    subscription.seq = to;
    subscription.markKnown();
  }
}
