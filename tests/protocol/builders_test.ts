import assert from "node:assert/strict";
import {
  buildAlertTriggeredMessage,
  buildBatchUpdateMessage,
  buildDagUpdateMessage,
  builders,
  buildNewBlockMessage,
  buildNodeStatusMessage,
  buildRoomMessage,
  buildTestMessage,
  buildTxReceivedMessage,
  buildValidatorEventMessage,
} from "../../protocol/builders.ts";
import { decode } from "../../protocol/decode.ts";
import { VERSION } from "../../protocol/envelope.ts";
import { MESSAGES } from "../../protocol/messages.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { EXAMPLES } from "../examples.ts";

const NOW = Date.UTC(2025, 7, 7, 10);
const TIMESTAMP = "2025-08-07T10:00:00.000Z";
const MAX_BYTES = 65_536;

const decodes = (message: unknown) =>
  decode(JSON.stringify(message), MAX_BYTES);

/** The least that each builder is called with. */
const built: readonly AnyMessage[] = [
  // The first three as the reference calls them.
  buildNewBlockMessage({
    blockId: "block_123",
    height: 15420,
    hash: "0x123...abc",
  }),
  buildValidatorEventMessage({
    eventType: "JOINED",
    validatorId: "validator_123",
    stake: "1000000",
  }),
  buildAlertTriggeredMessage({
    type: "node_failure",
    severity: "critical",
    message: "Node failure detected",
  }),
  buildDagUpdateMessage({
    updateType: "EDGE_ADDED",
    nodeId: "node_123",
    relatedNodes: ["node_456"],
  }),
  buildTxReceivedMessage({
    txId: "tx_123",
    from: "0x123",
    to: "0x456",
    amount: "1000",
    gasPrice: "10",
    gasLimit: 21_000,
    nonce: 1,
    status: "pending",
  }),
  builders.buildBlockRevertedMessage({ blockId: "0xaa", height: 18 }),
  builders.buildFinalityMessage({
    level: "final",
    blockId: "0x77",
    height: 10,
  }),
  builders.buildChainResetMessage({ keeps: null }),
  builders.buildBlockCompleteMessage({
    blockId: "0xaa",
    height: 18,
    transactions: 0,
  }),
  builders.buildTxLogsMessage({
    txId: "tx_123",
    blockId: "0xaa",
    blockHeight: 18,
    logs: [],
  }),
  builders.buildLogsRevertedMessage({ blockId: "0xaa", height: 18 }),
  buildNodeStatusMessage({ nodeId: "node_123", status: "ONLINE" }),
  builders.buildMetricsUpdateMessage({}),
  buildRoomMessage({ event: "joined" }, { channel: "room:lobby" }),
  buildTestMessage({ message: "Hello from client!" }),
];

Deno.test("every message type has one builder, named after it", () => {
  assert.deepEqual(
    built.map(({ type }) => type).toSorted(),
    Object.keys(MESSAGES).toSorted(),
  );
  assert.equal(Object.keys(builders).length, Object.keys(MESSAGES).length);
  assert.equal(builders.buildNewBlockMessage, buildNewBlockMessage);
  assert.equal(builders.buildTxReceivedMessage, buildTxReceivedMessage);
});

Deno.test("what a builder makes decodes", () => {
  for (const message of built) {
    const frame = decodes(message);
    if (message.type === "TEST") {
      assert.equal(frame.kind, "test");
      continue;
    }
    assert(frame.kind === "publish", message.type);
    assert.equal(frame.id, message.id);
    assert.deepEqual(frame.publications[0]!.payload, message.payload);
  }
});

Deno.test("a builder fills the envelope, and the payload's own time", () => {
  const message = buildNewBlockMessage(
    { blockId: "b", height: 1 },
    { id: "mine", now: NOW },
  );
  assert.deepEqual(message, {
    type: "NEW_BLOCK",
    payload: { timestamp: TIMESTAMP, blockId: "b", height: 1 },
    timestamp: TIMESTAMP,
    id: "mine",
    version: VERSION,
  });
  const { payload } = buildNodeStatusMessage(
    { nodeId: "n", status: "ERROR" },
    { now: NOW },
  );
  assert.equal(payload.lastUpdate, TIMESTAMP);
});

Deno.test("a builder keeps a time that it is given", () => {
  const timestamp = "2020-01-01T00:00:00Z";
  const { payload } = buildNewBlockMessage(
    { blockId: "b", height: 1, timestamp },
    { now: NOW },
  );
  assert.equal(payload.timestamp, timestamp);
});

Deno.test("the reference's own payloads build", () => {
  const byType = Object.fromEntries(
    Object.values(builders).map((build) => {
      const { type } = build({} as never);
      return [type, build as (payload: unknown) => AnyMessage];
    }),
  );
  for (const { type, payload } of EXAMPLES) {
    const message = byType[type]!(payload);
    assert.deepEqual(message.payload, payload);
    assert.equal(decodes(message).kind, "publish");
  }
});

Deno.test("every built message has a name of its own", () => {
  const ids = Array.from(
    { length: 1_000 },
    () => buildTestMessage({}, { now: NOW }).id,
  );
  assert.equal(new Set(ids).size, ids.length);
});

Deno.test("a batch of built messages decodes into them", () => {
  const updates = built.filter(({ type }) => type !== "TEST");
  const frame = decodes(
    buildBatchUpdateMessage(updates, { id: "b1", now: NOW }),
  );
  assert(frame.kind === "publish");
  assert.equal(frame.id, "b1");
  assert.deepEqual(
    frame.publications.map(({ id }) => id),
    updates.map(({ id }) => id),
  );
});
