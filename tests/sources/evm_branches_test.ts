/** What becomes of transactions where a chain has two branches, case by case. */
import assert from "node:assert/strict";
import { ManualClock, pass } from "../fakes/clock.ts";
import { MemoryPublisher } from "../fakes/publisher.ts";
import { ROLLBACK_MS } from "../../sources/evm_follower.ts";
import { until } from "../until.ts";
import { assertTruth, begin, withoutLevels } from "./evm_truth.ts";
import type { ScriptedNode, ScriptedTransaction } from "./scripted_node.ts";

/** One case: two branches, and the events of `transactions` about the transaction. */
interface Case {
  readonly what: string;
  /** Replaces the newest block, that holds it, by another branch. */
  readonly fork: (node: ScriptedNode, tx: ScriptedTransaction) => void;
  /** Statuses, each with the height of its block, after it was confirmed. */
  readonly after: readonly (readonly [string, number?])[];
  /** How long the source may take, in milliseconds. */
  readonly ms?: number;
}

/** The block of a height ends its transactions otherwise. */
function setFailed(
  node: ScriptedNode,
  height: number,
  ...failed: ScriptedTransaction[]
): void {
  node.blocks[height] = {
    ...node.blocks[height]!,
    failed: new Set(failed.map(({ hash }) => hash)),
  };
}

const CASES: readonly Case[] = [
  {
    what: "is in both branches",
    fork(node, tx) {
      node.reorg(1, 1, [tx]);
      setFailed(node, 3);
    },
    after: [["pending"], ["confirmed", 3]],
  },
  {
    what: "is in the other branch at another height",
    fork(node, tx) {
      node.rollback(1);
      node.mine(2);
      node.mine(1, [tx]);
      setFailed(node, 5);
    },
    after: [["pending"], ["confirmed", 5]],
  },
  {
    what: "fails in the other branch",
    fork(node, tx) {
      node.reorg(1, 1, [tx]);
      setFailed(node, 3, tx);
    },
    after: [["pending"], ["failed", 3]],
  },
  {
    what: "loses its nonce to another in the other branch",
    fork(node, tx) {
      node.rollback(1);
      node.mine(2, [node.submit({ ...tx, price: tx.price + 1 })]);
    },
    after: [["pending"], ["replaced"]],
  },
  {
    what: "waits again after a rollback without a successor",
    fork(node) {
      node.rollback(1);
    },
    after: [["pending"]],
    ms: ROLLBACK_MS + 10_000,
  },
  {
    what: "is gone with its block",
    fork(node, tx) {
      node.rollback(1);
      node.drop(tx.hash);
      node.mine(2);
    },
    after: [["pending"], ["dropped"]],
  },
];

for (const { what, fork, after, ms = 30_000 } of CASES) {
  for (const isRestarted of [false, true]) {
    Deno.test(`evmSource() says of a transaction that it ${what}${isRestarted ? ", to a source that was away" : ""}`, async () => {
      const node = withoutLevels();
      const store = new MemoryPublisher();
      const clock = new ManualClock();
      let source = begin(node, store, clock);
      node.mine(2);
      const tx = node.submit();
      node.mine(1, [tx]);
      setFailed(node, 3);
      const says = () =>
        store.of("transactions").flatMap(({ type, payload }) =>
          type === "TX_RECEIVED" && payload.txId === tx.hash ? [payload] : []
        );
      await until(
        () => says().some(({ status }) => status === "confirmed"),
        "confirmed",
        clock,
      );
      if (isRestarted) await source.end();
      fork(node, tx);
      if (isRestarted) {
        store.forget();
        source = begin(node, store, clock);
      }
      await pass(clock, ms);
      await source.end();

      assertTruth(node, store);
      const said = says();
      const confirmed = said.findIndex(({ status }) => status === "confirmed");
      assert.deepEqual(
        said.slice(confirmed + 1).map(({ status, blockHeight }) =>
          blockHeight === undefined ? [status] : [status, blockHeight]
        ),
        after,
      );
    });
  }
}

Deno.test("evmSource() follows a chain to another branch and back, block by block and again", async () => {
  const node = withoutLevels();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const source = begin(node, store, clock);
  node.mine(3, [node.submit()]);
  await pass(clock, 5_000);
  let gone = node.reorg(2, 1, [node.submit()]);
  await pass(clock, 5_000);
  for (let times = 0; times < 4; times++) {
    const there = node.blocks.slice(gone[0]!.height);
    node.restore(gone);
    node.mine(1);
    await pass(clock, 5_000);
    assertTruth(node, store);
    gone = there;
  }
  await source.end();
});
