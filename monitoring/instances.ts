/**
 * The serving instances, as each reads them from the store.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Hub } from "../realtime/hub.ts";
import type { Measured } from "./exposition.ts";
import type { Reading } from "./instruments.ts";
import type { AlertCounts, Metrics } from "./metrics.ts";
import type {
  DeliveryTime,
  MetricsReport,
  PerformanceFigures,
} from "./report.ts";
import type { MetricsHistory } from "./metrics_history.ts";
import type { Sessions } from "../realtime/sessions.ts";
import { BEAT_MS, INSTANCE_PREFIX } from "../store/in_use.ts";
import type { Store } from "../store/store.ts";

/**
 * An instance whose heartbeat did not change for this long, by the observer's
 * monotonic clock, is lost.
 */
export const LOST_MS = 3 * BEAT_MS;
/** An interval between two heartbeats from which one was missed. */
const MISSED_MS = 2 * BEAT_MS;
/** How long after its last heartbeat a lost instance stays listed. */
export const GONE_MS = 20 * BEAT_MS;
/** Most channels reported with their subscribers, the fullest first. */
export const MAX_TOLD_CHANNELS = 200;
/** Most instances listed. */
export const MAX_INSTANCES = 1_000;

/** What an instance reports of itself. */
export interface Instance {
  /** Unique name. */
  readonly id: string;
  /** When it started, in epoch milliseconds. */
  readonly startedAt: number;
  /** When it reported this, in epoch milliseconds of its own clock. */
  readonly at: number;
  /** How long it has run, in milliseconds of its monotonic clock. */
  readonly uptimeMs: number;
  /** Clients connected to it. */
  readonly connections: number;
  /** Its fullest channels with their subscribers. */
  readonly subscribers: Readonly<Record<string, number>>;
  /** Clients that connected to it since it started. */
  readonly totalConnections: number;
  /** Its rates, averages over the last ten seconds. */
  readonly throughput: MetricsReport["throughput"];
  /** Bytes that it sent since it started; absent of an older build. */
  readonly traffic?: MetricsReport["traffic"];
  /** Resident memory of its process, in bytes. */
  readonly memoryUsage: number;
  /** Its connections in detail. */
  readonly connectionStats: MetricsReport["connectionStats"];
  /** Its deliveries since it started. */
  readonly eventDeliveryTime: DeliveryTime;
  /** Delivery times in its latest sample. */
  readonly recentDeliveryTime: DeliveryTime;
  /** Counts since it started that alerts are judged by. */
  readonly counts: AlertCounts;
  /** Time since its links last received a message, in milliseconds. */
  readonly linkSilentMs: number;
}

/** Instances that serve, and those that stopped reporting without leaving. */
export interface Survey {
  /** Their heartbeats change; this instance first. */
  readonly present: readonly Instance[];
  /**
   * Heartbeats that did not change for {@link LOST_MS} or longer, less than
   * {@link GONE_MS}.
   */
  readonly lost: readonly Instance[];
  /**
   * Heartbeats that look old at the first sight of them, until they change or
   * {@link LOST_MS} have passed: the instance may be lost, or its clock wrong.
   */
  readonly doubtful: readonly Instance[];
  /**
   * Whether the lost ones are certainly lost: only while the store accepted all
   * heartbeats of this instance for {@link LOST_MS}, since what stopped its
   * heartbeats may have stopped theirs.
   */
  readonly isSure: boolean;
}

/**
 * The whole cluster: rates and counts are sums, times and memory are those of
 * the worst instance.
 */
export interface ClusterReport extends PerformanceFigures {
  /** How many instances there are. */
  readonly instances: number;
  /** Clients connected to them. */
  readonly activeConnections: number;
  /** Clients that connected to them since they started. */
  readonly totalConnections: number;
  /** Bytes that they sent since they started. */
  readonly traffic: MetricsReport["traffic"];
  /** Subscribers by channel, of the fullest channels of each instance. */
  readonly subscribers: Readonly<Record<string, number>>;
}

/** What {@link Instances} needs. */
export interface InstancesOptions {
  /** Holds the list; stays the caller's to close. */
  kv: Store;
  /** Time between heartbeats. */
  clock: Clock;
  /** Unique name of this instance. */
  id: string;
  /** Clients connected here. */
  sessions: Sessions;
  /** Knows the subscribers here. */
  hub: Hub;
  /** Measures this instance. */
  metrics: Metrics;
  /** Its latest samples. */
  samples: MetricsHistory;
  /** Time since its links received a message, in milliseconds; 0 when omitted. */
  linkSilentMs?: () => number;
}

/** A heartbeat as this instance has observed it. */
interface Observed {
  /** Its content. */
  readonly at: number;
  /** Since when it has not changed, on the monotonic clock. */
  readonly since: number;
  /** Whether it was seen to change, or looked recent at first sight. */
  readonly isCredible: boolean;
}

/** Reports every {@link BEAT_MS} that this instance serves, and lists all. */
export class Instances implements AsyncDisposable {
  readonly #options: InstancesOptions;
  readonly #startedAt: number;
  #timer: Disposable | undefined;
  #beating: Promise<void> | undefined;
  /** Heartbeats of the others, by name. */
  #observed: ReadonlyMap<string, Observed> = new Map();
  /** When the store accepted a heartbeat last, on the monotonic clock. */
  #acceptedAt = -Infinity;
  /** Since when it has missed none, on the monotonic clock. */
  #steadySince = Infinity;
  #isOpen = true;

  /** Lists the others; others see this instance from {@link register} on. */
  constructor(options: InstancesOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
  }

  /** This instance's unique name. */
  get id(): string {
    return this.#options.id;
  }

  /** The wall clock, in epoch milliseconds. */
  now(): number {
    return this.#options.clock.now();
  }

  /** Reports at once, and from now on, that this instance serves. */
  register(): void {
    if (this.#isOpen) this.#beating ??= this.#beat();
  }

  /**
   * Every instance that serves, this one as it is now.
   *
   * @throws what the store throws.
   */
  async list(): Promise<Instance[]> {
    return [...(await this.survey()).present];
  }

  /**
   * Instances that serve and that were lost, this one as it is now.
   *
   * @throws what the store throws.
   */
  async survey(): Promise<Survey> {
    const { kv, clock } = this.#options;
    const own = this.#own();
    const present = [own];
    const lost: Instance[] = [];
    const doubtful: Instance[] = [];
    const observed = new Map<string, Observed>();
    const entries = kv.list<Instance>({ prefix: [INSTANCE_PREFIX] }, {
      limit: MAX_INSTANCES,
    });
    for await (const { value } of entries) {
      // Another version of this program may not report what is needed.
      if (value.id === own.id || value.uptimeMs === undefined) continue;
      const seen = this.#observe(value);
      observed.set(value.id, seen);
      const unchangedMs = clock.monotonic() - seen.since;
      if (unchangedMs >= GONE_MS) continue;
      if (unchangedMs >= LOST_MS) lost.push(value);
      else if (seen.isCredible) present.push(value);
      else doubtful.push(value);
    }
    this.#observed = observed;
    return { present, lost, doubtful, isSure: this.#isSteady() };
  }

  /** What this instance measures now. */
  measured(): Measured {
    const { id, metrics } = this.#options;
    return { id, readings: [...metrics.readings(), ageReading(0)] };
  }

  /**
   * What the other instances that serve measured at their last heartbeat, with
   * its age. This instance's heartbeat is renewed first, so that no other
   * answers with older readings of it afterwards, and no counter seems to fall.
   *
   * @throws what the store throws.
   */
  async measuredByOthers(): Promise<Measured[]> {
    const { kv, clock, id } = this.#options;
    if (this.#beating) await this.#report();
    const { present } = await this.survey();
    const names = new Set(present.map((it) => it.id));
    const all: Measured[] = [];
    const entries = kv.list<Measured & { at: number }>({
      prefix: ["measured"],
    }, { limit: MAX_INSTANCES });
    for await (const { value } of entries) {
      if (value.id === id || !names.has(value.id)) continue;
      const ageMs = clock.now() - value.at;
      all.push({
        id: value.id,
        readings: [...value.readings, ageReading(ageMs)],
      });
    }
    return all;
  }

  /**
   * The whole cluster in one report.
   *
   * @throws what the store throws.
   */
  async report(): Promise<ClusterReport> {
    const all = await this.list();
    const sum = (count: (instance: Instance) => number) =>
      all.reduce((total, instance) => total + count(instance), 0);
    const channels = new Set(
      all.flatMap(({ subscribers }) => Object.keys(subscribers)),
    );
    const most = (count: (instance: Instance) => number) =>
      Math.max(...all.map(count));
    const activeConnections = sum(({ connections }) => connections);
    const totalConnections = sum((it) => it.totalConnections);
    const opened = Math.max(1, totalConnections);
    return {
      uptime: most(({ uptimeMs }) => uptimeMs / 1_000),
      instances: all.length,
      activeConnections,
      totalConnections,
      eventDeliveryTime: together(all.map((it) => it.eventDeliveryTime)),
      connectionStats: {
        activeConnections,
        totalConnections,
        failedConnections: sum((it) => it.connectionStats.failedConnections),
        slowConnections: sum((it) => it.connectionStats.slowConnections),
        avgConnectionTime:
          sum((it) =>
            it.connectionStats.avgConnectionTime * it.totalConnections
          ) / opened,
      },
      resourceUsage: {
        memoryUsage: most(({ memoryUsage }) => memoryUsage),
        networkConnections: activeConnections,
      },
      throughput: {
        messagesPerSecond: sum((it) => it.throughput.messagesPerSecond),
        eventsPerSecond: sum((it) => it.throughput.eventsPerSecond),
        broadcastsPerSecond: sum((it) => it.throughput.broadcastsPerSecond),
      },
      traffic: {
        wireBytes: sum(({ traffic }) => traffic?.wireBytes ?? 0),
        textBytes: sum(({ traffic }) => traffic?.textBytes ?? 0),
      },
      subscribers: Object.fromEntries(
        [...channels].map((channel) => [
          channel,
          sum(({ subscribers }) => subscribers[channel] ?? 0),
        ]),
      ),
    };
  }

  /** Leaves: an instance that ends without is reported as lost. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOpen = false;
    this.#timer?.[Symbol.dispose]();
    if (!this.#beating) return;
    await this.#beating;
    const { kv, id } = this.#options;
    // If this fails, the others detect the end by the missing heartbeats.
    await kv.atomic().delete([INSTANCE_PREFIX, id]).delete(["measured", id])
      .commit().catch(() => {});
  }

  async #beat(): Promise<void> {
    await this.#report();
    // Observed by every instance, so that the next one to watch has seen them.
    await this.survey().catch(() => {});
    if (!this.#isOpen) return;
    this.#timer = this.#options.clock.after(BEAT_MS, () => {
      this.#beating = this.#beat();
    });
  }

  /** Writes the heartbeat; a failure waits for the next one. */
  async #report(): Promise<void> {
    const { kv, clock, id, metrics } = this.#options;
    const measured = { id, at: clock.now(), readings: metrics.readings() };
    try {
      await kv.atomic()
        .set([INSTANCE_PREFIX, id], this.#own(), { expireIn: GONE_MS })
        .set(["measured", id], measured, { expireIn: LOST_MS })
        .commit();
    } catch {
      return;
    }
    const now = clock.monotonic();
    if (now - this.#acceptedAt >= MISSED_MS) this.#steadySince = now;
    this.#acceptedAt = now;
  }

  #observe({ id, at }: Instance): Observed {
    const before = this.#observed.get(id);
    if (before?.at === at) return before;
    const { clock } = this.#options;
    const isRecent = Math.abs(clock.now() - at) < LOST_MS;
    const isCredible = before !== undefined || isRecent;
    return { at, since: clock.monotonic(), isCredible };
  }

  #isSteady(): boolean {
    const now = this.#options.clock.monotonic();
    return now - this.#acceptedAt < MISSED_MS &&
      now - this.#steadySince >= LOST_MS;
  }

  #own(): Instance {
    const { clock, id, sessions, hub, metrics, samples } = this.#options;
    const {
      uptime,
      throughput,
      traffic,
      resourceUsage,
      connectionStats,
      eventDeliveryTime,
    } = metrics.report();
    const counts = [...hub.channels]
      .map((name) => [name, hub.subscribers(name)] as const)
      .filter(([, count]) => count > 0)
      .sort(([, a], [, b]) => b - a)
      .slice(0, MAX_TOLD_CHANNELS);
    return {
      id,
      startedAt: this.#startedAt,
      at: clock.now(),
      uptimeMs: uptime * 1_000,
      connections: sessions.size,
      subscribers: Object.fromEntries(counts),
      totalConnections: sessions.total,
      throughput,
      traffic,
      memoryUsage: resourceUsage.memoryUsage,
      connectionStats,
      eventDeliveryTime,
      recentDeliveryTime: samples.last?.eventDeliveryTime ?? NO_DELIVERY,
      counts: metrics.counts(),
      linkSilentMs: this.#options.linkSilentMs?.() ?? 0,
    };
  }
}

const NO_DELIVERY: DeliveryTime = together([]);

/** The exact average; minimum, maximum and percentiles of the worst instance. */
function together(times: readonly DeliveryTime[]): DeliveryTime {
  const some = times.filter(({ total }) => total > 0);
  const total = some.reduce((sum, time) => sum + time.total, 0);
  const most = (of: (time: DeliveryTime) => number) =>
    some.reduce((highest, time) => Math.max(highest, of(time)), 0);
  return {
    avg: some.reduce((sum, { avg, total: own }) => sum + avg * own, 0) /
      Math.max(1, total),
    min: total > 0 ? Math.min(...some.map(({ min }) => min)) : 0,
    max: most(({ max }) => max),
    p95: most(({ p95 }) => p95),
    p99: most(({ p99 }) => p99),
    total,
  };
}

/** How old the readings of another instance are. */
function ageReading(ageMs: number): Reading {
  return {
    name: "kaldrix_readings_age_seconds",
    labels: {},
    value: ageMs / 1_000,
  };
}
