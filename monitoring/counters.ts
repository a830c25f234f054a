/**
 * What counts: rates, counts by label, spreads in buckets and percentiles.
 *
 * @module
 */
import histograms from "hdr-histogram-js/dist/Float64Histogram.js";
import type { InstrumentName, Reading } from "./instruments.ts";
import type { DeliveryTime } from "./report.ts";

/** Rates are averaged over this many whole seconds. */
export const RATE_SECONDS = 10;
/** Longest duration counted exactly, in microseconds: one minute. */
const HIGHEST_US = 60_000_000;
/** Microseconds in a millisecond. */
const US_PER_MS = 1_000;

/** Counts per second over the last {@link RATE_SECONDS}. */
export class Rate {
  readonly #seconds = new Float64Array(RATE_SECONDS + 1);
  #second = 0;

  /** Counts `count` at `now`, in milliseconds of a monotonic clock. */
  add(now: number, count: number): void {
    this.#move(now);
    this.#seconds[this.#second % this.#seconds.length]! += count;
  }

  /** The average of the last whole seconds before `now`. */
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

/** The distribution of values over buckets, with their count and sum. */
export class Spread {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;
  #count = 0;

  /** An empty histogram. @param bounds upper bounds of the buckets, ascending; each is inclusive. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  /** Sum of all values. */
  get sum(): number {
    return this.#sum;
  }

  /** How many values there were. */
  get count(): number {
    return this.#count;
  }

  /** Average of all values; 0 when there are none. */
  get average(): number {
    return this.#count > 0 ? this.#sum / this.#count : 0;
  }

  /** Counts `count` values of `value`. */
  add(value: number, count: number): void {
    let i = 0;
    while (i < this.#bounds.length && value > this.#bounds[i]!) i++;
    this.#counts[i]! += count;
    this.#sum += value * count;
    this.#count += count;
  }

  /** The distribution as a histogram named `name`. */
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

/** Counts by the value of one label. */
export class Tally<Key extends string> {
  readonly #counts = new Map<Key, number>();

  /** Counts `count` of `key`. */
  add(key: Key, count = 1): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }

  /** Count of all keys together. */
  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Counts by key. */
  toJSON(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }

  /** One reading for each key, under the label `label`. */
  *readings(name: InstrumentName, label: string): Iterable<Reading> {
    for (const [key, value] of this.#counts) {
      yield { name, labels: { [label]: key }, value };
    }
  }
}

/**
 * Durations with their percentiles, to two significant digits. Counts are
 * 64-bit floats: those of 32 bits would overflow within a day of full load.
 */
export class Durations {
  readonly #histogram = new histograms.default(1, HIGHEST_US, 2);

  /** Counts `count` durations of `ms` milliseconds; at most a minute each. */
  add(ms: number, count: number): void {
    const us = Math.min(HIGHEST_US, Math.max(1, Math.round(ms * US_PER_MS)));
    this.#histogram.recordValueWithCount(us, count);
  }

  /** All of them in a few numbers, in milliseconds; zeros when there are none. */
  summary(): DeliveryTime {
    const histogram = this.#histogram;
    const { totalCount: total, maxValue, minNonZeroValue } = histogram;
    const ms = (us: number) => total > 0 ? us / US_PER_MS : 0;
    // The middle and the end of a bucket may lie beyond the longest in it.
    const bounded = (us: number) => ms(Math.min(us, maxValue));
    return {
      avg: bounded(histogram.mean),
      min: ms(minNonZeroValue),
      max: ms(maxValue),
      p95: bounded(histogram.getValueAtPercentile(95)),
      p99: bounded(histogram.getValueAtPercentile(99)),
      total,
    };
  }

  /** Forgets all of them. */
  reset(): void {
    this.#histogram.reset();
  }
}
