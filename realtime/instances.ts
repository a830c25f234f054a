/**
 * The isolates that serve, as they know of each other through KV.
 *
 * @module
 */
import type { Clock } from "./clock.ts";
import type { Hub } from "./hub.ts";
import type { Metrics, MetricsReport } from "./metrics.ts";
import type { Sessions } from "./sessions.ts";

/** How often an isolate says that it is there, in milliseconds. */
export const BEAT_MS = 5_000;
/** An isolate that was silent for so long is taken for gone. */
export const LOST_MS = 3 * BEAT_MS;
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
}

/** What all isolates together do. */
export interface ClusterReport {
  /** How many there are. */
  readonly instances: number;
  /** Clients connected to any of them. */
  readonly activeConnections: number;
  /** Clients that were ever connected to those. */
  readonly totalConnections: number;
  /** Their rates together, averages over the last ten seconds. */
  readonly throughput: MetricsReport["throughput"];
  /** Subscribers by channel, the fullest channels of each isolate. */
  readonly subscribers: Readonly<Record<string, number>>;
}

/** What an isolate needs to be listed. */
export interface InstancesOptions {
  /** Where the list is kept; stays the caller's to close. */
  kv: Deno.Kv;
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
}

/** Says every {@link BEAT_MS} that this isolate is there, and lists all. */
export class Instances implements AsyncDisposable {
  readonly #options: InstancesOptions;
  readonly #startedAt: number;
  #timer: Disposable | undefined;
  #beating: Promise<void>;
  #open = true;

  /** Says so at once. */
  constructor(options: InstancesOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#beating = this.#beat();
  }

  /**
   * Everyone who was heard of lately, this isolate as it is now.
   *
   * @throws whatever KV throws.
   */
  async list(): Promise<Instance[]> {
    const { kv, clock } = this.#options;
    const own = this.#own();
    const others: Instance[] = [];
    const entries = kv.list<Instance>({ prefix: ["instance"] }, {
      limit: MAX_INSTANCES,
    });
    for await (const { value } of entries) {
      if (value.id === own.id) continue;
      if (clock.now() - value.at < LOST_MS) others.push(value);
    }
    return [own, ...others];
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
    return {
      instances: all.length,
      activeConnections: sum(({ connections }) => connections),
      totalConnections: sum(({ totalConnections }) => totalConnections),
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

  /** Says goodbye. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#open = false;
    this.#timer?.[Symbol.dispose]();
    await this.#beating;
    const { kv, id } = this.#options;
    // Without a goodbye it is only found out later.
    await kv.delete(["instance", id]).catch(() => {});
  }

  async #beat(): Promise<void> {
    const { kv, clock, id } = this.#options;
    try {
      await kv.set(["instance", id], this.#own(), { expireIn: LOST_MS });
    } catch {
      // The next beat says the same.
    }
    if (!this.#open) return;
    this.#timer = clock.after(BEAT_MS, () => {
      this.#beating = this.#beat();
    });
  }

  #own(): Instance {
    const { clock, id, sessions, hub, metrics } = this.#options;
    const { throughput, resourceUsage } = metrics.report();
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
    };
  }
}
