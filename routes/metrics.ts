/**
 * Measurements over HTTP, for programs and for people.
 *
 * @module
 */
import { Hono } from "hono";
import type { Clock } from "../platform/clock.ts";
import { exposition, EXPOSITION_TYPE } from "../monitoring/exposition.ts";
import type { Instances } from "../monitoring/instances.ts";
import { shared } from "../monitoring/measurements.ts";
import type { Metrics } from "../monitoring/metrics.ts";
import { getPerformanceReport } from "../monitoring/report.ts";
import type { Vitals } from "../monitoring/vitals.ts";
import type { MetricsHistory } from "../monitoring/metrics_history.ts";
import type { Gate } from "./gate.ts";
import type { Env } from "./http.ts";

/** What the metrics routes need. */
export interface MetricsParts {
  /** Lets requests in. */
  gate: Gate;
  /** Time, for what several requests share. */
  clock: Clock;
  /** Measurements of this instance and of the cluster, or one section. */
  measure: (type: string | undefined) => Promise<Record<string, unknown>>;
  /** Of this instance. */
  metrics: Metrics;
  /** The last samples of this instance. */
  samples: MetricsHistory;
  /** Knows the other instances. */
  instances: Instances;
  /** Readings that take a look at the store. */
  vitals: Pick<Vitals, "refresh">;
}

/**
 * Mounts `GET /metrics` for Prometheus, `GET /api/metrics`,
 * `/api/metrics/report` and `/api/metrics/history`.
 */
export function metricsRoutes(parts: MetricsParts): Hono<Env> {
  const { gate, clock, metrics, samples, instances, vitals } = parts;
  const others = shared(clock, () => instances.measuredByOthers());
  const report = () => getPerformanceReport(metrics.report());
  return new Hono<Env>()
    .get("/metrics", async (c) => {
      const alone = c.req.query("scope") === "isolate";
      await vitals.refresh();
      // Without the store, this instance still has its own readings.
      const rest = alone ? [] : await others().catch(() => []);
      return c.body(exposition([instances.measured(), ...rest]), 200, {
        "content-type": EXPOSITION_TYPE,
      });
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
