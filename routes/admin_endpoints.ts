/**
 * The operators' doors. What may be sent is described by the schemas that the
 * routes themselves check it with.
 *
 * @module
 */
import { z } from "zod";
import { ROLES } from "../protocol/channels.ts";
import {
  BlockRequest,
  DEFAULT_EVENTS,
  MAX_EVENTS,
  RevokeRequest,
} from "./admin.ts";
import { SilenceRequest } from "./alerts.ts";
import type { Answer, Endpoint } from "../describe/openapi.ts";

const millis = z.int().nonnegative();
const count = z.int().nonnegative();

const BlockInfo = z.looseObject({
  ip: z.string(),
  reason: z.string(),
  by: z.string(),
  since: millis,
  until: millis,
  level: count,
});
const RevocationInfo = z.looseObject({
  kind: z.enum(["token", "user"]),
  id: z.string(),
  at: millis,
  until: millis,
  by: z.string(),
  reason: z.string(),
});
const SessionList = z.looseObject({
  sessions: z.array(z.looseObject({
    id: z.string(),
    instance: z.string(),
    ip: z.string(),
    user: z.string().nullable(),
    role: z.enum(ROLES),
    client: z.string().nullable(),
    since: millis,
    channels: z.array(
      z.looseObject({ channel: z.string(), seq: count, lag: count }),
    ),
  })),
  complete: z.boolean(),
});

/** Every door that takes a token of role `admin`. */
export const ADMIN_ENDPOINTS: readonly Endpoint[] = [
  {
    method: "get",
    path: "/api/admin/blocks",
    tag: "admin",
    summary: "Blocked addresses",
    role: "admin",
    answers: [{
      status: 200,
      description: "All blocks in force",
      schema: z.looseObject({ blocks: z.array(BlockInfo) }),
    }],
  },
  {
    method: "post",
    path: "/api/admin/blocks",
    tag: "admin",
    summary: "Block an address or a network, on every instance",
    role: "admin",
    body: {
      schema: BlockRequest,
      examples: {
        address: { ip: "198.51.100.7", reason: "scraping", forMs: 3_600_000 },
        network: { ip: "2001:db8:1::/48" },
      },
    },
    answers: [{
      status: 201,
      description: "Blocked; its sockets are closed within a second",
      schema: z.looseObject({ block: BlockInfo }),
    }],
    refuses: ["INVALID_JSON", "INVALID_PAYLOAD", "FORBIDDEN"],
  },
  {
    method: "delete",
    path: "/api/admin/blocks/{ip}",
    tag: "admin",
    summary: "Unblock",
    role: "admin",
    arguments: [{
      name: "ip",
      in: "path",
      description: "The address or CIDR as it was blocked",
      schema: z.string(),
      example: "198.51.100.7",
    }],
    answers: removal("Unblocked", "It was not blocked"),
  },
  {
    method: "get",
    path: "/api/admin/sessions",
    tag: "admin",
    summary: "Who is connected, on every instance",
    role: "admin",
    answers: [{
      status: 200,
      description:
        "Sessions; complete is false when an instance did not answer in time",
      schema: SessionList,
    }],
  },
  {
    method: "delete",
    path: "/api/admin/sessions/{id}",
    tag: "admin",
    summary: "Send a client away, wherever it is connected",
    role: "admin",
    arguments: [{
      name: "id",
      in: "path",
      description: "The session's name, as in connected",
      schema: z.string(),
      example: "01K21CAMA0QW3RT8YZ00000042",
    }],
    answers: [{
      status: 202,
      description: "Told to all instances",
      schema: z.looseObject({ disconnected: z.string() }),
    }],
  },
  {
    method: "get",
    path: "/api/admin/revocations",
    tag: "admin",
    summary: "Revoked tokens and users",
    role: "admin",
    answers: [{
      status: 200,
      description: "All in force",
      schema: z.looseObject({ revocations: z.array(RevocationInfo) }),
    }],
  },
  {
    method: "post",
    path: "/api/admin/revocations",
    tag: "admin",
    summary: "Revoke a token, or all tokens a user holds now",
    role: "admin",
    body: {
      schema: RevokeRequest,
      examples: {
        token: { tokenId: "0c3d5f0e", reason: "leaked" },
        user: { user: "mallory" },
      },
    },
    answers: [{
      status: 201,
      description: "Revoked; open sockets are closed",
      schema: z.looseObject({ revocation: RevocationInfo }),
    }],
    refuses: ["INVALID_JSON", "INVALID_PAYLOAD", "FORBIDDEN"],
  },
  {
    method: "get",
    path: "/api/admin/alerts",
    tag: "admin",
    summary: "What is wrong now, what is silenced, and all rules",
    role: "admin",
    answers: [{
      status: 200,
      description: "Alerts of the cluster",
      schema: z.looseObject({
        alerts: z.array(z.looseObject({ type: z.string() })),
        silences: z.array(z.looseObject({ type: z.string() })),
        rules: z.array(z.looseObject({
          type: z.string(),
          severity: z.string(),
          threshold: z.number(),
          endAt: z.number(),
          fireAfterMs: millis,
          endAfterMs: millis,
        })),
      }),
    }],
    refuses: ["STORE_UNAVAILABLE"],
  },
  {
    method: "post",
    path: "/api/admin/alerts/silences",
    tag: "admin",
    summary: "Keep a rule silent for a while",
    role: "admin",
    body: {
      schema: SilenceRequest,
      examples: {
        memory: { type: "memory", forMs: 3_600_000, reason: "known" },
      },
    },
    answers: [{
      status: 201,
      description: "Silent; alerts of this type are neither raised nor told",
      schema: z.looseObject({ silence: z.looseObject({ type: z.string() }) }),
    }],
    refuses: ["INVALID_JSON", "INVALID_PAYLOAD", "STORE_UNAVAILABLE"],
  },
  {
    method: "delete",
    path: "/api/admin/alerts/silences/{type}",
    tag: "admin",
    summary: "Let a rule speak again",
    role: "admin",
    arguments: [{
      name: "type",
      in: "path",
      description: "The rule's name",
      schema: z.string(),
      example: "memory",
    }],
    answers: removal("It speaks again", "It was not silent"),
    refuses: ["INVALID_PAYLOAD", "STORE_UNAVAILABLE"],
  },
  {
    method: "get",
    path: "/api/admin/events",
    tag: "admin",
    summary: "What happened at the guards, newest first",
    role: "admin",
    arguments: [{
      name: "limit",
      in: "query",
      description: "Most events answered",
      schema: z.int().min(1).max(MAX_EVENTS).default(DEFAULT_EVENTS),
      example: 50,
    }],
    answers: [{
      status: 200,
      description:
        "Events of all isolates, and what `instance`, the one that answers, counted since it started",
      schema: z.looseObject({
        events: z.array(z.looseObject({
          kind: z.string(),
          reason: z.string(),
          at: millis,
          lastAt: millis,
          count,
        })),
        instance: z.string(),
        counts: z.array(z.looseObject({
          kind: z.string(),
          reason: z.string(),
          count,
        })),
      }),
    }],
    refuses: ["INVALID_PAYLOAD"],
  },
];

/** What a door answers that takes something back, and when there was nothing. */
function removal(removed: string, absent: string): readonly Answer[] {
  return [
    {
      status: 200,
      description: removed,
      schema: z.looseObject({ removed: z.literal(true) }),
    },
    {
      status: 404,
      description: absent,
      schema: z.looseObject({ removed: z.literal(false) }),
    },
  ];
}
