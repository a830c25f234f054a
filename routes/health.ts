/**
 * Signs of life, for load balancers and people.
 *
 * @module
 */
import { z } from "zod";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

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

/** Declares `GET /health` and `GET /ready`. */
export function healthRoutes({ conditions }: HealthParts): Route[] {
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
          schema: z.looseObject({ status: z.string() }),
        }],
      }),
      handle: (c) => c.json({ status: "ok" }),
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
        const checks = await conditions();
        const all = Object.values(checks);
        const ready = all.every(({ ok }) => ok);
        const degraded = all.some((it) => it.degraded);
        return c.json({ ready, degraded, checks }, ready ? 200 : 503);
      },
    }),
  ];
}
