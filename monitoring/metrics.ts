/**
 * What the service measures of itself, in one isolate: one set of instruments
 * that every outlet reads.
 *
 * @module
 */
import { build } from "hdr-histogram-js";
import type { Histogram } from "hdr-histogram-js";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Clock } from "../platform/clock.ts";
import type { HubObserver, Standing } from "../realtime/hub.ts";
import type { LinkName, LinkObserver } from "../realtime/link.ts";
import type { LogObserver } from "../store/event_log.ts";
import type { Sessions } from "../realtime/sessions.ts";

/** Rates are averaged over so many whole seconds. */
export const RATE_SECONDS = 10;
/** Longest time told apart, in microseconds: one minute. */
const HIGHEST_US = 60_000_000;
/** Microseconds in a millisecond. */
const US_PER_MS = 1_000;
/** Upper bounds of the buckets that times are counted in, in seconds. */
export const TIME_BUCKETS: readonly number[] = [
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
];
/** Upper bounds of the buckets that sizes are counted in. */
export const SIZE_BUCKETS: readonly number[] = [
  1,
  2,
  5,
  10,
  25,
  50,
  100,
  250,
  500,
];

/** An instrument, as every outlet names it. */
export interface Instrument {
  /** `counter`: only grows; `gauge`: as it is now; `histogram`: spread. */
  readonly type: "counter" | "gauge" | "histogram";
  /** What it tells, a sentence for people. */
  readonly help: string;
}

/** Every instrument; labels take values of small, fixed vocabularies only. */
export const INSTRUMENTS = {
  kaldrix_start_time_seconds: {
    type: "gauge",
    help: "When the isolate started, in seconds since the Unix epoch.",
  },
  kaldrix_memory_bytes: {
    type: "gauge",
    help:
      "Resident memory of the whole process, the same for all isolates in it.",
  },
  kaldrix_connections: {
    type: "gauge",
    help: "Clients connected now, over WebSocket or SSE.",
  },
  kaldrix_connections_slow: {
    type: "gauge",
    help: "Clients that read more slowly than events come.",
  },
  kaldrix_connections_opened_total: {
    type: "counter",
    help: "Clients that were connected.",
  },
  kaldrix_connections_failed_total: {
    type: "counter",
    help: "Connections that were refused.",
  },
  kaldrix_connect_seconds: {
    type: "histogram",
    help: "From a request to connect to the socket being open.",
  },
  kaldrix_frames_received_total: {
    type: "counter",
    help: "Frames received from clients.",
  },
  kaldrix_refusals_total: {
    type: "counter",
    help: "What was refused, by code.",
  },
  kaldrix_security_events_total: {
    type: "counter",
    help: "What happened at the guards, by kind.",
  },
  kaldrix_security_events_dropped_total: {
    type: "counter",
    help: "Security events that were counted but will never be in the log.",
  },
  kaldrix_events_total: {
    type: "counter",
    help: "Events published through the isolate, by kind of channel.",
  },
  kaldrix_deliveries_total: {
    type: "counter",
    help: "Events handed to clients, by kind of channel.",
  },
  kaldrix_delivery_seconds: {
    type: "histogram",
    help:
      "From an event's commit, or its coming by the link, to the last socket here.",
  },
  kaldrix_event_age_seconds: {
    type: "histogram",
    help:
      "From the timestamp of an event, before its commit, to the last socket here.",
  },
  kaldrix_streams: {
    type: "gauge",
    help: "Channels kept in memory, by kind.",
  },
  kaldrix_subscribers: {
    type: "gauge",
    help: "Subscriptions, by kind of channel.",
  },
  kaldrix_channel_head: {
    type: "gauge",
    help: "Newest number of a channel as the isolate knows it, rooms left out.",
  },
  kaldrix_channel_lag_events: {
    type: "gauge",
    help:
      "Events that the subscriber furthest behind is owed, by kind of channel.",
  },
  kaldrix_repaired_events_total: {
    type: "counter",
    help:
      "Events read from the log because a link lost or delayed them, by kind of channel.",
  },
  kaldrix_link_posts_total: {
    type: "counter",
    help: "Posts to other isolates, by link.",
  },
  kaldrix_link_heard_total: {
    type: "counter",
    help: "Posts heard from other isolates, by link.",
  },
  kaldrix_link_incomplete_total: {
    type: "counter",
    help: "Posts heard after something before them was lost, by link.",
  },
  kaldrix_link_failures_total: {
    type: "counter",
    help: "Times a link could not be used, by link.",
  },
  kaldrix_doorbell_seconds: {
    type: "histogram",
    help: "From ringing the doorbell to hearing it through KV.",
  },
  kaldrix_commits_total: {
    type: "counter",
    help: "Commits to the log that took effect.",
  },
  kaldrix_commit_conflicts_total: {
    type: "counter",
    help: "Commits that lost a race and were tried again.",
  },
  kaldrix_commit_seconds: {
    type: "histogram",
    help: "Time of a commit, its repeated tries included.",
  },
  kaldrix_commit_events: {
    type: "histogram",
    help: "Events in one commit.",
  },
  kaldrix_store_failures_total: {
    type: "counter",
    help: "Commits and reads of the log that failed.",
  },
} as const satisfies Record<`kaldrix_${string}`, Instrument>;

/** The name of an instrument. */
export type InstrumentName = keyof typeof INSTRUMENTS;

/** One value of an instrument, or a spread of values. */
export interface Reading {
  /** Which instrument. */
  readonly name: InstrumentName;
  /** What it is about; names and values from small, fixed vocabularies. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of counters and gauges; of histograms the sum of all values. */
  readonly value: number;
  /** Of histograms: how many values there were. */
  readonly count?: number;
  /** Of histograms: values up to each bound, cumulative. */
  readonly buckets?: readonly (readonly [bound: number, count: number])[];
}

/** Hears every time and size as it is measured. */
export type Listener = (
  name: InstrumentName,
  value: number,
  count: number,
) => void;

/** Counts per second over the last {@link RATE_SECONDS}. */
class Rate {
  readonly #seconds = new Float64Array(RATE_SECONDS + 1);
  #second = 0;

  add(now: number, count: number): void {
    this.#move(now);
    this.#seconds[this.#second % this.#seconds.length]! += count;
  }

  /** @returns the average of the last whole seconds. */
  perSecond(now: number): number {
    this.#move(now);
    const running = this.#seconds[this.#second % this.#seconds.length]!;
    const sum = this.#seconds.reduce((a, b) => a + b, 0) - running;
    return sum / RATE_SECONDS;
  }

  #move(now: number): void {
    const second = Math.floor(now / 1_000);
    const from = Math.max(this.#second, second - this.#seconds.length);
    for (let s = from + 1; s <= second; s++) {
      this.#seconds[s % this.#seconds.length] = 0;
    }
    this.#second = Math.max(this.#second, second);
  }
}

/** How values were spread, in buckets, with their count and sum. */
class Spread {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  get sum(): number {
    return this.#sum;
  }

  get count(): number {
    return this.#count;
  }

  add(value: number, count: number): void {
    let i = 0;
    while (i < this.#bounds.length && value > this.#bounds[i]!) i++;
    this.#counts[i]! += count;
    this.#sum += value * count;
    this.#count += count;
  }

  reading(name: InstrumentName): Reading {
    let before = 0;
    return {
      name,
      labels: {},
      value: this.#sum,
      count: this.#count,
      buckets: this.#bounds.map((bound, i) =>
        [bound, before += this.#counts[i]!] as const
      ),
    };
  }
}

/** Counts apart what bears different labels. */
class Tally<Key extends string> {
  readonly #counts = new Map<Key, number>();

  add(key: Key, count = 1): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }

  get(key: Key): number {
    return this.#counts.get(key) ?? 0;
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }

  *readings(name: InstrumentName, label: string): Iterable<Reading> {
    for (const [key, value] of this.#counts) {
      yield { name, labels: { [label]: key }, value };
    }
  }
}

/** How long deliveries took, in milliseconds. */
export interface DeliveryTime {
  /** Average. */
  avg: number;
  /** Shortest. */
  min: number;
  /** Longest. */
  max: number;
  /** 95 of 100 took at most so long. */
  p95: number;
  /** 99 of 100 took at most so long. */
  p99: number;
  /** Events measured. */
  total: number;
}

/** What {@link Metrics.report} tells, in the reference document's terms. */
export interface MetricsReport {
  /** Seconds since this isolate started. */
  uptime: number;
  /** From commit to the last local socket, in milliseconds. */
  eventDeliveryTime: DeliveryTime;
  /** Averages over the last ten seconds. */
  throughput: {
    /** Frames received from clients. */
    messagesPerSecond: number;
    /** Events handed to sockets. */
    eventsPerSecond: number;
    /** Events committed here. */
    broadcastsPerSecond: number;
  };
  /** Connections of this isolate. */
  connectionStats: {
    activeConnections: number;
    totalConnections: number;
    /** Connections that were refused. */
    failedConnections: number;
    /** Clients that read more slowly than events come. */
    slowConnections: number;
    /** From a request to connect to the open socket, in milliseconds. */
    avgConnectionTime: number;
  };
  /** This isolate's share of the machine. */
  resourceUsage: {
    /** Resident memory of the whole process, in bytes. */
    memoryUsage: number;
    networkConnections: number;
  };
  /** The log, as this isolate sees it. */
  log: {
    commits: number;
    events: number;
    conflicts: number;
    failures: number;
    /** Average time of a commit, in milliseconds. */
    commitTimeMs: number;
    /** Events fetched because a link lost or delayed them. */
    repaired: number;
  };
  /** Refusals so far, by code. */
  refusals: Record<string, number>;
}

/** What happened at the guards, counted. */
export interface GuardCounts {
  /** How often each thing happened. */
  counts(): readonly { readonly kind: string; readonly count: number }[];
  /** How many events will never be in the security log. */
  readonly dropped: number;
}

/** Where the numbers come from. */
export interface MetricsOptions {
  /** Time, for rates and uptime. */
  clock: Clock;
  /** Those connected here. */
  sessions: Sessions;
  /** How many clients are behind. */
  behind: () => number;
  /** Resident memory of the process, in bytes. */
  memoryUsage: () => number;
  /** How the channels in this isolate stand; none when omitted. */
  standings?: () => Iterable<Standing>;
  /** Counts at the guards; none when omitted. */
  guards?: () => GuardCounts;
}

/** Counts and times; costs a few additions a turn, not an event. */
export class Metrics {
  readonly #options: MetricsOptions;
  readonly #started: number;
  readonly #delivery = times();
  /** Deliveries since the last {@link takeInterval}. */
  readonly #interval = times();
  readonly #deliverySpread = new Spread(TIME_BUCKETS);
  readonly #ageSpread = new Spread(TIME_BUCKETS);
  readonly #commitSpread = new Spread(TIME_BUCKETS);
  readonly #commitEvents = new Spread(SIZE_BUCKETS);
  readonly #doorbellSpread = new Spread(TIME_BUCKETS);
  readonly #connectSpread = new Spread(TIME_BUCKETS);
  readonly #frames = new Rate();
  readonly #deliveries = new Rate();
  readonly #broadcasts = new Rate();
  readonly #refusals = new Tally<RefusalCode>();
  readonly #eventsByKind = new Tally<string>();
  readonly #deliveriesByKind = new Tally<string>();
  readonly #repairedByKind = new Tally<string>();
  readonly #posted = new Tally<LinkName>();
  readonly #heard = new Tally<LinkName>();
  readonly #incomplete = new Tally<LinkName>();
  readonly #linkFailures = new Tally<LinkName>();
  #received = 0;
  #failedConnections = 0;
  #conflicts = 0;
  #failures = 0;
  #listener: Listener | undefined;

  /** Begins to count. */
  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#started = options.clock.now();
  }

  /** Hears what happens in the hub. */
  readonly hub: HubObserver = {
    delivered: (events, deliveries, ms) => {
      const us = microseconds(ms);
      this.#delivery.recordValueWithCount(us, events);
      this.#interval.recordValueWithCount(us, events);
      this.#spread(
        "kaldrix_delivery_seconds",
        this.#deliverySpread,
        ms,
        events,
      );
      this.#deliveries.add(this.#options.clock.now(), deliveries);
    },
    flushed: (channel, events, subscribers, text) => {
      this.#deliveriesByKind.add(kindOf(channel), events * subscribers);
      const ms = Math.max(0, this.#options.clock.now() - timeIn(text));
      this.#spread("kaldrix_event_age_seconds", this.#ageSpread, ms, 1);
    },
    accepted: (events) => {
      for (const { channel } of events) {
        this.#eventsByKind.add(kindOf(channel));
      }
      this.#broadcasts.add(this.#options.clock.now(), events.length);
    },
    repaired: (channel, events) => {
      this.#repairedByKind.add(kindOf(channel), events);
    },
    failed: () => {
      this.#failures++;
    },
  };

  /** Hears what happens in the log. */
  readonly log: LogObserver = {
    committed: (events, ms) => {
      this.#spread("kaldrix_commit_seconds", this.#commitSpread, ms, 1);
      this.#commitEvents.add(events, 1);
      this.#listener?.("kaldrix_commit_events", events, 1);
    },
    conflicted: () => {
      this.#conflicts++;
    },
    failed: () => {
      this.#failures++;
    },
  };

  /** Hears what happens on the links. */
  readonly link: LinkObserver = {
    posted: (link) => this.#posted.add(link),
    heard: (link, incomplete) => {
      this.#heard.add(link);
      if (incomplete) this.#incomplete.add(link);
    },
    rang: (ms) => {
      this.#spread("kaldrix_doorbell_seconds", this.#doorbellSpread, ms, 1);
    },
    linkFailed: (link) => this.#linkFailures.add(link),
  };

  /** A frame came from a client. */
  received(): void {
    this.#received++;
    this.#frames.add(this.#options.clock.now(), 1);
  }

  /** Something was refused. */
  refused(code: RefusalCode): void {
    this.#refusals.add(code);
  }

  /** A client is connected, `ms` milliseconds after it asked. */
  connected(ms: number): void {
    this.#spread("kaldrix_connect_seconds", this.#connectSpread, ms, 1);
  }

  /** A client that wanted to connect was sent away. */
  connectionFailed(): void {
    this.#failedConnections++;
  }

  /** Names who hears, besides, of every time and size that is measured. */
  listen(listener: Listener): void {
    this.#listener = listener;
  }

  /** How long deliveries took since the last call; this begins anew. */
  takeInterval(): DeliveryTime {
    const time = timeOf(this.#interval);
    this.#interval.reset();
    return time;
  }

  /** What an alert may be about, counted since the start. */
  counts(): AlertCounts {
    const guards = this.#options.guards?.().counts() ?? [];
    const of = (kind: string) =>
      guards.filter((it) => it.kind === kind)
        .reduce((sum, { count }) => sum + count, 0);
    return {
      failedConnections: this.#failedConnections,
      failedAuthentications: of("auth_failed"),
      rateViolations: of("rate_limited"),
      storeFailures: this.#failures,
    };
  }

  /** Every instrument as it stands. */
  readings(): Reading[] {
    const { sessions, behind, memoryUsage, guards } = this.#options;
    const one = (name: InstrumentName, value: number): Reading => ({
      name,
      labels: {},
      value,
    });
    return [
      one("kaldrix_start_time_seconds", this.#started / 1_000),
      one("kaldrix_memory_bytes", memoryUsage()),
      one("kaldrix_connections", sessions.size),
      one("kaldrix_connections_slow", behind()),
      one("kaldrix_connections_opened_total", sessions.total),
      one("kaldrix_connections_failed_total", this.#failedConnections),
      this.#connectSpread.reading("kaldrix_connect_seconds"),
      one("kaldrix_frames_received_total", this.#received),
      ...this.#refusals.readings("kaldrix_refusals_total", "code"),
      ...guardReadings(guards?.()),
      ...this.#eventsByKind.readings("kaldrix_events_total", "channel"),
      ...this.#deliveriesByKind.readings("kaldrix_deliveries_total", "channel"),
      this.#deliverySpread.reading("kaldrix_delivery_seconds"),
      this.#ageSpread.reading("kaldrix_event_age_seconds"),
      ...channelReadings(this.#options.standings?.() ?? []),
      ...this.#repairedByKind.readings(
        "kaldrix_repaired_events_total",
        "channel",
      ),
      ...this.#posted.readings("kaldrix_link_posts_total", "link"),
      ...this.#heard.readings("kaldrix_link_heard_total", "link"),
      ...this.#incomplete.readings("kaldrix_link_incomplete_total", "link"),
      ...this.#linkFailures.readings("kaldrix_link_failures_total", "link"),
      this.#doorbellSpread.reading("kaldrix_doorbell_seconds"),
      one("kaldrix_commits_total", this.#commitSpread.count),
      one("kaldrix_commit_conflicts_total", this.#conflicts),
      this.#commitSpread.reading("kaldrix_commit_seconds"),
      this.#commitEvents.reading("kaldrix_commit_events"),
      one("kaldrix_store_failures_total", this.#failures),
    ];
  }

  /** Everything this isolate measures of itself. */
  report(): MetricsReport {
    const { clock, sessions, behind, memoryUsage } = this.#options;
    const now = clock.now();
    const average = ({ sum, count }: Spread) =>
      count > 0 ? sum / count * 1_000 : 0;
    return {
      uptime: (now - this.#started) / 1_000,
      eventDeliveryTime: timeOf(this.#delivery),
      throughput: {
        messagesPerSecond: this.#frames.perSecond(now),
        eventsPerSecond: this.#deliveries.perSecond(now),
        broadcastsPerSecond: this.#broadcasts.perSecond(now),
      },
      connectionStats: {
        activeConnections: sessions.size,
        totalConnections: sessions.total,
        failedConnections: this.#failedConnections,
        slowConnections: behind(),
        avgConnectionTime: average(this.#connectSpread),
      },
      resourceUsage: {
        memoryUsage: memoryUsage(),
        networkConnections: sessions.size,
      },
      log: {
        commits: this.#commitSpread.count,
        events: this.#commitEvents.sum,
        conflicts: this.#conflicts,
        failures: this.#failures,
        commitTimeMs: average(this.#commitSpread),
        repaired: this.#repairedByKind.total,
      },
      refusals: this.#refusals.toJSON(),
    };
  }

  #spread(
    name: InstrumentName,
    spread: Spread,
    ms: number,
    count: number,
  ): void {
    const seconds = ms / 1_000;
    spread.add(seconds, count);
    this.#listener?.(name, seconds, count);
  }
}

/** What an alert may be about, counted since the isolate's start. */
export interface AlertCounts {
  /** Connections that were refused. */
  readonly failedConnections: number;
  /** Tokens that were not accepted. */
  readonly failedAuthentications: number;
  /** Callers that came too often. */
  readonly rateViolations: number;
  /** Commits and reads of the log that failed. */
  readonly storeFailures: number;
}

/**
 * The report as text, in the layout of the reference document.
 *
 * @param report of one isolate or of all together.
 */
export function getPerformanceReport(report: PerformanceFigures): string {
  const { eventDeliveryTime: time, throughput, connectionStats } = report;
  const { resourceUsage } = report;
  const two = (value: number) => value.toFixed(2);
  const megabytes = resourceUsage.memoryUsage / (1024 * 1024);
  return `WebSocket Performance Report
=============================
Uptime: ${(report.uptime / 60).toFixed(1)} minutes

Event Delivery Performance:
- Average Delivery Time: ${two(time.avg)}ms
- Min Delivery Time: ${two(time.min)}ms
- Max Delivery Time: ${two(time.max)}ms
- 95th Percentile: ${two(time.p95)}ms
- 99th Percentile: ${two(time.p99)}ms
- Total Events Tracked: ${time.total}

Throughput:
- Messages/Second: ${two(throughput.messagesPerSecond)}
- Events/Second: ${two(throughput.eventsPerSecond)}
- Broadcasts/Second: ${two(throughput.broadcastsPerSecond)}

Connection Statistics:
- Active Connections: ${connectionStats.activeConnections}
- Total Connections: ${connectionStats.totalConnections}
- Failed Connections: ${connectionStats.failedConnections}
- Avg Connection Time: ${two(connectionStats.avgConnectionTime)}ms

Resource Usage:
- Memory Usage: ${two(megabytes)}MB
- Network Connections: ${resourceUsage.networkConnections}
`;
}

/** The sections of a report that {@link getPerformanceReport} writes. */
export type PerformanceFigures = Pick<
  MetricsReport,
  | "uptime"
  | "eventDeliveryTime"
  | "throughput"
  | "connectionStats"
  | "resourceUsage"
>;

/** The kind of channel: rooms are one, whatever their names. */
export function kindOf(channel: string): string {
  return channel.startsWith("room:") ? "room" : channel;
}

function guardReadings(guards: GuardCounts | undefined): Reading[] {
  if (!guards) return [];
  const kinds = new Tally<string>();
  for (const { kind, count } of guards.counts()) kinds.add(kind, count);
  return [
    ...kinds.readings("kaldrix_security_events_total", "kind"),
    {
      name: "kaldrix_security_events_dropped_total",
      labels: {},
      value: guards.dropped,
    },
  ];
}

function channelReadings(standings: Iterable<Standing>): Reading[] {
  const streams = new Tally<string>();
  const subscribers = new Tally<string>();
  const heads = new Tally<string>();
  const lags = new Map<string, number>();
  for (const standing of standings) {
    const kind = kindOf(standing.channel);
    streams.add(kind);
    subscribers.add(kind, standing.subscribers);
    lags.set(kind, Math.max(lags.get(kind) ?? 0, standing.lag));
    if (kind !== "room" && standing.logged) heads.add(kind, standing.seq);
  }
  return [
    ...streams.readings("kaldrix_streams", "channel"),
    ...subscribers.readings("kaldrix_subscribers", "channel"),
    ...heads.readings("kaldrix_channel_head", "channel"),
    ...[...lags].map(([channel, value]): Reading => ({
      name: "kaldrix_channel_lag_events",
      labels: { channel },
      value,
    })),
  ];
}

function times(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_US,
    numberOfSignificantValueDigits: 2,
  });
}

function microseconds(ms: number): number {
  return Math.min(HIGHEST_US, Math.max(1, Math.round(ms * US_PER_MS)));
}

function timeOf(histogram: Histogram): DeliveryTime {
  const { totalCount: total } = histogram;
  const ms = (us: number) => total > 0 ? us / US_PER_MS : 0;
  // A bucket's middle and end may lie beyond the longest time in it.
  const within = (us: number) => ms(Math.min(us, histogram.maxValue));
  return {
    avg: within(histogram.mean),
    min: ms(histogram.minNonZeroValue),
    max: ms(histogram.maxValue),
    p95: within(histogram.getValueAtPercentile(95)),
    p99: within(histogram.getValueAtPercentile(99)),
    total,
  };
}

const TIMESTAMP = '"timestamp":"';
/** Length of an ISO 8601 instant in UTC with milliseconds. */
const INSTANT_LENGTH = 24;

/** When the server accepted an event, in epoch milliseconds. */
function timeIn(text: string): number {
  // Quotes within the fields before it are escaped, so the first is its own.
  const at = text.indexOf(TIMESTAMP) + TIMESTAMP.length;
  return Date.parse(text.slice(at, at + INSTANT_LENGTH));
}
