import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_TRANSACTIONS, Transactions } from "../../chain/transactions.ts";
import type { ChainFault } from "../../chain/trial.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Draft, EventLog } from "../../store/event_log.ts";
import { openTestService, tokenOf } from "../test_service.ts";
import {
  block,
  draft,
  events,
  logOn,
  newBlock,
  transaction,
  WHEN,
} from "./chain_log.ts";
import type { Fields } from "./chain_log.ts";
import { anyReport, reported } from "../transactions.ts";

function tx(status: string, more: Fields = {}): Draft {
  return transaction("x", status, more);
}

function held(status: string, blockId: string, blockHeight: number): Draft {
  return tx(status, { blockId, blockHeight });
}

/** The statuses of `transactions`, one word per event; `?` where marked. */
async function said(log: EventLog): Promise<string[]> {
  return (await events(log, "transactions")).map(({ type, payload }) => {
    if (type !== "TX_RECEIVED") return type;
    const { status, blockId, cause, contradicts } = payload;
    const at = blockId ? ` ${blockId}` : "";
    return `${status}${at}${cause ? ` (${cause})` : ""}${
      contradicts ? "?" : ""
    }`;
  });
}

Deno.test("a status that cannot follow is marked, and reported", async () => {
  await using kv = await openStore(":memory:");
  const faults: ChainFault[] = [];
  const log = logOn(kv, { faults });
  const answers = [];
  for (const status of ["pending", "confirmed", "failed", "pending"]) {
    answers.push((await log.append([tx(status)]))[0]!.contradicts);
  }
  assert.deepEqual(answers, [
    undefined,
    undefined,
    { status: "confirmed" },
    { status: "failed" },
  ]);
  assert.deepEqual(await said(log), [
    "pending",
    "confirmed",
    "failed?",
    "pending?",
  ]);
  const fault = { type: "status_contradicted", chain: "", txId: "x" };
  assert.deepEqual(faults, [
    { ...fault, status: "failed", before: "confirmed" },
    { ...fault, status: "pending", before: "failed" },
  ]);
  // The mark is the service's own to make.
  await log.append([tx("pending", { contradicts: { status: "failed" } })]);
  assert.equal((await said(log)).at(-1), "pending");
});

Deno.test("CHAIN_CHECK=refuse refuses a status that cannot follow, with its whole request", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv, { check: "refuse" });
  await log.append([tx("confirmed")]);
  await assert.rejects(
    log.append([tx("pending", { txId: "y" }), tx("failed")]),
    { code: "STATUS_CONFLICT" },
  );
  await log.append([tx("confirmed", { txId: "y" })]);
  assert.deepEqual(await said(log), ["confirmed", "confirmed"]);
});

Deno.test("a stored status is not stored again: its publisher gets the first position", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  await log.append([newBlock("a1", 1, "a0"), newBlock("a2", 2, "a1")]);
  const [first] = await log.append([held("confirmed", "a2", 2)]);
  const [again] = await log.append([
    { ...held("confirmed", "a2", 2), id: "mine" },
  ]);
  assert.deepEqual(again, { ...first!, id: "mine" });
  const twice = await log.append([
    tx("confirmed", { txId: "w", blockId: "a2", blockHeight: 2 }),
    tx("confirmed", { txId: "w", blockId: "a2", blockHeight: 2 }),
  ]);
  assert.equal(twice[0]!.seq, first!.seq + 1);
  assert.deepEqual(twice[1], twice[0], "one request");
  // News of the pool comes too late once a standing block holds it.
  const contradicts = { status: "confirmed", blockId: "a2" };
  for (const status of ["pending", "replaced", "dropped"]) {
    assert.deepEqual(await log.append([tx(status)]), [
      { ...first!, contradicts },
    ]);
  }
  assert.deepEqual(await said(log), ["confirmed a2", "confirmed a2"]);
  // An outcome that was not known may be reported later.
  const missing = { missing: ["receipt"], txId: "z", blockId: "a2" };
  await log.append([tx("confirmed", missing)]);
  await log.append([tx("failed", { txId: "z", blockId: "a2" })]);
  assert.deepEqual((await said(log)).slice(2), ["confirmed a2", "failed a2"]);
});

Deno.test("a transaction goes to another block only after it has left its first", async () => {
  await using kv = await openStore(":memory:");
  const faults: ChainFault[] = [];
  const log = logOn(kv, { faults });
  await log.append([newBlock("a1", 1, "a0"), newBlock("a2", 2, "a1")]);
  await log.append([held("confirmed", "a2", 2)]);
  // Its block lists nothing: the service learns of the move from the next.
  await log.append([newBlock("b2", 2, "a1"), held("failed", "b2", 2)]);
  assert.deepEqual(await said(log), [
    "confirmed a2",
    "pending (reorg)",
    "failed b2",
  ]);
  const [, back] = await events(log, "transactions");
  assert.deepEqual(back!.payload["left"], { blockId: "a2", height: 2 });
  // The take-back of an earlier block is old news.
  await log.append([
    tx("pending", { cause: "reorg", left: { blockId: "a2", height: 2 } }),
  ]);
  assert.equal((await said(log)).length, 3);
  // Two standing blocks cannot hold it.
  await log.append([newBlock("b3", 3, "b2"), held("confirmed", "b3", 3)]);
  assert.equal((await said(log)).at(-1), "confirmed b3?");
  assert.equal(faults.length, 1);
});

Deno.test("one request is judged in its order, with the reverts it brings about", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const listed = (name: string, height: number, on: string) =>
    draft("NEW_BLOCK", {
      ...block(name, height, on),
      transactionIds: ["x"],
    });
  await log.append([newBlock("a1", 1, "a0")]);
  await log.append([listed("a2", 2, "a1"), held("confirmed", "a2", 2)]);
  await log.append([listed("b2", 2, "a1"), held("confirmed", "b2", 2)]);
  // Back to the first: what was reported of it counts no more.
  await log.append([
    listed("a2", 2, "a1"),
    newBlock("a3", 3, "a2"),
    held("confirmed", "a2", 2),
    held("confirmed", "a2", 2),
  ]);
  assert.deepEqual(await said(log), [
    "confirmed a2",
    "pending (reorg)",
    "confirmed b2",
    "pending (reorg)",
    "confirmed a2",
  ]);
});

Deno.test("a reset voids what blocks above it held", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  await log.append([
    held("confirmed", "a2", 2),
    tx("confirmed", { txId: "y", blockId: "a1", blockHeight: 1 }),
    {
      ...draft("CHAIN_RESET", {
        keeps: { blockId: "a1", height: 1 },
        timestamp: WHEN,
      }),
      channel: "transactions",
    },
    tx("pending"),
    tx("pending", { txId: "y" }),
  ]);
  assert.deepEqual(await said(log), [
    "confirmed a2",
    "confirmed a1",
    "CHAIN_RESET",
    "pending",
    "pending?",
  ]);
});

Deno.test("chains do not judge each other's transactions", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  await log.append([tx("confirmed"), tx("pending", { chain: "evm:1" })]);
  assert.deepEqual(await said(log), ["confirmed", "pending"]);
});

Deno.test("a bounded number of transactions is remembered", () => {
  const transactions = new Transactions();
  const status = { status: "pending", isUnsure: false };
  for (let i = 0; i <= MAX_TRANSACTIONS; i++) {
    assert.equal(transactions.isWhole, true);
    transactions.set("", `t${i}`, status, "p");
  }
  transactions.bound();
  assert.equal(transactions.size, MAX_TRANSACTIONS);
  assert.equal(transactions.get("", "t0"), undefined);
  assert.equal(transactions.isWhole, false);
  assert.equal(transactions.pending()[0], `t${MAX_TRANSACTIONS}`);
});

/** What the machine of PROTOCOL.md allows, written without the service's own. */
function check(
  all: readonly { type: string; payload: Fields }[],
): void {
  const newest = new Map<unknown, Fields>();
  const isIn = (it?: Fields) =>
    it?.["status"] === "confirmed" || it?.["status"] === "failed";
  for (const { payload } of all) {
    const before = newest.get(payload["txId"]);
    newest.set(payload["txId"], payload);
    if (payload["contradicts"] || !before || !isIn(before)) continue;
    const isBack = payload["status"] === "pending" &&
      payload["cause"] !== undefined;
    const words = JSON.stringify([before, payload]);
    if (!isIn(payload)) {
      assert(isBack, words);
      continue;
    }
    // The same again is stored only while no block is named.
    assert.equal(payload["status"], before["status"], words);
    assert.equal(before["blockId"], undefined, words);
  }
}

Deno.test("with any events of two publishers, on two instances of one store, unmarked statuses follow each other", async () => {
  const step = fc.record({
    who: fc.nat(1),
    txId: fc.constantFrom("x", "y", "z"),
    report: anyReport,
    blockId: fc.constantFrom(undefined, "a", "b"),
    together: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      await using kv = await openStore(":memory:");
      const logs = [logOn(kv), logOn(kv)];
      const pending: Promise<unknown>[] = [];
      for (const { who, txId, report, blockId, together } of steps) {
        const { status, ...more } = reported(report, blockId, 2);
        pending.push(logs[who]!.append([tx(status, { txId, ...more })]));
        if (!together) await Promise.all(pending.splice(0));
      }
      await Promise.all(pending);
      const all = await events(logs[0]!, "transactions");
      check(all);
      // An instance that reads the log judges alike.
      const third = logOn(kv);
      const newest = new Map(all.map((each) => [each.payload["txId"], each]));
      for (const { payload } of newest.values()) {
        if (payload["status"] !== "confirmed" || !payload["blockId"]) continue;
        await third.append([draft("TX_RECEIVED", payload)]);
      }
      assert.equal((await events(third, "transactions")).length, all.length);
      await Promise.all([...logs, third].map((log) => log.settled()));
    }),
    { numRuns: 150 },
  );
});

Deno.test("over HTTP the publisher is notified of a late status, and subscribers do not receive it", async () => {
  await using service = await openTestService();
  const authorization = `Bearer ${await tokenOf("publisher")}`;
  const publish = async (messages: readonly Draft[]) => {
    const response = await service.request("/api/publish", {
      method: "POST",
      headers: { authorization, "content-type": "application/json" },
      body: JSON.stringify({
        messages: messages.map(({ type, payload }) => ({ type, payload })),
      }),
    });
    assert.equal(response.status, 200);
    return (await response.json()).accepted as Fields[];
  };
  const [, first] = await publish([
    newBlock("a1", 1, "a0"),
    held("confirmed", "a1", 1),
  ]);
  const [late] = await publish([tx("pending")]);
  assert.deepEqual(late!["contradicts"], {
    status: "confirmed",
    blockId: "a1",
  });
  assert.equal(late!["seq"], first!["seq"]);
  const answer = await service.request("/api/transactions/x");
  assert.equal((await answer.json()).state, "included");
  assert.deepEqual(service.bugs, []);
});
