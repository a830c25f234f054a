/**
 * What the EVM source takes back, resets and calls final when its chain is
 * reorganised or replaced. Time stands still but for what a test moves.
 */
import assert from "node:assert/strict";
import { ManualClock, pass } from "../fakes/clock.ts";
import { MemoryPublisher } from "../fakes/publisher.ts";
import { assertTruth, begin, withoutLevels } from "./evm_truth.ts";
import { chosen, ScriptedNode } from "./scripted_node.ts";

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

Deno.test("evmSource() publishes finality, and names a revert below it", async () => {
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

  const reported = store.of("blocks").map(({ type, payload }) => [
    type,
    payload["chain"],
  ]);
  assert.deepEqual(reported.at(5), ["CHAIN_RESET", "evm:7"]);
  assert.deepEqual(reported.slice(6), Array(5).fill(["NEW_BLOCK", "evm:8"]));
});
