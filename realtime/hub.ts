/**
 * Connects log, streams and links: the log assigns positions to events, streams
 * deliver them to local subscribers, links carry them to the other instances.
 *
 * @module
 */
import type { Channel } from "../protocol/channels.ts";
import type { Publication } from "../protocol/decode.ts";
import { encodeEvent } from "../protocol/encode.ts";
import type { FrameOptions } from "../protocol/encode.ts";
import { keysOf, tagsOf } from "../protocol/messages.ts";
import type { Accepted } from "../protocol/replies.ts";
import type { Clock } from "../platform/clock.ts";
import type { Tracing } from "../platform/tracing.ts";
import type { Entry, LoggedEntry } from "../store/entry.ts";
import type {
  Draft,
  EventLog,
  Head,
  LogPage,
  PageRange,
  Publisher,
  StatesPage,
  StatesRange,
} from "../store/event_log.ts";
import { isLogged } from "./channel.ts";
import { Delivery } from "./delivery.ts";
import { FilterBudget } from "./filter_budget.ts";
import type { HubObserver } from "./hub_observer.ts";
import type { Hint, Link } from "./link.ts";
import { LogReader } from "./log_reader.ts";
import type { OutboxParts } from "./outbox.ts";
import { Pace } from "./pace.ts";
import { Progress } from "./progress.ts";
import { Repair } from "./repair.ts";
import type { Stream } from "./stream.ts";
import { Streams } from "./streams.ts";
import type { Standing } from "./streams.ts";

/** What the hub needs. */
export interface HubOptions {
  /** The log, which decides the order of events. */
  log: EventLog;
  /** Ways to the other instances; stay the caller's to dispose. */
  links: readonly Link[];
  /** Time, for holding, polling and idle streams. */
  clock: Clock;
  /** Names for frames. */
  nextId: (now: number) => string;
  /** How long a link may still deliver before the log is read. */
  holdMs?: number;
  /** Newest events of a channel kept in memory. */
  ringEvents?: number;
  /** Called with deliveries, repairs and failures. */
  observer?: HubObserver;
  /** Traces each publish to its deliveries; nothing is traced when absent. */
  tracing?: Tracing | undefined;
}

/** An event of a channel without retention. */
type Unlogged = Omit<Draft, "keys">;

/** Publishes, and keeps the streams of this instance in step with the log. */
export class Hub implements Disposable {
  /** Drives outboxes that could not keep up. */
  readonly pace: Pace;
  /** What outboxes of this instance need. */
  readonly outboxParts: OutboxParts;
  readonly #log: EventLog;
  readonly #links: readonly Link[];
  readonly #clock: Clock;
  readonly #nextId: (now: number) => string;
  readonly #observer: HubObserver;
  readonly #tracing: Tracing | undefined;
  readonly #reader: LogReader;
  readonly #streams: Streams;
  readonly #delivery: Delivery;
  readonly #repair: Repair;
  readonly #progress: Progress;

  /** Starts receiving from the links and polling the log. */
  constructor(options: HubOptions) {
    const { log, clock, observer = {}, tracing } = options;
    this.#log = log;
    this.#links = options.links;
    this.#clock = clock;
    this.#nextId = options.nextId;
    this.#observer = observer;
    this.#tracing = tracing;
    const reader = this.#reader = new LogReader(log, observer);
    const envelope = () => this.#envelope();
    const streams = this.#streams = new Streams({
      clock,
      envelope,
      headOf: async (channel) => (await reader.heads([channel]))[0]!,
      ringEvents: options.ringEvents,
      refused: observer.roomsFull?.bind(observer),
    });
    const delivery = this.#delivery = new Delivery({
      clock,
      observer,
      tracing,
    });
    this.#repair = new Repair({
      log,
      streams,
      clock,
      observer,
      changed: (stream) => delivery.schedule(stream),
      holdMs: options.holdMs,
    });
    this.pace = new Pace(clock);
    this.#progress = new Progress(clock);
    this.outboxParts = {
      clock,
      pace: this.pace,
      progress: this.#progress,
      filters: new FilterBudget(),
      envelope,
      readOldest: (channel) => reader.oldest(channel),
      readPage: (channel, after, upTo) => reader.page(channel, after, upTo),
      sent: observer.sent?.bind(observer),
    };
    log.onCommit(
      (events) => this.#committed(events),
      () => delivery.ready(),
    );
    for (const link of this.#links) {
      link.receive((hint) => this.#received(hint));
    }
  }

  /** Whether `stream` is still kept in step: an idle one may be closed. */
  holds(stream: Stream): boolean {
    return this.#streams.get(stream.channel) === stream;
  }

  /** Names of the channels with a stream in this instance. */
  get channels(): Iterable<string> {
    return this.#streams.channels;
  }

  /** The state of each channel with a stream in this instance. */
  standings(): IterableIterator<Standing> {
    return this.#streams.standings();
  }

  /** How many local subscribers `channel` has. */
  subscribers(channel: string): number {
    return this.#streams.get(channel)?.subscribers ?? 0;
  }

  /**
   * Publishes messages, all or none, in their order.
   *
   * @param publications decoded messages whose publisher has the right.
   * @param publisher who publishes them; the service itself when absent.
   * @returns the position of each, in the same order.
   * @throws {Refusal} as {@link EventLog.append} does; nothing was delivered
   * then.
   */
  publish(
    publications: readonly Publication[],
    publisher?: Publisher,
  ): Promise<Accepted[]> {
    if (!this.#tracing) return this.#publish(publications, { publisher });
    return this.#tracing.publish(
      publications.map(({ channel }) => channel.kind),
      (trace) => this.#publish(publications, { publisher, trace }),
    );
  }

  /**
   * Delivers an event to this instance's own subscribers only.
   *
   * @param publication on a channel without retention.
   */
  deliverHere({ type, channel, id, payload }: Publication): void {
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
    { publisher, trace }: {
      publisher: Publisher | undefined;
      trace?: string | undefined;
    },
  ): Promise<Accepted[]> {
    const drafts = publications.map(({ type, channel, id, payload }) => ({
      logged: isLogged(channel),
      channel: channel.name,
      type,
      id,
      payloadText: JSON.stringify(payload),
      payload,
      publisher,
      tags: tagsOf(type, payload),
      keys: keysOf(type, payload),
      ...(trace === undefined ? {} : { trace }),
    }));
    const logged = drafts.filter((draft) => draft.logged);
    const positions = logged.length > 0 ? await this.#log.append(logged) : [];
    let next = 0;
    return drafts.map((draft) => {
      if (draft.logged) return positions[next++]!;
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
   * @param address whose share of the streams it takes; the service's own when
   * omitted.
   * @throws {Refusal} `STORE_UNAVAILABLE` when its head cannot be read,
   * `TOO_MANY_SUBSCRIPTIONS` when this instance, or this address in it, has
   * too many streams.
   */
  open(channel: Channel, address?: string): Promise<Stream> {
    return this.#streams.open(
      channel,
      (stream, event) => this.#take(stream, event),
      address,
    );
  }

  /**
   * Brings a stream to where the log is now, without waiting for a link.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  refresh(stream: Stream): Promise<void> {
    return this.#reader.guard(() => this.#repair.readUp(stream));
  }

  /**
   * Reads events of a channel that is kept.
   *
   * @param channel canonical name.
   * @param range numbers and bounds, as {@link EventLog.read} takes them.
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  read(channel: string, range: PageRange): Promise<LogPage> {
    return this.#reader.read(channel, range);
  }

  /**
   * Reads the newest event about something.
   *
   * @param key such as `block:15420`.
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  latest(key: string): Promise<string | undefined> {
    return this.#reader.latest(key);
  }

  /**
   * Reads the newest event about each thing of a kind.
   *
   * @param kind such as `validator`.
   * @param most how many of them.
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  states(kind: string, most: StatesRange): Promise<StatesPage> {
    return this.#reader.states(kind, most);
  }

  /**
   * Reads the oldest number of a channel that is kept.
   *
   * @param channel canonical name.
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  oldest(channel: string): Promise<number> {
    return this.#reader.oldest(channel);
  }

  /**
   * Whether a channel's current log continues from a position.
   *
   * @param channel canonical name.
   * @param position of whatever log the channel had.
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  continues(channel: string, position: Head): Promise<boolean> {
    return this.#reader.continues(channel, position);
  }

  /**
   * Reads where channels' logs end.
   *
   * @param channels canonical names.
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  heads(channels: readonly string[]): Promise<Head[]> {
    return this.#reader.heads(channels);
  }

  /** Stops polling; links and log stay their owner's. */
  [Symbol.dispose](): void {
    this.#repair[Symbol.dispose]();
    this.pace[Symbol.dispose]();
    this.#progress[Symbol.dispose]();
    for (const link of this.#links) link.receive(() => {});
  }

  #envelope(): FrameOptions {
    const now = this.#clock.now();
    return { id: this.#nextId(now), now };
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

  #received({ events, heads = [], incomplete }: Hint): void {
    for (const event of events) this.#deliver(event);
    for (const head of heads) {
      const stream = this.#streams.get(head.channel);
      const isBehind = stream?.logged &&
        (head.seq > stream.seq || head.epoch !== stream.epoch);
      if (isBehind) this.#repair.repairNow(stream);
    }
    if (incomplete) this.#repair.check();
  }

  #deliver(event: Entry): void {
    const stream = this.#streams.get(event.channel);
    if (stream) this.#take(stream, event);
    else this.#streams.keep(event);
  }

  #take(stream: Stream, event: Entry): void {
    if (event.trace !== undefined) this.#delivery.trace(event.trace);
    if (!stream.logged) {
      stream.pass(event);
      this.#delivery.schedule(stream);
      return;
    }
    if (event.epoch === undefined || event.seq === undefined) return;
    const outcome = stream.offer(event as LoggedEntry);
    if (outcome === "taken") this.#delivery.schedule(stream);
    else if (outcome !== "known") this.#repair.repair(stream);
  }
}
