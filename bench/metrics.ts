/**
 * What a run finds out.
 *
 * @module
 */
import type { TimeSummary } from "./histogram.ts";

/** How good a run was. */
export interface Grade {
  /** The worse of the two. */
  readonly overall: string;
  readonly eventDelivery: string;
  readonly throughput: string;
}

/** What one sampling interval saw. */
export interface Sample {
  /** Its end, in seconds from the beginning. */
  readonly at: number;
  readonly eventsPerSecond: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** One rate that was tried. */
export interface StressStep {
  readonly broadcastsPerSecond: number;
  readonly eventsPerSecond: number;
  readonly p99: number;
  /** Events that did not arrive. */
  readonly missing: number;
  readonly holds: boolean;
  /** Whether the load processes, not the server, were at their end. */
  readonly isSaturated: boolean;
}

/** All that a run found out. Times are in milliseconds. */
export interface BenchMetrics {
  /** Seconds measured. */
  readonly uptime: number;
  /** From the moment an event was due until a client had it. */
  readonly eventDeliveryTime: TimeSummary;
  /** From the moment a message was due until its echo came. */
  readonly roundTripTime: TimeSummary;
  readonly throughput: {
    /** Messages from clients that were echoed. */
    readonly messagesPerSecond: number;
    /** Events handed to clients. */
    readonly eventsPerSecond: number;
    /** Events published. */
    readonly broadcastsPerSecond: number;
  };
  readonly connectionStats: {
    readonly activeConnections: number;
    readonly totalConnections: number;
    readonly failedConnections: number;
    /** Until the subscription was answered. */
    readonly avgConnectionTime: number;
    readonly p99ConnectionTime: number;
    /** Why the first one failed. */
    readonly firstFailure: string | null;
  };
  readonly resourceUsage: {
    /** Resident memory of the server, in bytes; `null`: not reported. */
    readonly memoryUsage: number | null;
    /** Of one core, of the server; `null` for one that is not its own. */
    readonly cpuPercent: number | null;
    readonly networkConnections: number;
  };
  readonly integrity: {
    /** Deliveries that should have been. */
    readonly expected: number;
    readonly missing: number;
    readonly duplicates: number;
    /** Refusals and publishes without an answer. */
    readonly refused: number;
    readonly firstRefusal: string | null;
  };
  /** The load processes themselves. */
  readonly generator: {
    readonly processes: number;
    /** Of one core, of the busiest. */
    readonly cpuPercent: number;
    /** 99th percentile of how late their timers were. */
    readonly lateMs: number;
    /** Whether they, rather than the server, set the limits. */
    readonly isSaturated: boolean;
  };
  /** Delivery time at each of the percentiles. */
  readonly percentiles: readonly { percentile: number; ms: number }[];
  readonly samples: readonly Sample[];
  readonly stress: {
    readonly steps: readonly StressStep[];
    /** The highest that held; `null`: none did. */
    readonly sustained: StressStep | null;
    /** Why no higher rate was tried. */
    readonly stopped: "limit found" | "load saturated" | "last step";
  } | null;
  readonly grade: Grade;
}
