/**
 * Where everything meets: the log gives events their place, streams hand them
 * to subscribers here, links tell the other isolates.
 *
 * @module
 */
import { channelNamed, CHANNELS } from "../protocol/channels.ts";
import type { Channel } from "../protocol/channels.ts";
import type { Publication } from "../protocol/decode.ts";
import { encodeEvent } from "../protocol/encode.ts";
import type { FrameOptions } from "../protocol/encode.ts";
import { keysOf, tagsOf } from "../protocol/messages.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { Accepted } from "../protocol/replies.ts";
import type { Clock } from "../platform/clock.ts";
import type { Hint, Link } from "./link.ts";
import type { Entry, LoggedEntry } from "../store/entry.ts";
import type {
  Draft,
  EventLog,
  Head,
  LogPage,
  PageRange,
} from "../store/event_log.ts";
import { PAGE_BYTES, PAGE_EVENTS } from "./outbox.ts";
import type { OutboxParts } from "./outbox.ts";
import { Pace } from "./pace.ts";
import type { FannedOut, Tracing } from "../platform/tracing.ts";
import { MAX_HELD, RING_EVENTS, Stream } from "./stream.ts";

/** How long a missing event may still come by the link, in milliseconds. */
export const HOLD_MS = 10;
/** How often the log is asked whether a link lost something, in milliseconds. */
export const POLL_MS = 1_000;
/** Asking the log may take at most one part in so many of the time. */
const POLL_SHARE = 20;
/** But the log is asked at least this often, however slow it was. */
export const MAX_REST_MS = 5_000;
/** Wait after a failed repair, in milliseconds. */
const REPAIR_RETRY_MS = 200;
/** A stream without subscribers is forgotten after so long. */
export const STREAM_IDLE_MS = 60_000;
/** Most streams open in one isolate. */
export const MAX_STREAMS = 20_000;
/** Events read from the log at once for a repair. */
const REPAIR_EVENTS = 512;
/** Bytes read from the log at once for a repair. */
const REPAIR_BYTES = 1024 * 1024;
/** Most publishes of one turn whose deliveries are traced. */
export const MAX_TRACES = 32;
/**
 * Subscribers served in one turn of the event loop. Sockets write between
 * turns: with few at a time, what they hold fits the processor's caches, and
 * its memory is used again for the next few.
 */
export const SLICE_CURSORS = 64;
/** Pages read from the log at the same time. */
export const MAX_READS = 8;

/** What happened in the hub, for those who count. */
export interface HubObserver {
  /**
   * Events of a turn were handed to local subscribers, `ms` after the first of
   * them came to this isolate.
   */
  delivered?(events: number, deliveries: number, ms: number): void;
  /**
   * A channel's share of that: so many new events for so many subscribers,
   * the newest of them as `newest`.
   */
  flushed?(
    channel: string,
    events: number,
    subscribers: number,
    newest: Entry,
  ): void;
  /** Events were published by this isolate. */
  accepted?(events: readonly { readonly channel: string }[]): void;
  /** Events were fetched from the log because a link lost or delayed them. */
  repaired?(channel: string, events: number): void;
  /** A repair or a look at the log failed. */
  failed?(error: unknown): void;
}

/** What the hub needs. */
export interface HubOptions {
  /** The truth. */
  log: EventLog;
  /** Ways to the other isolates; stay the caller's to dispose. */
  links: readonly Link[];
  /** Time, for holding back, polling and forgetting. */
  clock: Clock;
  /** Names for frames. */
  nextId: (now: number) => string;
  /** How long a link may still deliver before the log is asked. */
  holdMs?: number;
  /** Newest events of a channel kept in memory. */
  ringEvents?: number;
  /** Hears of deliveries, repairs and failures. */
  observer?: HubObserver;
  /** Tells which publish led to which deliveries; nobody is told when absent. */
  tracing?: Tracing | undefined;
}

/** How a channel stands in one isolate. */
export interface Standing {
  /** Canonical name. */
  readonly channel: string;
  /** Newest number here; of no meaning on channels without retention. */
  readonly seq: number;
  /** Whether its events are numbered and kept. */
  readonly logged: boolean;
  /** Local subscribers. */
  readonly subscribers: number;
  /** Events that the subscriber furthest behind is owed. */
  readonly lag: number;
}

/** An event of a channel without retention. */
type Unlogged = Omit<Draft, "keys">;

/** When what a stream has yet to hand out came, on the monotonic clock. */
interface Due {
  /** The oldest of what is being handed out. */
  since: number;
  /** The oldest of what came after that began. */
  next: number | undefined;
  /** Whether some subscribers were served already. */
  begun: boolean;
}

/** A channel being opened: what the links said of it meanwhile. */
interface Opening {
  readonly stream: Promise<Stream>;
  readonly heard: Entry[];
}

/** Publishes, and keeps the streams of this isolate in step with the log. */
export class Hub {
  /** Looks after subscribers that could not keep up. */
  readonly pace: Pace;
  /** What outboxes of this isolate need. */
  readonly outboxParts: OutboxParts;
  readonly #log: EventLog;
  readonly #links: readonly Link[];
  readonly #clock: Clock;
  readonly #nextId: (now: number) => string;
  readonly #holdMs: number;
  readonly #ringEvents: number;
  readonly #observer: HubObserver;
  readonly #tracing: Tracing | undefined;
  /** Traces of events not yet handed out; empty when nothing is traced. */
  readonly #traces = new Set<string>();
  readonly #streams = new Map<string, Stream>();
  readonly #opening = new Map<string, Opening>();
  readonly #idleSince = new Map<string, number>();
  readonly #dirty = new Map<Stream, Due>();
  readonly #repairs = new Map<Stream, "due" | "reading" | "outdated">();
  readonly #pages = new Map<string, Promise<LogPage>>();
  readonly #readers: (() => void)[] = [];
  #reading = 0;
  #checking: Disposable | undefined;
  #checkAt = Infinity;
  #restUntil = 0;
  #open = true;

  /** Starts listening to the links and polling the log. */
  constructor(options: HubOptions) {
    this.#log = options.log;
    this.#links = options.links;
    this.#clock = options.clock;
    this.#nextId = options.nextId;
    this.#holdMs = options.holdMs ?? HOLD_MS;
    this.#ringEvents = options.ringEvents ?? RING_EVENTS;
    this.#observer = options.observer ?? {};
    this.#tracing = options.tracing;
    this.pace = new Pace(options.clock);
    this.outboxParts = {
      clock: this.#clock,
      pace: this.pace,
      envelope: () => this.#envelope(),
      readOldest: (channel) => this.oldest(channel),
      readPage: (channel, after, upTo) => this.#page(channel, after, upTo),
    };
    this.#log.onCommit((events) => this.#committed(events));
    for (const link of this.#links) {
      link.receive((hint) => this.#heard(hint));
    }
    this.#checkIn(POLL_MS);
  }

  /** Whether `stream` is still kept in step: an idle one may be forgotten. */
  holds(stream: Stream): boolean {
    return this.#streams.get(stream.channel) === stream;
  }

  /** Names of the channels with a stream in this isolate. */
  get channels(): Iterable<string> {
    return this.#streams.keys();
  }

  /** How each channel with a stream in this isolate stands. */
  *standings(): IterableIterator<Standing> {
    for (const { channel, seq, logged, cursors } of this.#streams.values()) {
      let lag = 0;
      for (const cursor of cursors) lag = Math.max(lag, seq - cursor.seq);
      yield { channel, seq, logged, subscribers: cursors.size, lag };
    }
  }

  /** How many local subscribers `channel` has. */
  subscribers(channel: string): number {
    return this.#streams.get(channel)?.cursors.size ?? 0;
  }

  /**
   * Publishes messages, all or none, in their order.
   *
   * @param publications decoded messages whose publisher has the right.
   * @returns where each stands, in the same order.
   * @throws {Refusal} `STORE_UNAVAILABLE` or `MESSAGE_TOO_LARGE`; nothing was
   * delivered then.
   */
  publish(publications: readonly Publication[]): Promise<Accepted[]> {
    if (!this.#tracing) return this.#publish(publications);
    return this.#tracing.publish(
      publications.map(({ channel }) => channel.kind),
      (trace) => this.#publish(publications, trace),
    );
  }

  /**
   * Hands an event to this isolate's own subscribers and nobody else.
   *
   * @param publication on a channel without retention.
   */
  tell({ type, channel, id, payload }: Publication): void {
    const { entry } = this.#made({
      channel: channel.name,
      type,
      id,
      payloadText: JSON.stringify(payload),
      tags: tagsOf(type, payload),
    });
    this.#deliver(entry);
  }

  async #publish(
    publications: readonly Publication[],
    trace?: string,
  ): Promise<Accepted[]> {
    const drafts = publications.map(({ type, channel, id, payload }) => ({
      logged: isLogged(channel),
      channel: channel.name,
      type,
      id,
      payloadText: JSON.stringify(payload),
      tags: tagsOf(type, payload),
      keys: keysOf(type, payload),
      ...(trace === undefined ? {} : { trace }),
    }));
    const logged = drafts.filter((draft) => draft.logged);
    const places = logged.length > 0 ? await this.#log.append(logged) : [];
    let next = 0;
    return drafts.map((draft) => {
      if (draft.logged) return places[next++]!;
      return this.#pass(draft);
    });
  }

  /** The stream of a channel, if it is open already. */
  opened(channel: string): Stream | undefined {
    return this.#streams.get(channel);
  }

  /**
   * The stream of a channel, in step with the log from now on.
   *
   * @param channel one that exists.
   * @throws {Refusal} `STORE_UNAVAILABLE` when its head cannot be read,
   * `TOO_MANY_SUBSCRIPTIONS` when this isolate serves {@link MAX_STREAMS}.
   */
  open(channel: Channel): Promise<Stream> {
    const { name } = channel;
    const known = this.opened(name);
    if (known) return Promise.resolve(known);
    const opening = this.#opening.get(name);
    if (opening) return opening.stream;
    if (this.#streams.size + this.#opening.size >= MAX_STREAMS) this.#forget(0);
    if (this.#streams.size + this.#opening.size >= MAX_STREAMS) {
      return Promise.reject(
        new Refusal(
          "TOO_MANY_SUBSCRIPTIONS",
          `This server follows ${MAX_STREAMS} channels already; try again later`,
        ),
      );
    }
    if (!isLogged(channel)) {
      return Promise.resolve(this.#keep(channel, { epoch: "", seq: 0 }));
    }
    const heard: Entry[] = [];
    const stream = this.#begin(channel, heard);
    this.#opening.set(name, { stream, heard });
    return stream;
  }

  /**
   * Brings a stream to where the log is now, without waiting for a link.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE` when KV fails.
   */
  refresh(stream: Stream): Promise<void> {
    return this.#stored(() => this.#readUp(stream));
  }

  /**
   * Reads events of a channel that is kept.
   *
   * @param channel canonical name.
   * @param range numbers and bounds, as {@link EventLog.read} takes them.
   * @throws {Refusal} `STORE_UNAVAILABLE` when KV fails.
   */
  read(channel: string, range: PageRange): Promise<LogPage> {
    return this.#stored(() => this.#log.read(channel, range));
  }

  /**
   * Reads the newest event about something.
   *
   * @param key such as `block:15420`.
   * @throws {Refusal} `STORE_UNAVAILABLE` when KV fails.
   */
  latest(key: string): Promise<string | undefined> {
    return this.#stored(() => this.#log.latest(key));
  }

  /**
   * Reads the oldest number of a channel that is kept.
   *
   * @param channel canonical name.
   * @throws {Refusal} `STORE_UNAVAILABLE` when KV fails.
   */
  oldest(channel: string): Promise<number> {
    return this.#stored(() => this.#log.oldest(channel));
  }

  /**
   * Reads where channels' logs end.
   *
   * @param channels canonical names.
   * @throws {Refusal} `STORE_UNAVAILABLE` when KV fails.
   */
  heads(channels: readonly string[]): ReturnType<EventLog["heads"]> {
    return this.#stored(() => this.#log.heads(channels));
  }

  /** Stops polling; links and log stay their owner's. */
  [Symbol.dispose](): void {
    this.#open = false;
    this.#checking?.[Symbol.dispose]();
    this.pace[Symbol.dispose]();
    for (const link of this.#links) link.receive(() => {});
  }

  #envelope(): FrameOptions {
    const now = this.#clock.now();
    return { id: this.#nextId(now), now };
  }

  async #begin(channel: Channel, heard: Entry[]): Promise<Stream> {
    const { name } = channel;
    try {
      const [head] = await this.heads([name]);
      const stream = this.#keep(channel, head!);
      for (const event of heard) this.#take(stream, event);
      return stream;
    } finally {
      this.#opening.delete(name);
    }
  }

  #keep(channel: Channel, head: Head): Stream {
    const { name } = channel;
    const stream = new Stream(name, {
      logged: isLogged(channel),
      head,
      envelope: () => this.#envelope(),
      ringEvents: this.#ringEvents,
    });
    this.#streams.set(name, stream);
    this.#idleSince.set(name, this.#clock.now());
    return stream;
  }

  #pass(draft: Unlogged): Accepted {
    const { id, entry } = this.#made(draft);
    this.#observer.accepted?.([entry]);
    this.#deliver(entry);
    for (const link of this.#links) link.publish([entry]);
    return { id, channel: entry.channel };
  }

  #made(
    { channel, type, id, payloadText, tags, trace }: Unlogged,
  ): { id: string; entry: Entry } {
    const now = this.#clock.now();
    const name = id ?? this.#nextId(now);
    const json = encodeEvent(type, payloadText, { channel }, { id: name, now });
    const entry = { channel, type, at: now, tags, json };
    return {
      id: name,
      entry: trace === undefined ? entry : { ...entry, trace },
    };
  }

  #committed(events: readonly LoggedEntry[]): void {
    this.#observer.accepted?.(events);
    for (const event of events) this.#deliver(event);
    for (const link of this.#links) link.publish(events);
  }

  #heard({ events, incomplete }: Hint): void {
    for (const event of events) this.#deliver(event);
    if (incomplete) this.#checkIn(this.#holdMs);
  }

  #deliver(event: Entry): void {
    const stream = this.#streams.get(event.channel);
    if (stream) return this.#take(stream, event);
    const heard = this.#opening.get(event.channel)?.heard;
    if (heard && heard.length < MAX_HELD) heard.push(event);
  }

  #take(stream: Stream, entry: Entry): void {
    const { epoch, seq, trace } = entry;
    if (this.#tracing && trace !== undefined) this.#note(trace);
    if (!stream.logged) {
      stream.pass(entry);
      this.#touch(stream);
      return;
    }
    if (epoch === undefined || seq === undefined) return;
    const outcome = stream.offer(entry as LoggedEntry);
    if (outcome === "taken") this.#touch(stream);
    else if (outcome !== "known") this.#repairIn(stream, this.#holdMs);
  }

  /** Another version of this program may send anything as a trace. */
  #note(trace: unknown): void {
    if (typeof trace !== "string" || this.#traces.size >= MAX_TRACES) return;
    this.#traces.add(trace);
  }

  /** Hands out, from the end of the turn on, all that became due in it. */
  #touch(stream: Stream): void {
    const due = this.#dirty.get(stream);
    if (due) {
      if (due.begun) due.next ??= this.#clock.monotonic();
      return;
    }
    if (this.#dirty.size === 0) this.#clock.soon(() => this.#flush());
    this.#dirty.set(stream, {
      since: this.#clock.monotonic(),
      next: undefined,
      begun: false,
    });
  }

  /**
   * Hands out a slice. What the sockets of one slice hold is written before
   * the next, while it is still at hand, and a huge channel lets others pass.
   */
  #flush(): void {
    let left = SLICE_CURSORS;
    let since = Infinity;
    let events = 0;
    let deliveries = 0;
    for (const [stream, due] of this.#dirty) {
      if (left <= 0) break;
      const { size } = stream.cursors;
      const fresh = stream.flush(left);
      left -= size;
      // Whoever is not done goes to the end of the line.
      this.#dirty.delete(stream);
      if (stream.isDue) this.#dirty.set(stream, due);
      due.begun = stream.isDue && fresh === 0;
      if (due.begun) continue;
      since = Math.min(since, due.since);
      due.since = due.next ?? due.since;
      due.next = undefined;
      events += fresh;
      deliveries += fresh * size;
      if (fresh === 0 || size === 0 || stream.first > stream.seq) continue;
      const { channel, seq } = stream;
      this.#observer.flushed?.(channel, fresh, size, stream.entryAt(seq));
    }
    if (this.#dirty.size > 0) this.#clock.soon(() => this.#flush());
    if (since === Infinity) return;
    const ms = this.#clock.monotonic() - since;
    this.#traced({ events, deliveries, ms });
    if (deliveries > 0) this.#observer.delivered?.(events, deliveries, ms);
  }

  #traced(facts: FannedOut): void {
    if (this.#traces.size === 0) return;
    for (const trace of this.#traces) this.#tracing?.fannedOut(trace, facts);
    this.#traces.clear();
  }

  #repairIn(stream: Stream, ms: number): void {
    if (!this.#open) return;
    const state = this.#repairs.get(stream);
    // What the log was asked already may be older than what is missing now.
    if (state === "reading") this.#repairs.set(stream, "outdated");
    if (state) return;
    this.#repairs.set(stream, "due");
    this.#clock.after(ms, () => void this.#repair(stream));
  }

  async #repair(stream: Stream): Promise<void> {
    this.#repairs.set(stream, "reading");
    let again = false;
    try {
      if (this.#open) await this.#readUp(stream);
    } catch (error) {
      this.#observer.failed?.(error);
      again = true;
    }
    const outdated = this.#repairs.get(stream) === "outdated";
    this.#repairs.delete(stream);
    if (outdated && !again) this.#repairIn(stream, this.#holdMs);
    else if (again || stream.waits) this.#repairIn(stream, REPAIR_RETRY_MS);
  }

  /** Brings `stream` to where the log is. */
  async #readUp(stream: Stream): Promise<void> {
    const { channel } = stream;
    const [head] = await this.#log.heads([channel]);
    const { epoch, seq: upTo } = head!;
    if (epoch !== stream.epoch && (upTo > 0 || stream.seq > 0)) {
      const first = await this.#log.oldest(channel);
      if (epoch !== stream.epoch) stream.resetTo({ epoch, seq: first - 1 });
      this.#touch(stream);
    }
    while (stream.seq < upTo) {
      const after = stream.seq;
      const { entries } = await this.#log.read(channel, {
        after,
        upTo,
        limit: REPAIR_EVENTS,
        maxBytes: REPAIR_BYTES,
      });
      if (stream.epoch !== epoch) return;
      if (entries.length === 0 && stream.seq < upTo) {
        stream.resetTo({ epoch, seq: upTo });
      }
      let taken = 0;
      for (const entry of entries) {
        const { seq } = entry;
        // Retention has taken what lies between.
        if (seq > stream.seq + 1) stream.resetTo({ epoch, seq: seq - 1 });
        if (stream.offer(entry) === "taken") taken++;
      }
      if (taken > 0) this.#observer.repaired?.(channel, taken);
      this.#touch(stream);
    }
  }

  #checkIn(ms: number): void {
    if (!this.#open) return;
    const at = Math.max(this.#clock.now() + ms, this.#restUntil);
    if (at >= this.#checkAt) return;
    this.#checking?.[Symbol.dispose]();
    this.#checkAt = at;
    this.#checking = this.#clock.after(at - this.#clock.now(), () => {
      this.#checkAt = Infinity;
      this.#check();
    });
  }

  /** Asks the log whether any stream is behind it. */
  async #check(): Promise<void> {
    const began = this.#clock.now();
    this.#forget(STREAM_IDLE_MS);
    try {
      const streams = [...this.#streams.values()]
        .filter(({ logged }) => logged);
      const heads = await this.#log.heads(
        streams.map(({ channel }) => channel),
      );
      for (const [i, { epoch, seq }] of heads.entries()) {
        const stream = streams[i]!;
        if (seq > stream.seq || epoch !== stream.epoch) {
          this.#repairIn(stream, 0);
        }
      }
    } catch (error) {
      this.#observer.failed?.(error);
    }
    const now = this.#clock.now();
    this.#restUntil = now +
      Math.min((now - began) * POLL_SHARE, MAX_REST_MS);
    this.#checkIn(POLL_MS);
  }

  /** Forgets streams that had no subscriber for `idleMs`. */
  #forget(idleMs: number): void {
    const now = this.#clock.now();
    for (const [name, stream] of this.#streams) {
      if (stream.cursors.size > 0) this.#idleSince.delete(name);
      else if (!this.#idleSince.has(name)) this.#idleSince.set(name, now);
      else if (now - this.#idleSince.get(name)! >= idleMs) {
        this.#streams.delete(name);
        this.#idleSince.delete(name);
      }
    }
  }

  /** One page; those who stand at the same place share the reading of it. */
  #page(channel: string, after: number, upTo: number): Promise<LogPage> {
    const key = `${channel} ${after} ${upTo}`;
    const known = this.#pages.get(key);
    if (known) return known;
    const page = this.#inTurn(() =>
      this.#log.read(channel, {
        after,
        upTo,
        limit: PAGE_EVENTS,
        maxBytes: PAGE_BYTES,
      })
    ).finally(() => this.#pages.delete(key));
    this.#pages.set(key, page);
    return page;
  }

  async #inTurn<T>(read: () => Promise<T>): Promise<T> {
    if (this.#reading >= MAX_READS) {
      await new Promise<void>((resolve) => this.#readers.push(resolve));
    }
    this.#reading++;
    try {
      return await this.#stored(read);
    } finally {
      this.#reading--;
      this.#readers.shift()?.();
    }
  }

  async #stored<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      this.#observer.failed?.(error);
      throw new Refusal(
        "STORE_UNAVAILABLE",
        "The log cannot be read now; try again",
        { cause: error, retryAfterMs: REPAIR_RETRY_MS },
      );
    }
  }
}

/** Whether the channel's events are numbered and kept. */
export function isLogged(channel: Channel): boolean {
  return CHANNELS[channel.kind].retention === "log";
}

/**
 * The channel of that name.
 *
 * @param name as a client wrote it, aliases included.
 * @throws {Refusal} `UNKNOWN_CHANNEL`.
 */
export function requireChannel(name: string): Channel {
  const channel = channelNamed(name);
  if (channel) return channel;
  throw new Refusal(
    "UNKNOWN_CHANNEL",
    `Channel ${JSON.stringify(name.slice(0, 80))} is not known`,
  );
}
