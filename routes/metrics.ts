/**
 * Measurements over HTTP, for programs and for people.
 *
 * @module
 */
import { z } from "zod";
import type { Clock } from "../platform/clock.ts";
import { exposition, EXPOSITION_TYPE } from "../monitoring/exposition.ts";
import type { Instances } from "../monitoring/instances.ts";
import { shared } from "../monitoring/measurements.ts";
import type { Measure } from "../monitoring/measurements.ts";
import type { Metrics } from "../monitoring/metrics.ts";
import { getPerformanceReport } from "../monitoring/report.ts";
import type { Vitals } from "../monitoring/vitals.ts";
import type { MetricsHistory } from "../monitoring/metrics_history.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** What the metrics routes need. */
export interface MetricsParts {
  /** Time, for what several requests share. */
  clock: Clock;
  /** Measurements as a caller may see them. */
  measure: Measure;
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
 * Declares `GET /metrics` for Prometheus, `GET /api/metrics`,
 * `/api/metrics/report` and `/api/metrics/history`.
 */
export function metricsRoutes(parts: MetricsParts): Route[] {
  const { clock, metrics, samples, instances, vitals, measure } = parts;
  const others = shared(clock, () => instances.measuredByOthers());
  const report = () => getPerformanceReport(metrics.report());
  return [
    route({
      method: "get",
      path: "/metrics",
      right: "scrape",
      compresses: true,
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
        await vitals.refresh();
        // Without the store, this instance still has its own readings.
        const rest = scope === "isolate" ? [] : await others().catch(() => []);
        return c.body(exposition([instances.measured(), ...rest]), 200, {
          "content-type": EXPOSITION_TYPE,
        });
      },
    }),
    route({
      method: "get",
      path: "/api/metrics",
      right: "measure",
      compresses: true,
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
      compresses: true,
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
      compresses: true,
      describe: () => ({
        tag: "operations",
        summary: "This instance's last samples, for charts",
        answers: [{
          status: 200,
          description: "Samples, oldest first",
          schema: z.looseObject({
            instance: z.string().describe("The instance that answers"),
            samplingInterval: z.int().nonnegative()
              .describe("Milliseconds from one sample to the next"),
            samples: z.array(z.looseObject({
              at: z.int().nonnegative()
                .describe("When it was taken, in epoch milliseconds"),
            })).describe("Oldest first"),
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
