/**
 * What operators see and order of alerts.
 *
 * @module
 */
import { Hono } from "hono";
import { z } from "zod";
import { Refusal } from "../protocol/refusals.ts";
import type { AlertType, Rule } from "../monitoring/alerts.ts";
import { MAX_SILENCE_MS } from "../monitoring/monitor.ts";
import type { Monitor } from "../monitoring/monitor.ts";
import type { Gate } from "./gate.ts";
import type { Env } from "./http.ts";
import { operatorOf, orderOf } from "./operator.ts";

/** Longest body of an order, in bytes. */
const MAX_BODY_BYTES = 4 * 1024;

/** What the alert routes need. */
export interface AlertParts {
  /** Lets requests in. */
  gate: Gate;
  /** Knows the alerts of the cluster. */
  monitor: Monitor;
  /** What alerts may be raised. */
  rules: readonly Rule[];
}

/** Which rule to keep silent, and how long. */
export const SilenceRequest = z.strictObject({
  type: z.string().min(1).max(64),
  /** In milliseconds. */
  forMs: z.int().positive().max(MAX_SILENCE_MS),
  reason: z.string().max(200).optional(),
});

/**
 * Mounts `GET /api/admin/alerts`, `POST /api/admin/alerts/silences` and
 * `DELETE /api/admin/alerts/silences/:type`, for tokens with the role `admin`.
 */
export function alertRoutes(
  { gate, monitor, rules }: AlertParts,
): Hono<Env> {
  return new Hono<Env>()
    .get("/api/admin/alerts", async (c) => {
      await operatorOf(c, gate);
      const [alerts, silences] = await stored(() =>
        Promise.all([monitor.alerts(), monitor.silences()])
      );
      return c.json({
        alerts,
        silences,
        rules: rules.map((
          { type, severity, threshold, endAt, fireAfterMs, endAfterMs },
        ) => ({ type, severity, threshold, endAt, fireAfterMs, endAfterMs })),
      });
    })
    .post("/api/admin/alerts/silences", async (c) => {
      const by = await operatorOf(c, gate);
      const { type, forMs, reason } = await orderOf(
        c.req.raw,
        SilenceRequest,
        MAX_BODY_BYTES,
      );
      const silence = await stored(() =>
        monitor.silence(typeNamed(type), {
          forMs,
          by,
          ...(reason === undefined ? {} : { reason }),
        })
      );
      return c.json({ silence }, 201);
    })
    .delete("/api/admin/alerts/silences/:type", async (c) => {
      await operatorOf(c, gate);
      const type = typeNamed(c.req.param("type"));
      const removed = await stored(() => monitor.unsilence(type));
      return c.json({ removed }, removed ? 200 : 404);
    });

  function typeNamed(name: string): AlertType {
    const rule = rules.find(({ type }) => type === name);
    if (rule) return rule.type;
    const names = rules.map(({ type }) => type).join(", ");
    throw new Refusal("INVALID_PAYLOAD", `type must be one of ${names}`);
  }
}

async function stored<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal("STORE_UNAVAILABLE", "The store cannot be reached now", {
      cause: error,
    });
  }
}
