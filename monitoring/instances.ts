/**
 * The isolates that serve, as they know of each other through KV.
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
import type { Store } from "../store/store.ts";

/** How often an isolate says that it is there, in milliseconds. */
export const BEAT_MS = 5_000;
/** An isolate that was silent for so long is taken for gone. */
export const LOST_MS = 3 * BEAT_MS;
/** So long after one beat without another, one was missed. */
const MISSED_MS = 2 * BEAT_MS;
/** One that was lost is told of for so long. */
export const GONE_MS = 20 * BEAT_MS;
/** Most channels told with their subscribers, the fullest first. */
export const MAX_TOLD_CHANNELS = 200;
/** Most isolates listed. */
export const MAX_INSTANCES = 1_000;

/** What an isolate says of itself. */
export interface Instance {
  /** Unique name. */
  readonly id: string;
  /** When it started, in epoch milliseconds. */
  readonly startedAt: number;
  /** When it last said so, in epoch milliseconds. */
  readonly at: number;
  /** Clients connected to it. */
  readonly connections: number;
  /** Its fullest channels with their subscribers. */
  readonly subscribers: Readonly<Record<string, number>>;
  /** Clients that were ever connected to it. */
  readonly totalConnections: number;
  /** Its rates, averages over the last ten seconds. */
  readonly throughput: MetricsReport["throughput"];
  /** Resident memory of its process, in bytes. */
  readonly memoryUsage: number;
  /** Its connections, more closely. */
  readonly connectionStats: MetricsReport["connectionStats"];
  /** Its deliveries since it started. */
  readonly eventDeliveryTime: DeliveryTime;
  /** Its deliveries of late: those of its last sample. */
  readonly recentDeliveryTime: DeliveryTime;
  /** What alerts are about, counted since it started. */
  readonly counts: AlertCounts;
  /** How long it has not heard its links, in milliseconds. */
  readonly linkSilentMs: number;
}

/** Those that serve, and those that fell silent without a goodbye. */
export interface Survey {
  /** Heard of lately, this isolate first. */
  readonly present: readonly Instance[];
  /** Silent for {@link LOST_MS} or longer, less than {@link GONE_MS}. */
  readonly lost: readonly Instance[];
  /**
   * Whether they are lost for sure: not unless the store took every beat of
   * this isolate for {@link LOST_MS}, since what stopped its beats may have
   * stopped theirs.
   */
  readonly isSure: boolean;
}

/**
 * What all isolates together do: rates and counts added up, the times and the
 * memory of the one that fares worst.
 */
export interface ClusterReport extends PerformanceFigures {
  /** How many there are. */
  readonly instances: number;
  /** Clients connected to any of them. */
  readonly activeConnections: number;
  /** Clients that were ever connected to those. */
  readonly totalConnections: number;
  /** Subscribers by channel, the fullest channels of each isolate. */
  readonly subscribers: Readonly<Record<string, number>>;
}

/** What an isolate needs to be listed. */
export interface InstancesOptions {
  /** Where the list is kept; stays the caller's to close. */
  kv: Store;
  /** Time between beats. */
  clock: Clock;
  /** Unique name of this isolate. */
  id: string;
  /** Those connected here. */
  sessions: Sessions;
  /** Knows who follows what here. */
  hub: Hub;
  /** What it measures of itself. */
  metrics: Metrics;
  /** How it went lately. */
  samples: MetricsHistory;
  /** How long its links were silent, in milliseconds; 0 when omitted. */
  linkSilentMs?: () => number;
}

/** Says every {@link BEAT_MS} that this isolate is there, and lists all. */
export class Instances implements AsyncDisposable {
  readonly #options: InstancesOptions;
  readonly #startedAt: number;
  #timer: Disposable | undefined;
  #beating: Promise<void>;
  /** What the others know of this isolate's measurements. */
  #said: readonly Reading[] | undefined;
  /** When the store took a beat last, in epoch milliseconds. */
  #takenAt = -Infinity;
  /** Since when it has missed none, in epoch milliseconds. */
  #steadySince = Infinity;
  #open = true;

  /** Says so at once. */
  constructor(options: InstancesOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#beating = this.#beat();
  }

  /** This isolate's unique name. */
  get id(): string {
    return this.#options.id;
  }

  /** The time by its clock, in epoch milliseconds. */
  now(): number {
    return this.#options.clock.now();
  }

  /**
   * Everyone who was heard of lately, this isolate as it is now.
   *
   * @throws whatever KV throws.
   */
  async list(): Promise<Instance[]> {
    return [...(await this.survey()).present];
  }

  /**
   * Who is there and who was lost; this isolate as it is now.
   *
   * @throws whatever KV throws.
   */
  async survey(): Promise<Survey> {
    const { kv, clock } = this.#options;
    const own = this.#own();
    const present = [own];
    const lost: Instance[] = [];
    const entries = kv.list<Instance>({ prefix: ["instance"] }, {
      limit: MAX_INSTANCES,
    });
    for await (const { value } of entries) {
      const silentMs = clock.now() - value.at;
      // One of another version of this program may not say what is asked.
      if (value.id === own.id || value.counts === undefined) continue;
      if (silentMs < LOST_MS) present.push(value);
      else if (silentMs < GONE_MS) lost.push(value);
    }
    return { present, lost, isSure: this.#isSteady(clock.now()) };
  }

  /**
   * What everyone who was heard of lately measured, as of its last beat. Of
   * this isolate too: whoever is asked, by turns, tells the same, and no
   * counter seems to fall.
   *
   * @throws whatever KV throws.
   */
  async measured(): Promise<Measured[]> {
    const { kv, clock, id, metrics } = this.#options;
    const all: Measured[] = [
      { id, readings: this.#said ?? metrics.readings() },
    ];
    const entries = kv.list<Measured & { at: number }>({
      prefix: ["measured"],
    }, { limit: MAX_INSTANCES });
    for await (const { value } of entries) {
      if (value.id === id || clock.now() - value.at >= LOST_MS) continue;
      all.push({ id: value.id, readings: value.readings });
    }
    return all;
  }

  /**
   * Everyone's counts added up.
   *
   * @throws whatever KV throws.
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
      uptime: most(({ startedAt, at }) => (at - startedAt) / 1_000),
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
      subscribers: Object.fromEntries(
        [...channels].map((channel) => [
          channel,
          sum(({ subscribers }) => subscribers[channel] ?? 0),
        ]),
      ),
    };
  }

  /** Says goodbye: an isolate that does not is taken for lost. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#open = false;
    this.#timer?.[Symbol.dispose]();
    await this.#beating;
    const { kv, id } = this.#options;
    // Without a goodbye it is only found out later.
    await kv.atomic().delete(["instance", id]).delete(["measured", id])
      .commit().catch(() => {});
  }

  async #beat(): Promise<void> {
    const { kv, clock, id, metrics } = this.#options;
    const measured = { id, at: clock.now(), readings: metrics.readings() };
    try {
      await kv.atomic()
        .set(["instance", id], this.#own(), { expireIn: GONE_MS })
        .set(["measured", id], measured, { expireIn: LOST_MS })
        .commit();
      this.#said = measured.readings;
      this.#taken(clock.now());
    } catch {
      // The next beat says the same.
    }
    if (!this.#open) return;
    this.#timer = clock.after(BEAT_MS, () => {
      this.#beating = this.#beat();
    });
  }

  #taken(now: number): void {
    if (now - this.#takenAt >= MISSED_MS) this.#steadySince = now;
    this.#takenAt = now;
  }

  #isSteady(now: number): boolean {
    return now - this.#takenAt < MISSED_MS &&
      now - this.#steadySince >= LOST_MS;
  }

  #own(): Instance {
    const { clock, id, sessions, hub, metrics, samples } = this.#options;
    const { throughput, resourceUsage, connectionStats, eventDeliveryTime } =
      metrics.report();
    const counts = [...hub.channels]
      .map((name) => [name, hub.subscribers(name)] as const)
      .filter(([, count]) => count > 0)
      .sort(([, a], [, b]) => b - a)
      .slice(0, MAX_TOLD_CHANNELS);
    return {
      id,
      startedAt: this.#startedAt,
      at: clock.now(),
      connections: sessions.size,
      subscribers: Object.fromEntries(counts),
      totalConnections: sessions.total,
      throughput,
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

/** Averages exact, the shares of an isolate that fares worst. */
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
