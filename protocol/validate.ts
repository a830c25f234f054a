/**
 * Checks for applications, by the schemas that the service itself uses.
 *
 * @module
 */
import * as z from "zod";
import { MAX_BATCH_MESSAGES } from "./batch.ts";
import { clientFields } from "./envelope.ts";
import { MESSAGES } from "./messages.ts";
import type { MessageType } from "./messages.ts";

/** Fields of every message; events have further ones. */
const Envelope = z.looseObject({
  ...clientFields,
  type: z.string().min(1),
  payload: z.looseObject({}),
});

/** Many messages in one frame. */
const Batch = z.looseObject({
  updates: z.array(Envelope).min(1).max(MAX_BATCH_MESSAGES),
});

/**
 * Whether a value has the structure of a message: a `type`, an object as
 * `payload`, and, where they are given, a valid `id`, `timestamp` and
 * `version`. The payload's content is not checked.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.ok(validateWebSocketMessage({ type: "TEST", payload: {} }));
 * assert.ok(!validateWebSocketMessage({ type: "TEST" }));
 * ```
 */
export function validateWebSocketMessage(message: unknown): boolean {
  return Envelope.safeParse(message).success;
}

/**
 * Whether a payload is valid for a message type, by the schema that decides
 * whether the service accepts it.
 *
 * @param type as in the message; unknown types have no valid payload.
 * @param payload of a `BATCH_UPDATE`: its messages are checked, too.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const payload = { nodeId: "n", status: "PAUSED", lastUpdate: "" };
 * assert.ok(!validateMessagePayload("NODE_STATUS", payload));
 * ```
 */
export function validateMessagePayload(
  type: string,
  payload: unknown,
): boolean {
  if (type === "BATCH_UPDATE") {
    const { success, data } = Batch.safeParse(payload);
    return success &&
      data.updates.every((each) =>
        each.type !== type && validateMessagePayload(each.type, each.payload)
      );
  }
  return Object.hasOwn(MESSAGES, type) &&
    MESSAGES[type as MessageType].payload.safeParse(payload).success;
}
