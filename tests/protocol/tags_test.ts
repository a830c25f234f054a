import assert from "node:assert/strict";
import {
  MAX_TAG_LENGTH,
  MAX_TAG_VALUES,
  MESSAGES,
  PARTIAL_TAG,
  tagsOf,
} from "../../protocol/messages.ts";
import type { MessageKind, MessageType } from "../../protocol/messages.ts";
import { z } from "zod";

/** Whether a dotted path leads to a field that a schema has. */
function leadsSomewhere(schema: unknown, path: string): boolean {
  if (schema instanceof z.ZodOptional) {
    return leadsSomewhere(schema.unwrap(), path);
  }
  if (schema instanceof z.ZodArray) return leadsSomewhere(schema.element, path);
  if (path === "") return true;
  const [field, ...rest] = path.split(".");
  return schema instanceof z.ZodObject && field! in schema.shape &&
    leadsSomewhere(schema.shape[field!], rest.join("."));
}

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

Deno.test("tagsOf() looks into transfers and logs", () => {
  const token = "0xC0FFEE";
  const tags = tagsOf("TX_RECEIVED", {
    txId: "t",
    from: "0xa",
    to: token,
    status: "confirmed",
    creates: "0xNEW",
    transfers: [
      { asset: "erc20", token, from: "0xA", to: "0xB" },
      { asset: "native", from: "0xa", to: "0xC" },
    ],
  });
  assert.deepEqual(tags.address, ["0xa", "0xc0ffee", "0xnew", "0xb", "0xc"]);
  assert.deepEqual(tags.to, ["0xc0ffee", "0xb", "0xc"]);
  assert.deepEqual(tags.token, ["0xc0ffee"]);
  const logs = [
    { address: "0xA", topics: ["0xT1", "0xT2"] },
    { address: "0xB", topics: [] },
  ];
  assert.deepEqual(tagsOf("TX_LOGS", { txId: "t", logs }), {
    address: ["0xa", "0xb"],
    topic: ["0xt1", "0xt2"],
    txId: ["t"],
  });
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

Deno.test("tagsOf() reads a bounded number of a list's values", () => {
  const relatedNodes = Array.from(
    { length: MAX_TAG_VALUES + 1 },
    (_, i) => `n${i}`,
  );
  const { relatedNode, ...others } = tagsOf("DAG_UPDATE", { relatedNodes });
  assert.deepEqual(relatedNode, relatedNodes.slice(0, MAX_TAG_VALUES));
  assert.deepEqual(others, { [PARTIAL_TAG]: [] });
  relatedNodes.pop();
  const all = tagsOf("DAG_UPDATE", { relatedNodes });
  assert.deepEqual(all, { relatedNode: relatedNodes });
});

Deno.test("tagsOf() marks events that may concern more than they name", () => {
  const tx = { txId: "t", from: "a", to: "b", status: "confirmed" };
  const isMarked = (type: MessageType, payload: Record<string, unknown>) =>
    PARTIAL_TAG in tagsOf(type, payload);
  for (const missing of ["receipt", "logs", "from", "to", "transfers"]) {
    assert(isMarked("TX_RECEIVED", { ...tx, missing: ["nonce", missing] }));
  }
  assert(isMarked("TX_RECEIVED", { ...tx, transfersOmitted: 3 }));
  assert(isMarked("TX_LOGS", { txId: "t", logs: [], logsOmitted: 3 }));
  assert(!isMarked("TX_RECEIVED", { ...tx, dataOmitted: 3 }));
  assert(!isMarked("TX_RECEIVED", { ...tx, missing: ["nonce", "data"] }));
});

Deno.test("every tag is made of fields that its message has", () => {
  for (const [type, kind] of Object.entries(MESSAGES)) {
    const { tags = {}, payload } = kind as MessageKind;
    for (const { of } of Object.values(tags)) {
      for (const path of of) {
        assert(leadsSomewhere(payload, path), `${type} ${path}`);
      }
    }
  }
});
