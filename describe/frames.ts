/**
 * Frames as they are on the wire: what is sent around every payload.
 *
 * @module
 */
import { z } from "zod";
import { BARE_COMMANDS, COMMANDS } from "../protocol/commands.ts";
import type { CommandType } from "../protocol/commands.ts";
import { clientFields, serverFields } from "../protocol/envelope.ts";
import { MESSAGES } from "../protocol/messages.ts";
import type { MessageType } from "../protocol/messages.ts";
import { REPLIES } from "../protocol/replies.ts";
import type { ReplyType } from "../protocol/replies.ts";
import { pascal } from "./json_schema.ts";

/** What the field `type` is for. */
export const TYPE = "Distinguishes frames.";
/** What the field `payload` is. */
export const PAYLOAD = "The content, by type.";
const REF = "The `id` of the frame that this answers.";

/** A payload under a name; it may have one of its own. */
function named(payload: z.ZodType, name: string): z.ZodType {
  const known = payload.meta()?.id ? payload : payload.meta({ id: name });
  return known.describe(PAYLOAD);
}

/** Name of an event's schema. */
export function eventModel(type: MessageType): string {
  return `${pascal(type)}Event`;
}

/** A verb as a client sends it. */
export function commandFrame(type: CommandType): z.ZodType {
  const payload: z.ZodType = named(COMMANDS[type], `${pascal(type)}Payload`);
  return z.strictObject({
    type: z.literal(type).describe(TYPE),
    payload: BARE_COMMANDS.has(type) ? payload.optional() : payload,
    ...clientFields,
  });
}

/** What the server sends besides events. */
export function replyFrame(type: ReplyType): z.ZodType {
  return z.strictObject({
    type: z.literal(type).describe(TYPE),
    payload: named(
      REPLIES[type],
      type === "error" ? "Refusal" : `${pascal(type)}Payload`,
    ),
    ...serverFields,
    ref: z.string().optional().describe(REF),
  });
}

/** A message as a client may send it. */
export function publishedFrame(type: MessageType): z.ZodObject {
  const { payload, channel } = MESSAGES[type];
  const to = channel === "room"
    ? z.string().describe("Which room: `room:<name>`.")
    : z.string().optional().describe("Where to, when there is a choice.");
  return z.strictObject({
    type: z.literal(type).describe(TYPE),
    payload: named(payload, pascal(type)),
    ...clientFields,
    ...(channel === null ? {} : { channel: to }),
  });
}

/** A message as subscribers receive it. */
export function eventFrame(type: MessageType): z.ZodType {
  const { payload, channel } = MESSAGES[type];
  const place = {
    channel: z.string().describe("Canonical name of its channel."),
    seq: z.int().positive().optional()
      .describe("Its number in the channel, where they are kept."),
    epoch: z.string().optional().describe("Identity of the channel's log."),
    replay: z.literal(true).optional()
      .describe("Sent from history rather than live."),
    prev: z.int().nonnegative().optional().describe(
      "Of filtered subscriptions: up to this number everything was sent before.",
    ),
    sub: z.string().optional()
      .describe("Name of the filtered subscription, where it has one."),
  };
  return z.strictObject({
    type: z.literal(type).describe(TYPE),
    payload: named(payload, pascal(type)),
    ...serverFields,
    ...(channel === null
      ? { ref: z.string().optional().describe(REF) }
      : place),
  });
}
