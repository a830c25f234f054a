/**
 * What became final, by the fold of two channels that are not in step, against
 * a ledger kept by one who knows the whole chain.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { AnyEvent } from "../../client/client.ts";
import {
  MAX_COMPLETE,
  MAX_HELD,
  MAX_REMEMBERED,
  SettledFold,
} from "../../client/settled_fold.ts";
import type { SettledCursor } from "../../client/settled_fold.ts";

interface Block {
  readonly blockId: string;
  readonly height: number;
  /** Its parent. */
  readonly on: string | undefined;
  readonly txIds: readonly string[];
}

/** The logs of both channels, as a service would write them. */
class Logs {
  readonly transactions: AnyEvent[] = [];
  readonly blocks: AnyEvent[] = [];

  write(
    channel: "transactions" | "blocks",
    type: string,
    payload: Record<string, unknown>,
  ): void {
    const seq = this[channel].length + 1;
    const event = { type, channel, epoch: "e", seq, payload };
    this[channel].push(event as unknown as AnyEvent);
  }

  add({ blockId, height, txIds }: Block): void {
    for (const txId of txIds) {
      const at = { blockId, blockHeight: height };
      this.write("transactions", "TX_RECEIVED", {
        ...{ txId, status: "confirmed", ...at },
      });
    }
    this.write("transactions", "BLOCK_COMPLETE", { blockId, height });
  }

  revert({ blockId, height, txIds }: Block): void {
    for (const txId of txIds.toReversed()) {
      const left = { blockId, height };
      this.write("transactions", "TX_RECEIVED", {
        ...{ txId, status: "pending", cause: "reorg", left },
      });
    }
  }

  reset(keeps: Block | undefined): void {
    const payload = { keeps: keeps ?? null, reason: "finality_broken" };
    this.write("blocks", "CHAIN_RESET", payload);
    this.write("transactions", "CHAIN_RESET", payload);
  }

  final({ blockId, height }: Block): void {
    this.write("blocks", "FINALITY", { level: "final", blockId, height });
  }
}

function event(
  type: string,
  payload: Record<string, unknown>,
  channel = "transactions",
): AnyEvent {
  return { type, channel, epoch: "e", seq: 1, payload } as unknown as AnyEvent;
}

const confirmed = (txId: string, height: number) =>
  event("TX_RECEIVED", {
    ...{ txId, status: "confirmed", blockId: `b${height}` },
    blockHeight: height,
  });
const complete = (height: number) =>
  event("BLOCK_COMPLETE", { blockId: `b${height}`, height });
const final = (height: number, level = "final") =>
  event("FINALITY", { level, blockId: `b${height}`, height }, "blocks");

function folded(fold: SettledFold, events: readonly AnyEvent[]): SettledFold {
  for (const each of events) fold.take(each, true);
  return fold;
}

const ids = (events: readonly AnyEvent[]) =>
  events.map(({ payload }) => (payload as { txId: string }).txId);

Deno.test("a ledger of what is settled is that of the final chain, wherever it is killed and however the channels drift", async () => {
  const step = fc.record({
    what: fc.constantFrom(
      ...["mine", "mine", "reorg", "back", "final", "break"],
    ),
    depth: fc.integer({ min: 1, max: 4 }),
    chosen: fc.array(fc.nat(7), { maxLength: 3 }),
  });
  const turn = fc.record({
    channel: fc.constantFrom("transactions" as const, "blocks" as const),
    count: fc.integer({ min: 1, max: 6 }),
    then: fc.constantFrom("go on", "take", "take", "die"),
  });
  await fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 14 }),
      fc.array(turn, { maxLength: 40 }),
      (steps, turns) => {
        const logs = new Logs();
        const chain: Block[] = [];
        let final = 0;
        let serial = 0;
        const mine = (chosen: readonly number[]) => {
          // A transaction is in one block of a branch.
          const used = new Set(chain.flatMap(({ txIds }) => txIds));
          const txIds = [...new Set(chosen.map((n) => `t${n}`))]
            .filter((txId) => !used.has(txId));
          const height = chain.length + 1;
          const on = chain.at(-1)?.blockId;
          put({ blockId: `b${serial++}`, height, on, txIds });
        };
        /** What the chain up to a block holds. */
        const holds = new Map<string, readonly string[]>();
        const put = (block: Block) => {
          chain.push(block);
          const all = chain.flatMap(({ txIds }) => txIds).sort();
          holds.set(block.blockId, all);
          logs.add(block);
        };
        let left: Block[] = [];
        const rollback = (count: number) => {
          left = chain.splice(chain.length - count);
          for (const gone of left.toReversed()) logs.revert(gone);
        };
        for (const { what, depth, chosen } of steps) {
          if (what === "mine") mine(chosen);
          if (what === "reorg") {
            const count = Math.min(depth, chain.length - final);
            rollback(count);
            for (let i = 0; i <= count; i++) mine(chosen.slice(i));
          }
          if (what === "back" && left.length > 0) {
            const branch = left;
            const [{ height, on }] = branch as [Block];
            const isFork = chain[height - 2]?.blockId === on;
            if (isFork && height > final) {
              rollback(chain.length - height + 1);
              for (const block of branch) put(block);
            }
          }
          if (what === "final" && chain.length - depth > final) {
            final = chain.length - depth;
            logs.final(chain[final - 1]!);
          }
          if (what === "break" && depth === 4) {
            chain.splice(Math.max(0, final - 2));
            final = Math.min(final, chain.length);
            logs.reset(chain.at(-1));
          }
        }
        mine([]);
        logs.final(chain.at(-1)!);

        const ledger = new Set<string>();
        let cursor: SettledCursor | undefined;
        const begin = (after: SettledCursor | undefined) => {
          const fold = new SettledFold({ after });
          fold.at.transactions ??= { epoch: "e", seq: 0 };
          fold.at.blocks ??= { epoch: "e", seq: 0 };
          return fold;
        };
        let fold = begin(undefined);
        const run = (channel: "transactions" | "blocks", count: number) => {
          const { seq } = fold.at[channel]!;
          for (const each of logs[channel].slice(seq, seq + count)) {
            fold.take(each, true);
          }
        };
        const take = () => {
          const change = fold.change();
          for (const txId of change.reverted) assert(ledger.delete(txId));
          for (const txId of ids(change.added)) {
            assert(!ledger.has(txId), "once");
            ledger.add(txId);
          }
          if (change.block) {
            const all = holds.get(change.block.blockId);
            assert.deepEqual([...ledger].sort(), all, "at any time");
          }
          // As it is written to a file.
          cursor = JSON.parse(JSON.stringify(change.cursor));
        };
        for (const { channel, count, then } of turns) {
          run(channel, count);
          if (then === "take") take();
          if (then === "die") fold = begin(cursor);
        }
        run("transactions", Infinity);
        run("blocks", Infinity);
        take();

        assert.deepEqual(cursor!.block, {
          blockId: chain.at(-1)!.blockId,
          height: chain.length,
        });
        assert.deepEqual(cursor!.held, {});
      },
    ),
    { numRuns: 4_000 },
  );
});

Deno.test("what is final is added once its block is complete, not before, and at the level asked for", () => {
  const begin = (level: "final" | "safe") =>
    folded(new SettledFold({ level }), [
      confirmed("x", 1),
      complete(1),
      confirmed("y", 2),
      final(2, "safe"),
    ]);
  const fold = begin("final");
  assert.deepEqual(ids(fold.change().added), []);
  folded(fold, [final(2)]);
  assert.deepEqual(ids(fold.change().added), []);
  folded(fold, [complete(2)]);
  const change = fold.change();
  assert.deepEqual(ids(change.added), ["x", "y"]);
  assert.deepEqual(change.block, { blockId: "b2", height: 2 });
  assert.deepEqual(ids(fold.change().added), []);
  const safe = folded(begin("safe"), [complete(2)]);
  assert.deepEqual(ids(safe.change().added), ["x", "y"]);
});

Deno.test("what was added and falls before it is taken is not mentioned", () => {
  const fold = folded(new SettledFold({}), [
    confirmed("x", 1),
    complete(1),
    final(1),
    event("CHAIN_RESET", { keeps: null }, "blocks"),
    event("CHAIN_RESET", { keeps: null }),
  ]);
  const { added, reverted, block } = fold.change();
  assert.deepEqual({ added, reverted, block }, {
    added: [],
    reverted: [],
    block: undefined,
  });
});

Deno.test("what waits is bounded: to become final, and to be taken", () => {
  const all = Array.from({ length: MAX_HELD }, (_, i) => confirmed(`t${i}`, 1));
  const fold = folded(new SettledFold({}), all);
  assert.throws(() => fold.take(confirmed("more", 1), true), {
    code: "QUEUE_FULL",
  });
  const slow = folded(new SettledFold({}), [...all, complete(1), final(1)]);
  folded(slow, [confirmed("more", 2), complete(2)]);
  assert.throws(() => slow.take(final(2), true), { code: "QUEUE_FULL" });
});

Deno.test("a bounded number of complete blocks is known, and a later one reports an older one", () => {
  const fold = new SettledFold({});
  folded(fold, [confirmed("x", 1)]);
  for (let height = 1; height <= MAX_COMPLETE + 1; height++) {
    fold.take(complete(height), true);
  }
  assert.equal(fold.change().cursor.complete.length, MAX_COMPLETE);
  folded(fold, [final(1)]);
  assert.deepEqual(ids(fold.change().added), []);
  folded(fold, [final(2)]);
  assert.deepEqual(ids(fold.change().added), ["x"]);
});

Deno.test("a bounded number of what was added is remembered, and one that falls beyond it ends it", () => {
  const begin = () => {
    const fold = folded(new SettledFold({}), [
      confirmed("old", 1),
      complete(1),
    ]);
    for (let i = 0; i < MAX_REMEMBERED; i++) {
      fold.take(confirmed(`t${i}`, 2), true);
    }
    folded(fold, [complete(2), final(2)]);
    assert.equal(fold.change().added.length, MAX_REMEMBERED + 1);
    return fold;
  };
  const reset = (height: number) =>
    event("CHAIN_RESET", { keeps: { blockId: `b${height}`, height } });
  assert.equal(
    folded(begin(), [reset(1)]).change().reverted.length,
    MAX_REMEMBERED,
  );
  assert.throws(() => begin().take(reset(0), true), { code: "EVENTS_LOST" });
  const back = event("TX_RECEIVED", {
    ...{ txId: "old", status: "pending", cause: "reorg" },
    left: { blockId: "b1", height: 1 },
  });
  assert.throws(() => begin().take(back, true), { code: "EVENTS_LOST" });
});

Deno.test("a block of which the node did not give all ends it", () => {
  const missing = ["receipts"];
  const partial = event("BLOCK_COMPLETE", {
    blockId: "b1",
    height: 1,
    missing,
  });
  assert.throws(() => new SettledFold({}).take(partial, true), {
    code: "EVENTS_LOST",
    message: "The transactions of block 1 are not known",
  });
});
