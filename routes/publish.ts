/**
 * Publishing over HTTP.
 *
 * @module
 */
import { z } from "zod";
import { publishExample } from "../describe/examples.ts";
import { publishedFrame } from "../describe/frames.ts";
import { pascal } from "../describe/json_schema.ts";
import { decodePublications, MAX_BATCH_MESSAGES } from "../protocol/decode.ts";
import { MESSAGES } from "../protocol/messages.ts";
import type { MessageType } from "../protocol/messages.ts";
import { REPLIES } from "../protocol/replies.ts";
import type { Hub } from "../realtime/hub.ts";
import { publisherOf } from "../security/principal.ts";
import { requirePublishing } from "../security/rights.ts";
import type { Gate } from "./gate.ts";
import { FRAME_REFUSALS } from "./input.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** Longest body of a publish, in bytes; what it holds must fit one commit. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** What the publish route needs. */
export interface PublishParts {
  /** Charges messages. */
  gate: Gate;
  /** Takes the messages. */
  hub: Hub;
  /** Longest message accepted, in bytes. */
  maxMessageBytes: number;
}

/** Declares `POST /api/publish`. */
export function publishRoutes(
  { gate, hub, maxMessageBytes }: PublishParts,
): Route[] {
  return [route({
    method: "post",
    path: "/api/publish",
    right: "publish",
    body: {
      maxBytes: MAX_BODY_BYTES,
      waits: true,
      read: (text, principal) =>
        decodePublications(text, maxMessageBytes, {
          requirePublishing: (channel) =>
            requirePublishing(principal, [{ channel }]),
        }),
      schema: bodySchema,
      examples: bodyExamples,
    },
    describe: () => ({
      tag: "events",
      summary: `Publish one message, or up to ${MAX_BATCH_MESSAGES} at once`,
      description:
        "An event is kept and delivered, or refused: never one without the other. The same id again within 10 minutes answers the first position and delivers nothing twice, and so does a block that stands already. `missing` names heights before a block that are to be published too, `missingParents` the unknown parents of a node, `contradicts` the status of a transaction that its new one cannot follow. METRICS_UPDATE needs the role admin, ROOM_MESSAGE only user, everything else publisher.",
      answers: [{
        status: 200,
        description: "Kept, each at its position",
        schema: REPLIES.published,
      }],
      refuses: [
        ...FRAME_REFUSALS,
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "ID_CONFLICT",
        "PARENT_UNKNOWN",
        "STATUS_CONFLICT",
        "TOO_MANY_ROOMS",
        "STORE_UNAVAILABLE",
      ],
    }),
    async handle(c, { principal, body: publications }) {
      requirePublishing(principal, publications);
      gate.publishing(c, principal, publications.length);
      const publisher = publisherOf(principal);
      return c.json({ accepted: await hub.publish(publications, publisher) });
    },
  })];
}

function publishedTypes(): MessageType[] {
  return (Object.keys(MESSAGES) as MessageType[])
    .filter((type) => MESSAGES[type].channel !== null);
}

function bodySchema(): z.ZodType {
  const Publication = z.discriminatedUnion(
    "type",
    publishedTypes().map((type) =>
      publishedFrame(type).meta({ id: `${pascal(type)}Message` })
    ) as [z.ZodObject, ...z.ZodObject[]],
  );
  return z.union([
    Publication,
    z.strictObject({
      messages: z.array(Publication).min(1).max(MAX_BATCH_MESSAGES)
        .describe("Taken in order, or not at all."),
    }).meta({ id: "MessageBatch" }),
  ]);
}

function bodyExamples(): Record<string, unknown> {
  return Object.fromEntries([
    ...publishedTypes().map((type) => [type, publishExample(type)]),
    ["many", {
      messages: [publishExample("NEW_BLOCK"), publishExample("TX_RECEIVED")],
    }],
  ]);
}
