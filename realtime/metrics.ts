/**
 * What the service measures of itself, in one isolate.
 *
 * @module
 */
import { build } from "hdr-histogram-js";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Clock } from "./clock.ts";
import type { HubObserver } from "./hub.ts";
import type { LogObserver } from "./log.ts";
import type { Sessions } from "./sessions.ts";

/** Rates are averaged over so many whole seconds. */
export const RATE_SECONDS = 10;
/** Longest delivery time told apart, in microseconds: one minute. */
const HIGHEST_US = 60_000_000;

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

/** What {@link Metrics.report} tells, in the reference document's terms. */
export interface MetricsReport {
  /** Seconds since this isolate started. */
  uptime: number;
  /** From commit to the last local socket, in milliseconds. */
  eventDeliveryTime: {
    avg: number;
    min: number;
    max: number;
    p95: number;
    p99: number;
    /** Events measured. */
    total: number;
  };
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
    failedConnections: number;
    /** Clients that read more slowly than events come. */
    slowConnections: number;
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
}

/** Counts and times; costs a few additions an event. */
export class Metrics {
  readonly #options: MetricsOptions;
  readonly #started: number;
  readonly #delivery = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_US,
    numberOfSignificantValueDigits: 2,
  });
  readonly #frames = new Rate();
  readonly #deliveries = new Rate();
  readonly #broadcasts = new Rate();
  readonly #refusals = new Map<RefusalCode, number>();
  #commits = 0;
  #commitMs = 0;
  #events = 0;
  #conflicts = 0;
  #failures = 0;
  #repaired = 0;

  /** Begins to count. */
  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#started = options.clock.now();
  }

  /** Hears what happens in the hub. */
  readonly hub: HubObserver = {
    delivered: (events, deliveries, ms) => {
      const us = Math.min(HIGHEST_US, Math.max(1, Math.round(ms * 1_000)));
      this.#delivery.recordValueWithCount(us, events);
      this.#deliveries.add(this.#options.clock.now(), deliveries);
    },
    repaired: (_channel, events) => {
      this.#repaired += events;
    },
    failed: () => {
      this.#failures++;
    },
  };

  /** Hears what happens in the log. */
  readonly log: LogObserver = {
    committed: (events, ms) => {
      this.#commits++;
      this.#commitMs += ms;
      this.#events += events;
      this.#broadcasts.add(this.#options.clock.now(), events);
    },
    conflicted: () => {
      this.#conflicts++;
    },
    failed: () => {
      this.#failures++;
    },
  };

  /** A frame came from a client. */
  received(): void {
    this.#frames.add(this.#options.clock.now(), 1);
  }

  /** Something was refused. */
  refused(code: RefusalCode): void {
    this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
  }

  /** Everything this isolate measures of itself. */
  report(): MetricsReport {
    const { clock, sessions, behind, memoryUsage } = this.#options;
    const now = clock.now();
    const delivery = this.#delivery;
    const measured = delivery.totalCount > 0;
    const ms = (us: number) => measured ? us / 1_000 : 0;
    return {
      uptime: (now - this.#started) / 1_000,
      eventDeliveryTime: {
        avg: ms(delivery.mean),
        min: ms(delivery.minNonZeroValue),
        max: ms(delivery.maxValue),
        p95: ms(delivery.getValueAtPercentile(95)),
        p99: ms(delivery.getValueAtPercentile(99)),
        total: delivery.totalCount,
      },
      throughput: {
        messagesPerSecond: this.#frames.perSecond(now),
        eventsPerSecond: this.#deliveries.perSecond(now),
        broadcastsPerSecond: this.#broadcasts.perSecond(now),
      },
      connectionStats: {
        activeConnections: sessions.size,
        totalConnections: sessions.total,
        failedConnections: this.#refusals.get("TOO_MANY_CONNECTIONS") ?? 0,
        slowConnections: behind(),
      },
      resourceUsage: {
        memoryUsage: memoryUsage(),
        networkConnections: sessions.size,
      },
      log: {
        commits: this.#commits,
        events: this.#events,
        conflicts: this.#conflicts,
        failures: this.#failures,
        commitTimeMs: this.#commits ? this.#commitMs / this.#commits : 0,
        repaired: this.#repaired,
      },
      refusals: Object.fromEntries(this.#refusals),
    };
  }
}
