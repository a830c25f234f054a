import assert from "node:assert/strict";
import fc from "fast-check";
import { builders } from "../../protocol/builders.ts";
import { decode } from "../../protocol/decode.ts";
import { Refusal } from "../../protocol/refusals.ts";
import {
  validateMessagePayload,
  validateWebSocketMessage,
} from "../../protocol/validate.ts";

const at = "2025-08-07T10:00:00Z";
const block = { blockId: "b", height: 1, timestamp: at };

Deno.test("validateWebSocketMessage() accepts what the service sends and accepts", () => {
  const accepted: unknown[] = [
    { type: "NEW_BLOCK", payload: block },
    { type: "FROM_THE_FUTURE", payload: {}, id: "x", version: "1.1.0" },
    builders.buildTestMessage({ any: "thing" }),
    // An event.
    {
      type: "NEW_BLOCK",
      channel: "blocks",
      epoch: "e",
      seq: 7,
      timestamp: at,
      version: "1.1.0",
      id: "i",
      payload: block,
    },
  ];
  for (const each of accepted) assert.ok(validateWebSocketMessage(each));
});

Deno.test("validateWebSocketMessage() refuses what has no structure, and never throws", () => {
  const refused: unknown[] = [
    undefined,
    null,
    "text",
    [],
    {},
    { type: "TEST" },
    { type: "", payload: {} },
    { type: 1, payload: {} },
    { type: "TEST", payload: null },
    { type: "TEST", payload: "text" },
    { type: "TEST", payload: {}, timestamp: "yesterday" },
    { type: "TEST", payload: {}, id: "" },
  ];
  for (const each of refused) assert.ok(!validateWebSocketMessage(each));
  fc.assert(fc.property(fc.anything(), (anything) => {
    assert.equal(typeof validateWebSocketMessage(anything), "boolean");
  }));
});

Deno.test("validateMessagePayload() checks the fields of each type, and refuses unknown types", () => {
  assert.ok(validateMessagePayload("NEW_BLOCK", block));
  assert.ok(!validateMessagePayload("NEW_BLOCK", { ...block, height: "1" }));
  assert.ok(!validateMessagePayload("NEW_BLOK", block));
  assert.ok(!validateMessagePayload("constructor", block));
  assert.ok(!validateMessagePayload("NEW_BLOCK", null));
});

Deno.test("validateMessagePayload() checks every message of a batch", () => {
  const batch = (...updates: unknown[]) =>
    validateMessagePayload("BATCH_UPDATE", { updates });
  const good = { type: "NEW_BLOCK", payload: block };
  assert.ok(batch(good, good));
  assert.ok(!batch());
  assert.ok(!batch(good, { type: "NEW_BLOCK", payload: {} }));
  assert.ok(!batch({ type: "BATCH_UPDATE", payload: { updates: [good] } }));
  assert.ok(batch(...Array(100).fill(good)));
  assert.ok(!batch(...Array(101).fill(good)));
});

Deno.test("validateMessagePayload() agrees with the service", () => {
  const value = fc.oneof(
    fc.constantFrom(at, "b", "0x1", "1000", 1, -1, 0.5, null, true),
    fc.jsonValue(),
  );
  const payload = fc.record({
    blockId: value,
    height: value,
    timestamp: value,
    size: value,
  }, { requiredKeys: [] });
  fc.assert(fc.property(payload, (payload) => {
    const text = JSON.stringify({ type: "NEW_BLOCK", payload });
    let isTaken = true;
    try {
      decode(text, 1e6);
    } catch (error) {
      assert.ok(error instanceof Refusal);
      isTaken = false;
    }
    assert.equal(
      validateMessagePayload("NEW_BLOCK", JSON.parse(text).payload),
      isTaken,
    );
  }));
});
