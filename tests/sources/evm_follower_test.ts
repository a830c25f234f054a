/**
 * The EVM source against a chain that does its worst: reorganisations,
 * replaced and dropped transactions, several nodes, a service that keeps part
 * of a call, and the source killed in between. Time stands still but for what a
 * test moves.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { evmSource } from "../../sources/evm.ts";
import {
  ROLLBACK_MS,
  STALE_MS,
  START_BLOCKS,
} from "../../sources/evm_follower.ts";
import { openRpc } from "../../sources/json_rpc.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { keptLog, MemoryPublisher } from "../fakes/publisher.ts";
import { until } from "../until.ts";
import { foldBlocks, foldTransactions } from "./chain_folds.ts";
import { assertTruth, begin } from "./evm_truth.ts";
import { account, chosen, ScriptedNode } from "./scripted_node.ts";
import type { ScriptedBlock } from "./scripted_node.ts";

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
            // Dies within what follows, after a number of messages.
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

Deno.test("evmSource() publishes every block of a gap of any length, for any --from", async () => {
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

Deno.test("evmSource() killed between any two messages resumes where it was", async () => {
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

Deno.test("[T4] evmSource() publishes that a transaction was replaced, dropped, and is back", async () => {
  const node = new ScriptedNode();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const source = begin(node, store, clock);
  await pass(clock, 1_000);
  const cheap = node.submit();
  await pass(clock, 500);
  const costly = node.submit({ ...cheap, price: 2 });
  await pass(clock, 500);
  const next = node.submit({ nonce: 1 });
  await pass(clock, 500);
  node.drop(next.hash);
  await pass(clock, 30_000);
  node.pool.set(next.hash, next);
  await pass(clock, 30_000);
  await source.end();

  const reported = store.of("transactions").map(({ payload }) => [
    payload["txId"],
    payload["status"],
    payload["replacedBy"],
  ]);
  assert.deepEqual(reported, [
    [cheap.hash, "pending", undefined],
    [costly.hash, "pending", undefined],
    [cheap.hash, "replaced", costly.hash],
    [next.hash, "pending", undefined],
    [next.hash, "dropped", undefined],
    [next.hash, "pending", undefined],
  ]);
  assertTruth(node, store);
});

Deno.test("evmSource() that stalled for 11 minutes publishes nothing that another one did", async () => {
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
