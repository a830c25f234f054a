/**
 * Nodes that lag, fail, leave things out or answer oddly, and what the EVM
 * source believes of it. Time stands still but for what a test moves.
 */
import assert from "node:assert/strict";
import { systemClock } from "../../platform/clock.ts";
import { evmSource } from "../../sources/evm.ts";
import {
  HIDDEN_MS,
  RECEIPTS_MS,
  ROLLBACK_MS,
} from "../../sources/evm_follower.ts";
import { openRpc } from "../../sources/json_rpc.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { keptLog, MemoryPublisher } from "../fakes/publisher.ts";
import { until } from "../until.ts";
import { foldBlocks } from "./chain_folds.ts";
import { assertTruth, begin } from "./evm_truth.ts";
import { RpcError, ScriptedNode } from "./scripted_node.ts";

Deno.test("evmSource() waits for receipts that are available after their block", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const source = begin(node, store, clock);
  node.odd.set("eth_getBlockReceipts", () => null);
  node.odd.set("eth_getTransactionReceipt", () => null);
  node.mine(1, [node.submit()]);
  await pass(clock, RECEIPTS_MS / 3);
  assert.equal(store.of("blocks").length, 0);
  node.odd.clear();
  await pass(clock, 10_000);
  await source.end();

  assert.equal(store.of("blocks")[0]!.payload["missing"], undefined);
  assertTruth(node, store);
});

Deno.test("evmSource() waits for a node that is behind, and believes one that stays there", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  node.mine(300);
  const source = begin(node, store, clock);
  await pass(clock, 5_000);
  const before = store.of("blocks").length;

  node.behind = 250;
  node.cut();
  await pass(clock, 15_000);
  assert.equal(store.of("blocks").length, before, "it is only behind");
  const status = store.of("nodes").at(-1)!.payload;
  assert.equal(status["status"], "SYNCING");
  assert.equal(status["blockHeight"], 50);
  node.behind = 0;
  await pass(clock, 15_000);
  assert.equal(store.of("nodes").at(-1)!.payload["status"], "ONLINE");
  assert.equal(store.of("blocks").length, before);

  node.odd.set("eth_syncing", () => ({ currentBlock: "0x32" }));
  node.behind = 250;
  await pass(clock, 2 * ROLLBACK_MS);
  assert.equal(store.of("blocks").length, before, "it says that it syncs");
  node.odd.delete("eth_syncing");
  node.behind = 0;
  await pass(clock, 10_000);

  // Begun again, with older times, and far below what was published.
  node.blocks = node.blocks.slice(0, 1);
  node.epoch -= 86_400;
  node.mine(20);
  node.cut();
  await pass(clock, ROLLBACK_MS + 15_000);
  await source.end();

  assertTruth(node, store);
});

Deno.test("evmSource() distinguishes a node 3 behind every other call from one that fails", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  let calls = 0;
  node.odd.set("eth_getBlockByNumber", (params) => {
    node.behind = ++calls % 2 === 0 ? 3 : 0;
    node.odd.delete("eth_getBlockByNumber");
    const answer = node.answer("eth_getBlockByNumber", params);
    node.odd.set("eth_getBlockByNumber", odd);
    return answer;
  });
  const odd = node.odd.get("eth_getBlockByNumber")!;
  node.mine(5);
  const source = begin(node, store, clock);
  for (let made = 0; made < 60; made++) {
    node.mine(1);
    await pass(clock, 1_000);
  }
  node.odd.clear();
  node.behind = 0;
  await pass(clock, 30_000);
  await source.end();

  assertTruth(node, store);
  const blocks = store.of("blocks");
  assert.ok(!blocks.some(({ type }) => type === "BLOCK_REVERTED"));
  assert.deepEqual(
    [...new Set(store.of("nodes").map(({ payload }) => payload["status"]))],
    ["ONLINE"],
  );
});

/** Answers in which something is odd, and what becomes of the block. */
const ODD: readonly [
  string,
  string,
  (params: readonly unknown[], answer: unknown) => unknown,
][] = [
  ["no receipts of a block (ganache)", "eth_getBlockReceipts", () => {
    throw new RpcError(-32700);
  }],
  ["no receipts of a block (Alchemy)", "eth_getBlockReceipts", () => {
    throw new RpcError(-32600);
  }],
  ["no receipts of this block", "eth_getBlockReceipts", () => {
    throw new RpcError(-32001);
  }],
  ["receipts that are null", "eth_getBlockReceipts", () => null],
  [
    "one receipt too few",
    "eth_getBlockReceipts",
    (_, answer) => (answer as unknown[] | null)?.slice(1) ?? null,
  ],
  ["receipts of no shape", "eth_getBlockReceipts", () => [null, 7, {}, "x"]],
];

Deno.test("evmSource() is not held up by a node that does not give a block's receipts", async () => {
  for (const [what, method, odd] of ODD) {
    const node = new ScriptedNode();
    node.odd.set(method, odd);
    const store = new MemoryPublisher();
    const clock = new ManualClock();
    const source = begin(node, store, clock);
    for (let made = 0; made < 5; made++) {
      node.mine(1, [node.submit(), node.submit()]);
      await pass(clock, 1_000);
    }
    await source.end();

    assertTruth(node, store);
    assert.equal(store.of("alerts").length, 0, what);
  }
});

Deno.test("evmSource() publishes a block without the receipts that a node never gives, marked", async () => {
  const node = new ScriptedNode();
  node.odd.set("eth_getBlockReceipts", () => {
    throw new RpcError(-32601);
  });
  node.odd.set("eth_getTransactionReceipt", () => null);
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const source = begin(node, store, clock);
  node.mine(1, [node.submit()]);
  await pass(clock, RECEIPTS_MS + 5_000);
  assert.equal(foldBlocks(store.of("blocks")).length, 1);
  const [block] = store.of("blocks");
  assert.deepEqual(block!.payload["missing"], ["receipts"]);
  const mined = store.of("transactions").find(({ payload }) =>
    payload["status"] === "confirmed"
  );
  assert.deepEqual(mined!.payload["missing"], ["receipt"]);

  node.odd.clear();
  for (let made = 0; made < 12; made++) {
    node.mine(1);
    await pass(clock, 1_000);
  }
  await source.end();

  assert.deepEqual(
    store.of("alerts").map(({ payload }) => payload["status"]),
    ["firing", "resolved"],
  );
});

Deno.test("evmSource() publishes a block that its node does not show by number", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const source = begin(node, store, clock);
  await pass(clock, 1_000);
  node.odd.set(
    "eth_getBlockByNumber",
    ([tag], answer) => tag === "0x2" ? null : answer,
  );
  node.mine(3, [node.submit()]);
  await pass(clock, 10_000);
  assertTruth(node, store);
  // The fork is at the hidden block: its child names it.
  node.reorg(1, 1);
  await pass(clock, 10_000);
  assertTruth(node, store);
  const reverted = store.of("blocks").filter(({ type }) =>
    type === "BLOCK_REVERTED"
  );
  assert.equal(reverted.length, 1);

  // Nor by hash: its name is all there is.
  const tip = node.tip.height + 1;
  node.odd.set(
    "eth_getBlockByNumber",
    ([tag], answer) => tag === `0x${tip.toString(16)}` ? null : answer,
  );
  node.odd.set("eth_getBlockByHash", () => null);
  node.mine(3);
  await pass(clock, HIDDEN_MS + 60_000);
  await source.end();

  assertTruth(node, store);
  const hidden = store.of("blocks").find(({ payload }) =>
    payload["height"] === tip
  );
  assert.deepEqual(hidden!.payload["missing"], ["transactions", "timestamp"]);
  const complete = store.events.filter(({ type, payload }) =>
    type === "BLOCK_COMPLETE" && payload.missing?.length
  );
  assert.deepEqual(
    complete.map(({ channel, payload }) => [channel, payload["height"]]),
    [["transactions", tip], ["logs", tip]],
    "each channel says that it does not hold all of it",
  );
});

Deno.test("evmSource() publishes blocks with odd fields, without them and marked", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  node.odd.set("eth_getBlockByNumber", ([, whole], answer) => {
    if (whole !== true || !answer) return answer;
    const block = answer as { transactions: object[] };
    return {
      ...block,
      miner: "",
      size: "large",
      transactions: block.transactions.map((tx) => ({
        ...tx,
        from: null,
        value: undefined,
        gas: {},
        nonce: -1,
        input: 5,
      })),
    };
  });
  const source = begin(node, store, clock);
  node.mine(1, [node.submit()]);
  await pass(clock, 5_000);
  await source.end();

  const [block] = store.of("blocks").map(({ payload }) => payload);
  assert.equal(block!["height"], 1);
  assert.deepEqual(block!["missing"], ["validator", "size"]);
  assert.equal("validator" in block!, false);
  const mined =
    store.of("transactions").find(({ payload }) =>
      payload["blockHeight"] === 1
    )!.payload;
  assert.equal(mined["from"], "unknown");
  assert.equal(mined["amount"], "0");
  assert.deepEqual(
    (mined["missing"] as string[]).toSorted(),
    ["amount", "data", "from", "gasLimit", "nonce"],
  );
});

Deno.test("evmSource() treats a silent node as lost, and stops at once on request", async () => {
  for (
    const method of [
      "eth_chainId",
      "eth_subscribe",
      "eth_getBlockByNumber",
      "eth_syncing",
    ]
  ) {
    const node = new ScriptedNode();
    const store = new MemoryPublisher();
    const clock = new ManualClock();
    await using server = node.serve();
    node.odd.set(method, () => new Promise(() => {}));
    const source = begin(node, store, clock, {
      rpcUrl: server.ws,
      open: openRpc,
    });
    await until(() => node.asked.includes(method), `${method} is asked`, clock);
    await source.end();
  }
});

Deno.test("evmSource() survives whatever a node pushes", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  await using server = node.serve();
  const clock = systemClock;
  const stop = new AbortController();
  const { log } = keptLog();
  const running = evmSource({
    rpcUrl: server.ws,
    publisher: store,
    log,
    clock,
    open: openRpc,
    pollMs: 20,
  }).run(stop.signal);
  node.mine(1);
  await until(() => store.of("blocks").length === 1, "the first block");
  const pushed: unknown[] = [null, 7, "x", [], [null], {}, { id: 1 }];
  for (const params of [undefined, null, {}, { subscription: 1 }, []]) {
    pushed.push({ method: "eth_subscription", params });
  }
  for (const result of [null, {}, { hash: 5 }, "0x", ["0x1"], { number: {} }]) {
    for (const topic of ["newHeads", "newPendingTransactions"]) {
      const params = { subscription: `sub:${topic}`, result };
      pushed.push({ jsonrpc: "2.0", method: "eth_subscription", params });
    }
  }
  for (const frame of pushed) server.push(JSON.stringify(frame));
  server.push("no JSON");
  server.push("");
  node.mine(1);
  await until(() => store.of("blocks").length === 2, "the next block");
  stop.abort();
  await running;
});
