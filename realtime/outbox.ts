/**
 * What one client is still owed.
 *
 * @module
 */
import { asReplay, encodeBatch, encodeReply } from "../protocol/encode.ts";
import type { FrameOptions } from "../protocol/encode.ts";
import type { GapReason } from "../protocol/replies.ts";
import type { Clock } from "../platform/clock.ts";
import type { LoggedEntry } from "../store/entry.ts";
import { UNBORN_EPOCH } from "../store/event_log.ts";
import type { LogPage } from "../store/event_log.ts";
import { FRAME_EVENTS, FRAME_LENGTH } from "./stream.ts";
import type { Cursor, Stream } from "./stream.ts";

/** A socket is fed no further while it holds so many bytes. */
export const HIGH_WATER_BYTES = 256 * 1024;
/** Replies alone may fill a socket up to here; then its client reads too slowly. */
export const MAX_REPLY_BACKLOG_BYTES = 1024 * 1024;
/** Without progress for so long, a client reads too slowly. */
export const STALL_MS = 30_000;
/** How often sockets that were full are looked at again, in milliseconds. */
export const TICK_MS = 20;
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
  /** Hands over one frame; silent once closed. */
  send(text: string): void;
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
  /** Called for every outbox with something to catch up, until it has. */
  pace: Pace;
}

/** Looks after the outboxes that could not keep up, with one timer for all. */
export class Pace {
  readonly #clock: Clock;
  readonly #waiting = new Set<Outbox>();
  #timer: Disposable | undefined;

  /** Idle until the first one falls behind. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many outboxes are behind. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Looks at `outbox` every {@link TICK_MS} until it has caught up. */
  add(outbox: Outbox): void {
    this.#waiting.add(outbox);
    this.#timer ??= this.#clock.after(TICK_MS, () => this.#tick());
  }

  /** Stops looking. */
  [Symbol.dispose](): void {
    this.#waiting.clear();
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #tick(): void {
    this.#timer = undefined;
    for (const outbox of this.#waiting) {
      if (!outbox.tick()) this.#waiting.delete(outbox);
    }
    if (this.#waiting.size > 0) {
      this.#timer ??= this.#clock.after(TICK_MS, () => this.#tick());
    }
  }
}

/** Where a subscription begins. */
export interface Start {
  /** The log that `seq` counts in. */
  readonly epoch: string;
  /** Last number the client has. */
  readonly seq: number;
}

class Place implements Cursor {
  readonly stream: Stream;
  readonly #outbox: Outbox;
  seq: number;
  epoch: string;
  replayUntil: number;
  behind = false;

  constructor(outbox: Outbox, stream: Stream, { epoch, seq }: Start) {
    this.#outbox = outbox;
    this.stream = stream;
    this.epoch = epoch;
    this.seq = seq;
    this.replayUntil = stream.seq;
  }

  advance(): void {
    this.#outbox.advance(this);
  }
}

/**
 * One client's cursors, and the hand that moves them: events go out while the
 * socket takes them, from the stream's ring or, further back, from the log. A
 * slow client costs a number for each channel, not a queue.
 */
export class Outbox {
  readonly #peer: Peer;
  readonly #parts: OutboxParts;
  readonly #onStall: () => void;
  readonly #places = new Map<string, Place>();
  readonly #behind = new Set<Place>();
  /** Whether frames due together may be joined. */
  batch = false;
  #replies: string[] = [];
  #open = true;
  #catchingUp = false;
  #retryAt = 0;
  #progressAt = 0;
  #buffered = 0;

  /**
   * Empty.
   *
   * @param peer where frames go.
   * @param parts the machine around it.
   * @param onStall called once, when the client reads too slowly.
   */
  constructor(peer: Peer, parts: OutboxParts, onStall: () => void) {
    this.#peer = peer;
    this.#parts = parts;
    this.#onStall = onStall;
  }

  /** How many channels the client follows. */
  get size(): number {
    return this.#places.size;
  }

  /** Whether the client follows `channel`. */
  has(channel: string): boolean {
    return this.#places.has(channel);
  }

  /** Where the client stands in `stream`, if it follows it. */
  standing(stream: Stream): Start | undefined {
    const place = this.#places.get(stream.channel);
    return place && { epoch: place.epoch, seq: place.seq };
  }

  /** Sends what was kept to go with others of the turn. */
  flush(): void {
    this.#sayAll();
  }

  /** Where the client stands, by channel. */
  *positions(): IterableIterator<
    { channel: string; seq: number; lag: number }
  > {
    for (const [channel, { seq, stream }] of this.#places) {
      yield { channel, seq, lag: stream.seq - seq };
    }
  }

  /**
   * Follows `stream` from `start` on; again moves the cursor there. What must
   * come before the first event has to be said already.
   */
  attach(stream: Stream, start: Start): void {
    // The client may have been found too slow while it was being answered.
    if (!this.#open) return;
    this.detach(stream.channel);
    const place = new Place(this, stream, start);
    this.#places.set(stream.channel, place);
    stream.cursors.add(place);
    this.advance(place);
  }

  /**
   * Follows `channel` no longer.
   *
   * @returns whether it was followed.
   */
  detach(channel: string): boolean {
    const place = this.#places.get(channel);
    if (!place) return false;
    place.stream.cursors.delete(place);
    this.#places.delete(channel);
    this.#behind.delete(place);
    return true;
  }

  /** Follows nothing any more and sends nothing any more. */
  close(): void {
    this.#open = false;
    for (const channel of this.#places.keys()) this.detach(channel);
    this.#replies = [];
  }

  /** Sends a frame of the server's own, with others of the turn if allowed. */
  say(text: string): void {
    if (!this.#open) return;
    if (this.#peer.bufferedAmount > MAX_REPLY_BACKLOG_BYTES) {
      return this.#stall();
    }
    if (!this.batch) {
      this.#sayAll();
      return this.#peer.send(text);
    }
    this.#replies.push(text);
    if (this.#replies.length === 1) {
      this.#parts.clock.soon(() => this.#sayAll());
    } else if (this.#replies.length === FRAME_EVENTS) this.#sayAll();
  }

  /** Hands over what is due at `place`; called by its stream. */
  advance(place: Cursor): void {
    const own = place as Place;
    if (!this.#open || own.behind) return;
    if (!this.#takeFromRing(own)) this.#fallBehind(own);
  }

  /**
   * Looks whether the socket takes frames again.
   *
   * @returns whether anything is still to be caught up.
   */
  tick(): boolean {
    if (!this.#open || this.#behind.size === 0) return false;
    const now = this.#parts.clock.now();
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

  #sayAll(): void {
    const replies = this.#replies;
    if (replies.length === 0) return;
    this.#replies = [];
    this.#peer.send(
      replies.length === 1
        ? replies[0]!
        : encodeBatch(replies, this.#parts.envelope()),
    );
  }

  #fallBehind(place: Place): void {
    place.behind = true;
    if (this.#behind.size === 0) {
      this.#progressAt = this.#parts.clock.now();
      this.#buffered = this.#peer.bufferedAmount;
    }
    this.#behind.add(place);
    this.#parts.pace.add(this);
    this.#catchUp();
  }

  /** @returns whether `place` has everything the stream has. */
  #takeFromRing(place: Place): boolean {
    const { stream } = place;
    const peer = this.#peer;
    while (place.epoch === stream.epoch && place.seq < stream.seq) {
      if (place.seq + 1 < stream.first) return false;
      if (peer.bufferedAmount >= HIGH_WATER_BYTES) return false;
      if (this.#replies.length > 0) this.#sayAll();
      if (this.batch) {
        const frame = stream.frameAfter(place.seq, place.replayUntil);
        peer.send(frame.text);
        place.seq = frame.seq;
      } else {
        const replay = place.seq < place.replayUntil;
        peer.send(stream.textOf(++place.seq, replay));
      }
    }
    return place.epoch === stream.epoch;
  }

  /** Serves those who are behind, one step each in turn, while it can. */
  async #catchUp(): Promise<void> {
    if (this.#catchingUp) return;
    this.#catchingUp = true;
    try {
      while (this.#open && this.#peer.bufferedAmount < HIGH_WATER_BYTES) {
        const [place] = this.#behind;
        if (!place) break;
        this.#behind.delete(place);
        if (this.#takeFromRing(place)) {
          place.behind = false;
          continue;
        }
        this.#behind.add(place);
        if (this.#peer.bufferedAmount >= HIGH_WATER_BYTES) break;
        await this.#takeFromLog(place);
      }
    } catch {
      // The log cannot be read now; whoever is behind stays where it is.
      this.#retryAt = this.#parts.clock.now() + READ_RETRY_MS;
    } finally {
      this.#catchingUp = false;
    }
  }

  async #takeFromLog(place: Place): Promise<void> {
    const { stream } = place;
    const { channel, epoch } = stream;
    if (!stream.logged) {
      // Live only: what was missed is gone, as `subscribed` said.
      place.epoch = epoch;
      place.seq = Math.max(place.seq, stream.first - 1);
      return;
    }
    if (place.epoch !== epoch) {
      const oldest = place.epoch === UNBORN_EPOCH
        ? undefined
        : await this.#parts.readOldest(channel);
      if (!this.#follows(place) || stream.epoch !== epoch) return;
      place.epoch = epoch;
      if (oldest === undefined) return;
      place.replayUntil = stream.seq;
      this.#tellGap(place, 1, oldest - 1, "epoch_changed");
      place.seq = oldest - 1;
      return;
    }
    const upTo = stream.first - 1;
    const { entries } = await this.#parts.readPage(channel, place.seq, upTo);
    if (!this.#follows(place) || stream.epoch !== epoch) return;
    this.#sendPage(place, entries);
    // A short page that ended before its range did has nothing further.
    if (entries.length === 0 && place.seq < upTo) {
      this.#tellGap(place, place.seq + 1, upTo, "retention");
      place.seq = upTo;
    }
  }

  #follows(place: Place): boolean {
    return this.#open && this.#places.get(place.stream.channel) === place;
  }

  #sendPage(place: Place, page: readonly LoggedEntry[]): void {
    for (let i = 0; i < page.length;) {
      if (this.#peer.bufferedAmount >= HIGH_WATER_BYTES) return;
      const { seq } = page[i]!;
      if (seq > place.seq + 1) {
        this.#tellGap(place, place.seq + 1, seq - 1, "retention");
      }
      const texts: string[] = [];
      let length = 0;
      let last = seq - 1;
      while (i < page.length && page[i]!.seq === last + 1) {
        const { json } = page[i++]!;
        last++;
        texts.push(last <= place.replayUntil ? asReplay(json) : json);
        length += json.length;
        if (!this.batch || length >= FRAME_LENGTH) break;
      }
      this.#sayAll();
      this.#peer.send(
        texts.length === 1
          ? texts[0]!
          : encodeBatch(texts, this.#parts.envelope()),
      );
      place.seq = last;
    }
  }

  #tellGap(place: Place, from: number, to: number, reason: GapReason): void {
    const { channel, epoch } = place.stream;
    this.#sayAll();
    this.#peer.send(encodeReply(
      "gap",
      { channel, from, to, epoch, reason },
      this.#parts.envelope(),
    ));
  }
}
