import assert from "node:assert/strict";
import fc from "fast-check";
import {
  completionOf,
  Completions,
  MAX_COMPLETE,
  MAX_COMPLETE_CHAINS,
} from "../../chain/completions.ts";
import { UndoLog } from "../../chain/undo_log.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Draft } from "../../store/event_log.ts";
import { txReceived } from "../transactions.ts";
import { draft, events, logOn, newBlock, WHEN } from "./chain_log.ts";
import type { Fields } from "./chain_log.ts";

function complete(blockId: string, height: number, more: Fields = {}): Draft {
  const payload = { blockId, height, transactions: 1, timestamp: WHEN };
  return draft("BLOCK_COMPLETE", { ...payload, ...more });
}

function tx(txId: string, more: Fields & { status: string }): Draft {
  const { payload } = txReceived({ txId, timestamp: WHEN, ...more });
  return draft("TX_RECEIVED", payload as unknown as Fields);
}

Deno.test("a complete block is not completed again, by any publisher", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  await log.append([newBlock("a1", 1, "a0"), newBlock("a2", 2, "a1")]);
  const at = { status: "confirmed", blockId: "a1", blockHeight: 1 };
  const [, first] = await log.append([tx("x", at), complete("a1", 1)]);
  const [second, again] = await log.append([
    complete("a2", 2, { missing: ["transactions"] }),
    complete("a1", 1),
  ]);
  assert.deepEqual(again, first);
  // An instance that begins now knows it from the log.
  const other = logOn(kv);
  assert.deepEqual(await other.append([complete("a1", 1)]), [first]);
  // A larger count is a change, and one request may contain it twice.
  const whole = await log.append([complete("a2", 2), complete("a2", 2)]);
  assert.equal(whole[0]!.seq, second!.seq + 1);
  assert.deepEqual(whole[1], whole[0]);
  // Its transaction left the block, and came back.
  const left = { blockId: "a1", height: 1 };
  await log.append([tx("x", { status: "pending", cause: "reorg", left })]);
  const [later] = await log.append([complete("a1", 1)]);
  assert.notEqual(later!.seq, first!.seq);
  // A reset voids what it does not keep.
  const keeps = { blockId: "a0", height: 0 };
  const reset = draft(
    "CHAIN_RESET",
    { keeps, timestamp: WHEN },
    { channel: "transactions" },
  );
  await log.append([reset]);
  const [anew] = await other.append([complete("a1", 1)]);
  assert.equal(anew!.seq, later!.seq + 2);
});

Deno.test("a BLOCK_COMPLETE is stored unless the fold of `transactions` holds it already", async () => {
  const step = fc.record({
    what: fc.constantFrom("complete", "complete", "in", "out", "reset"),
    name: fc.constantFrom("a", "b"),
    height: fc.integer({ min: 1, max: 4 }),
    instance: fc.nat(1),
    txId: fc.constantFrom("x", "y"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      await using kv = await openStore(":memory:");
      const logs = [logOn(kv), logOn(kv)];
      for (const { what, name, height, instance, txId } of steps) {
        const blockId = `${name}${height}`;
        const before = await events(logs[0]!, "transactions");
        const drafts: Record<string, Draft> = {
          complete: complete(blockId, height),
          in: tx(txId, { status: "confirmed", blockId, blockHeight: height }),
          out: tx(txId, {
            status: "pending",
            cause: "reorg",
            left: { blockId, height },
          }),
          reset: draft(
            "CHAIN_RESET",
            { keeps: { blockId, height }, timestamp: WHEN },
            { channel: "transactions" },
          ),
        };
        await logs[instance]!.append([drafts[what]!]);
        if (what !== "complete") continue;
        // The naive fold: an event about a height opens it and all above it.
        let standing: Fields[] = [];
        for (const { type, payload } of before) {
          const { left, keeps, blockHeight } = payload as {
            left?: { height: number };
            keeps?: { height: number };
            blockHeight?: number;
          };
          const opened = type === "BLOCK_COMPLETE"
            ? payload["height"] as number
            : type === "CHAIN_RESET"
            ? keeps!.height + 1
            : blockHeight ?? left?.height ?? Infinity;
          standing = standing.filter((it) => Number(it["height"]) < opened);
          if (type === "BLOCK_COMPLETE") standing.push(payload);
        }
        const holds = standing.some((it) => it["blockId"] === blockId);
        const after = await events(logs[0]!, "transactions");
        assert.equal(after.length - before.length, holds ? 0 : 1);
      }
    }),
    { numRuns: 150 },
  );
});

Deno.test("complete blocks are bounded, of each chain and in all, and tries undone", () => {
  const undoLog = new UndoLog();
  const completions = new Completions(undoLog);
  const at = (height: number) =>
    completionOf({ blockId: `a${height}`, height, transactions: 0 });
  for (let height = 0; height <= MAX_COMPLETE; height++) {
    completions.add("", at(height));
  }
  completions.bound();
  assert.equal(completions.find("", at(0)), undefined);
  assert.equal(completions.find("", at(1))?.height, 1);
  undoLog.begin();
  completions.add("", at(7));
  completions.open("", 3);
  assert.equal(completions.find("", at(7)), undefined);
  undoLog.end();
  assert.equal(completions.find("", at(MAX_COMPLETE))?.height, MAX_COMPLETE);

  for (let n = 1; n <= MAX_COMPLETE_CHAINS; n++) {
    completions.add(`${n}`, at(1));
    completions.bound();
  }
  assert.equal(completions.find("", at(1)), undefined);
  assert.equal(completions.find("1", at(1))?.height, 1);
});
