/**
 * Shared by the operators' routes: every order is recorded with its operator,
 * also a refused one; and the answer to an order that undoes another.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { z } from "zod";
import type { Answer } from "../describe/openapi.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { Principal } from "../security/principal.ts";
import type { SecurityLog, SecurityReport } from "../security/security_log.ts";
import type { Env } from "./http.ts";

/**
 * Carries out an order and records it. One that is refused is recorded as
 * refused, unless it holds on this instance until the store is back.
 *
 * @param action what is ordered.
 * @param work carries it out; given the operator's name.
 */
export async function recorded<Result>(
  securityLog: SecurityLog,
  principal: Principal,
  action: Omit<SecurityReport, "reason" | "by">,
  work: (by: string) => Promise<Result>,
): Promise<Result> {
  const by = nameOf(principal);
  try {
    const result = await work(by);
    securityLog.record({ ...action, reason: "done", by });
    return result;
  } catch (error) {
    const { code: reason } = Refusal.of(error);
    const { kind, detail } = action;
    const refused = reason === "STORE_UNAVAILABLE" ? {} : {
      kind: "refused",
      detail: detail === undefined ? kind : `${kind} ${detail}`,
    } as const;
    securityLog.record({ ...action, ...refused, reason, by });
    throw error;
  }
}

/**
 * Records the orders that are refused before they are understood: of callers
 * with a token that is no admin's, or with a bad body.
 */
export function refusedOrders(
  securityLog: SecurityLog,
): MiddlewareHandler<Env> {
  return async (c, next) => {
    await next();
    const { method, path } = c.req;
    const principal = c.get("principal");
    const isOrder = method !== "GET" && method !== "HEAD";
    if (!c.error || !isOrder || c.get("isHandled")) return;
    if (!principal?.identity.isAuthenticated) return;
    securityLog.record({
      kind: "refused",
      reason: Refusal.of(c.error).code,
      // An order of a caller without the right is noise.
      [isOperator(principal) ? "by" : "user"]: nameOf(principal),
      detail: `${method} ${path}`,
    });
  };
}

function isOperator({ identity }: Principal): boolean {
  return identity.role === "admin";
}

/** The operator, as the security log names it. */
export function nameOf({ identity }: Principal): string {
  return identity.user ?? "admin";
}

/** The answers of a route that removes something, if it exists. */
export function removal(removed: string, absent: string): readonly Answer[] {
  return [
    {
      status: 200,
      description: removed,
      schema: z.looseObject({
        removed: z.literal(true).describe("It was there"),
      }),
    },
    {
      status: 404,
      description: absent,
      schema: z.looseObject({
        removed: z.literal(false).describe("It was not there"),
      }),
    },
  ];
}
