/**
 * Times, kept exactly enough: HDR histograms of microseconds.
 *
 * @module
 */
import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
} from "hdr-histogram-js";
import type { Histogram } from "hdr-histogram-js";

/** Longest time distinguished, in microseconds: one minute. */
export const HIGHEST_US = 60_000_000;

/** What percentiles are drawn at. */
export const PERCENTILES = [
  0,
  10,
  25,
  50,
  75,
  90,
  95,
  97.5,
  99,
  99.5,
  99.9,
  99.95,
  99.99,
  100,
] as const;

/** Times, summed up; all in milliseconds, 0 when there were none. */
export interface TimeSummary {
  readonly avg: number;
  readonly min: number;
  readonly max: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  /** How many were measured. */
  readonly total: number;
}

/** Counts times. */
export class Times {
  #histogram: Histogram;

  /** Empty, or what {@link encode} wrote. */
  constructor(encoded?: string) {
    this.#histogram = encoded === undefined
      ? build({
        lowestDiscernibleValue: 1,
        highestTrackableValue: HIGHEST_US,
        numberOfSignificantValueDigits: 3,
      })
      : decodeFromCompressedBase64(encoded);
  }

  /** How many were counted. */
  get total(): number {
    return this.#histogram.totalCount;
  }

  /** Counts one time; beyond a minute it counts as a minute. */
  add(ms: number): void {
    const us = Math.round(ms * 1_000);
    this.#histogram.recordValue(Math.min(HIGHEST_US, Math.max(1, us)));
  }

  /** Counts everything that `other` did. */
  merge(other: Times): void {
    if (other.total > 0) this.#histogram.add(other.#histogram);
  }

  /** The time that `percentile` percent did not exceed, in milliseconds. */
  at(percentile: number): number {
    if (this.total === 0) return 0;
    return this.#histogram.getValueAtPercentile(percentile) / 1_000;
  }

  /** All in a few numbers. */
  summary(): TimeSummary {
    const isEmpty = this.total === 0;
    const { mean, minNonZeroValue, maxValue } = this.#histogram;
    return {
      avg: isEmpty ? 0 : mean / 1_000,
      min: isEmpty ? 0 : minNonZeroValue / 1_000,
      max: isEmpty ? 0 : maxValue / 1_000,
      p50: this.at(50),
      p95: this.at(95),
      p99: this.at(99),
      p999: this.at(99.9),
      total: this.total,
    };
  }

  /** Forgets everything. */
  reset(): void {
    this.#histogram.reset();
  }

  /** All of it as text, for another process. */
  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram);
  }
}
