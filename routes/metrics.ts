/**
 * Measurements over HTTP.
 *
 * @module
 */
import { Hono } from "hono";
import type { ClusterReport, Instances } from "../realtime/instances.ts";
import type { Metrics } from "../realtime/metrics.ts";
import type { SecurityLog } from "../security/security_log.ts";
import type { Gate } from "./gate.ts";
import type { Env } from "./http.ts";

/** What the metrics route needs. */
export interface MetricsParts {
  /** Lets requests in. */
  gate: Gate;
  /** Hears of bugs. */
  report: (error: unknown) => void;
  /** This service's own measurements. */
  measure: (type: string | undefined) => Promise<Record<string, unknown>>;
}

/** Mounts `GET /api/metrics`. */
export function metricsRoutes(parts: MetricsParts): Hono<Env> {
  return new Hono<Env>().get(
    "/api/metrics",
    async (c) => {
      await parts.gate.request(c);
      return c.json(await parts.measure(c.req.query("type")));
    },
  );
}

/** How long one look at the whole cluster serves all who ask, in milliseconds. */
export const CLUSTER_MS = 1_000;

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
  let cluster: Promise<ClusterReport | null> | undefined;
  let seenAt = -Infinity;
  return async (type) => {
    const own = { ...metrics.report(), security: securityOf(securityLog) };
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

/** Security events of this isolate so far. */
function securityOf(log: Pick<SecurityLog, "counts" | "dropped">): {
  /** How often each thing happened, by what and why. */
  events: ReturnType<SecurityLog["counts"]>;
  /** How many will never be in the log. */
  dropped: number;
} {
  return { events: log.counts(), dropped: log.dropped };
}
