import assert from "node:assert/strict";
import { connectAll, STUCK_MS } from "../../sources/evm_nodes.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { keptLog } from "../fakes/publisher.ts";
import { until } from "../until.ts";
import { RpcError, ScriptedNode } from "./scripted_node.ts";

/** Several nodes of one chain, as one. */
async function group(count: number, prepare = (_: ScriptedNode[]) => {}) {
  const nodes = Array.from({ length: count }, () => new ScriptedNode());
  prepare(nodes);
  const clock = new ManualClock();
  const stop = new AbortController();
  const { log, entries } = keptLog();
  let isClosed = false;
  const connecting = connectAll({
    urls: nodes.map((_, at) => `ws://${at}.test`),
    clock,
    log,
    random: () => 0.5,
    signal: stop.signal,
    open: (options) =>
      nodes[Number(new URL(options.url).host[0])]!.open(options),
    onHead: () => {},
    onPending: () => {},
    onClosed: () => isClosed = true,
  });
  connecting.catch(() => {});
  await pass(clock, 5_000);
  return {
    nodes,
    clock,
    entries,
    connecting,
    isClosed: () => isClosed,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await connecting.then((node) => node.close(), () => {});
    },
  };
}

Deno.test("connectAll() follows the newest head that more than half of the nodes have", async () => {
  await using it = await group(5);
  const node = await it.connecting;
  it.nodes.forEach((each) => each.mine(4));
  assert.equal((await node.head()).height, 4);

  it.nodes[0]!.mine(2);
  it.nodes[1]!.mine(1);
  it.nodes[2]!.mine(1);
  assert.equal((await node.head()).height, 5, "three of five have it");
  it.nodes[0]!.behind = 5;
  it.nodes[1]!.behind = 3;
  assert.equal((await node.head()).height, 4);
});

Deno.test("connectAll() skips a node whose head stalls while the others' advance", async () => {
  await using it = await group(2);
  const node = await it.connecting;
  it.nodes[0]!.mine(3);
  assert.equal((await node.head()).height, 0, "both have it");
  await pass(it.clock, STUCK_MS + 1_000);
  it.nodes[0]!.mine(1);

  assert.equal((await node.head()).height, 4);
});

Deno.test("connectAll() requests the next node where one fails, and reports when none is left", async () => {
  await using it = await group(3);
  const node = await it.connecting;
  it.nodes.forEach((each) => each.mine(2));
  await node.head();
  for (const each of it.nodes.slice(0, 2)) {
    each.odd.set("eth_getBlockByNumber", () => {
      throw new RpcError(-32000);
    });
  }
  assert.equal((await node.headAt(2))?.height, 2);
  assert.equal((await node.block(1))?.height, 1);
  assert.equal((await node.head()).height, 2);

  it.nodes.forEach((each) => {
    each.reachable = false;
    each.cut();
  });
  await until(it.isClosed, "the connection is lost");
  await assert.rejects(node.head());
});

Deno.test("connectAll() readmits a node, and excludes one of another chain", async () => {
  await using it = await group(3, (nodes) => {
    nodes[0]!.reachable = false;
    nodes[2]!.chainId = 9;
    nodes[2]!.mine(9);
  });
  // The first to answer decides between two that differ.
  const node = await it.connecting;
  assert.equal(node.chainId, 7);
  assert.equal((await node.head()).height, 0);
  it.nodes[0]!.reachable = true;
  it.nodes[0]!.mine(1);
  it.nodes[1]!.mine(1);
  await until(
    () => it.nodes[0]!.asked.includes("eth_chainId"),
    "it is connected again",
    it.clock,
  );
  assert.equal((await node.head()).height, 1);
});

Deno.test("connectAll() reports that no node is reachable", async () => {
  await using it = await group(2, (nodes) => {
    nodes.forEach((each) => each.reachable = false);
  });
  await assert.rejects(it.connecting, /None of the nodes can be reached/);
});
