/**
 * Samples of the measurements of an instance, for charts.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Metrics } from "./metrics.ts";
import type { DeliveryTime, MetricsReport } from "./report.ts";

/** Time between samples, in milliseconds. */
export const SAMPLING_INTERVAL_MS = 5_000;
/** Most samples kept; beyond it the oldest is dropped. */
export const MAX_SAMPLES = 1_000;

/** One instance at one moment. */
export interface Sample {
  /** When, in epoch milliseconds. */
  readonly at: number;
  /** Deliveries since the sample before, in milliseconds. */
  readonly eventDeliveryTime: DeliveryTime;
  /** Averages over the last ten seconds. */
  readonly throughput: MetricsReport["throughput"];
  /** Clients connected. */
  readonly activeConnections: number;
  /** Clients that read more slowly than events arrive. */
  readonly slowConnections: number;
  /** Resident memory of the process, in bytes. */
  readonly memoryUsage: number;
}

/** What {@link MetricsHistory} needs. */
export interface SamplesOptions {
  /** Time between samples. */
  clock: Clock;
  /** What is sampled. */
  metrics: Metrics;
  /** Time between samples, in milliseconds. */
  samplingInterval?: number;
  /** Most samples kept, from 1. */
  maxSamples?: number;
}

/** The last samples of one instance. */
export class MetricsHistory implements Disposable {
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #intervalMs: number;
  readonly #max: number;
  readonly #kept: Sample[] = [];
  #onSample: () => void = () => {};
  #timer: Disposable;

  /** Starts to sample. */
  constructor(options: SamplesOptions) {
    this.#clock = options.clock;
    this.#metrics = options.metrics;
    this.#intervalMs = options.samplingInterval ?? SAMPLING_INTERVAL_MS;
    this.#max = options.maxSamples ?? MAX_SAMPLES;
    this.#timer = this.#next();
  }

  /** Time between samples, in milliseconds. */
  get samplingInterval(): number {
    return this.#intervalMs;
  }

  /** The samples kept, oldest first. */
  list(): readonly Sample[] {
    return this.#kept;
  }

  /** The newest sample; nothing before the first. */
  get last(): Sample | undefined {
    return this.#kept.at(-1);
  }

  /**
   * Sets the listener that is called after each sample.
   *
   * @param listener must not throw.
   */
  onSample(listener: () => void): void {
    this.#onSample = listener;
  }

  /** Stops sampling. */
  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
    this.#onSample = () => {};
  }

  #next(): Disposable {
    return this.#clock.after(this.#intervalMs, () => {
      this.#timer = this.#next();
      this.#take();
      this.#onSample();
    });
  }

  #take(): void {
    const { throughput, connectionStats, resourceUsage } = this.#metrics
      .report();
    const { activeConnections, slowConnections } = connectionStats;
    this.#kept.push({
      at: this.#clock.now(),
      eventDeliveryTime: this.#metrics.takeInterval(),
      throughput,
      activeConnections,
      slowConnections,
      memoryUsage: resourceUsage.memoryUsage,
    });
    if (this.#kept.length > this.#max) this.#kept.shift();
  }
}
