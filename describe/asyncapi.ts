/**
 * The wire as an AsyncAPI document, read from the registries: what is added
 * to them is described here by itself.
 *
 * @see {@link https://www.asyncapi.com/docs/reference/specification/v3.0.0}
 * @module
 */
import { z } from "zod";
import { CHANNELS } from "../protocol/channels.ts";
import type { ChannelKindName } from "../protocol/channels.ts";
import { COMMANDS } from "../protocol/commands.ts";
import type { CommandType } from "../protocol/commands.ts";
import { MAX_BATCH_MESSAGES } from "../protocol/decode.ts";
import {
  clientFields,
  serverFields,
  SUBPROTOCOL,
  VERSION,
} from "../protocol/envelope.ts";
import {
  COMMAND_EXAMPLES,
  eventExample,
  publishExample,
  replyExample,
} from "./examples.ts";
import {
  commandFrame,
  eventFrame,
  eventModel,
  PAYLOAD,
  publishedFrame,
  replyFrame,
  TYPE,
} from "./frames.ts";
import { pascal, Schemas } from "./json_schema.ts";
import type { JsonObject } from "./json_schema.ts";
import { MESSAGES, typesOf } from "../protocol/messages.ts";
import type { MessageType } from "../protocol/messages.ts";
import { REFUSALS } from "../protocol/refusals.ts";
import { AnyEvent, REPLIES } from "../protocol/replies.ts";
import type { ReplyType } from "../protocol/replies.ts";

/** What each verb asks, for people, and what answers it. */
export const VERBS: {
  readonly [Type in CommandType]: {
    readonly summary: string;
    readonly reply: ReplyType;
  };
} = {
  connect: {
    summary:
      "Authenticates the client; optional, public channels need no token",
    reply: "connected",
  },
  subscribe: {
    summary: "Follows channels: from now, from a position, or with the last n",
    reply: "subscribed",
  },
  unsubscribe: { summary: "Follows channels no more", reply: "unsubscribed" },
  watch: {
    summary: "Adds values to a filtered subscription, or removes some",
    reply: "watched",
  },
  refresh: {
    summary: "Shows a newer token without a new connection",
    reply: "refreshed",
  },
  request_metrics: {
    summary: "Asks for the service's own measurements",
    reply: "metrics_response",
  },
  request_data: {
    summary:
      "Asks for the latest of a block, transaction, validator, node or channel",
    reply: "data_response",
  },
  query: { summary: "Asks for a page of history", reply: "query_result" },
  block: {
    summary: "Asks for a block: whether it stands, is final, what it holds",
    reply: "block_response",
  },
  track: {
    summary: "Follows one transaction until it has come as far as asked",
    reply: "tracked",
  },
  ping: { summary: "Keeps the connection alive", reply: "pong" },
};

/** When the server sends each reply, for people. */
export const SAYINGS: { readonly [Type in ReplyType]: string } = {
  connected: "The connection is open, or who the client is has changed",
  subscribed: "Where each channel begins, and which were rejected",
  snapshot: "The newest event about each thing, before the live ones",
  unsubscribed: "Which channels are followed no more",
  watched: "From where on the edited filter counts",
  progress: "Up to where filtered subscriptions were sent everything",
  refreshed: "The newer token is taken",
  metrics_response: "The service's own measurements",
  data_response: "The newest event about what was asked",
  query_result: "A page of history",
  block_response: "A block as it stands now",
  tracked: "How far the transaction has come; tx_state follows",
  tx_state: "A tracked transaction moved; the last one has end",
  published: "The messages are kept, each at its position",
  pong: "The connection is alive, and the server's time",
  error: "A frame was refused, or the connection is about to end",
  gap: "Events that can no longer be had",
  token_expiring: "The token ends soon: send refresh",
  draining: "The instance ends: connect again after the time named",
};

/**
 * The wire as AsyncAPI 3.0: generators know that version.
 *
 * @param host where the service is reached, such as `api.example.com`.
 * @returns a new document, made of JSON alone.
 */
export function asyncApi(host: string): JsonObject {
  const schemas = new Schemas("draft-7");
  const messages: JsonObject = {};
  const add = (
    key: string,
    { name, summary, tag, model, frame, example }: {
      readonly name: string;
      readonly summary: string;
      readonly tag: string;
      /** Name of the frame's schema. */
      readonly model: string;
      readonly frame: z.ZodType;
      readonly example: unknown;
    },
  ) => {
    messages[key] = {
      name,
      title: name,
      summary,
      contentType: "application/json",
      tags: [{ name: tag }],
      payload: schemas.of(frame, model),
      examples: [{ name, payload: example }],
    };
  };

  for (const type of Object.keys(COMMANDS) as CommandType[]) {
    add(type, {
      name: type,
      summary: VERBS[type].summary,
      tag: "verbs",
      model: `${pascal(type)}Command`,
      frame: commandFrame(type),
      example: { type, payload: COMMAND_EXAMPLES[type], id: "1" },
    });
  }
  for (const type of Object.keys(REPLIES) as ReplyType[]) {
    add(type, {
      name: type,
      summary: SAYINGS[type],
      tag: "answers",
      model: `${pascal(type)}Reply`,
      frame: replyFrame(type),
      example: replyExample(type),
    });
  }
  for (const type of Object.keys(MESSAGES) as MessageType[]) {
    const { summary, channel } = MESSAGES[type];
    const what = { name: type, summary, tag: channel ?? "test" };
    add(publishKey(type), {
      ...what,
      model: `${pascal(type)}Message`,
      frame: publishedFrame(type),
      example: { ...publishExample(type), id: "1" },
    });
    add(type, {
      ...what,
      model: eventModel(type),
      frame: eventFrame(type),
      example: eventExample(type),
    });
  }
  const batch = { name: "BATCH_UPDATE", tag: "batches" };
  add("publish.BATCH_UPDATE", {
    ...batch,
    summary: "Many messages, taken in order or not at all",
    model: "BatchMessage",
    frame: z.strictObject({
      type: z.literal("BATCH_UPDATE").describe(TYPE),
      payload: z.strictObject({
        updates: z.array(z.looseObject({ type: z.string().describe(TYPE) }))
          .min(1).max(MAX_BATCH_MESSAGES)
          .describe("Messages as they would be sent alone."),
      }).describe(PAYLOAD),
      ...clientFields,
    }),
    example: {
      type: "BATCH_UPDATE",
      payload: {
        updates: [publishExample("NEW_BLOCK"), publishExample("TX_RECEIVED")],
      },
    },
  });
  add("BATCH_UPDATE", {
    ...batch,
    summary: "Events due together, for clients that sent batch: true",
    model: "BatchEvent",
    frame: z.strictObject({
      type: z.literal("BATCH_UPDATE").describe(TYPE),
      payload: z.strictObject({
        updates: z.array(AnyEvent).min(1).describe("Events, in order."),
      }).describe(PAYLOAD),
      ...serverFields,
    }),
    example: {
      ...eventExample("TEST"),
      type: "BATCH_UPDATE",
      payload: { updates: [eventExample("NEW_BLOCK")] },
    },
  });
  schemas.nameEvent((Object.keys(MESSAGES) as MessageType[]).map(eventModel));

  return {
    asyncapi: "3.0.0",
    info: {
      title: "KALDRIX Realtime",
      version: VERSION,
      description:
        "Blocks, DAG changes, validator events, transactions, node status and alerts of the KALDRIX chain, pushed as they happen: ordered, gap-free within retention. One JSON object per text frame.",
      license: { name: "MIT" },
      tags: [
        { name: "verbs", description: "What a client may ask" },
        {
          name: "answers",
          description: "What the server sends besides events",
        },
        { name: "batches", description: "Many messages in one frame" },
        { name: "test", description: "Echoed to its sender" },
        ...kinds().map((kind) => ({
          name: kind,
          description: CHANNELS[kind].summary,
        })),
      ],
    },
    defaultContentType: "application/json",
    servers: {
      secure: { host, protocol: "wss", description: "Over TLS" },
      plain: { host, protocol: "ws", description: "Without TLS" },
    },
    channels: {
      socket: {
        address: "/ws",
        title: "WebSocket",
        description:
          `Subprotocol ${SUBPROTOCOL} when offered. Close codes below 4500 mean "connect again, with your position", from 4500 on "do not".`,
        messages: Object.fromEntries(
          Object.keys(messages).map((key) => [
            key,
            { $ref: `#/components/messages/${key}` },
          ]),
        ),
        bindings: { ws: { method: "GET" } },
      },
    },
    operations: operations(),
    components: {
      schemas: schemas.named,
      messages,
      securitySchemes: {
        token: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description:
            "In connect {auth: {token}}, or as an Authorization header of the upgrade",
        },
      },
    },
    "x-channels": Object.fromEntries(
      kinds().map((kind) => [
        kind === "room" ? "room:<name>" : kind,
        { ...CHANNELS[kind], messages: typesOf(kind) },
      ]),
    ),
    "x-refusals": REFUSALS,
  };
}

function operations(): JsonObject {
  const channel = { $ref: "#/channels/socket" };
  const refs = (keys: readonly string[]) =>
    keys.map((key) => ({ $ref: `#/channels/socket/messages/${key}` }));
  const all: JsonObject = {};
  for (const type of Object.keys(COMMANDS) as CommandType[]) {
    const { summary, reply } = VERBS[type];
    all[type] = {
      action: "receive",
      title: type,
      summary,
      description: answeredBy(reply),
      channel,
      tags: [{ name: "verbs" }],
      messages: refs([type]),
      reply: { channel, messages: refs([reply, "error"]) },
    };
  }
  for (const kind of kinds()) {
    const { summary, read, publish, aliases, retention } = CHANNELS[kind];
    const types = typesOf(kind);
    const name = kind === "room" ? "room:<name>" : kind;
    const also = aliases.length > 0 ? ` Also known as ${aliases}.` : "";
    const kept = retention === "log"
      ? "Numbered, kept and resumable."
      : "Live only, without numbers.";
    all[`follow.${kind}`] = {
      action: "send",
      title: `Events of ${name}`,
      summary,
      description: `Read by: ${read} and above. ${kept}${also}`,
      channel,
      tags: [{ name: kind }],
      messages: refs([...types, "BATCH_UPDATE"]),
    };
    all[`publish.${kind}`] = {
      action: "receive",
      title: `Publish to ${name}`,
      summary: `Published by: ${publish} and above`,
      description: `${answeredBy("published")} ${kept}`,
      channel,
      tags: [{ name: kind }],
      security: [{ $ref: "#/components/securitySchemes/token" }],
      messages: refs([...types.map(publishKey), "publish.BATCH_UPDATE"]),
      reply: { channel, messages: refs(["published", "error"]) },
    };
  }
  const loose = (Object.keys(MESSAGES) as MessageType[])
    .filter((type) => MESSAGES[type].channel === null);
  for (const type of loose) {
    all[`echo.${type}`] = {
      action: "receive",
      title: type,
      summary: MESSAGES[type].summary,
      description: "Only its sender receives it.",
      channel,
      tags: [{ name: "test" }],
      messages: refs([publishKey(type)]),
      reply: { channel, messages: refs([type, "error"]) },
    };
  }
  const answers = new Set<ReplyType>(
    Object.values(VERBS).map(({ reply }) => reply),
  );
  answers.add("published");
  for (const type of Object.keys(REPLIES) as ReplyType[]) {
    // `connected` also opens every connection.
    if (answers.has(type) && type !== "connected") continue;
    all[`tell.${type}`] = {
      action: "send",
      title: type,
      summary: SAYINGS[type],
      description: "The service sends it; no frame answers it.",
      channel,
      tags: [{ name: "answers" }],
      messages: refs([type]),
    };
  }
  return all;
}

function answeredBy(reply: string): string {
  return `Answered by ${reply}, or by error; both name its id in ref.`;
}

function kinds(): ChannelKindName[] {
  return Object.keys(CHANNELS) as ChannelKindName[];
}

function publishKey(type: MessageType): string {
  return `publish.${type}`;
}
