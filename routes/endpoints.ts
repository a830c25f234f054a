/**
 * The catalogue of HTTP doors. Bodies are described by the protocol's own
 * schemas wherever it has them.
 *
 * @module
 */
import { z } from "zod";
import { CHANNELS, ROLES } from "../protocol/channels.ts";
import {
  DEFAULT_HISTORY_LIMIT,
  MAX_HISTORY_LIMIT,
} from "../protocol/commands.ts";
import { MAX_BATCH_MESSAGES } from "../protocol/decode.ts";
import { clientFields } from "../protocol/envelope.ts";
import { publishExample } from "../describe/examples.ts";
import { MESSAGES } from "../protocol/messages.ts";
import type { MessageType } from "../protocol/messages.ts";
import { REPLIES } from "../protocol/replies.ts";
import { ADMIN_ENDPOINTS } from "./admin_endpoints.ts";
import { POSITION } from "./channels.ts";
import type { Argument, Endpoint } from "../describe/openapi.ts";

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
  ...ADMIN_ENDPOINTS,
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
