/**
 * The EVM source against a chain that does its worst: reorganisations,
 * replaced and dropped transactions, nodes that fall behind or are cut off, a
 * service that keeps part of a call, and the source killed in between. Time
 * stands still but for what a test moves.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { systemClock } from "../../platform/clock.ts";
import { evmSource } from "../../sources/evm.ts";
import {
  HIDDEN_MS,
  RECEIPTS_MS,
  ROLLBACK_MS,
  STALE_MS,
  START_BLOCKS,
} from "../../sources/evm_follower.ts";
import { openRpc } from "../../sources/json_rpc.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { keptLog, MemoryPublisher } from "../fakes/publisher.ts";
import { until } from "../until.ts";
import { foldBlocks, foldTransactions } from "./chain_folds.ts";
import { assertTruth, begin, withoutLevels } from "./evm_truth.ts";
import { account, RpcError, ScriptedNode } from "./scripted_node.ts";
import type { ScriptedBlock, ScriptedTransaction } from "./scripted_node.ts";

/** What happens to a chain, in one step of a test. */
const step = fc.oneof(
  fc.record({
    what: fc.constantFrom("mine", "mine", "submit", "bump", "drop"),
    count: fc.nat(4),
  }),
  fc.record({
    what: fc.constantFrom("reorg", "rollback", "jump"),
    count: fc.integer({ min: 1, max: 6 }),
  }),
  fc.record({
    what: fc.constantFrom("back", "lag", "cut", "kill"),
    count: fc.nat(9),
  }),
);

/** Some of the pool, in the order in which it can be mined. */
function chosen(node: ScriptedNode, count: number): ScriptedTransaction[] {
  return [...node.pool.values()].sort((a, b) => a.nonce - b.nonce)
    .slice(0, count + 1);
}

Deno.test("evmSource() ends with the node's own truth on each channel alone, whatever happens", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 14 }),
      async (steps) => {
        const node = new ScriptedNode();
        const store = new MemoryPublisher();
        const clock = new ManualClock();
        let gone: ScriptedBlock[] = [];
        let source = begin(node, store, clock);
        await pass(clock, 1_000);
        for (const { what, count } of steps) {
          if (what === "mine") node.mine(count, chosen(node, count));
          else if (what === "submit") {
            for (let at = 0; at <= count; at++) {
              node.submit({ from: account(10 + at % 3) });
            }
          } else if (what === "bump") {
            const [tx] = node.pool.values();
            if (tx) node.submit({ ...tx, price: tx.price + 1 });
          } else if (what === "drop") {
            const hash = [...node.pool.keys()].at(-1);
            if (hash) node.drop(hash);
          } else if (what === "reorg") {
            // The other branch may hold the same, or others with their nonces.
            const before = chosen(node, count);
            gone = node.rollback(count);
            const [rival] = node.pool.values();
            const replacing = rival && count % 2 === 0
              ? [node.submit({ ...rival, price: rival.price + 1 })]
              : [];
            node.mine(
              gone.length + 1,
              [...replacing, ...before, ...chosen(node, 3)],
            );
          } else if (what === "rollback") {
            node.rollback(Math.min(count, 3));
            await pass(clock, ROLLBACK_MS + 5_000);
          } else if (what === "back") {
            const parent = node.blocks[(gone[0]?.height ?? 0) - 1];
            if (parent && parent.hash === gone[0]?.parentHash) {
              node.restore(gone);
            }
          } else if (what === "lag") node.behind = Math.min(count, 5);
          else if (what === "jump") {
            node.jumpIn = count;
            node.mine(3);
          } else if (what === "cut") {
            node.reachable = count % 2 === 1;
            node.cut();
          } else {
            // Dies within what comes next, after so many messages.
            source.publisher.left = count;
            node.mine(1, chosen(node, count));
            await pass(clock, 1_000);
            await source.end();
            // The service's memory of ids ends; positions in the log do not.
            store.forget();
            source = begin(node, store, clock);
          }
          await pass(clock, 3_000);
        }
        node.behind = 0;
        node.jumpIn = 0;
        node.reachable = true;
        node.mine(1);
        await pass(clock, 60_000);
        await source.end();

        assertTruth(node, store);
      },
    ),
    { numRuns: 1_000 },
  );
});

Deno.test("evmSource() begins a long chain near its head, or where the option names", async () => {
  for (const from of [undefined, 0, 1, 90]) {
    const node = new ScriptedNode();
    const store = new MemoryPublisher();
    const clock = new ManualClock();
    node.mine(99);

    const source = begin(node, store, clock, { from });
    await pass(clock, 2_000);
    await source.end();

    const blocks = foldBlocks(store.of("blocks"));
    assert.equal(blocks.at(-1)!.height, 99);
    assert.equal(blocks[0]!.height, from ?? 100 - START_BLOCKS);
  }
});

Deno.test("evmSource() publishes every block of a gap, however long, whatever --from says", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  node.mine(1);
  const first = begin(node, store, clock);
  await pass(clock, 1_000);
  await first.end();
  node.mine(700);

  const second = begin(node, store, clock, { from: 650 });
  await pass(clock, 30_000);
  await second.end();

  assert.equal(foldBlocks(store.of("blocks")).length, 701);
});

Deno.test("evmSource() takes back any reorganisation that the log still holds, transactions too", async () => {
  for (const depth of [1, 3, 20, 100, 128, 129, 500, 1_100]) {
    for (const isRestarted of [false, true]) {
      const node = withoutLevels();
      const store = new MemoryPublisher();
      const clock = new ManualClock();
      let source = begin(node, store, clock);
      await pass(clock, 1_000);
      for (let made = 0; made < 1_200; made += 20) {
        node.mine(20, [node.submit()]);
        await pass(clock, 500);
      }
      if (isRestarted) {
        await source.end();
        store.forget();
        source = begin(node, store, clock);
        await pass(clock, 1_000);
      }

      node.reorg(depth, 1, chosen(node, 5));
      await pass(clock, 60_000);
      await source.end();

      assertTruth(node, store);
      const reverted = store.of("blocks").filter(({ type }) =>
        type === "BLOCK_REVERTED"
      );
      assert.equal(reverted.length, depth);
      assert.ok(!store.events.some(({ type }) => type === "CHAIN_RESET"));
    }
  }
});

Deno.test("evmSource() resets the chain when a reorganisation is deeper than the log", async () => {
  const node = withoutLevels();
  const store = new MemoryPublisher();
  store.retention = 100;
  const clock = new ManualClock();
  let source = begin(node, store, clock);
  await pass(clock, 1_000);
  for (let made = 0; made < 300; made += 20) {
    node.mine(20, [node.submit()]);
    await pass(clock, 500);
  }
  await source.end();
  store.forget();
  source = begin(node, store, clock);
  await pass(clock, 1_000);

  node.reorg(200, 1);
  await pass(clock, 60_000);
  await source.end();

  assertTruth(node, store);
  for (const channel of ["blocks", "dag", "transactions", "logs"]) {
    const resets = store.of(channel).filter(({ type }) =>
      type === "CHAIN_RESET"
    );
    assert.deepEqual(
      resets.map(({ payload }) => [payload["keeps"], payload["reason"]]),
      [[null, "deeper_than_kept"]],
    );
  }
});

Deno.test("evmSource() voids transactions that it cannot take back one by one", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  let source = begin(node, store, clock);
  await pass(clock, 1_000);
  for (let made = 0; made < 12; made++) {
    const some = Array.from({ length: 5 }, () => node.submit());
    node.mine(1, some);
    await pass(clock, 500);
  }
  await source.end();
  // Of the transactions, only the newest are kept; blocks are all kept.
  store.retention = 30;
  source = begin(node, store, clock);
  await pass(clock, 1_000);

  node.rollback(10);
  node.pool.clear();
  node.mine(11);
  await pass(clock, 60_000);
  await source.end();

  assertTruth(node, store);
  const resets = store.events.filter(({ type }) => type === "CHAIN_RESET");
  assert.deepEqual(
    resets.map(({ channel, payload }) => [channel, payload["keeps"]]),
    [["transactions", { height: 2, blockId: node.blocks[2]!.hash }]],
  );
});

Deno.test("evmSource() says what is final, and calls a revert below it by its name", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const source = begin(node, store, clock, { from: 0 });
  for (let made = 0; made < 40; made++) {
    node.mine(1, [node.submit()]);
    await pass(clock, 100);
  }
  const levels = () =>
    store.of("blocks").flatMap(({ type, payload }) =>
      type === "FINALITY" ? [[payload.level, payload.height]] : []
    );
  assert.deepEqual(levels().slice(-2), [["safe", 24], ["final", 8]]);

  node.reorg(36);
  await pass(clock, 30_000);
  await source.end();

  assertTruth(node, store);
  const resets = store.of("blocks").flatMap(({ type, payload }) =>
    type === "CHAIN_RESET" ? [payload] : []
  );
  assert.deepEqual(
    resets.map(({ keeps, reason }) => [keeps?.height, reason]),
    [[4, "finality_broken"]],
  );
  const [alert] = store.of("alerts");
  assert.equal(alert!.payload["type"], "finality_broken");
  assert.equal(alert!.payload["severity"], "critical");
});

Deno.test("evmSource() reverts down to what is safe, and resets one block below", async () => {
  for (const [depth, resets] of [[16, 0], [17, 1]] as const) {
    const node = new ScriptedNode();
    const store = new MemoryPublisher();
    const clock = new ManualClock();
    const source = begin(node, store, clock, { from: 0 });
    for (let made = 0; made < 40; made++) {
      node.mine(1);
      await pass(clock, 100);
    }
    node.reorg(depth);
    await pass(clock, 30_000);
    await source.end();

    assertTruth(node, store);
    const found = store.of("blocks").filter(({ type }) =>
      type === "CHAIN_RESET"
    );
    assert.equal(found.length, resets);
  }
});

Deno.test("evmSource() killed between any two messages goes on where it was", async () => {
  for (const isReorg of [false, true]) {
    for (let left = 0; left < 40; left++) {
      const node = new ScriptedNode();
      const store = new MemoryPublisher();
      const clock = new ManualClock();
      let source = begin(node, store, clock);
      await pass(clock, 1_000);
      for (let made = 0; made < 3; made++) {
        node.mine(1, [node.submit(), node.submit(), node.submit()]);
        await pass(clock, 500);
      }
      source.publisher.left = left;
      if (isReorg) node.reorg(2, 1, chosen(node, 3));
      else node.mine(2, [node.submit(), node.submit()]);
      await pass(clock, 2_000);
      await source.end();
      store.forget();
      source = begin(node, store, clock);
      await pass(clock, 30_000);
      await source.end();

      assertTruth(node, store);
    }
  }
});

Deno.test("evmSource() waits for receipts that come a little later than their block", async () => {
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

Deno.test("evmSource() counts blocks to finality where the option asks for it", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  node.mine(9);

  const source = begin(node, store, clock, { finalAfter: 6 });
  await pass(clock, 2_000);
  await source.end();

  const levels = store.of("blocks").filter(({ type }) => type === "FINALITY");
  assert.deepEqual(
    levels.map(({ payload }) => [payload["level"], payload["height"]]),
    [["final", 3]],
  );
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

Deno.test("evmSource() takes a node for lost that answers nothing, and stops at once when asked", async () => {
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

Deno.test("evmSource() follows nodes over HTTP, pending transactions too", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  await using server = node.serve();
  const filtered: string[] = [];
  node.odd.set("eth_newPendingTransactionFilter", () => "0x1");
  node.odd.set("eth_getFilterChanges", () => filtered.splice(0));
  const stop = new AbortController();
  const { log } = keptLog();
  const running = evmSource({
    rpcUrl: server.http,
    publisher: store,
    log,
    open: openRpc,
    pollMs: 20,
  }).run(stop.signal);
  await until(() => store.of("nodes").length > 0, "the node answers");
  const tx = node.submit();
  filtered.push(tx.hash);
  await until(() => store.of("transactions").length === 1, "it is pending");
  node.mine(1, [tx]);
  await until(() => store.of("logs").length === 2, "the block is complete");
  stop.abort();
  await running;

  assertTruth(node, store);
});

Deno.test("evmSource() follows the head that most nodes agree on", async () => {
  const nodes = [new ScriptedNode(), new ScriptedNode(), new ScriptedNode()];
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const source = begin(nodes[0]!, store, clock, {
    rpcUrl: "ws://0.test,ws://1.test,ws://2.test",
    open: (options) =>
      nodes[Number(new URL(options.url).host[0])]!.open(options),
  });
  const mine = (count: number) => nodes.forEach((node) => node.mine(count));
  mine(5);
  await pass(clock, 10_000);
  assert.equal(foldBlocks(store.of("blocks")).at(-1)!.height, 5);

  // One alone is on another branch, and ahead.
  nodes[0]!.reorg(2, 3);
  await pass(clock, 20_000);
  assert.ok(!store.events.some(({ type }) => type === "BLOCK_REVERTED"));
  assert.equal(foldBlocks(store.of("blocks")).at(-1)!.height, 5);
  // One lags, one is away: the last one leads.
  nodes[0]!.reachable = false;
  nodes[0]!.cut();
  nodes[1]!.mine(1);
  nodes[2]!.mine(1);
  await pass(clock, 20_000);
  assert.equal(foldBlocks(store.of("blocks")).at(-1)!.height, 6);
  assert.ok(
    store.of("nodes").every(({ payload }) => payload["status"] !== "OFFLINE"),
  );
  nodes[1]!.reachable = false;
  nodes[1]!.cut();
  nodes[2]!.mine(1);
  await pass(clock, 20_000);
  await source.end();

  assertTruth(nodes[2]!, store);
});

Deno.test("[T4] evmSource() says that a transaction was replaced, dropped, and is back", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const source = begin(node, store, clock);
  await pass(clock, 1_000);
  const cheap = node.submit();
  await pass(clock, 500);
  const dear = node.submit({ ...cheap, price: 2 });
  await pass(clock, 500);
  const next = node.submit({ nonce: 1 });
  await pass(clock, 500);
  node.drop(next.hash);
  await pass(clock, 30_000);
  node.pool.set(next.hash, next);
  await pass(clock, 30_000);
  await source.end();

  const told = store.of("transactions").map(({ payload }) => [
    payload["txId"],
    payload["status"],
    payload["replacedBy"],
  ]);
  assert.deepEqual(told, [
    [cheap.hash, "pending", undefined],
    [dear.hash, "pending", undefined],
    [cheap.hash, "replaced", dear.hash],
    [next.hash, "pending", undefined],
    [next.hash, "dropped", undefined],
    [next.hash, "pending", undefined],
  ]);
  assertTruth(node, store);
});

Deno.test("evmSource() resets the chain when its address leads to another one", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  node.mine(5);
  const source = begin(node, store, clock);
  await pass(clock, 2_000);
  node.chainId = 8;
  node.cut();
  await pass(clock, 10_000);
  await source.end();

  const told = store.of("blocks").map(({ type, payload }) => [
    type,
    payload["chain"],
  ]);
  assert.deepEqual(told.at(5), ["CHAIN_RESET", "evm:7"]);
  assert.deepEqual(told.slice(6), Array(5).fill(["NEW_BLOCK", "evm:8"]));
});

Deno.test("evmSource() that stood still for 11 minutes publishes nothing that another one did", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const slow = new ManualClock();
  const quick = begin(node, store, clock);
  const stopped = begin(node, store, slow);
  await pass(clock, 1_000);
  await pass(slow, 1_000);
  for (let made = 0; made < 10; made++) {
    node.mine(1, [node.submit()]);
    await pass(clock, 1_000);
    if (made < 3) await pass(slow, 1_000);
    if (made === 2) node.cut();
  }
  await pass(clock, 60_000);
  // The service's memory of ids ends meanwhile.
  store.forget();
  slow.advance(STALE_MS + 360_000);
  await pass(slow, 60_000);
  node.mine(1);
  await pass(clock, 5_000);
  await pass(slow, 60_000);
  await quick.end();
  await stopped.end();

  assertTruth(node, store);
});

Deno.test("evmSource() publishes a burst of 300 blocks of 200 transactions whole and in order", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  await using server = node.serve();
  const stop = new AbortController();
  const { log } = keptLog();
  const running = evmSource({
    rpcUrl: server.ws,
    publisher: store,
    log,
    open: openRpc,
  }).run(stop.signal);
  await until(() => store.of("nodes").length > 0, "the node answers");

  node.burst(300, 200);

  await until(
    () => store.of("logs").at(-1)?.payload["height"] === 300,
    "the last block is complete",
  );
  stop.abort();
  await running;
  assert.equal(foldBlocks(store.of("blocks")).length, 300);
  const transactions = foldTransactions(store.of("transactions"));
  assert.equal(transactions.size, 60_000);
});
