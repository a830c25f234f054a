/**
 * Measurements over HTTP.
 *
 * @module
 */
import { Hono } from "hono";
import type { Env } from "./http.ts";

/** What the metrics route needs. */
export interface MetricsParts {
  /** Hears of bugs. */
  report: (error: unknown) => void;
  /** This service's own measurements. */
  measure: (type: string | undefined) => Record<string, unknown>;
}

/** Mounts `GET /api/metrics`. */
export function metricsRoutes(parts: MetricsParts): Hono<Env> {
  return new Hono<Env>()
    .get("/api/metrics", (c) => c.json(parts.measure(c.req.query("type"))));
}
