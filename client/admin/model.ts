/**
 * What the operator's page remembers between two looks: an hour of samples,
 * and how fast each channel grows.
 *
 * @module
 */
import type { ChannelInfo, InstanceInfo } from "./api.ts";

/** How often the page looks, in milliseconds. */
export const LOOK_MS = 2_000;
/** How far the charts reach back, in milliseconds. */
export const HISTORY_MS = 3_600_000;
/** Most samples kept. */
export const MAX_SAMPLES = HISTORY_MS / LOOK_MS;
/** Period over which a channel's rate is measured, in milliseconds. */
export const RATE_MS = 10_000;
/** A client that is this many events behind is marked as slow. */
export const SLOW_LAG = 100;
/** Most looks remembered for rates. */
const MAX_MARKS = 64;

/** The whole cluster at one moment. */
export interface Sample {
  /** Epoch milliseconds. */
  readonly at: number;
  /** Clients connected to any instance. */
  readonly connections: number;
  /** Events committed a second. */
  readonly published: number;
  /** Events handed to sockets a second. */
  readonly delivered: number;
  /** 95th percentile from commit to socket, in milliseconds, where known. */
  readonly deliveryMs: number | undefined;
  /** Resident memory of the largest process, in bytes. */
  readonly memory: number;
}

/** Adds up instances. Those of one process share its memory, so the largest counts. */
export function sampleOf(
  at: number,
  instances: readonly InstanceInfo[],
  deliveryMs: number | undefined,
): Sample {
  const sum = (count: (it: InstanceInfo) => number) =>
    instances.reduce((total, it) => total + count(it), 0);
  return {
    at,
    connections: sum((it) => it.connections),
    published: sum((it) => it.throughput.broadcastsPerSecond),
    delivered: sum((it) => it.throughput.eventsPerSecond),
    deliveryMs,
    memory: Math.max(0, ...instances.map((it) => it.memoryUsage)),
  };
}

/** Samples of the last hour, and the heads seen lately. */
export class Memory {
  /** Oldest first. */
  samples: readonly Sample[] = [];
  #marks: { readonly at: number; readonly heads: Map<string, number> }[] = [];

  /** Takes a sample; those older than an hour go. */
  take(sample: Sample): void {
    const kept = this.samples.filter(({ at }) =>
      at < sample.at && sample.at - at < HISTORY_MS
    );
    this.samples = [...kept, sample].slice(-MAX_SAMPLES);
  }

  /** Puts older samples before those it has. */
  recall(samples: readonly Sample[]): void {
    const first = this.samples[0]?.at ?? Infinity;
    this.samples = [
      ...samples.filter(({ at }) => at < first),
      ...this.samples,
    ].slice(-MAX_SAMPLES);
  }

  /** Notes where the channels end. */
  mark(at: number, channels: readonly ChannelInfo[]): void {
    const heads = new Map(
      channels.flatMap(({ channel, epoch, seq }) =>
        seq === null ? [] : [[`${channel} ${epoch}`, seq] as const]
      ),
    );
    this.#marks = [
      ...this.#marks.filter((mark) => at - mark.at <= 2 * RATE_MS),
      { at, heads },
    ].slice(-MAX_MARKS);
  }

  /**
   * How fast a channel grows.
   *
   * @returns events a second over about {@link RATE_MS}; nothing when it was
   * seen only once, or was reset meanwhile.
   */
  rate({ channel, epoch, seq }: ChannelInfo): number | undefined {
    const last = this.#marks.at(-1);
    if (!last || seq === null) return undefined;
    const key = `${channel} ${epoch}`;
    const from = this.#marks.find(({ at, heads }) =>
      last.at - at <= RATE_MS && heads.has(key)
    );
    if (!from || from === last) return undefined;
    return (seq - from.heads.get(key)!) / ((last.at - from.at) / 1_000);
  }
}

/**
 * A span of time in words: `12 s`, `5 min`, `3 h`, `2 d`; negative, as `−3 s`,
 * when the clock of the page and the service's disagree.
 */
export function span(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 0) return `−${span(-ms)}`;
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 100 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 72 * 3_600) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** An instant of today, in the reader's own time: `14:03:22`. */
export function time(at: number): string {
  return new Date(at).toTimeString().slice(0, 8);
}

/** Bytes in words: `412 MB`. */
export function bytes(count: number): string {
  if (count < 1e6) return `${Math.round(count / 1e3)} kB`;
  if (count < 1e9) return `${Math.round(count / 1e6)} MB`;
  return `${(count / 1e9).toFixed(1)} GB`;
}

/** A number in few digits: `0.4`, `12.5`, `1,250`. */
export function few(value: number): string {
  return value < 100
    ? value.toFixed(value > 0 && value < 10 ? 1 : 0)
    : Math.round(value).toLocaleString("en-US");
}

/** What is counted: `6`, `1,250`. */
export function whole(count: number): string {
  return count.toLocaleString("en-US");
}

/** A sample as the service keeps it, of one instance. */
export interface PastSample {
  readonly at: number;
  readonly activeConnections: number;
  readonly memoryUsage: number;
  readonly eventDeliveryTime: { readonly p95: number };
  readonly throughput: InstanceInfo["throughput"];
}

/** An instance's own samples, as if it were the whole cluster. */
export function recalled(samples: readonly PastSample[]): Sample[] {
  return samples.map((it) => ({
    at: it.at,
    connections: it.activeConnections,
    published: it.throughput.broadcastsPerSecond,
    delivered: it.throughput.eventsPerSecond,
    deliveryMs: it.eventDeliveryTime.p95,
    memory: it.memoryUsage,
  }));
}
