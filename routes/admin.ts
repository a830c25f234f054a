/**
 * What operators do: block, revoke, list and disconnect sessions.
 *
 * @module
 */
import { z } from "zod";
import { ROLES } from "../protocol/channels.ts";
import type { Instances } from "../monitoring/instances.ts";
import type { ClusterSessions } from "../monitoring/cluster_sessions.ts";
import type { BlockList } from "../security/block_list.ts";
import type { Revocations } from "../security/revocations.ts";
import type { SecurityLog } from "../security/security_log.ts";
import { order, wholeNumber } from "./input.ts";
import { recorded, removal } from "./operator.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** Longest body of an admin request, in bytes. */
const MAX_BODY_BYTES = 16 * 1024;
/** Most security events answered. */
export const MAX_EVENTS = 1_000;
/** Security events answered when no limit is named. */
export const DEFAULT_EVENTS = 100;

/** What the admin routes need. */
export interface AdminParts {
  /** Who is connected to any instance. */
  clusterSessions: ClusterSessions;
  /** Blocked addresses. */
  blocks: BlockList;
  /** Revoked tokens. */
  revocations: Revocations;
  /** What happened. */
  securityLog: SecurityLog;
  /** Names the instance that counts. */
  instances: Instances;
}

const text = z.string().min(1).max(200);
/** Which address to block. */
const BlockRequest = z.strictObject({
  ip: z.string().min(1).max(64),
  reason: text.optional(),
  /** How long, in milliseconds. */
  forMs: z.int().positive().optional(),
});
/** Which token to revoke, or whose. */
const RevokeRequest = z.union([
  z.strictObject({
    tokenId: z.string().min(1).max(256),
    /** When it ends anyway, in epoch milliseconds. */
    expiresAt: z.int().positive().optional(),
    reason: text.optional(),
  }),
  z.strictObject({ user: z.string().min(1).max(256), reason: text.optional() }),
]);

/** Declares `/api/admin/...`, alerts left out. */
export function adminRoutes(parts: AdminParts): Route[] {
  return [
    ...blockRoutes(parts),
    ...sessionRoutes(parts),
    ...revocationRoutes(parts),
    eventRoute(parts),
  ];
}

function blockRoutes({ blocks, securityLog }: AdminParts): Route[] {
  return [
    route({
      method: "get",
      path: "/api/admin/blocks",
      right: "operate",
      describe: () => ({
        tag: "admin",
        summary: "Blocked addresses",
        answers: [{
          status: 200,
          description: "All blocks in force",
          schema: z.looseObject({ blocks: z.array(blockSchema()) }),
        }],
      }),
      handle: (c) => c.json({ blocks: blocks.list() }),
    }),
    route({
      method: "post",
      path: "/api/admin/blocks",
      right: "operate",
      body: order(BlockRequest, MAX_BODY_BYTES, {
        address: { ip: "198.51.100.7", reason: "scraping", forMs: 3_600_000 },
        network: { ip: "2001:db8:1::/48" },
      }),
      describe: () => ({
        tag: "admin",
        summary: "Block an address or a network, on every instance",
        answers: [{
          status: 201,
          description: "Blocked; its sockets are closed within a second",
          schema: z.looseObject({ block: blockSchema() }),
        }],
        refuses: ["INVALID_JSON", "INVALID_PAYLOAD", "FORBIDDEN"],
      }),
      async handle(c, { principal, body: { ip, reason, forMs } }) {
        const block = await recorded(
          securityLog,
          principal,
          { kind: "blocked", ip, detail: reason },
          (by) => blocks.blockIP(ip, { reason, forMs, by }),
        );
        return c.json({ block }, 201);
      },
    }),
    route({
      method: "delete",
      path: "/api/admin/blocks/:ip{.+}",
      right: "operate",
      params: z.object({
        ip: z.string().meta({
          description: "The address or CIDR as it was blocked",
          example: "198.51.100.7",
        }),
      }),
      describe: () => ({
        tag: "admin",
        summary: "Unblock",
        answers: removal("Unblocked", "It was not blocked"),
      }),
      async handle(c, { principal, params: { ip } }) {
        const removed = await recorded(
          securityLog,
          principal,
          { kind: "unblocked", ip },
          () => blocks.unblockIP(ip),
        );
        return c.json({ removed }, removed ? 200 : 404);
      },
    }),
  ];
}

function sessionRoutes({ clusterSessions, securityLog }: AdminParts): Route[] {
  return [
    route({
      method: "get",
      path: "/api/admin/sessions",
      right: "operate",
      describe: () => ({
        tag: "admin",
        summary: "Who is connected, on every instance",
        answers: [{
          status: 200,
          description:
            "Sessions; complete is false when an instance did not answer in time",
          schema: sessionsSchema(),
        }],
      }),
      handle: async (c) => c.json(await clusterSessions.list()),
    }),
    route({
      method: "delete",
      path: "/api/admin/sessions/:id",
      right: "operate",
      params: z.object({
        id: z.string().transform((id) => id.slice(0, 64)).meta({
          description: "The session's name, as in connected",
          example: "01K21CAMA0QW3RT8YZ00000042",
        }),
      }),
      describe: () => ({
        tag: "admin",
        summary: "Disconnect a client, whichever instance it is connected to",
        answers: [{
          status: 202,
          description: "Passed on to all instances",
          schema: z.looseObject({ disconnected: z.string() }),
        }],
      }),
      async handle(c, { principal, params: { id } }) {
        await recorded(
          securityLog,
          principal,
          { kind: "admin", detail: `disconnect ${id}` },
          () => clusterSessions.disconnect(id),
        );
        return c.json({ disconnected: id }, 202);
      },
    }),
  ];
}

function revocationRoutes({ revocations, securityLog }: AdminParts): Route[] {
  return [
    route({
      method: "get",
      path: "/api/admin/revocations",
      right: "operate",
      describe: () => ({
        tag: "admin",
        summary: "Revoked tokens and users",
        answers: [{
          status: 200,
          description: "All in force",
          schema: z.looseObject({ revocations: z.array(revocationSchema()) }),
        }],
      }),
      handle: (c) => c.json({ revocations: revocations.list() }),
    }),
    route({
      method: "post",
      path: "/api/admin/revocations",
      right: "operate",
      body: order(RevokeRequest, MAX_BODY_BYTES, {
        token: { tokenId: "0c3d5f0e", reason: "leaked" },
        user: { user: "mallory" },
      }),
      describe: () => ({
        tag: "admin",
        summary: "Revoke a token, or all tokens a user holds now",
        answers: [{
          status: 201,
          description: "Revoked; open sockets are closed",
          schema: z.looseObject({ revocation: revocationSchema() }),
        }],
        refuses: ["INVALID_JSON", "INVALID_PAYLOAD", "FORBIDDEN"],
      }),
      async handle(c, { principal, body }) {
        const { reason } = body;
        const revocation = await ("user" in body
          ? recorded(
            securityLog,
            principal,
            { kind: "revoked", detail: `user ${body.user}` },
            (by) => revocations.revokeUser(body.user, { by, reason }),
          )
          : recorded(
            securityLog,
            principal,
            { kind: "revoked", detail: `token ${body.tokenId}` },
            (by) => {
              const { tokenId, expiresAt } = body;
              return revocations.revokeToken(tokenId, {
                by,
                reason,
                expiresAt,
              });
            },
          ));
        return c.json({ revocation }, 201);
      },
    }),
  ];
}

function eventRoute({ securityLog, instances }: AdminParts): Route {
  return route({
    method: "get",
    path: "/api/admin/events",
    right: "operate",
    query: z.object({
      limit: wholeNumber(1, MAX_EVENTS).default(DEFAULT_EVENTS).meta({
        description: "Most events answered",
        example: 50,
      }),
      orders: z.enum(["true", "false"]).default("false").meta({
        description: "Whether to answer operators' orders only",
        example: "true",
      }),
    }),
    describe: () => ({
      tag: "admin",
      summary: "What happened at the guards, newest first",
      answers: [{
        status: 200,
        description:
          "Events of all instances, and what `instance`, the one that answers, counted since it started",
        schema: eventsSchema(),
      }],
      refuses: ["INVALID_PAYLOAD"],
    }),
    async handle(c, { query: { limit, orders } }) {
      const ordersOnly = orders === "true";
      const events = await securityLog.latest(limit, { ordersOnly });
      // Events are of all instances; counts begin and end with one.
      const { id: instance } = instances;
      return c.json({ events, instance, counts: securityLog.counts() });
    },
  });
}

function blockSchema(): z.ZodType {
  return z.looseObject({
    ip: z.string(),
    reason: z.string(),
    by: z.string(),
    since: z.int().nonnegative(),
    until: z.int().nonnegative(),
    level: z.int().nonnegative(),
  });
}

function revocationSchema(): z.ZodType {
  return z.looseObject({
    kind: z.enum(["token", "user"]),
    id: z.string(),
    at: z.int().nonnegative(),
    until: z.int().nonnegative(),
    by: z.string(),
    reason: z.string(),
  });
}

function sessionsSchema(): z.ZodType {
  return z.looseObject({
    sessions: z.array(z.looseObject({
      id: z.string(),
      instance: z.string(),
      ip: z.string(),
      user: z.string().nullable(),
      role: z.enum(ROLES),
      client: z.string().nullable(),
      since: z.int().nonnegative(),
      channels: z.array(z.looseObject({
        channel: z.string(),
        seq: z.int().nonnegative(),
        lag: z.int().nonnegative(),
      })),
    })),
    complete: z.boolean(),
  });
}

function eventsSchema(): z.ZodType {
  const counted = {
    kind: z.string(),
    reason: z.string(),
    count: z.int().nonnegative(),
  };
  return z.looseObject({
    events: z.array(z.looseObject({
      ...counted,
      at: z.int().nonnegative(),
      lastAt: z.int().nonnegative(),
    })),
    instance: z.string(),
    counts: z.array(z.looseObject(counted)),
  });
}
