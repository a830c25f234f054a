/**
 * Measurements of this instance and of the cluster, on request and as events.
 *
 * @module
 */
import { channelNamed } from "../protocol/channels.ts";
import type { Clock } from "../platform/clock.ts";
import type { Hub } from "../realtime/hub.ts";
import { ANONYMOUS_PRINCIPAL } from "../security/identity.ts";
import type { Principal } from "../security/principal.ts";
import { visibleTo } from "../security/rights.ts";
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
 * Reports this instance and, as `cluster`, all of them.
 *
 * @param type the name of one section; everything without one, or with one
 * that is unknown.
 * @param principal who asks: names of rooms it may not see are left out.
 */
export type Measure = (
  type: string | undefined,
  principal: Principal,
) => Promise<Record<string, unknown>>;

/** Makes the function that reports. */
export function measurer(
  { clock, metrics, instances, securityLog }: MeasurementsParts,
): Measure {
  const cluster = shared<ClusterReport | null>(
    clock,
    () => instances.report().catch(() => null),
  );
  return async (type, principal) => {
    const own = { ...metrics.report(), security: securityOf(securityLog) };
    if (type !== undefined && Object.hasOwn(own, type)) {
      return { [type]: own[type as keyof typeof own] };
    }
    const report = await cluster();
    const seen = report && visibleReport(report, principal);
    if (type === "cluster") return { cluster: seen };
    return { ...own, instance: instances.id, cluster: seen };
  };
}

function visibleReport(
  report: ClusterReport,
  principal: Principal,
): ClusterReport {
  return { ...report, subscribers: visibleTo(principal, report.subscribers) };
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
    hub.deliverHere({
      type: "METRICS_UPDATE",
      channel,
      id: undefined,
      payload: {
        timestamp: new Date(instances.now()).toISOString(),
        // One frame for all subscribers, anonymous ones among them.
        ...visibleReport(cluster, ANONYMOUS_PRINCIPAL),
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
