/**
 * What operators do: block, revoke, look who is connected, send away.
 *
 * @module
 */
import { Hono } from "hono";
import type { Context } from "hono";
import { z } from "zod";
import { Refusal } from "../protocol/refusals.ts";
import type { Instances } from "../monitoring/instances.ts";
import type { ClusterSessions } from "../monitoring/cluster_sessions.ts";
import type { BlockList } from "../security/block_list.ts";
import type { Revocations } from "../security/revocations.ts";
import type { SecurityLog, SecurityReport } from "../security/security_log.ts";
import type { Gate } from "./gate.ts";
import type { Env } from "./http.ts";
import { operatorOf, orderOf } from "./operator.ts";

/** Longest body of an admin request, in bytes. */
const MAX_BODY_BYTES = 16 * 1024;
/** Most security events answered. */
export const MAX_EVENTS = 1_000;
/** Security events answered when no limit is named. */
export const DEFAULT_EVENTS = 100;

/** What the admin routes need. */
export interface AdminParts {
  /** Lets requests in. */
  gate: Gate;
  /** Who is connected anywhere. */
  clusterSessions: ClusterSessions;
  /** Blocked addresses. */
  blocks: BlockList;
  /** Revoked tokens. */
  revocations: Revocations;
  /** What happened. */
  securityLog: SecurityLog;
  /** Names the isolate that counts. */
  instances: Instances;
}

type AdminEnv = Env & { Variables: { by: string } };

const text = z.string().min(1).max(200);
/** Whom to block. */
export const BlockRequest = z.strictObject({
  ip: z.string().min(1).max(64),
  reason: text.optional(),
  /** How long, in milliseconds. */
  forMs: z.int().positive().optional(),
});
/** Which token to revoke, or whose. */
export const RevokeRequest = z.union([
  z.strictObject({
    tokenId: z.string().min(1).max(256),
    /** When it ends anyway, in epoch milliseconds. */
    expiresAt: z.int().positive().optional(),
    reason: text.optional(),
  }),
  z.strictObject({ user: z.string().min(1).max(256), reason: text.optional() }),
]);

/** Mounts `/api/admin/...`, for tokens with the role `admin`. */
export function adminRoutes(parts: AdminParts): Hono<AdminEnv> {
  const { gate, clusterSessions, blocks, revocations, securityLog, instances } =
    parts;
  const app = new Hono<AdminEnv>();
  app.use("/api/admin/*", async (c, next) => {
    c.set("by", await operatorOf(c as unknown as Context<Env>, gate));
    await next();
  });

  app.get("/api/admin/blocks", (c) => c.json({ blocks: blocks.list() }));
  app.post("/api/admin/blocks", async (c) => {
    const { ip, reason, forMs } = await orderOf(
      c.req.raw,
      BlockRequest,
      MAX_BODY_BYTES,
    );
    const by = c.get("by");
    const block = await done(
      c,
      { kind: "blocked", ip, detail: reason },
      () => blocks.blockIP(ip, { reason, forMs, by }),
    );
    return c.json({ block }, 201);
  });
  app.delete("/api/admin/blocks/:ip{.+}", async (c) => {
    const ip = c.req.param("ip");
    const removed = await done(
      c,
      { kind: "unblocked", ip },
      () => blocks.unblockIP(ip),
    );
    return c.json({ removed }, removed ? 200 : 404);
  });

  app.get(
    "/api/admin/sessions",
    async (c) => c.json(await clusterSessions.list()),
  );
  app.delete("/api/admin/sessions/:id", async (c) => {
    const id = c.req.param("id").slice(0, 64);
    await done(
      c,
      { kind: "admin", detail: `disconnect ${id}` },
      () => clusterSessions.disconnect(id),
    );
    return c.json({ disconnected: id }, 202);
  });

  app.get(
    "/api/admin/revocations",
    (c) => c.json({ revocations: revocations.list() }),
  );
  app.post("/api/admin/revocations", async (c) => {
    const request = await orderOf(c.req.raw, RevokeRequest, MAX_BODY_BYTES);
    const options = { by: c.get("by"), reason: request.reason };
    const revocation = await ("user" in request
      ? done(
        c,
        { kind: "revoked", detail: `user ${request.user}` },
        () => revocations.revokeUser(request.user, options),
      )
      : done(
        c,
        { kind: "revoked", detail: `token ${request.tokenId}` },
        () =>
          revocations.revokeToken(request.tokenId, {
            ...options,
            expiresAt: request.expiresAt,
          }),
      ));
    return c.json({ revocation }, 201);
  });

  app.get("/api/admin/events", async (c) => {
    const limit = Number(c.req.query("limit") ?? DEFAULT_EVENTS);
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_EVENTS) {
      throw new Refusal("INVALID_PAYLOAD", `limit must be 1 to ${MAX_EVENTS}`);
    }
    const events = await securityLog.latest(limit);
    // Events are everyone's; the counts begin and end with one isolate.
    const { id: instance } = instances;
    return c.json({ events, instance, counts: securityLog.counts() });
  });
  return app;

  /** Does something and notes who did it, what was refused too. */
  async function done<Result>(
    c: Context<AdminEnv>,
    action: Omit<SecurityReport, "reason" | "by">,
    work: () => Promise<Result>,
  ): Promise<Result> {
    let reason = "done";
    try {
      return await work();
    } catch (error) {
      reason = Refusal.of(error).code;
      throw error;
    } finally {
      securityLog.record({ ...action, reason, by: c.get("by") });
    }
  }
}
