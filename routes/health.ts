/**
 * Liveness and readiness, for load balancers and people.
 *
 * @module
 */
import { Hono } from "hono";
import { isReady } from "../monitoring/readiness.ts";
import type { Readiness } from "../monitoring/readiness.ts";
import { SERVICE_VERSION } from "../platform/version.ts";
import type { Env } from "./http.ts";

/** What the health routes need. */
export interface HealthParts {
  /** Judges whether the instance is ready. */
  readiness: Pick<Readiness, "check">;
}

/** Mounts `GET /health` and `GET /ready`. */
export function healthRoutes(parts: HealthParts): Hono<Env> {
  return new Hono<Env>()
    .get("/health", (c) => c.json({ status: "ok", version: SERVICE_VERSION }))
    .get("/ready", async (c) => {
      const checks = await parts.readiness.check();
      const ready = isReady(checks);
      const degraded = Object.values(checks).some((it) => it.degraded);
      return c.json({ ready, degraded, checks }, ready ? 200 : 503);
    });
}
