/**
 * Signs of life, for load balancers and people.
 *
 * @module
 */
import { Hono } from "hono";
import type { Env } from "./http.ts";

/** How one part that serving depends on is. */
export interface Condition {
  /** Whether the service can do its work with it. */
  readonly ok: boolean;
  /** Whether it does its work in a poorer way for now. */
  readonly degraded?: boolean;
  /** What is wrong, or how it is. */
  readonly detail: string;
}

/** What the health routes need. */
export interface HealthParts {
  /** How each part is, by name. */
  conditions: () => Promise<Readonly<Record<string, Condition>>>;
}

/** Mounts `GET /health` and `GET /ready`. */
export function healthRoutes(parts: HealthParts): Hono<Env> {
  return new Hono<Env>()
    .get("/health", (c) => c.json({ status: "ok" }))
    .get("/ready", async (c) => {
      const checks = await parts.conditions();
      const all = Object.values(checks);
      const ready = all.every(({ ok }) => ok);
      const degraded = all.some((it) => it.degraded);
      return c.json({ ready, degraded, checks }, ready ? 200 : 503);
    });
}
