import assert from "node:assert/strict";
import { interpret } from "../../protocol/decode.ts";
import type { Publication } from "../../protocol/decode.ts";
import { MESSAGES } from "../../protocol/messages.ts";
import { Refusal } from "../../protocol/refusals.ts";
import { EXAMPLES } from "../examples.ts";
import {
  accepted,
  block,
  MAX_BYTES,
  refused,
  TRANSACTION,
} from "./decoding.ts";

Deno.test("every example of the reference is understood", () => {
  for (const example of EXAMPLES) {
    const frame = accepted(example);
    assert(frame.kind === "publish");
    const [publication] = frame.publications;
    assert(publication);
    assert.equal(publication.type, example.type);
    assert.equal(publication.id, example.id);
    assert.equal(publication.channel.kind, MESSAGES[example.type].channel);
    assert.deepEqual(publication.payload, example.payload);
  }
});

Deno.test("a type of several channels goes to the first, or to the one it names", () => {
  const timestamp = "2025-08-07T10:00:00.000Z";
  const payload = { keeps: null, timestamp };
  const to = (channel?: string) => {
    const frame = accepted({
      type: "CHAIN_RESET",
      payload,
      ...(channel === undefined ? {} : { channel }),
    });
    assert(frame.kind === "publish");
    return frame.publications[0]!.channel.name;
  };

  assert.equal(to(), "blocks");
  assert.equal(to("blocks"), "blocks");
  assert.equal(to("transactions"), "transactions");
  assert.equal(to("logs"), "logs");
  assert.equal(
    refused({ type: "CHAIN_RESET", channel: "nodes", payload }).code,
    "INVALID_MESSAGE",
  );
});

Deno.test("each known field of an example is enforced", () => {
  for (const { type, payload } of EXAMPLES) {
    for (const field of Object.keys(payload)) {
      const broken = { type, payload: { ...payload, [field]: { no: true } } };
      if (field === "metadata") continue;
      const { code, issues } = refused(broken);
      assert.equal(code, "INVALID_PAYLOAD", `${type}.${field}`);
      assert(issues!.some(({ path }) => path.startsWith(`payload.${field}`)));
    }
  }
});

Deno.test("each required field of a message is missed", () => {
  const required: Record<string, string[]> = {
    NEW_BLOCK: ["blockId", "height", "timestamp"],
    BLOCK_REVERTED: ["blockId", "height", "timestamp"],
    FINALITY: ["level", "blockId", "height", "timestamp"],
    CHAIN_RESET: ["keeps", "timestamp"],
    BLOCK_COMPLETE: ["blockId", "height", "transactions", "timestamp"],
    TX_LOGS: ["txId", "blockId", "blockHeight", "logs"],
    LOGS_REVERTED: ["blockId", "height", "timestamp"],
    DAG_UPDATE: ["updateType", "nodeId", "relatedNodes", "timestamp"],
    VALIDATOR_EVENT: ["eventType", "validatorId", "timestamp"],
    TX_RECEIVED: [
      "txId",
      "from",
      "to",
      "amount",
      "gasPrice",
      "gasLimit",
      "nonce",
      "status",
      "timestamp",
    ],
    NODE_STATUS: ["nodeId", "status", "lastUpdate"],
    ALERT_TRIGGERED: ["type", "severity", "message"],
    ROOM_MESSAGE: ["event"],
    METRICS_UPDATE: ["timestamp"],
    TEST: [],
  };
  for (const [type, { payload }] of Object.entries(MESSAGES)) {
    const fields = Object.entries(payload.shape)
      .filter(([, field]) => !field.safeParse(undefined).success)
      .map(([name]) => name);
    assert.deepEqual(fields.toSorted(), required[type]!.toSorted(), type);
  }
});

Deno.test("unknown fields of a payload are kept, in their order", () => {
  const frame = accepted({
    type: "NEW_BLOCK",
    payload: {
      zeta: { deep: [1, "x", null, { k: true }] },
      ...block().payload,
      alpha: 0.1,
    },
  });
  assert(frame.kind === "publish");
  assert.deepEqual(Object.keys(frame.publications[0]!.payload), [
    "zeta",
    "blockId",
    "height",
    "timestamp",
    "alpha",
  ]);
});

Deno.test("amounts are decimal strings up to a uint256", () => {
  const amount = (value: unknown) => ({
    type: "TX_RECEIVED",
    payload: { ...TRANSACTION, amount: value },
  });
  const most = (2n ** 256n - 1n).toString();
  for (const good of ["0", "1000", most, "1.5", `${most}.${"9".repeat(18)}`]) {
    assert.equal(accepted(amount(good)).kind, "publish", good);
  }
  for (
    const bad of [
      "",
      "-1",
      "1e3",
      "0x10",
      "1.",
      ".5",
      " 1",
      1000,
      "1".repeat(79),
      `1.${"0".repeat(19)}`,
    ]
  ) {
    assert.equal(refused(amount(bad)).code, "INVALID_PAYLOAD", String(bad));
  }
});

Deno.test("messages go to the channel of their type, rooms to the one named", () => {
  const destination = (frame: unknown): Publication["channel"] => {
    const decoded = accepted(frame);
    assert(decoded.kind === "publish");
    return decoded.publications[0]!.channel;
  };
  assert.deepEqual(destination(block()), { name: "blocks", kind: "blocks" });
  const [, , validator] = EXAMPLES;
  assert.deepEqual(
    destination({ ...validator, channel: "validator_updates" }),
    {
      name: "validators",
      kind: "validators",
    },
  );
  assert.deepEqual(
    destination({
      type: "ROOM_MESSAGE",
      channel: "room:lobby",
      payload: { event: "joined" },
    }),
    { name: "room:lobby", kind: "room" },
  );
});

Deno.test("what a room's message carries is walked once", () => {
  const reads = new Map<string, number>();
  const spied = (path: string, value: object): object =>
    new Proxy(value, {
      get(target, key, receiver) {
        const inner = Reflect.get(target, key, receiver);
        if (typeof key === "symbol" || key === "length") return inner;
        const at = `${path}.${key}`;
        reads.set(at, (reads.get(at) ?? 0) + 1);
        return typeof inner === "object" && inner !== null
          ? spied(at, inner)
          : inner;
      },
    });
  const data = spied("data", [{ a: [1, { b: 2 }] }, {}, { c: "d" }]);
  const frame = {
    type: "ROOM_MESSAGE",
    channel: "room:a",
    payload: { event: "e", data },
  };
  assert.equal(interpret(frame, MAX_BYTES).kind, "publish");
  assert.deepEqual([...reads.values()].filter((times) => times !== 1), []);
  assert.equal(reads.get("data.0.a.1.b"), 1);
});

Deno.test("what only another parser makes is refused, where it stands", () => {
  for (
    const value of [new Date(0), new Map(), Object.create({ inherited: 1 })]
  ) {
    const payload = { event: "e", data: { at: [value] } };
    const frame = { type: "ROOM_MESSAGE", channel: "room:a", payload };
    assert.throws(() => interpret(frame, MAX_BYTES), (error: unknown) => {
      const { code, issues } = Refusal.of(error);
      assert.equal(code, "INVALID_PAYLOAD");
      assert.deepEqual(issues, [
        { path: "payload.data.at.0", message: "is not a JSON value" },
      ]);
      return true;
    });
  }
});
