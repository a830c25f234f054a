/**
 * One measurement from beginning to end.
 *
 * @module
 */
import { Fleet } from "./fleet.ts";
import type { Loader } from "./fleet.ts";
import { PERCENTILES, Times } from "./histogram.ts";
import type { Finished, LoaderMessage, Opened, Sent } from "./job.ts";
import type { BenchMetrics, StressStep } from "./metrics.ts";
import { DEFAULTS } from "./options.ts";
import type { BenchOptions } from "./options.ts";
import { preciseNow } from "./pacer.ts";
import { gradeOf, reportOf } from "./report.ts";
import { BenchServer } from "./server.ts";
import { clientTokens, cpuBetween, memoryOf, sign } from "./target.ts";
import type { Target } from "./target.ts";

/** Load before the measuring begins, in milliseconds. */
const WARM_MS = 1_000;
/** From the order to begin until it begins, in milliseconds. */
const LEAD_MS = 300;
/** Longest wait for what is still owed, in milliseconds. */
const DRAIN_MS = 3_000;
/** Length of one step of the stress test, in milliseconds. */
export const STEP_MS = 3_000;
/** Most steps of the stress test. */
export const MAX_STEPS = 16;
/** How much more each step asks. */
export const STEP_FACTOR = 1.5;
/** A step holds while its 99th percentile is at most this many milliseconds. */
export const HOLD_P99_MS = 100;
/** A load process that uses more of a core makes the figures meaningless. */
export const BUSY_PERCENT = 85;
/** Nor does one whose timers are so late, in milliseconds (99th percentile). */
export const LATE_MS = 20;
/** Most processes of subscribers unless a number is given. */
const MAX_LOADERS = 8;

/** How far a run has got. */
export interface Progress {
  /** What is being done. */
  readonly phase: string;
  /** From 0 to 1. */
  readonly done: number;
}

/** Receives progress. */
export type OnProgress = (progress: Progress) => void;

/** A measurement that can be run. */
export interface Benchmark {
  /** Runs it; once. */
  run(onProgress?: OnProgress): Promise<BenchMetrics>;
  /**
   * What it found.
   * @throws {Error} before it has run.
   */
  getMetrics(): BenchMetrics;
  /**
   * The same for people.
   * @throws {Error} before it has run.
   */
  getPerformanceReport(): string;
}

/**
 * Prepares a measurement.
 *
 * @param options what to measure; what is left out is as on the command line.
 * @param token a publisher's, for a server that the benchmark did not start.
 */
export function createWebSocketBenchmark(
  options: Partial<BenchOptions> = {},
  token?: string,
): Benchmark {
  const config = { ...DEFAULTS, ...options };
  let metrics: BenchMetrics | undefined;
  const found = () => {
    if (metrics) return metrics;
    throw new Error("The benchmark has not run yet");
  };
  return {
    run: async (onProgress = () => {}) =>
      metrics = await measure(config, token, onProgress),
    getMetrics: found,
    getPerformanceReport: () => reportOf(found()),
  };
}

async function measure(
  options: BenchOptions,
  token: string | undefined,
  onProgress: OnProgress,
): Promise<BenchMetrics> {
  onProgress({ phase: "starting", done: 0 });
  const secret = crypto.randomUUID() + crypto.randomUUID();
  await using server = options.url === undefined
    ? await BenchServer.start({
      secret,
      requireAuth: options.security,
      isolates: options.isolates,
    })
    : undefined;
  const room = `room:bench-${crypto.randomUUID().slice(0, 8)}`;
  const target: Target = {
    server,
    room,
    url: server?.url ?? options.url!,
    token: server ? await sign(secret, "bench", "publisher") : token ?? null,
    clientTokens: await clientTokens(
      options,
      server ? secret : undefined,
      token,
    ),
  };
  await using fleet = new Fleet(loaderCount(options));
  return await new Run(options, target, fleet, onProgress).all();
}

function loaderCount({ processes, clients }: BenchOptions): number {
  const spare = Math.max(1, navigator.hardwareConcurrency - 1);
  return Math.min(clients, processes ?? Math.min(MAX_LOADERS, spare));
}

/** What one stretch of load showed. */
interface Phase {
  readonly seconds: number;
  readonly events: Times;
  readonly echoes: Times;
  readonly samples: readonly Times[];
  readonly sent: readonly Sent[];
  readonly finished: readonly Finished[];
  readonly broadcasts: number;
  readonly expected: number;
  readonly missing: number;
  readonly busiest: number;
  readonly lateMs: number;
  readonly isSaturated: boolean;
  readonly cpuPercent: number | null;
}

class Run {
  readonly #options: BenchOptions;
  readonly #target: Target;
  readonly #fleet: Fleet;
  readonly #onProgress: OnProgress;

  constructor(
    options: BenchOptions,
    target: Target,
    fleet: Fleet,
    onProgress: OnProgress,
  ) {
    this.#options = options;
    this.#target = target;
    this.#fleet = fleet;
    this.#onProgress = onProgress;
  }

  async all(): Promise<BenchMetrics> {
    const { duration, samplingInterval, maxSamples, stressTest, clients } =
      this.#options;
    const opened = await this.#open();
    const connected = sum(opened, ({ connected }) => connected);
    const connecting = new Times();
    for (const { times } of opened) connecting.merge(new Times(times));
    const firstFailure = opened.find(({ why }) => why !== undefined)?.why;
    if (connected === 0) {
      throw new Error(`No client could connect: ${firstFailure}`);
    }
    const sampleMs = Math.max(samplingInterval, duration * 1_000 / maxSamples);
    const phase = await this.#load("measuring", {
      ms: duration * 1_000,
      sampleMs,
      broadcastRate: this.#options.broadcastRate,
      messageRate: this.#options.messageRate,
      connected,
    });
    const memoryUsage = await memoryOf(this.#target);
    const stress = stressTest ? await this.#stress(connected) : null;
    const { finished, seconds, events, echoes, expected, missing } = phase;
    const throughput = {
      messagesPerSecond: echoes.total / seconds,
      eventsPerSecond: events.total / seconds,
      broadcastsPerSecond: phase.broadcasts / seconds,
    };
    const delivery = events.summary();
    const active = sum(
      finished.slice(0, this.#fleet.loaders.length),
      ({ active }) => active,
    );
    return {
      uptime: seconds,
      eventDeliveryTime: delivery,
      roundTripTime: echoes.summary(),
      throughput,
      connectionStats: {
        activeConnections: active,
        totalConnections: clients,
        failedConnections: clients - connected,
        avgConnectionTime: connecting.summary().avg,
        p99ConnectionTime: connecting.at(99),
        firstFailure: firstFailure ?? null,
      },
      resourceUsage: {
        memoryUsage,
        cpuPercent: phase.cpuPercent,
        networkConnections: active,
      },
      integrity: {
        expected,
        missing,
        duplicates: sum(finished, ({ repeated }) => repeated),
        refused: sum(finished, (each) => each.refused + each.unanswered),
        firstRefusal: finished.find(({ why }) => why)?.why ?? null,
      },
      generator: {
        processes: finished.length,
        cpuPercent: phase.busiest,
        lateMs: phase.lateMs,
        isSaturated: phase.isSaturated,
      },
      percentiles: PERCENTILES.map((percentile) => ({
        percentile,
        ms: events.at(percentile),
      })),
      samples: phase.samples.map((times, i) => ({
        at: Math.min(seconds, (i + 1) * sampleMs / 1_000),
        eventsPerSecond: times.total /
          Math.min(sampleMs / 1_000, seconds - i * sampleMs / 1_000),
        p50: times.at(50),
        p95: times.at(95),
        p99: times.at(99),
      })),
      stress,
      grade: gradeOf(
        delivery.avg,
        throughput.messagesPerSecond + throughput.eventsPerSecond,
      ),
    };
  }

  async #open(): Promise<Opened[]> {
    const { url, room, token, clientTokens } = this.#target;
    const { batch, clients } = this.#options;
    const { loaders, publisher } = this.#fleet;
    const share = clients / loaders.length;
    this.#onProgress({ phase: "connecting", done: 0 });
    const opening = loaders.map(async (loader, i) => {
      const tokens = clientTokens.slice(
        Math.round(i * share),
        Math.round((i + 1) * share),
      );
      await loader.send({
        kind: "open",
        url,
        room,
        batch,
        tokens,
        follows: true,
      });
      return await loader.receive("opened");
    });
    await publisher.send({
      kind: "open",
      url,
      room,
      batch: true,
      tokens: [token],
      follows: false,
    });
    const { connected, why } = await publisher.receive("opened");
    if (connected === 0) throw new Error(`The publisher was refused: ${why}`);
    return await Promise.all(opening);
  }

  async #load(
    name: string,
    { ms, sampleMs, broadcastRate, messageRate, connected }: {
      ms: number;
      sampleMs: number;
      broadcastRate: number;
      messageRate: number;
      connected: number;
    },
  ): Promise<Phase> {
    const { loaders, publisher, all } = this.#fleet;
    const warmAt = Math.ceil(preciseNow()) + LEAD_MS;
    const startAt = warmAt + WARM_MS;
    const endAt = startAt + ms;
    const samples = Array.from(
      { length: Math.max(1, Math.ceil(ms / sampleMs)) },
      () => new Times(),
    );
    const events = new Times();
    const echoes = new Times();
    const collect = (message: LoaderMessage) => {
      if (message.kind !== "sample") return;
      const times = new Times(message.events);
      samples[message.index]?.merge(times);
      events.merge(times);
      echoes.merge(new Times(message.echoes));
    };
    const ticking = setInterval(() => {
      const done = Math.max(0, preciseNow() - startAt) / ms;
      this.#onProgress({ phase: name, done: Math.min(1, done) });
    }, 200);
    const cpu = cpuBetween(this.#target, startAt, endAt);
    try {
      await Promise.all(all.map((each) =>
        each.send({
          kind: "run",
          warmAt,
          startAt,
          endAt,
          sampleMs,
          messageRate: each === publisher ? 0 : messageRate / loaders.length,
          broadcastRate: each === publisher ? broadcastRate : 0,
        })
      ));
      const sent = await Promise.all(
        all.map((each) => each.receive("sent", collect)),
      );
      const broadcasts = sum(sent, (each) => each.broadcasts);
      const finished = await Promise.all(
        all.map((each) => this.#finish(each, broadcasts, collect)),
      );
      const late = new Times();
      for (const each of finished) late.merge(new Times(each.late));
      const busiest = Math.max(...finished.map(({ cpuPercent }) => cpuPercent));
      const lateMs = late.at(99);
      return {
        seconds: ms / 1_000,
        events,
        echoes,
        samples,
        sent,
        finished,
        broadcasts,
        expected: broadcasts * connected,
        missing: sum(finished, ({ missing }) => missing),
        busiest,
        lateMs,
        isSaturated: busiest > BUSY_PERCENT || lateMs > LATE_MS,
        cpuPercent: await cpu,
      };
    } finally {
      clearInterval(ticking);
    }
  }

  async #finish(
    loader: Loader,
    broadcasts: number,
    collect: (message: LoaderMessage) => void,
  ): Promise<Finished> {
    const expected = loader === this.#fleet.publisher ? 0 : broadcasts;
    await loader.send({ kind: "finish", expected, drainMs: DRAIN_MS });
    return await loader.receive("finished", collect);
  }

  /** Raises the rate, step by step, until something gives. */
  async #stress(
    connected: number,
  ): Promise<NonNullable<BenchMetrics["stress"]>> {
    const steps: StressStep[] = [];
    let rate = Math.max(1, this.#options.broadcastRate);
    for (let i = 0; i < MAX_STEPS; i++) {
      const step = await this.#step(rate, connected);
      steps.push(step);
      if (!step.holds || step.isSaturated) break;
      rate *= STEP_FACTOR;
    }
    const last = steps.at(-1)!;
    return {
      steps,
      sustained: steps.findLast(({ holds }) => holds) ?? null,
      stopped: last.isSaturated
        ? "load saturated"
        : last.holds
        ? "last step"
        : "limit found",
    };
  }

  async #step(rate: number, connected: number): Promise<StressStep> {
    const phase = await this.#load(
      `stress, ${Math.round(rate)} broadcasts/s`,
      {
        ms: STEP_MS,
        sampleMs: STEP_MS,
        broadcastRate: rate,
        messageRate: this.#options.messageRate,
        connected,
      },
    );
    const { events, finished, missing, isSaturated, broadcasts, seconds } =
      phase;
    const p99 = events.at(99);
    const refused = sum(finished, (each) => each.refused + each.unanswered);
    return {
      broadcastsPerSecond: broadcasts / seconds,
      eventsPerSecond: events.total / seconds,
      p99,
      missing,
      holds: p99 <= HOLD_P99_MS && missing + refused === 0,
      isSaturated,
    };
  }
}

function sum<Item>(
  items: readonly Item[],
  of: (item: Item) => number,
): number {
  return items.reduce((total, item) => total + of(item), 0);
}
