import assert from "node:assert/strict";
import {
  decodePublications,
  interpret,
  MAX_BATCH_MESSAGES,
} from "../../protocol/decode.ts";
import { Refusal } from "../../protocol/refusals.ts";

const MAX_BYTES = 65_536;

/** Rights that refuse what `verbs` and `channels` hold, and record the rest. */
function rightsBut(
  { verbs = [], channels = [] }: { verbs?: string[]; channels?: string[] },
) {
  const asked: string[] = [];
  const ask = (what: string, refused: string[]) => {
    asked.push(what);
    if (refused.includes(what)) throw new Refusal("FORBIDDEN", what);
  };
  return {
    asked,
    requireVerb: (verb: string) => ask(verb, verbs),
    requirePublishing: ({ name }: { name: string }) => ask(name, channels),
  };
}

Deno.test("rights are checked before content, of which nothing is read", () => {
  let looks = 0;
  // Counts every read of a payload.
  const unread = (type: string, fields: object = {}) =>
    Object.defineProperty({ type, id: "q1", ...fields }, "payload", {
      enumerable: true,
      get: () => (looks++, {}),
    });
  const cases: [unknown, { verbs?: string[]; channels?: string[] }][] = [
    [unread("ROOM_MESSAGE", { channel: "room:a" }), { channels: ["room:a"] }],
    [unread("NEW_BLOCK"), { channels: ["blocks"] }],
    [unread("NEW_BLOCK", { channel: "block" }), { verbs: ["publish"] }],
    [unread("TEST"), { verbs: ["test"] }],
    [unread("subscribe"), { verbs: ["subscribe"] }],
    [unread("query"), { verbs: ["query"] }],
  ];
  for (const [frame, refusing] of cases) {
    assert.throws(
      () => interpret(frame, MAX_BYTES, rightsBut(refusing)),
      { code: "FORBIDDEN", ref: "q1" },
    );
  }
  assert.equal(looks, 0);
});

Deno.test("the rights to all messages of a batch and of a body are checked before any content is read", () => {
  let looks = 0;
  const message = (channel: string) => ({
    type: "ROOM_MESSAGE",
    channel,
    get payload() {
      return looks++, {};
    },
  });
  const updates = [message("room:a"), message("room:b"), message("room:c")];
  const rights = rightsBut({ channels: ["room:b"] });
  const batch = { type: "BATCH_UPDATE", payload: { updates } };
  assert.throws(() => interpret(batch, MAX_BYTES, rights), {
    code: "FORBIDDEN",
  });
  assert.equal(looks, 0);
  assert.deepEqual(rights.asked, ["publish", "room:a", "room:b"]);
  for (
    const body of [{ messages: [{}, message("room:b")] }, message("room:b")]
  ) {
    // `payload` is missing or wrong: a refusal of its own, if it came to that.
    const text = JSON.stringify(body).replace('"payload":{}', '"payload":[]');
    assert.throws(() => decodePublications(text, MAX_BYTES, rights), {
      code: "FORBIDDEN",
    });
  }
  const many = {
    type: "BATCH_UPDATE",
    payload: { updates: Array(5_000).fill(message("room:a")) },
  };
  const asked = rightsBut({});
  assert.throws(() => interpret(many, MAX_BYTES, asked), Refusal);
  assert.equal(asked.asked.length, 1 + MAX_BATCH_MESSAGES);
});
