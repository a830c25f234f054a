/**
 * Liveness and readiness, for load balancers and people.
 *
 * @module
 */
import { z } from "zod";
import { isReady } from "../monitoring/readiness.ts";
import type { Readiness } from "../monitoring/readiness.ts";
import type { Clock } from "../platform/clock.ts";
import { SERVICE_VERSION } from "../platform/version.ts";
import { Budget } from "../security/budget.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** What the health routes need. */
export interface HealthParts {
  /** Judges whether the instance is ready. */
  readiness: Pick<Readiness, "check">;
  /** Paces the looks at the parts. */
  clock: Pick<Clock, "monotonic">;
}

/**
 * Most looks at the parts in a second: each writes to the store, and `/ready`
 * refuses no caller. More callers get the newest answer.
 */
export const MAX_LOOKS_PER_SECOND = 10;

/** Declares `GET /health` and `GET /ready`. */
export function healthRoutes({ readiness, clock }: HealthParts): Route[] {
  const look = paced(clock, () => readiness.check());
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
          schema: z.looseObject({
            status: z.string().describe("`ok` while the process lives"),
            version: z.string().describe("Version of the service"),
          }),
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
          ready: z.boolean().describe("Whether it can serve"),
          degraded: z.boolean().describe(
            "Whether something is not as it is meant",
          ),
          checks: z.record(
            z.string(),
            z.looseObject({
              ok: z.boolean().describe("Whether that keeps it from serving"),
              detail: z.string().describe("What was found, for a person"),
            }),
          ).describe("What was looked at, by name"),
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
        const checks = await look();
        const ready = isReady(checks);
        const degraded = Object.values(checks).some((it) => it.degraded);
        return c.json({ ready, degraded, checks }, ready ? 200 : 503);
      },
    }),
  ];
}

/** Limits the rate of `work`; calls in between get the newest result. */
function paced<T>(
  clock: HealthParts["clock"],
  work: () => Promise<T>,
): () => Promise<T> {
  const budget = new Budget({
    burst: MAX_LOOKS_PER_SECOND,
    perSecond: MAX_LOOKS_PER_SECOND,
    now: () => clock.monotonic(),
  });
  let newest: Promise<T> | undefined;
  return () => {
    if (!newest || budget.take() === 0) newest = work();
    return newest;
  };
}
