/**
 * Measurements over HTTP, for programs and for people.
 *
 * @module
 */
import { Hono } from "hono";
import { channelNamed } from "../protocol/channels.ts";
import type { Hub } from "../realtime/hub.ts";
import type { ClusterReport, Instances } from "../monitoring/instances.ts";
import type { Measured } from "../monitoring/instances.ts";
import { INSTRUMENTS } from "../monitoring/instruments.ts";
import type { InstrumentName } from "../monitoring/instruments.ts";
import type { Metrics } from "../monitoring/metrics.ts";
import { getPerformanceReport } from "../monitoring/report.ts";
import type { MetricsHistory } from "../monitoring/metrics_history.ts";
import type { SecurityLog } from "../security/security_log.ts";
import type { Gate } from "./gate.ts";
import type { Env } from "./http.ts";

/** How long one look at the whole cluster serves all who ask, in milliseconds. */
export const CLUSTER_MS = 1_000;

/** What the metrics routes need. */
export interface MetricsParts {
  /** Lets requests in. */
  gate: Gate;
  /** Hears of bugs. */
  report: (error: unknown) => void;
  /** This service's own measurements. */
  measure: (type: string | undefined) => Promise<Record<string, unknown>>;
  /** Of this isolate. */
  metrics: Metrics;
  /** Its last samples. */
  samples: MetricsHistory;
  /** Knows the other isolates. */
  instances: Instances;
}

/**
 * Mounts `GET /metrics` for Prometheus, `GET /api/metrics`,
 * `/api/metrics/report` and `/api/metrics/history`.
 */
export function metricsRoutes(parts: MetricsParts): Hono<Env> {
  const { gate, metrics, samples, instances } = parts;
  const everyone = remembered(() => instances.measured());
  const report = () => getPerformanceReport(metrics.report());
  return new Hono<Env>()
    .get("/metrics", async (c) => {
      const alone = c.req.query("scope") === "isolate";
      const [own, ...others] = alone
        ? [{ id: instances.id, readings: metrics.readings() }]
        : await everyone();
      const { text, contentType } = await exposition([own!, ...others]);
      return c.body(text, 200, { "content-type": contentType });
    })
    .get("/api/metrics", async (c) => {
      await gate.request(c);
      if (c.req.query("format") === "text") return c.text(report());
      return c.json(await parts.measure(c.req.query("type")));
    })
    .get("/api/metrics/report", async (c) => {
      await gate.request(c);
      return c.text(report());
    })
    .get("/api/metrics/history", async (c) => {
      await gate.request(c);
      const { samplingInterval } = samples;
      const { id } = instances;
      return c.json({
        instance: id,
        samplingInterval,
        samples: samples.list(),
      });
    });
}

/**
 * Makes the function that answers for this isolate and, as `cluster`, for all.
 *
 * @param metrics of this isolate.
 * @param instances knows the others.
 * @param securityLog counts what happened at the guards.
 * @returns from the name of a section to it; from nothing or any other name to
 * everything.
 */
export function measurer(
  metrics: Metrics,
  instances: Instances,
  securityLog: Pick<SecurityLog, "counts" | "dropped">,
): (type: string | undefined) => Promise<Record<string, unknown>> {
  const cluster = remembered<ClusterReport | null>(() =>
    instances.report().catch(() => null)
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
 * Makes what tells this isolate's subscribers of `metrics` how the cluster
 * fares. Each isolate tells its own: the channel is not kept, so a link that
 * carries no events could not tell the others', and none hears it twice.
 *
 * @param hub has the subscribers; nobody is asked while there are none.
 * @param instances knows everyone.
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

/** One answer of `ask` serves all who want it within {@link CLUSTER_MS}. */
function remembered<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  let askedAt = -Infinity;
  return () => {
    if (!answer || performance.now() - askedAt >= CLUSTER_MS) {
      askedAt = performance.now();
      answer = ask();
      answer.catch(() => answer = undefined);
    }
    return answer;
  };
}

/** Security events of this isolate so far. */
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

/** Writes what isolates measured in Prometheus' text format. */
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
