/**
 * Measures one instance: observes its parts, and gives readings and a report.
 *
 * @module
 */
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Clock } from "../platform/clock.ts";
import type { HubObserver } from "../realtime/hub_observer.ts";
import type { LinkName, LinkObserver } from "../realtime/link.ts";
import type { LogObserver } from "../store/event_log.ts";
import type { Sessions } from "../realtime/sessions.ts";
import type { Standing } from "../realtime/streams.ts";
import { Durations, Rate, Spread, Tally } from "./counters.ts";
import { kindOf, SIZE_BUCKETS, TIME_BUCKETS } from "./instruments.ts";
import type {
  InstrumentName,
  MeasurementListener,
  Reading,
} from "./instruments.ts";
import type { DeliveryTime, MetricsReport } from "./report.ts";
import { Traffic } from "./traffic.ts";

/** Counts of the guards. */
export interface GuardCounts {
  /** Occurrences by kind. */
  counts(): readonly { readonly kind: string; readonly count: number }[];
  /** Events that were not stored in the security log. */
  readonly dropped: number;
}

/** What {@link Metrics} measures. */
export interface MetricsOptions {
  /** Time, for rates and uptime. */
  clock: Clock;
  /** Clients connected here. */
  sessions: Sessions;
  /** How many clients read too slowly. */
  behind: () => number;
  /** Resident memory of the process, in bytes. */
  memoryUsage: () => number;
  /** States of the channels in this instance; none when omitted. */
  standings?: () => Iterable<Standing>;
  /** Counts of the guards; none when omitted. */
  guards?: () => GuardCounts;
  /** Readings that others make; none when omitted. */
  more?: () => readonly Reading[];
}

/** Counts and durations; they cost a few additions a turn, not an event. */
export class Metrics {
  readonly #options: MetricsOptions;
  /** On the wall clock, in epoch milliseconds. */
  readonly #startedAt: number;
  /** On the monotonic clock. */
  readonly #began: number;
  readonly #delivery = new Durations();
  /** Deliveries since the last {@link takeInterval}. */
  readonly #interval = new Durations();
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
  readonly #linked = new Tally<LinkName>();
  readonly #incomplete = new Tally<LinkName>();
  readonly #linkFailures = new Tally<LinkName>();
  readonly #traffic = new Traffic();
  #received = 0;
  #failedConnections = 0;
  #conflicts = 0;
  #failures = 0;
  #listener: MeasurementListener | undefined;

  /** Starts to count. */
  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#began = options.clock.monotonic();
  }

  /** Observes the hub. */
  readonly hub: HubObserver = {
    delivered: (events, deliveries, ms) => {
      this.#delivery.add(ms, events);
      this.#interval.add(ms, events);
      this.#spread(
        "kaldrix_delivery_seconds",
        this.#deliverySpread,
        ms,
        events,
      );
      this.#deliveries.add(this.#options.clock.monotonic(), deliveries);
    },
    flushed: (channel, deliveries, newest) => {
      this.#deliveriesByKind.add(kindOf(channel), deliveries);
      // The sum of a histogram must not fall, also after a step of the clock.
      const ms = Math.max(0, this.#options.clock.now() - newest.at);
      this.#spread("kaldrix_event_age_seconds", this.#ageSpread, ms, 1);
    },
    accepted: (events) => {
      for (const { channel } of events) {
        this.#eventsByKind.add(kindOf(channel));
      }
      this.#broadcasts.add(this.#options.clock.monotonic(), events.length);
    },
    sent: (frame) => this.#traffic.add(frame),
    repaired: (channel, events) => {
      this.#repairedByKind.add(kindOf(channel), events);
    },
    failed: () => {
      this.#failures++;
    },
  };

  /** Observes the log. */
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

  /** Observes the links. */
  readonly link: LinkObserver = {
    posted: (link) => this.#posted.add(link),
    received: (link, incomplete) => {
      this.#linked.add(link);
      if (incomplete) this.#incomplete.add(link);
    },
    rang: (ms) => {
      this.#spread("kaldrix_doorbell_seconds", this.#doorbellSpread, ms, 1);
    },
    linkFailed: (link) => this.#linkFailures.add(link),
  };

  /** Counts a frame received from a client. */
  received(): void {
    this.#received++;
    this.#frames.add(this.#options.clock.monotonic(), 1);
  }

  /** Counts a refusal. */
  refused(code: RefusalCode): void {
    this.#refusals.add(code);
  }

  /** Counts a client that connected `ms` milliseconds after its request. */
  connected(ms: number): void {
    this.#spread("kaldrix_connect_seconds", this.#connectSpread, ms, 1);
  }

  /** Counts a refused connection. */
  connectionFailed(): void {
    this.#failedConnections++;
  }

  /** Sets the listener that also receives every duration and size. */
  listen(listener: MeasurementListener): void {
    this.#listener = listener;
  }

  /** Delivery times since the last call. */
  takeInterval(): DeliveryTime {
    const time = this.#interval.summary();
    this.#interval.reset();
    return time;
  }

  /** Counts since the start that alerts are judged by. */
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

  /** The present value of every instrument. */
  readings(): Reading[] {
    const { sessions, behind, memoryUsage, guards, more } = this.#options;
    const one = (name: InstrumentName, value: number): Reading => ({
      name,
      labels: {},
      value,
    });
    return [
      one("kaldrix_start_time_seconds", this.#startedAt / 1_000),
      one("kaldrix_memory_bytes", memoryUsage()),
      one("kaldrix_connections", sessions.size),
      one("kaldrix_connections_slow", behind()),
      one("kaldrix_connections_opened_total", sessions.total),
      one("kaldrix_connections_failed_total", this.#failedConnections),
      this.#connectSpread.reading("kaldrix_connect_seconds"),
      one("kaldrix_frames_received_total", this.#received),
      one("kaldrix_wire_bytes_total", this.#traffic.wireBytes),
      one("kaldrix_text_bytes_total", this.#traffic.textBytes),
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
      ...this.#linked.readings("kaldrix_link_heard_total", "link"),
      ...this.#incomplete.readings("kaldrix_link_incomplete_total", "link"),
      ...this.#linkFailures.readings("kaldrix_link_failures_total", "link"),
      this.#doorbellSpread.reading("kaldrix_doorbell_seconds"),
      one("kaldrix_commits_total", this.#commitSpread.count),
      one("kaldrix_commit_conflicts_total", this.#conflicts),
      this.#commitSpread.reading("kaldrix_commit_seconds"),
      this.#commitEvents.reading("kaldrix_commit_events"),
      one("kaldrix_store_failures_total", this.#failures),
      ...more?.() ?? [],
    ];
  }

  /** Everything this instance measures of itself. */
  report(): MetricsReport {
    const { clock, sessions, behind, memoryUsage } = this.#options;
    const now = clock.monotonic();
    return {
      uptime: (now - this.#began) / 1_000,
      eventDeliveryTime: this.#delivery.summary(),
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
        avgConnectionTime: this.#connectSpread.average * 1_000,
      },
      resourceUsage: {
        memoryUsage: memoryUsage(),
        networkConnections: sessions.size,
      },
      traffic: {
        wireBytes: this.#traffic.wireBytes,
        textBytes: this.#traffic.textBytes,
      },
      log: {
        commits: this.#commitSpread.count,
        events: this.#commitEvents.sum,
        conflicts: this.#conflicts,
        failures: this.#failures,
        commitTimeMs: this.#commitSpread.average * 1_000,
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

/** Counts since the instance's start that alerts are judged by. */
export interface AlertCounts {
  /** Connections that were refused. */
  readonly failedConnections: number;
  /** Tokens that were not accepted. */
  readonly failedAuthentications: number;
  /** Requests over a rate limit. */
  readonly rateViolations: number;
  /** Commits and reads of the log that failed. */
  readonly storeFailures: number;
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
