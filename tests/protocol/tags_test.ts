import assert from "node:assert/strict";
import {
  MAX_TAG_LENGTH,
  MAX_TAG_VALUES,
  MESSAGES,
  tagsOf,
} from "../../protocol/messages.ts";
import type { MessageKind } from "../../protocol/messages.ts";

Deno.test("tagsOf() names what a transaction can be filtered by, addresses in lower case", () => {
  assert.deepEqual(
    tagsOf("TX_RECEIVED", {
      txId: "0xAB",
      from: "0xFEED",
      to: "0xfeed",
      status: "pending",
    }),
    {
      address: ["0xfeed"],
      from: ["0xfeed"],
      to: ["0xfeed"],
      status: ["pending"],
      txId: ["0xAB"],
    },
  );
});

Deno.test("tagsOf() leaves out fields without a value and values that no filter can name", () => {
  assert.deepEqual(tagsOf("TEST", { any: "thing" }), {});
  assert.deepEqual(tagsOf("NODE_STATUS", { nodeId: "n", region: null }), {
    nodeId: ["n"],
  });
  const fits = "x".repeat(MAX_TAG_LENGTH);
  assert.deepEqual(tagsOf("ROOM_MESSAGE", { event: fits }), { event: [fits] });
  assert.deepEqual(tagsOf("ROOM_MESSAGE", { event: `${fits}x` }), {});
});

Deno.test("tagsOf() takes a bounded number of a list's values", () => {
  const relatedNodes = Array.from(
    { length: MAX_TAG_VALUES + 1 },
    (_, i) => `n${i}`,
  );
  const { relatedNode } = tagsOf("DAG_UPDATE", { relatedNodes });
  assert.deepEqual(relatedNode, relatedNodes.slice(0, MAX_TAG_VALUES));
});

Deno.test("every tag is made of fields that its message has", () => {
  for (const [type, kind] of Object.entries(MESSAGES)) {
    const { tags = {}, payload } = kind as MessageKind;
    for (const { of } of Object.values(tags)) {
      for (const field of of) {
        assert(field in payload.shape, `${type} ${field}`);
      }
    }
  }
});
