/**
 * What a frame from the server must look like.
 *
 * @module
 */
import { z } from "zod";
import { serverFields } from "../protocol/envelope.ts";
import { MESSAGES } from "../protocol/messages.ts";
import type { MessageType } from "../protocol/messages.ts";
import { REPLIES } from "../protocol/replies.ts";
import type { ReplyType } from "../protocol/replies.ts";

/** Every frame from the server, without the payload of its type. */
const ReplyFrame = z.strictObject({
  ...serverFields,
  type: z.enum(Object.keys(REPLIES) as [ReplyType, ...ReplyType[]]),
  ref: z.string().optional(),
  payload: z.unknown(),
});
const EventFrame = z.strictObject({
  ...serverFields,
  type: z.enum(Object.keys(MESSAGES) as [MessageType, ...MessageType[]]),
  channel: z.string(),
  seq: z.int().positive().optional(),
  epoch: z.string().optional(),
  replay: z.literal(true).optional(),
  prev: z.int().nonnegative().optional(),
  sub: z.string().optional(),
  payload: z.unknown(),
});
const EchoFrame = z.strictObject({
  ...serverFields,
  type: z.literal("TEST"),
  ref: z.string().optional(),
  payload: z.unknown(),
});
const BatchFrame = z.strictObject({
  ...serverFields,
  type: z.literal("BATCH_UPDATE"),
  payload: z.strictObject({ updates: z.array(z.unknown()).min(1) }),
});

/**
 * Verifies that the server sends only frames of the protocol.
 *
 * @param frame as parsed.
 * @returns the types in it: one, or those of a batch.
 * @throws when it is nothing that the protocol has.
 */
export function checkServerFrame(frame: unknown): string[] {
  const { type } = frame as { type: string };
  if (type === "BATCH_UPDATE") {
    return BatchFrame.parse(frame).payload.updates.flatMap(checkServerFrame);
  }
  if (type === "TEST") {
    MESSAGES.TEST.payload.parse(EchoFrame.parse(frame).payload);
  } else if (type in MESSAGES) {
    const { type, payload } = EventFrame.parse(frame);
    MESSAGES[type].payload.parse(payload);
  } else {
    const { type, payload } = ReplyFrame.parse(frame);
    REPLIES[type].parse(payload);
  }
  return [type];
}
