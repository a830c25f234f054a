/**
 * Liveness and readiness, for load balancers and people.
 *
 * @module
 */
import { z } from "zod";
import { isReady } from "../monitoring/readiness.ts";
import type { Readiness } from "../monitoring/readiness.ts";
import { SERVICE_VERSION } from "../platform/version.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** What the health routes need. */
export interface HealthParts {
  /** Judges whether the instance is ready. */
  readiness: Pick<Readiness, "check">;
}

/** Declares `GET /health` and `GET /ready`. */
export function healthRoutes({ readiness }: HealthParts): Route[] {
  return [
    route({
      method: "get",
      path: "/health",
      right: "probe",
      describe: () => ({
        tag: "operations",
        summary: "Whether the process is alive",
        answers: [{
          status: 200,
          description: "Alive",
          schema: z.looseObject({ status: z.string(), version: z.string() }),
        }],
      }),
      handle: (c) => c.json({ status: "ok", version: SERVICE_VERSION }),
    }),
    route({
      method: "get",
      path: "/ready",
      right: "probe",
      describe() {
        const schema = z.looseObject({
          ready: z.boolean(),
          degraded: z.boolean(),
          checks: z.record(
            z.string(),
            z.looseObject({ ok: z.boolean(), detail: z.string() }),
          ),
        });
        return {
          tag: "operations",
          summary: "Whether it can serve, with reasons",
          answers: [
            { status: 200, description: "Able to serve", schema },
            { status: 503, description: "Not able to serve", schema },
          ],
        };
      },
      async handle(c) {
        const checks = await readiness.check();
        const ready = isReady(checks);
        const degraded = Object.values(checks).some((it) => it.degraded);
        return c.json({ ready, degraded, checks }, ready ? 200 : 503);
      },
    }),
  ];
}
