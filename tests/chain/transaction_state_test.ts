import assert from "node:assert/strict";
import fc from "fast-check";
import { ChainIngest } from "../../chain/ingest.ts";
import { MAX_FOLLOWED_EVENTS } from "../../chain/log_follower.ts";
import { TAIL_BLOCKS } from "../../chain/spine.ts";
import { lookedUpState, stateOf } from "../../chain/transaction_state.ts";
import type { TransactionState } from "../../protocol/states.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Draft, EventLog } from "../../store/event_log.ts";
import { txReceived } from "../transactions.ts";
import { block, draft, events, logOn, newBlock, WHEN } from "./chain_log.ts";
import type { Fields } from "./chain_log.ts";

/** Transactions that are reported. */
const TRANSACTIONS = ["x", "y", "z"];

/** Newest payload of each transaction. */
type Newest = ReadonlyMap<string, Fields>;

function tx(txId: string, status: "pending" | "confirmed", in_?: Fields) {
  const at = in_ && { blockId: in_["blockId"], blockHeight: in_["height"] };
  const { payload } = txReceived({ txId, status, timestamp: WHEN, ...at });
  return draft("TX_RECEIVED", payload as unknown as Fields);
}

function reverted({ blockId, height }: Fields): Draft {
  return draft("BLOCK_REVERTED", {
    blockId,
    height,
    reason: "reorg",
    timestamp: WHEN,
  });
}

function final({ blockId, height }: Fields): Draft {
  const level = "final";
  return draft("FINALITY", { level, blockId, height, timestamp: WHEN });
}

function reset(keeps: Fields | null): Draft {
  return draft("CHAIN_RESET", {
    keeps: keeps && { blockId: keeps["blockId"], height: keeps["height"] },
    reason: "deeper_than_kept",
    timestamp: WHEN,
  });
}

/** The state of `blocks` and `transactions`, folded from their first events. */
async function foldOf(log: EventLog) {
  let chain: Fields[] = [];
  let final = -1;
  const reported = new Map<string, Fields>();
  for (const { type, payload } of await events(log)) {
    const at = chain.findLastIndex((it) =>
      it["blockId"] === payload["blockId"]
    );
    if (type === "NEW_BLOCK") {
      if (at < 0) chain.push(payload);
      reported.set(payload["blockId"] as string, payload);
    }
    if (type === "BLOCK_REVERTED" && at >= 0) chain = chain.slice(0, at);
    if (type === "FINALITY") final = Math.max(final, Number(payload["height"]));
    if (type !== "CHAIN_RESET") continue;
    const keeps = payload["keeps"] as Fields | null;
    const kept = chain.findLastIndex((it) =>
      it["blockId"] === keeps?.["blockId"]
    );
    chain = chain.slice(0, kept + 1);
    final = Math.min(final, Number(keeps?.["height"] ?? -1));
  }
  const newest = new Map<string, Fields>();
  for (const { type, payload } of await events(log, "transactions")) {
    if (type === "TX_RECEIVED") newest.set(payload["txId"] as string, payload);
  }
  return { chain, final, newest, reported: [...reported.values()] };
}

/** The state of a transaction by that fold. */
function expected(
  { chain, final, newest }: {
    chain: readonly Fields[];
    final: number;
    newest: Newest;
  },
  txId: string,
): TransactionState {
  const payload = newest.get(txId);
  if (!payload) return "unknown";
  if (payload["status"] === "pending") {
    return payload["cause"] === "reorg" ? "reverted" : "seen";
  }
  const height = Number(payload["blockHeight"]);
  const stands = chain.some((it) => it["blockId"] === payload["blockId"]);
  if (!stands) return "reverted";
  if (height <= final) return "final";
  return Number(chain.at(-1)!["height"]) > height ? "confirmed" : "included";
}

/** One event of a publisher, chosen by numbers. */
const said = fc.record({
  what: fc.constantFrom(
    ...["block", "block", "block", "revert", "tx", "tx", "tx"],
    ...["pending", "final", "reset"],
  ),
  which: fc.nat(99),
  name: fc.constantFrom("a", "b"),
  txId: fc.constantFrom(...TRANSACTIONS),
});

Deno.test("a transaction's state follows the current chain, also before its revert is published", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(said, { minLength: 4, maxLength: 16 }),
      async (steps) => {
        await using kv = await openStore(":memory:");
        const log = logOn(kv);
        await log.append([newBlock("a0", 0)]);
        for (const { what, which, name, txId } of steps) {
          const { chain, reported } = await foldOf(log);
          const stands = chain[which % (chain.length || 1)];
          const height = Number(stands?.["height"] ?? -1) + 1;
          const parent = stands?.["blockId"] as string | undefined;
          const drafts: Record<string, Draft | undefined> = {
            block: newBlock(`${name}${height}`, height, parent),
            revert: chain.length > 0 ? reverted(chain.at(-1)!) : undefined,
            tx: tx(txId, "confirmed", reported[which % reported.length]!),
            pending: tx(txId, "pending"),
            final: stands && which % 4 === 0 ? final(stands) : undefined,
            reset: which % 2 === 0 ? reset(stands ?? null) : reset(null),
          };
          const message = drafts[what];
          if (message) await log.append([message]);
          const fold = await foldOf(log);
          const [head] = await log.heads(["blocks"]);
          // One that judged all of it, and one that begins now.
          const fresh = new ChainIngest({ check: "mark" });
          for (const chains of [log.ingest, fresh]) {
            await chains.follow("blocks", head!, log);
            for (const txId of TRANSACTIONS) {
              const { state } = stateOf(txId, fold.newest.get(txId), chains);
              assert.equal(state, expected(fold, txId), txId);
            }
          }
        }
      },
    ),
    { numRuns: 150 },
  );
});

Deno.test("between the revert of the tip and its publisher's take-back a transaction is reverted", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const a2 = { blockId: "a2", height: 2 };
  await log.append([newBlock("a1", 1), newBlock("a2", 2, "a1")]);
  await log.append([tx("x", "confirmed", a2)]);
  const { newest } = await foldOf(log);
  const state = () => stateOf("x", newest.get("x"), log.ingest);
  const held = { txId: "x", ok: true, blockId: "a2", height: 2 };
  assert.deepEqual(state(), { ...held, state: "included" });

  await log.append([reverted(a2)]);
  assert.deepEqual(state(), { txId: "x", state: "reverted" });

  await log.append([newBlock("a2", 2, "a1")]);
  assert.deepEqual(state(), { ...held, state: "included" });
});

Deno.test("a block that was not published yet does not make its transaction reverted", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  await log.append([newBlock("a1", 1)]);
  await log.append([tx("x", "confirmed", { blockId: "a2", height: 2 })]);
  const { newest } = await foldOf(log);
  const { state } = stateOf("x", newest.get("x"), log.ingest);
  assert.equal(state, "included");
});

Deno.test("a voided transaction stays void, for any number of later blocks and any reader", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const named = (name: string, height: number) => ({
    blockId: `${name}${height}`,
    height,
  });
  const branch = (name: string, from: number, to: number, parent: string) =>
    Array.from({ length: to - from + 1 }, (_, i) => {
      const previous = i === 0 ? parent : `${name}${from + i - 1}`;
      return newBlock(`${name}${from + i}`, from + i, previous);
    });
  const publish = async (drafts: readonly Draft[]) => {
    for (let i = 0; i < drafts.length; i += 50) {
      await log.append(drafts.slice(i, i + 50));
    }
  };
  await publish([newBlock("a0", 0), ...branch("a", 1, 20, "a0")]);
  await publish([
    tx("x", "confirmed", named("a", 3)),
    tx("y", "confirmed", named("a", 12)),
  ]);
  await publish([reset(named("a", 10))]);
  const { newest } = await foldOf(log);
  // Another chain at the same height does not concern this one.
  await publish([
    draft("NEW_BLOCK", { ...block("other", 3, "o"), chain: "b" }),
    ...branch("c", 11, 11 + MAX_FOLLOWED_EVENTS, "a10"),
    final(named("c", 2_000)),
  ]);
  const [head] = await log.heads(["blocks"]);
  const fresh = new ChainIngest({ check: "mark" });
  await fresh.follow("blocks", head!, log);
  assert.equal(fresh.find("")!.spine.standingOf("a12", 12), "old");
  for (const chains of [log.ingest, fresh]) {
    const look = async (txId: string) =>
      (await lookedUpState(txId, newest.get(txId), chains, log)).state;
    assert.equal(await look("x"), "final");
    assert.equal(await look("y"), "reverted");
  }
});

Deno.test("a block of old that names no parent replaces none of its height", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const at = (name: string, height: number) => newBlock(name, height);
  await log.append([at("a1", 1), at("b1", 1)]);
  await log.append([tx("x", "confirmed", { blockId: "a1", height: 1 })]);
  for (let i = 2; i < TAIL_BLOCKS + 4; i += 50) {
    const heights = Array.from({ length: 50 }, (_, n) => i + n);
    await log.append(heights.map((height) => at(`n${height}`, height)));
  }
  const { newest } = await foldOf(log);
  const [head] = await log.heads(["blocks"]);
  await log.ingest.follow("blocks", head!, log);
  assert.equal(log.ingest.find("")!.spine.standingOf("a1", 1), "old");
  const state = () => lookedUpState("x", newest.get("x"), log.ingest, log);
  assert.equal((await state()).state, "confirmed");
  await log.append([reverted({ blockId: "a1", height: 1 })]);
  assert.equal((await state()).state, "reverted");
});
