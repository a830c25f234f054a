/**
 * The HTTP doors as an OpenAPI document. Bodies are described by the
 * protocol's own schemas wherever it has them.
 *
 * @see {@link https://spec.openapis.org/oas/v3.1.1.html}
 * @module
 */
import { z } from "zod";
import type { JsonObject } from "../protocol/asyncapi.ts";
import { CHANNELS, ROLES } from "../protocol/channels.ts";
import {
  DEFAULT_HISTORY_LIMIT,
  MAX_HISTORY_LIMIT,
} from "../protocol/commands.ts";
import { MAX_BATCH_MESSAGES } from "../protocol/decode.ts";
import { clientFields, VERSION } from "../protocol/envelope.ts";
import { publishExample, REPLY_EXAMPLES } from "../protocol/examples.ts";
import { MESSAGES } from "../protocol/messages.ts";
import type { MessageType } from "../protocol/messages.ts";
import { REFUSALS } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import { REPLIES } from "../protocol/replies.ts";

/** A query or path argument. */
export interface Argument {
  /** Its name. */
  readonly name: string;
  /** Where it stands. */
  readonly in: "query" | "path" | "header";
  /** What it means. */
  readonly description: string;
  /** What it may be. */
  readonly schema: z.ZodType;
  /** Whether it cannot be left out; those in the path never can. */
  readonly required?: boolean;
  /** One that is accepted. */
  readonly example: string | number;
}

/** What a door answers when it lets in. */
export interface Answer {
  /** HTTP status. */
  readonly status: number;
  /** What it means. */
  readonly description: string;
  /** Media type; JSON when omitted. */
  readonly type?: string;
  /** What the body must look like; anything when omitted. */
  readonly schema?: z.ZodType;
}

/** One door. */
export interface Endpoint {
  /** HTTP method. */
  readonly method: "get" | "post" | "delete";
  /** Path, with `{arguments}`. */
  readonly path: string;
  /** Under which heading. */
  readonly tag: "events" | "operations" | "admin" | "documents";
  /** What it does. */
  readonly summary: string;
  /** More of it. */
  readonly description?: string;
  /** The least role it takes a token of; everyone when omitted. */
  readonly role?: "user" | "publisher" | "admin";
  /** Query and path. */
  readonly arguments?: readonly Argument[];
  /** What must be sent. */
  readonly body?: {
    readonly schema: z.ZodType;
    /** Bodies that are accepted, by name. */
    readonly examples: Readonly<Record<string, unknown>>;
  };
  /** What it answers. */
  readonly answers: readonly Answer[];
  /** Why it may refuse, besides what every door may. */
  readonly refuses?: readonly RefusalCode[];
}

const millis = z.int().nonnegative();
const count = z.int().nonnegative();

const Throughput = z.looseObject({
  messagesPerSecond: z.number(),
  eventsPerSecond: z.number(),
  broadcastsPerSecond: z.number(),
});
const InstanceInfo = z.looseObject({
  id: z.string(),
  startedAt: millis,
  at: millis,
  connections: count,
  subscribers: z.record(z.string(), count),
  throughput: Throughput,
  memoryUsage: count,
});
const ChannelInfo = z.looseObject({
  channel: z.enum(
    Object.keys(CHANNELS) as [
      keyof typeof CHANNELS,
      ...(keyof typeof CHANNELS)[],
    ],
  ),
  summary: z.string(),
  aliases: z.array(z.string()),
  read: z.enum(ROLES),
  publish: z.enum(ROLES),
  retention: z.enum(["log", "none"]),
  epoch: z.string().nullable(),
  seq: count.nullable(),
  subscribers: count,
});
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
const Ready = z.looseObject({
  ready: z.boolean(),
  degraded: z.boolean(),
  checks: z.record(
    z.string(),
    z.looseObject({ ok: z.boolean(), detail: z.string() }),
  ),
});

const Publication = z.discriminatedUnion(
  "type",
  (Object.keys(MESSAGES) as MessageType[])
    .filter((type) => MESSAGES[type].channel !== null)
    .map((type): z.ZodObject =>
      z.strictObject({
        type: z.literal(type),
        payload: MESSAGES[type].payload,
        ...clientFields,
        channel: MESSAGES[type].channel === "room"
          ? z.string()
          : z.string().optional(),
      }).meta({ id: type })
    ) as [z.ZodObject, ...z.ZodObject[]],
);

const publishExamples = Object.fromEntries([
  ...(Object.keys(MESSAGES) as MessageType[])
    .filter((type) => MESSAGES[type].channel !== null)
    .map((type) => [type, publishExample(type)]),
  ["many", {
    messages: [publishExample("NEW_BLOCK"), publishExample("TX_RECEIVED")],
  }],
]);

const channelArgument: Argument = {
  name: "channel",
  in: "path",
  description: "A channel's name or alias, or room:<name>",
  schema: z.string(),
  example: "blocks",
};
const POSITION = /^([0-9A-Za-z]{1,64}:)?\d{1,15}$/;

/** Every door of the service that is not a page or a bundle. */
export const ENDPOINTS: readonly Endpoint[] = [
  {
    method: "post",
    path: "/api/publish",
    tag: "events",
    summary: "Publish one message, or up to 100 at once",
    description:
      "An event is kept and delivered, or refused: never one without the other. The same id again within 10 minutes answers the first position and delivers nothing twice. METRICS_UPDATE needs the role admin, ROOM_MESSAGE only user.",
    role: "publisher",
    body: {
      schema: z.union([
        Publication,
        z.strictObject({
          messages: z.array(Publication).min(1).max(MAX_BATCH_MESSAGES),
        }),
      ]),
      examples: publishExamples,
    },
    answers: [{
      status: 200,
      description: "Kept, each at its position",
      schema: REPLIES.published,
    }],
    refuses: [
      "INVALID_JSON",
      "INVALID_MESSAGE",
      "UNKNOWN_TYPE",
      "INVALID_PAYLOAD",
      "UNKNOWN_CHANNEL",
      "UNSUPPORTED_VERSION",
      "UNAUTHENTICATED",
      "FORBIDDEN",
      "MESSAGE_TOO_LARGE",
      "STORE_UNAVAILABLE",
    ],
  },
  {
    method: "get",
    path: "/api/channels",
    tag: "events",
    summary: "The catalogue of channels, where each ends, and who serves them",
    answers: [{
      status: 200,
      description: "Channels and isolates",
      schema: z.looseObject({
        channels: z.array(ChannelInfo),
        instances: z.array(InstanceInfo),
      }),
    }],
  },
  {
    method: "get",
    path: "/api/channels/{channel}/history",
    tag: "events",
    summary: "A page of a channel's events, oldest first",
    arguments: [
      channelArgument,
      {
        name: "after",
        in: "query",
        description: "Only later than this: epoch:seq, or a number",
        schema: z.string().regex(POSITION),
        example: "0",
      },
      {
        name: "before",
        in: "query",
        description: "Only earlier than this: epoch:seq, or a number",
        schema: z.string().regex(POSITION),
        example: "1000",
      },
      {
        name: "limit",
        in: "query",
        description: "Most events answered",
        schema: z.int().min(1).max(MAX_HISTORY_LIMIT)
          .default(DEFAULT_HISTORY_LIMIT),
        example: 10,
      },
    ],
    answers: [{
      status: 200,
      description: "Events, and whether there are more",
      schema: REPLIES.query_result,
    }],
    refuses: ["UNKNOWN_CHANNEL", "INVALID_PAYLOAD", "FORBIDDEN"],
  },
  {
    method: "get",
    path: "/sse",
    tag: "events",
    summary: "The same streams as Server-Sent Events",
    description:
      "Every event is one message with its position as id; a browser's EventSource resumes by itself.",
    arguments: [
      {
        name: "channels",
        in: "query",
        description: "Names, separated by commas",
        schema: z.string(),
        required: true,
        example: "blocks,transactions",
      },
      {
        name: "last",
        in: "query",
        description: "Begin with the last so many events of each",
        schema: z.int().min(0).max(MAX_HISTORY_LIMIT),
        example: 5,
      },
      {
        name: "Last-Event-ID",
        in: "header",
        description:
          "Resume after: epoch:seq, or name=epoch:seq,... for several channels",
        schema: z.string(),
        example: "",
      },
    ],
    answers: [{
      status: 200,
      description: "A stream that does not end",
      type: "text/event-stream",
    }],
    refuses: [
      "INVALID_SUBSCRIPTION",
      "UNKNOWN_CHANNEL",
      "FORBIDDEN",
      "TOO_MANY_CONNECTIONS",
    ],
  },
  {
    method: "get",
    path: "/ws",
    tag: "events",
    summary: "The WebSocket; see the AsyncAPI document",
    answers: [{ status: 101, description: "Upgraded" }],
    refuses: ["INVALID_MESSAGE", "FORBIDDEN", "TOO_MANY_CONNECTIONS"],
  },
  {
    method: "get",
    path: "/api/metrics",
    tag: "operations",
    summary: "What the service measures of itself",
    arguments: [{
      name: "type",
      in: "query",
      description: "One section only, such as throughput",
      schema: z.string(),
      example: "throughput",
    }],
    answers: [{
      status: 200,
      description: "Sections by name",
      schema: z.record(z.string(), z.unknown()),
    }],
  },
  {
    method: "get",
    path: "/api/metrics/report",
    tag: "operations",
    summary: "The same as text, in the layout of a report",
    answers: [{ status: 200, description: "Text", type: "text/plain" }],
  },
  {
    method: "get",
    path: "/api/metrics/history",
    tag: "operations",
    summary: "This isolate's last samples, for charts",
    answers: [{
      status: 200,
      description: "Samples, oldest first",
      schema: z.looseObject({
        instance: z.string(),
        samplingInterval: count,
        samples: z.array(z.looseObject({ at: millis })),
      }),
    }],
  },
  {
    method: "get",
    path: "/metrics",
    tag: "operations",
    summary: "The same for Prometheus, of all isolates",
    arguments: [{
      name: "scope",
      in: "query",
      description: "isolate: only of the isolate that answers",
      schema: z.enum(["isolate"]),
      example: "isolate",
    }],
    answers: [{
      status: 200,
      description: "Prometheus' text format",
      type: "text/plain",
    }],
  },
  {
    method: "get",
    path: "/health",
    tag: "operations",
    summary: "Whether the process is alive",
    answers: [{
      status: 200,
      description: "Alive",
      schema: z.looseObject({ status: z.string() }),
    }],
  },
  {
    method: "get",
    path: "/ready",
    tag: "operations",
    summary: "Whether it can serve, with reasons",
    answers: [
      { status: 200, description: "Able to serve", schema: Ready },
      { status: 503, description: "Not able to serve", schema: Ready },
    ],
  },
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
      schema: z.strictObject({
        ip: z.string().min(1).max(64),
        reason: z.string().min(1).max(200).optional(),
        forMs: z.int().positive().optional(),
      }),
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
    answers: [
      {
        status: 200,
        description: "Unblocked",
        schema: z.looseObject({ removed: z.literal(true) }),
      },
      {
        status: 404,
        description: "It was not blocked",
        schema: z.looseObject({ removed: z.literal(false) }),
      },
    ],
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
      schema: z.union([
        z.strictObject({
          tokenId: z.string().min(1).max(256),
          reason: z.string().min(1).max(200).optional(),
        }),
        z.strictObject({
          user: z.string().min(1).max(256),
          reason: z.string().min(1).max(200).optional(),
        }),
      ]),
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
      schema: z.strictObject({
        type: z.string().min(1).max(64),
        forMs: z.int().positive(),
        reason: z.string().max(200).optional(),
      }),
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
    answers: [
      {
        status: 200,
        description: "It speaks again",
        schema: z.looseObject({ removed: z.literal(true) }),
      },
      {
        status: 404,
        description: "It was not silent",
        schema: z.looseObject({ removed: z.literal(false) }),
      },
    ],
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
      schema: z.int().min(1).max(1_000).default(100),
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
  {
    method: "get",
    path: "/asyncapi.json",
    tag: "documents",
    summary: "The WebSocket protocol as AsyncAPI",
    answers: [{
      status: 200,
      description: "AsyncAPI 3.1",
      schema: z.looseObject({ asyncapi: z.string() }),
    }],
  },
  {
    method: "get",
    path: "/openapi.json",
    tag: "documents",
    summary: "This document",
    answers: [{
      status: 200,
      description: "OpenAPI 3.1",
      schema: z.looseObject({ openapi: z.string() }),
    }],
  },
];

/** What every door but the open ones may refuse. */
const ANYWHERE: readonly RefusalCode[] = [
  "IP_BLOCKED",
  "RATE_LIMITED",
  "DRAINING",
];
/** What doors that look at tokens may refuse. */
const WITH_TOKEN: readonly RefusalCode[] = ["UNAUTHENTICATED", "TOKEN_EXPIRED"];
/** Doors that refuse nobody. */
const OPEN: ReadonlySet<string> = new Set(["/health", "/ready"]);

/**
 * The doors as OpenAPI 3.1.
 *
 * @param endpoints what to describe.
 * @returns a new document, made of JSON alone.
 */
export function openApi(
  endpoints: readonly Endpoint[] = ENDPOINTS,
): JsonObject {
  const schemas: JsonObject = {};
  const paths: Record<string, JsonObject> = {};
  for (const endpoint of endpoints) {
    const operation: JsonObject = {
      operationId: nameOf(endpoint),
      tags: [endpoint.tag],
      summary: endpoint.summary,
      ...(endpoint.description ? { description: endpoint.description } : {}),
      security: endpoint.role ? [{ token: [] }] : [{}, { token: [] }],
      ...(endpoint.role ? { "x-role": endpoint.role } : {}),
      ...(endpoint.arguments
        ? { parameters: endpoint.arguments.map((it) => parameter(it, schemas)) }
        : {}),
      ...(endpoint.body
        ? {
          requestBody: {
            required: true,
            content: {
              "application/json": {
                schema: jsonSchema(
                  endpoint.body.schema,
                  nameOf(endpoint),
                  schemas,
                ),
                examples: Object.fromEntries(
                  Object.entries(endpoint.body.examples)
                    .map(([name, value]) => [name, { value }]),
                ),
              },
            },
          },
        }
        : {}),
      responses: responses(endpoint, schemas),
    };
    (paths[endpoint.path] ??= {})[endpoint.method] = operation;
  }
  schemas["Refusal"] = jsonSchema(REPLIES.error, "Refusal", schemas);
  return {
    openapi: "3.1.0",
    info: {
      title: "KALDRIX Realtime",
      version: VERSION,
      description:
        "The HTTP side of KALDRIX Realtime. The WebSocket itself is described by /asyncapi.json.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    tags: [
      { name: "events", description: "Publish, follow and look back" },
      { name: "operations", description: "How the service is" },
      { name: "admin", description: "For operators: a token of role admin" },
      { name: "documents", description: "What you are reading" },
    ],
    paths,
    components: {
      schemas,
      securitySchemes: {
        token: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
      },
    },
  };
}

function nameOf({ method, path }: Endpoint): string {
  const words = path.split(/[^A-Za-z]+/).filter(Boolean);
  return [method, ...words.map((it) => it[0]!.toUpperCase() + it.slice(1))]
    .join("");
}

function parameter(
  { name, in: place, description, schema, required, example }: Argument,
  schemas: JsonObject,
): JsonObject {
  return {
    name,
    in: place,
    description,
    required: place === "path" || required === true,
    schema: jsonSchema(schema, name, schemas),
    ...(example === "" ? {} : { example }),
  };
}

function responses(endpoint: Endpoint, schemas: JsonObject): JsonObject {
  const answers: JsonObject = {};
  for (const { status, description, type, schema } of endpoint.answers) {
    const media = type ?? (schema ? "application/json" : undefined);
    answers[status] = {
      description,
      ...(media
        ? {
          content: {
            [media]: schema
              ? {
                schema: jsonSchema(
                  schema,
                  `${nameOf(endpoint)}Answer${status}`,
                  schemas,
                ),
              }
              : {},
          },
        }
        : {}),
    };
  }
  const codes = OPEN.has(endpoint.path) ? [] : [
    ...ANYWHERE,
    ...(endpoint.tag === "documents" ? [] : WITH_TOKEN),
    ...(endpoint.role === "admin" ? ["FORBIDDEN"] as const : []),
    ...(endpoint.refuses ?? []),
  ];
  const byStatus = Map.groupBy(new Set(codes), (code) => REFUSALS[code].http);
  for (const [status, refused] of byStatus) {
    if (answers[status]) continue;
    answers[status] = {
      description: refused.join(", "),
      content: {
        "application/json": {
          schema: { $ref: "#/components/schemas/Refusal" },
          example: {
            ...REPLY_EXAMPLES.error,
            code: refused[0],
            message: REFUSALS[refused[0]!].text,
          },
        },
      },
    };
  }
  return answers;
}

/** A schema as JSON Schema; its named parts go to `schemas`. */
function jsonSchema(
  schema: z.ZodType,
  key: string,
  schemas: JsonObject,
): JsonObject {
  const { $schema: _, $defs = {}, ...json } = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
    override: ({ jsonSchema }) => {
      // The format says it, and shorter.
      if (jsonSchema.format === "date-time") delete jsonSchema.pattern;
    },
  }) as JsonObject;
  const named = (name: string) =>
    name.startsWith("__") ? `${key}.${name.slice(2)}` : name;
  const moved = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(moved);
    if (typeof part !== "object" || part === null) return part;
    return Object.fromEntries(
      Object.entries(part).filter(([name]) => name !== "id" || part !== json)
        .map(([name, value]) =>
          name === "$ref" && typeof value === "string"
            ? [
              name,
              `#/components/schemas/${named(value.replace("#/$defs/", ""))}`,
            ]
            : [name, moved(value)]
        ),
    );
  };
  for (const [name, part] of Object.entries($defs as JsonObject)) {
    const { id: _id, ...rest } = part as JsonObject;
    schemas[named(name)] = moved(rest);
  }
  return moved(json) as JsonObject;
}
