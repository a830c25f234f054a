/**
 * Measurements over HTTP, for programs and for people.
 *
 * @module
 */
import { z } from "zod";
import { channelNamed } from "../protocol/channels.ts";
import type { Clock } from "../platform/clock.ts";
import type { Hub } from "../realtime/hub.ts";
import type { ClusterReport, Instances } from "../monitoring/instances.ts";
import type { Measured } from "../monitoring/instances.ts";
import { INSTRUMENTS } from "../monitoring/instruments.ts";
import type { InstrumentName } from "../monitoring/instruments.ts";
import type { Metrics } from "../monitoring/metrics.ts";
import { getPerformanceReport } from "../monitoring/report.ts";
import type { MetricsHistory } from "../monitoring/metrics_history.ts";
import type { SecurityLog } from "../security/security_log.ts";
import { ANONYMOUS_PRINCIPAL } from "../security/identity.ts";
import type { Principal } from "../security/principal.ts";
import { visibleTo } from "../security/rights.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** How long one look at the whole cluster serves all who ask, in milliseconds. */
export const CLUSTER_MS = 1_000;

/** What the metrics routes need. */
export interface MetricsParts {
  /** This service's own measurements, as a caller may see them. */
  measure: Measure;
  /** Of this instance. */
  metrics: Metrics;
  /** Its last samples. */
  samples: MetricsHistory;
  /** Knows the other instances. */
  instances: Instances;
  /** Has the clock that measures how old an answer is. */
  session: { readonly clock: Clock };
}

/**
 * Reads measurements for a caller.
 *
 * @param type the name of one section; everything when absent or unknown.
 * @param principal the caller: names of rooms it may not see are left out.
 */
export type Measure = (
  type: string | undefined,
  principal: Principal,
) => Promise<Record<string, unknown>>;

/**
 * Declares `GET /metrics` for Prometheus, `GET /api/metrics`,
 * `/api/metrics/report` and `/api/metrics/history`.
 */
export function metricsRoutes(parts: MetricsParts): Route[] {
  const { metrics, samples, instances, measure } = parts;
  const everyone = remembered(
    parts.session.clock,
    () => instances.measured(),
  );
  const report = () => getPerformanceReport(metrics.report());
  return [
    route({
      method: "get",
      path: "/metrics",
      right: "scrape",
      query: z.object({
        scope: z.enum(["isolate"], "expected isolate, or nothing").optional()
          .meta({
            description: "isolate: only of the instance that answers",
            example: "isolate",
          }),
      }),
      describe: () => ({
        tag: "operations",
        summary: "The same for Prometheus, of all instances",
        answers: [{
          status: 200,
          description: "Prometheus' text format",
          type: "text/plain",
        }],
      }),
      async handle(c, { query: { scope } }) {
        const [own, ...others] = scope === "isolate"
          ? [{ id: instances.id, readings: metrics.readings() }]
          : await everyone();
        const { text, contentType } = await exposition([own!, ...others]);
        return c.body(text, 200, { "content-type": contentType });
      },
    }),
    route({
      method: "get",
      path: "/api/metrics",
      right: "measure",
      query: z.object({
        type: z.string().optional().meta({
          description: "One section only, such as throughput",
          example: "throughput",
        }),
        format: z.enum(["text", "json"], "expected text or json").optional()
          .meta({
            description: "text: as /api/metrics/report",
            example: "json",
          }),
      }),
      describe: () => ({
        tag: "operations",
        summary: "What the service measures of itself",
        answers: [{
          status: 200,
          description: "Sections by name",
          schema: z.record(z.string(), z.unknown()),
        }],
      }),
      async handle(c, { principal, query: { type, format } }) {
        if (format === "text") return c.text(report());
        return c.json(await measure(type, principal));
      },
    }),
    route({
      method: "get",
      path: "/api/metrics/report",
      right: "measure",
      describe: () => ({
        tag: "operations",
        summary: "The same as text, in the layout of a report",
        answers: [{ status: 200, description: "Text", type: "text/plain" }],
      }),
      handle: (c) => c.text(report()),
    }),
    route({
      method: "get",
      path: "/api/metrics/history",
      right: "measure",
      describe: () => ({
        tag: "operations",
        summary: "This instance's last samples, for charts",
        answers: [{
          status: 200,
          description: "Samples, oldest first",
          schema: z.looseObject({
            instance: z.string(),
            samplingInterval: z.int().nonnegative(),
            samples: z.array(z.looseObject({ at: z.int().nonnegative() })),
          }),
        }],
      }),
      handle: (c) =>
        c.json({
          instance: instances.id,
          samplingInterval: samples.samplingInterval,
          samples: samples.list(),
        }),
    }),
  ];
}

/**
 * Makes the function that answers for this instance and, as `cluster`, for all.
 *
 * @param metrics of this instance.
 * @param instances knows the others.
 * @param securityLog counts what the guards saw.
 * @param clock measures how old an answer is.
 */
export function measurer(
  metrics: Metrics,
  instances: Instances,
  securityLog: Pick<SecurityLog, "counts" | "dropped">,
  clock: Clock,
): Measure {
  const cluster = remembered<ClusterReport | null>(
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
 * Makes the function that sends the state of the cluster to this instance's
 * subscribers of `metrics`. Each instance sends to its own: the channel is not
 * kept, so a link that carries no events could not reach the others'.
 *
 * @param hub has the subscribers; without any nothing is read.
 * @param instances knows all instances.
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
        // One frame for all subscribers, strangers among them.
        ...visibleReport(cluster, ANONYMOUS_PRINCIPAL),
      },
    });
  };
}

/** One answer of `ask` serves all callers within {@link CLUSTER_MS}. */
function remembered<T>(
  clock: Clock,
  ask: () => Promise<T>,
): () => Promise<T> {
  let answer: Promise<T> | undefined;
  let askedAt = -Infinity;
  return () => {
    if (!answer || clock.monotonic() - askedAt >= CLUSTER_MS) {
      askedAt = clock.monotonic();
      answer = ask();
      answer.catch(() => answer = undefined);
    }
    return answer;
  };
}

/** Security events of this instance so far. */
function securityOf(log: Pick<SecurityLog, "counts" | "dropped">): {
  /** How often each thing happened, by what and why. */
  events: ReturnType<SecurityLog["counts"]>;
  /** How many will never be in the log. */
  dropped: number;
} {
  return { events: log.counts(), dropped: log.dropped };
}

/** One line of an instrument, as the formatter takes it. */
interface Line {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

/** Writes what instances measured in Prometheus' text format. */
async function exposition(
  all: readonly Measured[],
): Promise<{ text: string; contentType: string }> {
  // Loaded when it is wanted first: a start should not wait for it.
  const { Registry } = await import("prom-client");
  const registry = new Registry();
  for (const [name, { type, help }] of Object.entries(INSTRUMENTS)) {
    const values = linesOf(all, name as InstrumentName);
    if (values.length === 0) continue;
    const metric = { name, help, type, aggregator: "sum", values };
    registry.registerMetric(
      { name, get: () => Promise.resolve(metric) } as unknown as Parameters<
        typeof registry.registerMetric
      >[0],
    );
  }
  const text = await registry.metrics();
  return { text, contentType: registry.contentType };
}

function linesOf(all: readonly Measured[], name: InstrumentName): Line[] {
  return all.flatMap(({ id, readings }) =>
    readings.filter((it) => it.name === name).flatMap((it): Line[] => {
      const labels = { ...it.labels, isolate: id };
      const { value, count, buckets } = it;
      if (!buckets || count === undefined) return [{ labels, value }];
      return [
        ...[...buckets, ["+Inf", count] as const].map(([le, value]) => ({
          labels: { ...labels, le },
          value,
          metricName: `${name}_bucket`,
        })),
        { labels, value, metricName: `${name}_sum` },
        { labels, value: count, metricName: `${name}_count` },
      ];
    })
  );
}
