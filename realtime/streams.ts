/**
 * The streams of one instance.
 *
 * @module
 */
import type { Channel } from "../protocol/channels.ts";
import type { FrameOptions } from "../protocol/encode.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { Clock } from "../platform/clock.ts";
import { Holdings } from "../platform/holdings.ts";
import type { Entry } from "../store/entry.ts";
import type { Head } from "../store/event_log.ts";
import { isLogged } from "./channel.ts";
import { MAX_HELD, RING_EVENTS, Stream } from "./stream.ts";

/** How long a stream without subscribers stays open, in milliseconds. */
export const STREAM_IDLE_MS = 60_000;
/** Most streams open in one instance. */
export const MAX_STREAMS = 20_000;
/**
 * Most open streams of rooms for one address, in one instance, while others use
 * none. The bound shrinks as others use more: an address may hold the
 * {@link FREE_PART}th part of the free streams, so that some are always free
 * (dynamic thresholds: Choudhury and Hahne, 1998).
 */
export const MAX_STREAMS_PER_ADDRESS = 2_000;
/** An address that holds less than this part of the free streams may open a room. */
const FREE_PART = MAX_STREAMS / MAX_STREAMS_PER_ADDRESS - 1;
/** Shortest interval between searches for idle streams, in milliseconds. */
const SWEEP_MS = 1_000;
/** `retryAfterMs` of a refused stream, in milliseconds. */
const FULL_RETRY_MS = 5_000;
/** Shortest interval between reports of refused rooms, in milliseconds. */
const REPORT_MS = 60_000;

/** Parts that the registry needs. */
export interface StreamsParts {
  /** Time, for idle streams. */
  readonly clock: Clock;
  /** Reads the end of a channel's log. */
  readonly headOf: (channel: string) => Promise<Head>;
  /** Envelope fields for joined frames. */
  readonly envelope: () => FrameOptions;
  /** Newest events of a channel kept in memory; {@link RING_EVENTS} if absent. */
  readonly ringEvents?: number | undefined;
  /**
   * Called when an address is refused a room, once a minute at most.
   *
   * @param used streams in use; `MAX_STREAMS` when none is free for anyone.
   * @param address the refused caller; absent for a room of the service itself.
   */
  readonly refused?: ((used: number, address?: string) => void) | undefined;
}

/** The state of a channel in one instance. */
export interface Standing {
  /** Canonical name. */
  readonly channel: string;
  /** Newest number here; meaningless on channels without retention. */
  readonly seq: number;
  /** Whether its events are numbered and kept. */
  readonly logged: boolean;
  /** Local subscribers. */
  readonly subscribers: number;
  /** Largest number of events that a subscriber is behind. */
  readonly lag: number;
}

/** A channel being opened, and the events that arrived meanwhile. */
interface Opening {
  readonly stream: Promise<Stream>;
  readonly arrived: Entry[];
}

/** Opens streams, and closes those that have no subscriber. */
export class Streams {
  readonly #parts: StreamsParts;
  readonly #open = new Map<string, Stream>();
  readonly #opening = new Map<string, Opening>();
  /** When a stream lost its last subscriber, on the monotonic clock. */
  readonly #idleSince = new Map<string, number>();
  /** The address for which each room was opened, until its stream is closed. */
  readonly #openedFor = new Map<string, string>();
  /** Number of these rooms, by address. */
  readonly #shares = new Holdings();
  #sweptAt = -Infinity;
  #reportedAt = -Infinity;

  /** Empty. */
  constructor(parts: StreamsParts) {
    this.#parts = parts;
  }

  /** All open streams. */
  [Symbol.iterator](): IterableIterator<Stream> {
    return this.#open.values();
  }

  /** Names of the channels with an open stream. */
  get channels(): Iterable<string> {
    return this.#open.keys();
  }

  /** The state of each channel with an open stream. */
  *standings(): IterableIterator<Standing> {
    for (const stream of this) {
      const { channel, seq, logged, cursors, filtered, subscribers } = stream;
      let lag = 0;
      for (const cursor of cursors) lag = Math.max(lag, seq - cursor.seq);
      for (const cursor of filtered) {
        // Events that do not match do not move a subscriber that is not behind.
        if (cursor.behind) lag = Math.max(lag, seq - cursor.seq);
      }
      yield { channel, seq, logged, subscribers, lag };
    }
  }

  /** The stream of a channel, if it is open. */
  get(channel: string): Stream | undefined {
    return this.#open.get(channel);
  }

  /**
   * Stores an event for a channel that is being opened. An event of any other
   * channel is dropped.
   */
  keep(event: Entry): void {
    const arrived = this.#opening.get(event.channel)?.arrived;
    if (arrived && arrived.length < MAX_HELD) arrived.push(event);
  }

  /**
   * Opens the stream of a channel at its log's head.
   *
   * @param take is called with each event that arrived meanwhile.
   * @param address the caller whose share applies; none when omitted.
   * @throws {Refusal} what `headOf` throws; `TOO_MANY_SUBSCRIPTIONS` for a room
   * while {@link MAX_STREAMS} are in use, or {@link MAX_STREAMS_PER_ADDRESS}
   * of that address. Fixed channels are never refused.
   */
  open(
    channel: Channel,
    take: (stream: Stream, event: Entry) => void,
    address?: string,
  ): Promise<Stream> {
    const { name } = channel;
    const known = this.#open.get(name);
    if (known) return Promise.resolve(known);
    const opening = this.#opening.get(name);
    if (opening) return opening.stream;
    if (channel.kind === "room") {
      const full = this.#fullness(address);
      if (full !== undefined) {
        this.#report(address);
        return Promise.reject(
          new Refusal("TOO_MANY_SUBSCRIPTIONS", `${full}; try again later`, {
            retryAfterMs: FULL_RETRY_MS,
          }),
        );
      }
      if (address !== undefined) this.#share(name, address);
    }
    if (!isLogged(channel)) {
      return Promise.resolve(this.#add(channel, { epoch: "", seq: 0 }));
    }
    const arrived: Entry[] = [];
    const stream = this.#begin(channel, arrived, take);
    this.#opening.set(name, { stream, arrived });
    return stream;
  }

  /** Closes streams that had no subscriber for `idleMs`. */
  closeIdle(idleMs: number): void {
    const now = this.#parts.clock.monotonic();
    for (const [name, stream] of this.#open) {
      if (stream.subscribers > 0) this.#idleSince.delete(name);
      else if (!this.#idleSince.has(name)) this.#idleSince.set(name, now);
      else if (now - this.#idleSince.get(name)! >= idleMs) {
        this.#open.delete(name);
        this.#idleSince.delete(name);
        this.#unshare(name);
      }
    }
  }

  /** Why no room can be opened for an address; nothing when it can. */
  #fullness(address: string | undefined): string | undefined {
    const why = () => {
      const free = MAX_STREAMS - this.#used;
      if (free <= 0) {
        return `This server follows ${MAX_STREAMS} channels already`;
      }
      const share = address === undefined ? 0 : this.#shares.of(address);
      if (share * FREE_PART < free) return undefined;
      return `One address may open ${share} rooms while ${free} are free`;
    };
    const now = this.#parts.clock.monotonic();
    // The search visits every stream, which refusals must not do.
    if (why() === undefined || now - this.#sweptAt < SWEEP_MS) return why();
    this.#sweptAt = now;
    this.closeIdle(0);
    return why();
  }

  /** Number of streams that are open or being opened. */
  get #used(): number {
    return this.#open.size + this.#opening.size;
  }

  #report(address: string | undefined): void {
    const now = this.#parts.clock.monotonic();
    if (now - this.#reportedAt < REPORT_MS) return;
    this.#reportedAt = now;
    this.#parts.refused?.(this.#used, address);
  }

  #share(name: string, address: string): void {
    this.#openedFor.set(name, address);
    this.#shares.add(address, 1);
  }

  #unshare(name: string): void {
    const address = this.#openedFor.get(name);
    if (address === undefined) return;
    this.#openedFor.delete(name);
    this.#shares.add(address, -1);
  }

  async #begin(
    channel: Channel,
    arrived: readonly Entry[],
    take: (stream: Stream, event: Entry) => void,
  ): Promise<Stream> {
    const { name } = channel;
    try {
      const stream = this.#add(channel, await this.#parts.headOf(name));
      for (const event of arrived) take(stream, event);
      return stream;
    } catch (error) {
      this.#unshare(name);
      throw error;
    } finally {
      this.#opening.delete(name);
    }
  }

  #add(channel: Channel, head: Head): Stream {
    const { name } = channel;
    const { clock, envelope, ringEvents = RING_EVENTS } = this.#parts;
    const logged = isLogged(channel);
    const stream = new Stream(name, { logged, head, envelope, ringEvents });
    this.#open.set(name, stream);
    this.#idleSince.set(name, clock.monotonic());
    return stream;
  }
}
