/**
 * How many blocks a second `source:evm` follows: a node that costs little, the
 * source and the service as processes of their own. First a burst, of which all
 * must arrive, in order; then blocks at an even rate. A source of which a block
 * takes so much processor time follows no more than one core has of it.
 *
 *     deno task bench:source --blocks 300 --transactions 200 --rate 10 --seconds 60
 *
 * @module
 */
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { HttpPublisher } from "../../sources/http_publisher.ts";
import { cpuMsOf, Program } from "../exchange/program.ts";
import { pause, TestServer } from "../server.ts";
import { until } from "../until.ts";
import { foldBlocks, foldTransactions } from "./chain_folds.ts";
import { logOf } from "./evm_truth.ts";
import { ScriptedNode } from "./scripted_node.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    blocks: { type: "string", default: "300" },
    transactions: { type: "string", default: "200" },
    rate: { type: "string", default: "10" },
    seconds: { type: "string", default: "60" },
  },
});
const [blocks, transactions, rate, seconds] = [
  values.blocks,
  values.transactions,
  values.rate,
  values.seconds,
].map(Number) as [number, number, number, number];

function say(text: string): void {
  // deno-lint-ignore no-console -- what this program is for.
  console.log(text);
}

const node = new ScriptedNode();
await using server = await TestServer.start({
  settings: { RETENTION_EVENTS: "1000000" },
});
await using served = node.serve();
const token = await server.token("publisher");
await using source = new Program({
  args: [
    "sources/evm_main.ts",
    ...["--rpc", served.ws, "--publish", server.url, "--from", "1"],
  ],
  rights: ["--allow-net", "--allow-env=PUBLISH_TOKEN"],
  env: { PUBLISH_TOKEN: token },
});
using reader = new HttpPublisher({ base: server.url, token });

/** Makes blocks, and notifies the source. */
function make(count: number): void {
  node.burst(count, transactions);
  const params = { subscription: "sub:newHeads", result: {} };
  served.push(
    JSON.stringify({ jsonrpc: "2.0", method: "eth_subscription", params }),
  );
}

/** Height of the newest block that is complete. */
async function reached(): Promise<number> {
  const [last] = await reader.page("logs", { limit: 1 });
  if (last?.type === "TX_LOGS") return last.payload.blockHeight - 1;
  return last?.type === "BLOCK_COMPLETE" ? last.payload.height : 0;
}

/** Runs work; reports processor time of source and service for each block. */
async function measured(
  what: string,
  work: () => Promise<string>,
): Promise<void> {
  const began = performance.now();
  const from = await reached();
  const before = [await source.cpuMs(), await cpuMsOf(server.pid)] as const;
  const result = await work();
  const wallMs = performance.now() - began;
  const count = await reached() - from;
  const sourceMs = await source.cpuMs() - before[0];
  const serviceMs = await cpuMsOf(server.pid) - before[1];
  const cost = (ms: number) =>
    `${(ms / count).toFixed(1)} ms a block, ${
      (ms / wallMs).toFixed(2)
    } cores, ` +
    `at most ${(1000 * count / ms).toFixed(0)} blocks/s on one`;
  say(`${what}: ${count} in ${(wallMs / 1000).toFixed(1)} s, ${result}`);
  say(`  source: ${cost(sourceMs)}`);
  say(`  service: ${cost(serviceMs)}`);
  say(`  both: ${cost(sourceMs + serviceMs)}`);
}

source.start();
await until(
  async () => (await reader.page("nodes", { limit: 1 })).length > 0,
  "the source follows the node",
);
await measured(
  `burst of ${blocks} blocks of ${transactions} transactions`,
  async () => {
    make(blocks);
    while (await reached() < blocks) await pause(50);
    return "all there";
  },
);
assert.equal(foldBlocks(await logOf(reader, "blocks")).length, blocks);
const folded = foldTransactions(await logOf(reader, "transactions"));
assert.equal(folded.size, blocks * transactions);
say("whole and in order");

const count = rate * seconds;
await measured(
  `${rate} blocks/s of ${transactions} transactions`,
  async () => {
    const began = performance.now();
    let most = 0;
    for (let made = 0; made < count; made++) {
      const due = made * 1000 / rate - (performance.now() - began);
      if (due > 0) await pause(due);
      make(1);
      if (made % rate === 0) {
        most = Math.max(most, node.tip.height - await reached());
      }
    }
    const left = node.tip.height - await reached();
    return `at most ${most} blocks behind, ${left} at the end`;
  },
);
