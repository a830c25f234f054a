/**
 * Measurements over HTTP.
 *
 * @module
 */
import { Hono } from "hono";
import type { ClusterReport, Instances } from "../realtime/instances.ts";
import type { Metrics } from "../realtime/metrics.ts";
import type { Env } from "./http.ts";

/** What the metrics route needs. */
export interface MetricsParts {
  /** Hears of bugs. */
  report: (error: unknown) => void;
  /** This service's own measurements. */
  measure: (type: string | undefined) => Promise<Record<string, unknown>>;
}

/** Mounts `GET /api/metrics`. */
export function metricsRoutes(parts: MetricsParts): Hono<Env> {
  return new Hono<Env>().get(
    "/api/metrics",
    async (c) => c.json(await parts.measure(c.req.query("type"))),
  );
}

/** How long one look at the whole cluster serves all who ask, in milliseconds. */
export const CLUSTER_MS = 1_000;

/**
 * Makes the function that answers for this isolate and, as `cluster`, for all.
 *
 * @param metrics of this isolate.
 * @param instances knows the others.
 * @returns from the name of a section to it; from nothing or any other name to
 * everything.
 */
export function measurer(
  metrics: Metrics,
  instances: Instances,
): (type: string | undefined) => Promise<Record<string, unknown>> {
  let cluster: Promise<ClusterReport | null> | undefined;
  let seenAt = -Infinity;
  return async (type) => {
    const own = metrics.report();
    if (type !== undefined && Object.hasOwn(own, type)) {
      return { [type]: own[type as keyof typeof own] };
    }
    if (!cluster || performance.now() - seenAt >= CLUSTER_MS) {
      seenAt = performance.now();
      cluster = instances.report().catch(() => null);
    }
    const all = { cluster: await cluster };
    return type === "cluster" ? all : { ...own, ...all };
  };
}
