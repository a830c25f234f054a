import assert from "node:assert/strict";
import { decode } from "../../protocol/decode.ts";
import type { AnyMessage, PayloadOf } from "../../protocol/messages.ts";
import { sizeOf, slimmer } from "../../sources/message_size.ts";

const TIMESTAMP = "2025-08-07T10:00:00.000Z";

const tx: PayloadOf<"TX_RECEIVED"> = {
  txId: "tx1",
  from: "0x1",
  to: "0x2",
  amount: "1",
  gasPrice: "1",
  gasLimit: 1,
  nonce: 0,
  data: "0x010203",
  status: "confirmed",
  timestamp: TIMESTAMP,
  transfers: [{ asset: "native", from: "0x1", to: "0x2", amount: "1" }],
};

/** Every form of a message, from the whole to the shortest. */
function forms(message: AnyMessage): AnyMessage["payload"][] {
  const payloads: AnyMessage["payload"][] = [];
  for (let it: AnyMessage | undefined = message; it; it = slimmer(it)) {
    const frame = decode(JSON.stringify(it), 65_536);
    assert.equal(frame.kind, "publish");
    if (payloads.length > 0) assert.ok(payloads.length < 9);
    payloads.push(it.payload);
  }
  return payloads;
}

Deno.test("slimmer() takes call data from a transaction, then its transfers", () => {
  const { data: _, transfers, ...rest } = tx;
  assert.deepEqual(forms({ type: "TX_RECEIVED", payload: tx }), [
    tx,
    { ...rest, transfers, dataOmitted: 3 },
    { ...rest, dataOmitted: 3, transfersOmitted: 1 },
  ]);
});

Deno.test("slimmer() takes call data from a block, then transactions but for their ids, then these", () => {
  const block = { blockId: "b", height: 1, timestamp: TIMESTAMP };
  const whole = { ...block, transactions: [tx, { ...tx, txId: "tx2" }] };
  const [first, noData, ids, none, ...more] = forms({
    type: "NEW_BLOCK",
    payload: whole,
  }) as PayloadOf<"NEW_BLOCK">[];

  assert.deepEqual(first, whole);
  assert.equal(noData!.transactions![1]!["dataOmitted"], 3);
  assert.deepEqual(ids, {
    ...block,
    transactionCount: 2,
    transactionIds: ["tx1", "tx2"],
  });
  assert.deepEqual(none, {
    ...block,
    transactionCount: 2,
    transactionsOmitted: 2,
  });
  assert.deepEqual(more, []);
});

Deno.test("slimmer() takes data from logs, then the logs", () => {
  const base = { txId: "tx1", blockId: "b", blockHeight: 1 };
  const log = { address: "0x3", topics: ["0x4"], logIndex: 0 };
  assert.deepEqual(
    forms({
      type: "TX_LOGS",
      payload: { ...base, logs: [{ ...log, data: "0x0102" }] },
    }),
    [
      { ...base, logs: [{ ...log, data: "0x0102" }] },
      { ...base, logs: [{ ...log, dataOmitted: 2 }] },
      { ...base, logs: [], logsOmitted: 1 },
    ],
  );
});

Deno.test("slimmer() leaves other messages as they are", () => {
  const message: AnyMessage = {
    type: "ALERT_TRIGGERED",
    payload: { type: "t", severity: "info", message: "ö" },
  };
  assert.equal(slimmer(message), undefined);
  assert.equal(sizeOf(message), JSON.stringify(message).length + 1);
});
