/**
 * Operators' routes to the guards: block, revoke, undo both, and read the
 * security events.
 *
 * @module
 */
import { z } from "zod";
import type { Instances } from "../monitoring/instances.ts";
import type { BlockList } from "../security/block_list.ts";
import type { Revocations } from "../security/revocations.ts";
import type { SecurityLog } from "../security/security_log.ts";
import { order, wholeNumber } from "./input.ts";
import { recorded, removal } from "./operator.ts";
import { latestOf, pageQuery, pageSchema } from "./paged.ts";
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
  /** Blocked addresses. */
  blocks: BlockList;
  /** Revoked tokens. */
  revocations: Revocations;
  /** Security events. */
  securityLog: SecurityLog;
  /** Names the instance that counts. */
  instances: Instances;
}

const text = z.string().min(1).max(200);
/** Which address to block. */
const BlockRequest = z.strictObject({
  ip: z.string().min(1).max(64).describe(
    "An address (IPv6: its /64), or a network as CIDR",
  ),
  reason: text.optional().describe("Why, for people"),
  forMs: z.int().positive().optional()
    .describe("How long, in milliseconds; a day when absent"),
});
/** Which token to revoke, or all tokens of which user. */
const RevokeRequest = z.union([
  z.strictObject({
    tokenId: z.string().min(1).max(256).describe("The token's jti"),
    expiresAt: z.int().positive().optional()
      .describe("When it ends anyway, in epoch milliseconds"),
    reason: text.optional().describe("Why, for people"),
  }),
  z.strictObject({
    user: z.string().min(1).max(256).describe("Whose tokens"),
    reason: text.optional().describe("Why, for people"),
  }),
]);

/** Declares `/api/admin/blocks`, `/revocations` and `/events`. */
export function adminRoutes(parts: AdminParts): Route[] {
  return [
    ...blockRoutes(parts),
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
      query: pageQuery(),
      describe: () => ({
        tag: "admin",
        summary: "Blocked addresses, latest first",
        answers: [{
          status: 200,
          description: "Blocks in force",
          schema: pageSchema("blocks", blockSchema()),
        }],
        refuses: ["INVALID_PAYLOAD"],
      }),
      handle: (c, { query }) => {
        const found = latestOf(blocks.list(), query, (it) => ({
          at: it.since,
          id: it.ip,
          text: `${it.ip} ${it.reason} ${it.by}`,
        }));
        return c.json({ blocks: found.rows, ...found.sums });
      },
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
          schema: z.looseObject({
            block: blockSchema().describe("As it is in force now"),
          }),
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

function revocationRoutes({ revocations, securityLog }: AdminParts): Route[] {
  return [
    route({
      method: "get",
      path: "/api/admin/revocations",
      right: "operate",
      query: pageQuery(),
      describe: () => ({
        tag: "admin",
        summary: "Revoked tokens and users, latest first",
        answers: [{
          status: 200,
          description: "Those in force",
          schema: pageSchema("revocations", revocationSchema()),
        }],
        refuses: ["INVALID_PAYLOAD"],
      }),
      handle: (c, { query }) => {
        const found = latestOf(revocations.list(), query, (it) => ({
          at: it.at,
          id: `${it.kind}:${it.id}`,
          text: `${it.kind} ${it.id} ${it.reason} ${it.by}`,
        }));
        return c.json({ revocations: found.rows, ...found.sums });
      },
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
          schema: z.looseObject({
            revocation: revocationSchema().describe("As it is in force now"),
          }),
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
    route({
      method: "delete",
      path: "/api/admin/revocations/:kind/:id{.+}",
      right: "operate",
      params: z.object({
        kind: z.enum(["token", "user"], { error: "expected token or user" })
          .meta({
            description: "Whether one token is meant, or all of a user",
            example: "user",
          }),
        id: z.string().meta({
          description: "The token's id, or the user",
          example: "mallory",
        }),
      }),
      describe: () => ({
        tag: "admin",
        summary: "End a revocation; its tokens are accepted again",
        answers: removal("No longer revoked", "It was not revoked"),
        refuses: ["INVALID_PAYLOAD"],
      }),
      async handle(c, { principal, params: { kind, id } }) {
        const removed = await recorded(
          securityLog,
          principal,
          { kind: "admin", detail: `restore ${kind} ${id}` },
          () => revocations.restore(kind, id),
        );
        return c.json({ removed }, removed ? 200 : 404);
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
    ip: z.string().describe("The address or network, in its normal form"),
    reason: z.string().describe("Why, for people"),
    by: z.string().describe("Who did it; `automatic`: the service itself"),
    since: z.int().nonnegative()
      .describe("When it began, in epoch milliseconds"),
    until: z.int().nonnegative().describe(
      "When it ends, in epoch milliseconds",
    ),
    level: z.int().nonnegative()
      .describe("0 by hand, 1 for the first automatic block, 2 for the second"),
  }).meta({ id: "AddressBlock" });
}

function revocationSchema(): z.ZodType {
  return z.looseObject({
    kind: z.enum(["token", "user"])
      .describe("Whether one token is meant, or all that a user held"),
    id: z.string().describe("The token's jti, or the user"),
    at: z.int().nonnegative().describe("When, in epoch milliseconds"),
    until: z.int().nonnegative().describe(
      "When all tokens it means have expired, in epoch milliseconds",
    ),
    by: z.string().describe("Who did it"),
    reason: z.string().describe("Why, for people"),
  }).meta({ id: "Revocation" });
}

function eventsSchema(): z.ZodType {
  const counted = {
    kind: z.string().describe("What happened"),
    reason: z.string().describe("The code of the refusal, or how it came"),
    count: z.int().nonnegative().describe("How many times"),
  };
  return z.looseObject({
    events: z.array(
      z.looseObject({
        ...counted,
        at: z.int().nonnegative()
          .describe("The first time, in epoch milliseconds"),
        lastAt: z.int().nonnegative()
          .describe("The last time, in epoch milliseconds"),
      }).meta({ id: "SecurityEvent" }),
    ).describe("Newest first"),
    instance: z.string().describe("The instance that answers"),
    counts: z.array(
      z.looseObject(counted).meta({ id: "SecurityCount" }),
    ).describe("What that instance counted since it started"),
  });
}
