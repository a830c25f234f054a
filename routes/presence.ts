/**
 * Sessions and rooms, for operators; and the effect of an order before it is
 * given.
 *
 * @module
 */
import { z } from "zod";
import { ROLES } from "../protocol/channels.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { ClusterSessions } from "../monitoring/cluster_sessions.ts";
import { ROOM_ORDERS } from "../monitoring/room_table.ts";
import { reachOf, SESSION_ORDERS } from "../monitoring/session_pages.ts";
import type { Target } from "../monitoring/session_pages.ts";
import type { BlockList } from "../security/block_list.ts";
import type { SecurityLog } from "../security/security_log.ts";
import type { Gate } from "./gate.ts";
import { recorded } from "./operator.ts";
import { pageSchema, sortedQuery } from "./paged.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** What these routes need. */
export interface PresenceParts {
  /** Who is connected to any instance. */
  clusterSessions: ClusterSessions;
  /** Judges what could be blocked. */
  blocks: BlockList;
  /** Knows the caller's address. */
  gate: Gate;
  /** Records orders. */
  securityLog: SecurityLog;
}

/** Declares `/api/admin/sessions`, `/rooms` and `/effects`. */
export function presenceRoutes(parts: PresenceParts): Route[] {
  return [...sessionRoutes(parts), roomRoute(parts), effectRoute(parts)];
}

function sessionRoutes(
  { clusterSessions, securityLog }: PresenceParts,
): Route[] {
  return [
    route({
      method: "get",
      path: "/api/admin/sessions",
      right: "operate",
      query: sortedQuery(SESSION_ORDERS),
      describe: () => ({
        tag: "admin",
        summary: "Who is connected, on every instance",
        answers: [{
          status: 200,
          description:
            "A page of sessions; complete is false when an instance did not answer in time",
          schema: sessionsSchema(),
        }],
        refuses: ["INVALID_PAYLOAD", "STORE_UNAVAILABLE"],
      }),
      async handle(c, { query: { order, ...query } }) {
        const { connected, ...page } = await clusterSessions.list({
          ...query,
          isDescending: order === "desc",
        });
        return c.json({ ...page, total: connected });
      },
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
          schema: z.looseObject({
            disconnected: z.string().describe("The session's name"),
          }),
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

function roomRoute({ clusterSessions }: PresenceParts): Route {
  return route({
    method: "get",
    path: "/api/admin/rooms",
    right: "operate",
    query: sortedQuery(ROOM_ORDERS),
    describe: () => ({
      tag: "admin",
      summary: "Rooms that have events or followers, on every instance",
      answers: [{
        status: 200,
        description:
          "A page of rooms, at most 5 seconds old; complete is false when an instance did not answer in time",
        schema: roomsSchema(),
      }],
      refuses: ["INVALID_PAYLOAD", "STORE_UNAVAILABLE"],
    }),
    async handle(c, { query: { order, ...query } }) {
      const isDescending = order === "desc";
      return c.json(await clusterSessions.rooms({ ...query, isDescending }));
    },
  });
}

function effectRoute(
  { clusterSessions, blocks, gate }: PresenceParts,
): Route {
  return route({
    method: "get",
    path: "/api/admin/effects",
    right: "operate",
    query: z.object({
      ip: z.string().max(64).optional().meta({
        description: "An address or network that is to be blocked",
        example: "198.51.100.0/24",
      }),
      user: z.string().min(1).max(256).optional().meta({
        description: "A user whose tokens are to be revoked",
      }),
      tokenId: z.string().min(1).max(256).optional().meta({
        description: "A token that is to be revoked",
      }),
    }),
    describe: () => ({
      tag: "admin",
      summary: "What a block or a revocation would do, before it is ordered",
      description: "One of ip, user and tokenId is to be named.",
      answers: [{
        status: 200,
        description: "What the order would reach now",
        schema: effectSchema(),
      }],
      refuses: ["INVALID_PAYLOAD", "FORBIDDEN", "STORE_UNAVAILABLE"],
    }),
    async handle(c, { principal, query }) {
      const target = targetOf(query);
      if ("ip" in target) blocks.requireBlockable(target.ip);
      const you = {
        ip: gate.visitorOf(c).ip,
        user: principal.identity.user,
        tokenId: principal.tokenId,
      };
      return c.json({
        ...await clusterSessions.reach(target),
        reachesYou: reachOf(target)(you),
      });
    },
  });
}

function targetOf(
  query: { readonly [Name in "ip" | "user" | "tokenId"]?: string | undefined },
): Target {
  const named = Object.entries(query).filter(([, value]) => value);
  if (named.length === 1) return Object.fromEntries(named) as unknown as Target;
  throw new Refusal("INVALID_PAYLOAD", "Name one of ip, user and tokenId");
}

const count = z.int().nonnegative();
const complete = z.boolean()
  .describe("Whether all instances answered in time");

function sessionsSchema(): z.ZodType {
  const session = z.looseObject({
    id: z.string().describe("Unique name, as in connected"),
    instance: z.string().describe("The instance it is connected to"),
    ip: z.string().describe("Its address"),
    user: z.string().nullable().describe("Its token's subject"),
    role: z.enum(ROLES).describe("What it may do"),
    client: z.string().nullable()
      .describe("Name and version of its program, as it gave them itself"),
    since: count.describe("When it connected, in epoch milliseconds"),
    channels: z.array(z.looseObject({
      channel: z.string().describe("Canonical name"),
      seq: count.describe("Up to where it was sent everything"),
      lag: count.describe("By how many events it is behind"),
    })).describe("The first 16 channels that it follows"),
    subscriptions: count.describe("How many channels it follows"),
    lag: count.describe("By how many events it is behind at most"),
  }).meta({ id: "Session" });
  return pageSchema("sessions", session, {
    behind: count.describe("How many of all are 100 events or more behind"),
    lags: z.record(z.string(), count)
      .describe("How far each channel's slowest follower is behind"),
    complete,
  });
}

function roomsSchema(): z.ZodType {
  const room = z.looseObject({
    room: z.string().describe("Its channel, room:<name>"),
    followers: count.describe("Subscriptions on all instances"),
    lag: count.describe("By how many events its slowest follower is behind"),
    seq: count.describe("Its newest number; 0 before the first event"),
    lastEventAt: count.nullable()
      .describe("When its newest event was accepted, in epoch milliseconds"),
  }).meta({ id: "Room" });
  return pageSchema("rooms", room, { complete });
}

function effectSchema(): z.ZodType {
  return z.looseObject({
    sessions: count.describe("How many sessions would end"),
    reachesYou: z.boolean()
      .describe("Whether the caller's own address, user or token is meant"),
    complete,
  });
}
