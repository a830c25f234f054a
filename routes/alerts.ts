/**
 * Operators' routes to alerts: list and silence.
 *
 * @module
 */
import { z } from "zod";
import { Refusal } from "../protocol/refusals.ts";
import type { AlertType, Rule } from "../monitoring/alerts.ts";
import { MAX_SILENCE_MS } from "../monitoring/monitor.ts";
import type { Monitor } from "../monitoring/monitor.ts";
import { recorded, removal } from "./operator.ts";
import type { SecurityLog } from "../security/security_log.ts";
import { order } from "./input.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** Longest body of an order, in bytes. */
const MAX_BODY_BYTES = 4 * 1024;

/** What the alert routes need. */
export interface AlertParts {
  /** Knows the alerts of the cluster. */
  monitor: Monitor;
  /** What alerts may be raised. */
  rules: readonly Rule[];
  /** Records orders. */
  securityLog: SecurityLog;
}

/** Which rule to silence, and how long. */
const SilenceRequest = z.strictObject({
  type: z.string().min(1).max(64).describe("The rule's name"),
  forMs: z.int().positive().max(MAX_SILENCE_MS)
    .describe("How long, in milliseconds"),
  reason: z.string().max(200).optional().describe("Why, for people"),
});

/**
 * Declares `GET /api/admin/alerts`, `POST /api/admin/alerts/silences` and
 * `DELETE /api/admin/alerts/silences/:type`.
 */
export function alertRoutes(
  { monitor, rules, securityLog }: AlertParts,
): Route[] {
  return [
    route({
      method: "get",
      path: "/api/admin/alerts",
      right: "operate",
      describe: () => ({
        tag: "admin",
        summary: "What is wrong now, what is silenced, and all rules",
        answers: [{
          status: 200,
          description: "Alerts of the cluster",
          schema: alertsSchema(),
        }],
        refuses: ["STORE_UNAVAILABLE"],
      }),
      async handle(c) {
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
      },
    }),
    route({
      method: "post",
      path: "/api/admin/alerts/silences",
      right: "operate",
      body: order(SilenceRequest, MAX_BODY_BYTES, {
        memory: { type: "memory", forMs: 3_600_000, reason: "known" },
      }),
      describe: () => ({
        tag: "admin",
        summary: "Keep a rule silent for a while",
        answers: [{
          status: 201,
          description:
            "Silent; alerts of this type are neither raised nor sent",
          schema: z.looseObject({
            silence: silenceSchema().describe("As it is in force now"),
          }),
        }],
        refuses: ["INVALID_JSON", "INVALID_PAYLOAD", "STORE_UNAVAILABLE"],
      }),
      async handle(c, { principal, body: { type, forMs, reason } }) {
        const silence = await recorded(
          securityLog,
          principal,
          { kind: "admin", detail: `silence ${type} for ${forMs} ms` },
          (by) =>
            stored(() =>
              monitor.silence(typeNamed(type), {
                forMs,
                by,
                ...(reason === undefined ? {} : { reason }),
              })
            ),
        );
        return c.json({ silence }, 201);
      },
    }),
    route({
      method: "delete",
      path: "/api/admin/alerts/silences/:type",
      right: "operate",
      params: z.object({
        type: z.string().meta({
          description: "The rule's name",
          example: "memory",
        }),
      }),
      describe: () => ({
        tag: "admin",
        summary: "End the silence of a rule",
        answers: removal("It raises alerts again", "It was not silent"),
        refuses: ["INVALID_PAYLOAD", "STORE_UNAVAILABLE"],
      }),
      async handle(c, { principal, params: { type } }) {
        const removed = await recorded(
          securityLog,
          principal,
          { kind: "admin", detail: `unsilence ${type}` },
          () => stored(() => monitor.unsilence(typeNamed(type))),
        );
        return c.json({ removed }, removed ? 200 : 404);
      },
    }),
  ];

  function typeNamed(name: string): AlertType {
    const rule = rules.find(({ type }) => type === name);
    if (rule) return rule.type;
    const names = rules.map(({ type }) => type).join(", ");
    throw new Refusal("INVALID_PAYLOAD", `type must be one of ${names}`);
  }
}

function alertsSchema(): z.ZodType {
  const millis = z.int().nonnegative();
  return z.looseObject({
    alerts: z.array(
      z.looseObject({
        id: z.string().describe("Unique name of this alert"),
        type: z.string().describe("The rule's name"),
        severity: z.string().describe("How urgent it is"),
        message: z.string().describe("What is wrong, for a person"),
        subject: z.string().optional().describe("What it is about"),
        startedAt: millis.describe("When it began, in epoch milliseconds"),
      }).meta({ id: "Alert" }),
    ).describe("Those that have not ended"),
    silences: z.array(silenceSchema()).describe("Rules that raise none now"),
    rules: z.array(
      z.looseObject({
        type: z.string().describe("Its name"),
        severity: z.string().describe("How urgent its alerts are"),
        threshold: z.number().describe("Value from which an alert is raised"),
        endAt: z.number().describe("Value at which it ends"),
        fireAfterMs: millis
          .describe("How long the value has to stand, in milliseconds"),
        endAfterMs: millis
          .describe("How long until the alert ends, in milliseconds"),
      }).meta({ id: "AlertRule" }),
    ).describe("All there are"),
  });
}

function silenceSchema(): z.ZodType {
  return z.looseObject({
    type: z.string().describe("The rule's name"),
    until: z.int().nonnegative()
      .describe("When it ends, in epoch milliseconds"),
    by: z.string().describe("Who ordered it"),
    reason: z.string().optional().describe("Why, for people"),
  }).meta({ id: "Silence" });
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
