import assert from "node:assert/strict";
import fc from "fast-check";
import { Dag, MAX_DAG_EDGES, MAX_DAG_NODES } from "../../chain/dag.ts";
import { EqualParts, MAX_SHARES } from "../../chain/equal_parts.ts";
import { MAX_TRANSACTIONS, Transactions } from "../../chain/transactions.ts";
import { openStore } from "../../store/deno_kv.ts";
import { txReceived } from "../transactions.ts";
import { draft, logOn, WHEN } from "./chain_log.ts";
import type { Fields } from "./chain_log.ts";

Deno.test("who holds no more than an equal part loses nothing, whatever others take", () => {
  const taken = fc.record({
    owner: fc.constantFrom("a", "b", "c"),
    cost: fc.nat(4),
  });
  fc.assert(
    fc.property(
      fc.array(taken, { maxLength: 60 }),
      fc.integer({ min: 3, max: 20 }),
      fc.constantFrom("names" as const, "cost" as const),
      (all, bound, of) => {
        const shares = new EqualParts();
        const held = new Map<string, { owner: string; cost: number }>();
        const size = (owner?: string) =>
          [...held.values()].filter((it) => !owner || it.owner === owner)
            .reduce((sum, { cost }) => sum + (of === "names" ? 1 : cost), 0);
        for (const [i, { owner, cost }] of all.entries()) {
          held.set(`${i}`, { owner, cost });
          assert.equal(shares.take(owner, `${i}`, cost), owner);
          while (size() > bound) {
            const name = shares.oldest(of)!;
            const { owner, cost } = held.get(name)!;
            assert(size(owner) > bound / 3, `${owner} had its part`);
            const own = [...held].filter(([, it]) => it.owner === owner);
            assert.equal(name, own[0]![0], "its oldest");
            shares.leave(owner, name, cost);
            held.delete(name);
          }
        }
      },
    ),
    { numRuns: 1_000 },
  );
});

Deno.test("a bounded number of publishers has a share of their own", () => {
  const shares = new EqualParts();
  for (let i = 1; i < MAX_SHARES; i++) {
    assert.equal(shares.take(`p${i}`, `n${i}`), `p${i}`);
  }
  assert.equal(shares.take("q", "q1"), "q");
  assert.equal(shares.take("r", "r1"), "");
  assert.equal(shares.take("q", "q2"), "q");
  // Those that have none together hold most, and give way first.
  assert.equal(shares.take("s", "s1"), "");
  assert.equal(shares.take("t", "t1"), "");
  assert.equal(shares.oldest("names"), "r1");
  shares.leave("q", "q1");
  shares.leave("q", "q2");
  shares.leave("", "r1");
  shares.leave("", "s1");
  shares.leave("", "t1");
  assert.equal(shares.take("r", "r2"), "r");
});

Deno.test("a publisher that fills the memory of transactions pushes out none of another's", () => {
  const transactions = new Transactions();
  const status = { status: "pending", isUnsure: false };
  const half = MAX_TRANSACTIONS / 2;
  for (let i = 0; i < half; i++) transactions.set("", `t${i}`, status, "a");
  for (let i = 0; i < 2 * half; i++) {
    transactions.set("", `u${i}`, status, "b");
    // An event about another's transaction does not change the owner.
    if (i === 0) transactions.set("", "t0", status, "b");
    transactions.bound();
  }
  assert.equal(transactions.size, MAX_TRANSACTIONS);
  for (let i = 0; i < half; i++) assert(transactions.get("", `t${i}`));
  assert.equal(transactions.get("", `u${half - 1}`), undefined);
  assert(transactions.get("", `u${half}`));
  // One more than its part, and that is its own loss.
  transactions.set("", "t", status, "a");
  transactions.bound();
  assert.equal(transactions.get("", "t1"), undefined);
  assert(transactions.get("", `u${half}`));
});

Deno.test("a publisher that fills the memory of the DAG pushes out none of another's", () => {
  const add = (dag: Dag, nodeId: string, owner: string, edges = 0) => {
    const relatedNodes = Array.from({ length: edges }, (_, i) => `p${i}`);
    const payload = { updateType: "NODE_ADDED", nodeId, relatedNodes };
    dag.apply(payload, {}, owner);
    dag.bound();
  };
  const isKnown = (dag: Dag, nodeId: string) =>
    dag.missing({ relatedNodes: [nodeId] }).length === 0;
  const dag = new Dag();
  add(dag, "mine", "a", 2);
  for (let i = 0; i < MAX_DAG_NODES; i++) add(dag, `n${i}`, "b");
  assert.equal(dag.size, MAX_DAG_NODES);
  assert(isKnown(dag, "mine") && !isKnown(dag, "n0") && isKnown(dag, "n1"));

  dag.clear();
  add(dag, "mine", "a", 2);
  for (let i = 0; i * 1_024 < MAX_DAG_EDGES; i++) {
    add(dag, `n${i}`, "b", 1_024);
  }
  assert(isKnown(dag, "mine") && !isKnown(dag, "n0") && isKnown(dag, "n1"));
});

Deno.test("a publisher's transactions stay stored while another publishes many", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const tx = (subject: string, txId: string, status: string) =>
    draft(
      "TX_RECEIVED",
      txReceived({ txId, status, timestamp: WHEN })
        .payload as unknown as Fields,
      { publisher: { subject, maxRooms: Infinity } },
    );
  await log.append([tx("quiet", "mine", "confirmed")]);
  for (let sent = 0; sent <= MAX_TRANSACTIONS; sent += 200) {
    await log.append(
      Array.from(
        { length: 200 },
        (_, i) => tx("busy", `t${sent + i}`, "confirmed"),
      ),
    );
  }
  const [first] = await log.append([tx("busy", "t0", "pending")]);
  assert.equal(first!.contradicts, undefined, "its own is forgotten");
  const [late] = await log.append([tx("quiet", "mine", "pending")]);
  assert.deepEqual(late!.contradicts, { status: "confirmed" });
});
