import assert from "node:assert/strict";
import fc from "fast-check";
import { decode } from "../../protocol/decode.ts";
import {
  encodeBatch,
  encodeEvent,
  encodeReply,
} from "../../protocol/encode.ts";
import { Id, idSource, VERSION } from "../../protocol/envelope.ts";
import { MESSAGES } from "../../protocol/messages.ts";
import type { MessageType } from "../../protocol/messages.ts";
import { REPLIES } from "../../protocol/replies.ts";
import { EXAMPLES } from "../examples.ts";

const NOW = Date.UTC(2025, 7, 7, 10);
const TIMESTAMP = "2025-08-07T10:00:00.000Z";
const MAX_BYTES = 524_288;

/** Names a publisher may choose: quotes and backslashes among them. */
const anyId = fc.stringMatching(/^[\x21-\x7e]{1,128}$/);
/** JSON that a payload may hold, as it comes out of `JSON.parse`. */
const anyPayload = fc.dictionary(
  fc.string({ unit: "grapheme" }).filter((key) => key !== "__proto__"),
  fc.jsonValue({ depthSize: "small" }),
  { noNullPrototype: true },
).map((payload) => JSON.parse(JSON.stringify(payload)) as object);
const anyTime = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) });

Deno.test("an event parses back into the published values", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(MESSAGES) as MessageType[]),
      anyPayload,
      anyId,
      anyTime,
      fc.constantFrom("blocks", "room:a.b:c-d_e"),
      fc.option(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })),
      (type, payload, id, now, channel, seq) => {
        const position = seq === null ? {} : { seq, epoch: "01J4E" };
        const text = encodeEvent(
          type,
          JSON.stringify(payload),
          { channel, ...position },
          { id, now },
        );
        const event = {
          type,
          channel,
          ...position,
          id,
          timestamp: new Date(now).toISOString(),
          version: VERSION,
          payload,
        };
        assert.deepEqual(JSON.parse(text), event);
        assert.equal(text, JSON.stringify(event));
      },
    ),
  );
});

Deno.test("a payload with unknown fields is encoded byte for byte", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...EXAMPLES),
      // A value that JSON itself would change is refused by decode.
      anyPayload.filter((extra) => sound(extra)),
      ({ type, payload }, extra) => {
        const known = new Set(Object.keys(MESSAGES[type].payload.shape));
        const unknown = Object.fromEntries(
          Object.entries(extra).filter(([key]) => !known.has(key)),
        );
        const sent = JSON.stringify({ ...unknown, ...payload });
        const frame = decode(`{"type":"${type}","payload":${sent}}`, MAX_BYTES);
        assert(frame.kind === "publish");
        const text = encodeEvent(
          type,
          JSON.stringify(frame.publications[0]!.payload),
          { channel: "blocks", seq: 1, epoch: "e" },
          { id: "m1", now: NOW },
        );
        assert(text.endsWith(`"payload":${sent}}`));
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("a reply parses back, with what it answers", () => {
  fc.assert(
    fc.property(fc.option(anyId, { nil: undefined }), anyTime, (ref, now) => {
      const serverTime = new Date(now).toISOString();
      const text = encodeReply({
        type: "pong",
        payload: { serverTime },
        id: "s1",
        now,
        ref,
      });
      const { payload, ...envelope } = JSON.parse(text);
      assert.deepEqual(REPLIES.pong.parse(payload), { serverTime });
      assert.deepEqual(envelope, {
        type: "pong",
        ...(ref === undefined ? {} : { ref }),
        id: "s1",
        timestamp: serverTime,
        version: VERSION,
      });
    }),
  );
});

Deno.test("an error's text may hold anything", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (message) => {
      const text = encodeReply({
        type: "error",
        payload: { code: "INVALID_PAYLOAD", message },
        id: "s1",
        now: NOW,
      });
      assert.equal(JSON.parse(text).payload.message, message);
    }),
  );
});

Deno.test("a batch holds complete events, in their order", () => {
  fc.assert(
    fc.property(
      fc.array(anyPayload, { minLength: 1, maxLength: 20 }),
      (payloads) => {
        const texts = payloads.map((payload, i) =>
          encodeEvent(
            "ROOM_MESSAGE",
            JSON.stringify(payload),
            { channel: "room:a", seq: i + 1, epoch: "e" },
            { id: `m${i}`, now: NOW },
          )
        );
        const batch = JSON.parse(encodeBatch(texts, { id: "s1", now: NOW }));
        assert.equal(batch.type, "BATCH_UPDATE");
        assert.deepEqual(
          batch.payload,
          { updates: texts.map((text) => JSON.parse(text)) },
        );
      },
    ),
  );
});

Deno.test("a TEST is echoed as it was sent", () => {
  const payload = { message: "Hello from client!", n: [1, null, { é: "€" }] };
  const frame = JSON.parse(
    encodeReply({ type: "TEST", payload, id: "s1", now: NOW, ref: "q1" }),
  );
  assert.deepEqual(frame, {
    type: "TEST",
    ref: "q1",
    id: "s1",
    timestamp: TIMESTAMP,
    version: VERSION,
    payload,
  });
});

Deno.test("names are unique, sortable and fit an id", () => {
  const nextId = idSource();
  // A clock may stand still or step back.
  const times = [1, 1, 2, 1, 3, 3].map((step) => NOW + step);
  const ids = times.map((now) => nextId(now));
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual(ids.toSorted(), ids);
  for (const id of ids) assert(Id.safeParse(id).success && id.length === 26);
  const other = idSource();
  assert.notEqual(other(NOW), idSource()(NOW));
  const many = Array.from({ length: 3_000 }, () => other(NOW));
  assert.equal(new Set(many).size, many.length);
  assert.deepEqual(many.toSorted(), many);
});

/** Whether JSON numbers in `value` survive being parsed and written again. */
function sound(value: unknown): boolean {
  if (typeof value === "number") {
    return Number.isSafeInteger(value) || !Number.isInteger(value);
  }
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([key, inner]) =>
    key !== "__proto__" && sound(inner)
  );
}
