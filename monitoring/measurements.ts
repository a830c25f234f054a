/**
 * Measurements of this instance and of the cluster, on request and as events.
 *
 * @module
 */
import { channelNamed } from "../protocol/channels.ts";
import type { Clock } from "../platform/clock.ts";
import type { Hub } from "../realtime/hub.ts";
import type { SecurityLog } from "../security/security_log.ts";
import type { ClusterReport, Instances } from "./instances.ts";
import type { Metrics } from "./metrics.ts";

/** How long one look at the cluster answers everyone who asks, in milliseconds. */
export const CLUSTER_MS = 1_000;

/** What {@link measurer} needs. */
export interface MeasurementsParts {
  /** Time, for what several requests share. */
  clock: Clock;
  /** Of this instance. */
  metrics: Metrics;
  /** Knows the other instances. */
  instances: Instances;
  /** Counts what happened at the guards. */
  securityLog: Pick<SecurityLog, "counts" | "dropped">;
}

/**
 * Makes the function that reports this instance and, as `cluster`, all of them.
 *
 * @returns takes the name of a section and returns that section; without a
 * name, or with an unknown one, it returns everything.
 */
export function measurer(
  { clock, metrics, instances, securityLog }: MeasurementsParts,
): (type: string | undefined) => Promise<Record<string, unknown>> {
  const cluster = shared<ClusterReport | null>(
    clock,
    () => instances.report().catch(() => null),
  );
  return async (type) => {
    const own = { ...metrics.report(), security: securityOf(securityLog) };
    if (type !== undefined && Object.hasOwn(own, type)) {
      return { [type]: own[type as keyof typeof own] };
    }
    const all = { instance: instances.id, cluster: await cluster() };
    return type === "cluster" ? { cluster: all.cluster } : { ...own, ...all };
  };
}

/**
 * Makes the function that sends the cluster's report to this instance's
 * subscribers of `metrics`. Each instance sends its own: the channel is not
 * stored, so a link that carries no events could not deliver another's, and no
 * subscriber receives two.
 *
 * @param hub has the subscribers; without any, nothing is read.
 * @param instances reads the report.
 */
export function announcer(hub: Hub, instances: Instances): () => Promise<void> {
  const channel = channelNamed("metrics")!;
  return async () => {
    if (hub.subscribers(channel.name) === 0) return;
    const cluster = await instances.report();
    hub.tell({
      type: "METRICS_UPDATE",
      channel,
      id: undefined,
      payload: {
        timestamp: new Date(instances.now()).toISOString(),
        ...cluster,
      },
    });
  };
}

/**
 * Makes a function that answers everyone who asks within {@link CLUSTER_MS}
 * with one result of `work`; a failure is not kept.
 */
export function shared<T>(
  clock: Pick<Clock, "monotonic">,
  work: () => Promise<T>,
): () => Promise<T> {
  let answer: Promise<T> | undefined;
  let askedAt = -Infinity;
  return () => {
    if (!answer || clock.monotonic() - askedAt >= CLUSTER_MS) {
      askedAt = clock.monotonic();
      answer = work();
      answer.catch(() => answer = undefined);
    }
    return answer;
  };
}

/** Security events of this instance so far. */
function securityOf(log: Pick<SecurityLog, "counts" | "dropped">): {
  /** How often each thing happened, by kind and reason. */
  events: ReturnType<SecurityLog["counts"]>;
  /** How many were not stored. */
  dropped: number;
} {
  return { events: log.counts(), dropped: log.dropped };
}
