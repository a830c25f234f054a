/**
 * The EVM source on a scripted node, and the oracle: each channel alone must say
 * what the node holds to be true.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { AnyEvent, AnyMessage } from "../../protocol/messages.ts";
import { evmSource } from "../../sources/evm.ts";
import type { EvmSourceOptions } from "../../sources/evm.ts";
import type { PageOptions, Publisher } from "../../sources/source.ts";
import type { ManualClock } from "../fakes/clock.ts";
import { keptLog } from "../fakes/publisher.ts";
import type { MemoryPublisher } from "../fakes/publisher.ts";
import {
  foldBlocks,
  foldDag,
  foldLogs,
  foldTransactions,
} from "./chain_folds.ts";
import { RpcError, ScriptedNode } from "./scripted_node.ts";
// What a source loads later, in a time that no test's clock owns.
import "../../sources/evm_nodes.ts";
import "../../sources/json_rpc.ts";

/** A node of a chain without levels, so that nothing is final too early. */
export function withoutLevels(): ScriptedNode {
  const node = new ScriptedNode();
  node.odd.set("eth_getBlockByNumber", ([tag], answer) => {
    if (tag !== "safe" && tag !== "finalized") return answer;
    throw new RpcError(-32602);
  });
  return node;
}

/** A service that may die with part of a call kept, for one life of a source. */
export class Mortal implements Publisher {
  /** Messages taken until death; endless when absent. */
  left = Infinity;

  constructor(readonly store: MemoryPublisher) {}

  async publish(messages: readonly AnyMessage[]): Promise<void> {
    const kept = messages.slice(0, this.left);
    this.left -= kept.length;
    if (kept.length > 0) await this.store.publish(kept);
    if (kept.length < messages.length) throw new Error("killed");
  }

  page(channel: string, options: PageOptions): Promise<AnyEvent[]> {
    return this.store.page(channel, options);
  }
}

/** Starts a source in memory. */
export function begin(
  node: ScriptedNode,
  store: MemoryPublisher,
  clock: ManualClock,
  options: Partial<EvmSourceOptions> = {},
) {
  const publisher = new Mortal(store);
  const { log, entries } = keptLog();
  const stop = new AbortController();
  const running = evmSource({
    rpcUrl: "ws://node.test",
    publisher,
    log,
    clock,
    random: () => 0.5,
    open: node.open,
    ...options,
  }).run(stop.signal);
  return {
    publisher,
    entries,
    running,
    async end() {
      stop.abort();
      await running;
    },
  };
}

/** Whether each channel alone matches the state of the node. */
export function assertTruth(node: ScriptedNode, store: MemoryPublisher): void {
  const real = node.blocks.map(({ hash }) => hash);
  const blocks = foldBlocks(store.of("blocks"));
  assert.deepEqual(
    blocks.map(({ hash }) => hash),
    real.slice(real.length - blocks.length),
    "blocks",
  );
  const reported = new Set(blocks.map(({ hash }) => hash));
  const dag = foldDag(store.of("dag"));
  assert.deepEqual(dag, real.slice(real.length - dag.length), "dag");
  const logs = foldLogs(store.of("logs"));
  const expected = node.blocks.filter(({ hash, transactions }) =>
    reported.has(hash) && transactions.length > 0
  );
  assert.deepEqual(
    Object.fromEntries(logs),
    Object.fromEntries(expected.map(({ hash, transactions }) => [
      hash,
      transactions.map((tx) => tx.hash),
    ])),
    "logs",
  );
  const transactions = foldTransactions(store.of("transactions"));
  for (const hash of node.all.keys()) {
    const status = transactions.get(hash);
    const holder = node.holderOf(hash);
    if (holder && reported.has(holder.hash)) {
      assert.equal(
        status?.status,
        holder.failed.has(hash) ? "failed" : "confirmed",
        hash,
      );
      assert.equal(status?.blockId, holder.hash);
    } else if (node.pool.has(hash)) {
      // A reset may have voided it, or nothing reported it.
      if (status) assert.equal(status.status, "pending", hash);
    } else if (status) {
      assert.ok(
        status.status === "replaced" || status.status === "dropped",
        `${hash} is gone, and said to be ${status.status}`,
      );
    }
  }
}

/** All events of a channel, oldest first, in pages. */
export async function logOf(
  publisher: Pick<Publisher, "page">,
  channel: string,
): Promise<AnyEvent[]> {
  const pages: AnyEvent[][] = [];
  for (;;) {
    const before = pages.at(-1)?.[0];
    const page = await publisher.page(channel, { limit: 1_000, before });
    if (page.length === 0) return pages.reverse().flat();
    pages.push(page);
  }
}
