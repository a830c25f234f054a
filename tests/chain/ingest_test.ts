import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_CHAINS, MAX_CHAINS_PER_PUBLISHER } from "../../chain/ingest.ts";
import { MAX_REVERTS } from "../../chain/block_judge.ts";
import type { ChainFault } from "../../chain/trial.ts";
import { systemClock } from "../../platform/clock.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { EventLog } from "../../store/event_log.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import { openTestService, serviceOn, tokenOf } from "../test_service.ts";
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

/** The events of the channel, one word each. */
async function said(log: EventLog, channel = "blocks"): Promise<string[]> {
  return (await events(log, channel)).map(({ type, payload }) => {
    switch (type) {
      case "NEW_BLOCK": {
        const gap = payload["gapBefore"] as { from: number; to: number };
        return `+${payload["blockId"]}${
          gap ? ` (${gap.from}..${gap.to})` : ""
        }`;
      }
      case "BLOCK_REVERTED":
        return `-${payload["blockId"]}`;
      case "CHAIN_RESET": {
        const keeps = payload["keeps"] as { blockId: string } | null;
        return `!${keeps?.blockId} ${payload["reason"]}`;
      }
      case "TX_RECEIVED":
        return `${payload["txId"]} ${payload["status"]}`;
      default:
        return type;
    }
  });
}

Deno.test("a publisher that only adds blocks gives a right chain: missing reverts are written", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  await log.append([newBlock("a1", 1, "a0"), newBlock("a2", 2, "a1")]);
  await log.append([newBlock("a3", 3, "a2")]);
  const [at] = await log.append([newBlock("b2", 2, "a1")]);
  assert.deepEqual(await said(log), ["+a1", "+a2", "+a3", "-a3", "-a2", "+b2"]);
  assert.equal(at!.seq, 6);
  const reverted = (await events(log))[3]!.payload;
  assert.deepEqual(
    { ...reverted, timestamp: WHEN },
    {
      blockId: "a3",
      height: 3,
      previousHash: "a2",
      reason: "reorg",
      timestamp: WHEN,
    },
  );
  // What is asked for follows: the orphan answers its revert.
  assert.match((await log.latest("block:a2"))!, /BLOCK_REVERTED/);
  assert.match((await log.latest("block#2"))!, /"blockId":"b2"/);
});

Deno.test("a current block is not stored again: its publisher gets its first position", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const first = await log.append([
    newBlock("a1", 1, "a0"),
    newBlock("a2", 2, "a1"),
  ]);
  const other = { publisher: { subject: "q", maxRooms: Infinity }, id: "mine" };
  const again = await log.append([
    { ...newBlock("a1", 1, "a0"), ...other },
    newBlock("a3", 3, "a2"),
    newBlock("a3", 3, "a2"),
  ]);
  assert.deepEqual(again[0], { ...first[0]!, id: "mine" });
  assert.deepEqual(again[1], again[2]);
  assert.deepEqual(await said(log), ["+a1", "+a2", "+a3"]);
  // Under the same id too, and also once it was reverted.
  await log.append([newBlock("b1", 1, "a0"), newBlock("b2", 2, "b1")]);
  assert.deepEqual(
    await log.append([{ ...newBlock("a1", 1, "a0"), ...other }]),
    [{ ...first[0]!, id: "mine" }],
  );
});

Deno.test("a block whose parent is unknown is marked, and its publisher receives what is missing until that is there", async () => {
  await using kv = await openStore(":memory:");
  const faults: ChainFault[] = [];
  const log = logOn(kv, { faults });
  await log.append([newBlock("a1", 1, "a0")]);
  const named = { ...newBlock("a5", 5, "a4"), id: "five" };
  const missing = { from: 2, to: 4 };
  assert.deepEqual((await log.append([named]))[0]!.missing, missing);
  // The answer may have been lost.
  assert.deepEqual((await log.append([named]))[0]!.missing, missing);
  assert.deepEqual(
    (await log.append([newBlock("a5", 5, "a4")]))[0]!.missing,
    missing,
  );
  assert.deepEqual(faults, [{
    type: "blocks_missing",
    chain: "",
    blockId: "a5",
    height: 5,
    missing,
  }]);
  // Nor does it heal by itself.
  const [above] = await log.append([newBlock("a6", 6, "a5")]);
  assert.deepEqual(above!.missing, missing);
  const filled = [2, 3, 4, 5].map((h) => newBlock(`a${h}`, h, `a${h - 1}`));
  const answers = await log.append(filled);
  assert(answers.every((answer) => answer.missing === undefined));
  assert.deepEqual(
    await said(log),
    ["+a1", "+a5 (2..4)", "+a6", "-a6", "-a5", "+a2", "+a3", "+a4", "+a5"],
  );
});

Deno.test("CHAIN_CHECK=refuse stores nothing of a request with an unknown parent", async () => {
  await using kv = await openStore(":memory:");
  const faults: ChainFault[] = [];
  const log = logOn(kv, { check: "refuse", faults });
  await log.append([newBlock("a1", 1, "a0")]);
  const [refused, taken] = await Promise.allSettled([
    log.append([newBlock("a2", 2, "a1"), newBlock("a5", 5, "a4")]),
    log.append([newBlock("b2", 2, "a1")]),
  ]);
  assert.equal(refused.status, "rejected");
  assert.equal(
    (refused as PromiseRejectedResult).reason.code,
    "PARENT_UNKNOWN",
  );
  assert.equal(taken.status, "fulfilled");
  assert.deepEqual(await said(log), ["+a1", "+b2"]);
  assert.deepEqual(faults, []);
  await log.append([newBlock("b3", 3, "b2")]);
  assert.deepEqual(await said(log), ["+a1", "+b2", "+b3"]);
});

Deno.test("a level only rises, and what is safe is reset like what is final", async () => {
  await using kv = await openStore(":memory:");
  const faults: ChainFault[] = [];
  const log = logOn(kv, { faults });
  for (const h of [1, 2, 3, 4, 5]) {
    await log.append([newBlock(`a${h}`, h, `a${h - 1}`)]);
  }
  const level = (level: string, height: number) =>
    draft("FINALITY", {
      level,
      blockId: `a${height}`,
      height,
      timestamp: WHEN,
    });
  const [safe] = await log.append([level("safe", 3)]);
  assert.deepEqual(await log.append([level("safe", 2)]), [safe]);
  // In one request, too.
  const twice = await log.append([level("final", 2), level("final", 2)]);
  assert.equal(twice[0]!.seq, safe!.seq + 1);
  assert.deepEqual(twice[1], twice[0]);
  await log.append([newBlock("b4", 4, "a3")]);
  assert.deepEqual(faults, []);
  // An instance that begins now judges as one that saw it all.
  const other = logOn(kv, { faults });
  assert.deepEqual(await other.append([level("safe", 3)]), [safe]);
  await other.append([newBlock("c3", 3, "a2")]);
  assert.deepEqual(faults.map(({ type }) => type), ["finality_broken"]);
  assert.deepEqual((await said(log)).slice(5), [
    "FINALITY",
    "FINALITY",
    "-a5",
    "-a4",
    "+b4",
    "!a2 finality_broken",
    "+c3",
  ]);
});

Deno.test("what is final is not reverted but reset, aloud, and final only rises", async () => {
  await using kv = await openStore(":memory:");
  const faults: ChainFault[] = [];
  const log = logOn(kv, { faults });
  for (const h of [1, 2, 3, 4]) {
    await log.append([newBlock(`a${h}`, h, `a${h - 1}`)]);
  }
  const final = (height: number) =>
    draft("FINALITY", {
      level: "final",
      blockId: `a${height}`,
      height,
      timestamp: WHEN,
    });
  const [first] = await log.append([final(3)]);
  assert.deepEqual(await log.append([final(2)]), [first]);
  await log.append([newBlock("b4", 4, "a3")]);
  assert.deepEqual(faults, []);
  await log.append([newBlock("c3", 3, "a2")]);
  await log.append([draft("FINALITY", {
    level: "final",
    blockId: "c3",
    height: 3,
    timestamp: WHEN,
  })]);
  await log.append([draft("BLOCK_REVERTED", {
    blockId: "c3",
    height: 3,
    timestamp: WHEN,
  })]);
  assert.deepEqual(faults.map(({ type, blockId }) => `${type} ${blockId}`), [
    "finality_broken c3",
    "finality_broken c3",
  ]);
  assert.deepEqual((await said(log)).slice(4), [
    "FINALITY",
    "-a4",
    "+b4",
    "!a2 finality_broken",
    "+c3",
    "FINALITY",
    "!a2 finality_broken",
  ]);
});

Deno.test("a revert pops the tip: blocks above are reverted first, a block not in the chain is not", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  for (const h of [1, 2, 3, 4]) {
    await log.append([newBlock(`a${h}`, h, `a${h - 1}`)]);
  }
  const revert = (height: number) =>
    draft("BLOCK_REVERTED", { blockId: `a${height}`, height, timestamp: WHEN });
  await log.append([revert(3)]);
  await log.append([revert(4)]);
  await log.append([revert(3)]);
  assert.deepEqual((await said(log)).slice(4), ["-a4", "-a3"]);
});

Deno.test("[T3] [L1] transactions of blocks that the service reverts are pending again, last first, and their logs void", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const transfers = [
    { asset: "erc20", token: "c", from: "f", to: "r", amount: "5" },
  ];
  const tx = (txId: string, status: string, blockId?: string) =>
    transaction(txId, status, {
      ...(blockId ? { blockId, blockHeight: 2, index: 0, fee: "3" } : {}),
      ...(status === "confirmed" ? { transfers } : {}),
    });
  await log.append([newBlock("a1", 1, "a0")]);
  await log.append([
    draft("NEW_BLOCK", {
      ...block("a2", 2, "a1"),
      transactionIds: ["x", "y", "z", "unheard"],
    }),
    tx("x", "confirmed", "a2"),
    tx("y", "failed", "a2"),
    // Reported again meanwhile, as part of another block.
    tx("z", "confirmed", "elsewhere"),
  ]);
  await log.append([newBlock("b2", 2, "a1")]);
  assert.deepEqual((await said(log, "transactions")).slice(3), [
    "y pending",
    "x pending",
  ]);
  const last = (await events(log, "transactions")).at(-1)!.payload;
  assert.equal(last["cause"], "reorg");
  // A filter by the receiver finds the transfer, and that it is void.
  assert.deepEqual(last["transfers"], transfers);
  assert.deepEqual(last["left"], { blockId: "a2", height: 2 });
  assert.equal(last["blockId"], undefined);
  assert.equal(last["fee"], undefined);
  assert.match((await log.latest("transaction:x"))!, /"pending"/);
  // Contract events go with them, once a block.
  const logs = (txId: string) =>
    draft("TX_LOGS", {
      txId,
      blockId: "b3",
      blockHeight: 3,
      logs: [],
    });
  await log.append([
    draft("NEW_BLOCK", {
      ...block("b3", 3, "b2"),
      transactionIds: ["x", "y"],
    }),
    logs("x"),
    logs("y"),
  ]);
  await log.append([newBlock("d3", 3, "b2")]);
  const voided = (await events(log, "logs")).slice(2);
  assert.deepEqual(
    voided.map(({ type, payload }) => [type, payload["blockId"]]),
    [["LOGS_REVERTED", "b3"]],
  );
  assert.equal((await said(log, "transactions")).length, 5);
  await log.append([newBlock("e3", 3, "b2")]);
  assert.equal((await events(log, "logs")).length, 3);
  // More than can be read is void at once.
  await log.append([draft("NEW_BLOCK", {
    ...block("f3", 3, "b2"),
    transactionCount: 9,
  })]);
  await log.append([newBlock("c3", 3, "b2")]);
  for (const channel of ["transactions", "logs"]) {
    assert.equal(
      (await said(log, channel)).at(-1),
      "!b2 deeper_than_kept",
      channel,
    );
  }
});

Deno.test("a fork deeper than one commit holds is a reset", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  for (let h = 1; h <= MAX_REVERTS + 2; h++) {
    await log.append([newBlock(`a${h}`, h, `a${h - 1}`)]);
  }
  await log.append([newBlock("b3", 3, "a2")]);
  const all = await said(log);
  assert.equal(all.filter((word) => word.startsWith("-")).length, MAX_REVERTS);
  await log.append(
    Array.from(
      { length: MAX_REVERTS },
      (_, i) => newBlock(`b${i + 4}`, i + 4, `b${i + 3}`),
    ),
  );
  await log.append([newBlock("c3", 3, "a2")]);
  assert.deepEqual((await said(log)).slice(-2), [
    "!a2 deeper_than_kept",
    "+c3",
  ]);
});

Deno.test("reverts that do not go with other requests go in a commit of their own", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  for (let h = 1; h <= 100; h++) {
    await log.append([newBlock(`a${h}`, h, `a${h - 1}`)]);
  }
  const filler = (i: number) => ({
    ...draft("TX_RECEIVED", { txId: `t${i}` }),
    channel: "room:x",
    keys: [],
    payloadText: JSON.stringify({ text: "x".repeat(60_000) }),
  });
  const requests = Array.from(
    { length: 11 },
    (_, i) => log.append([filler(i)]),
  );
  requests.push(log.append([newBlock("b2", 2, "a1")]));
  await Promise.all(requests);
  const words = await said(log);
  assert.equal(words.filter((word) => word.startsWith("-")).length, 99);
  assert.equal(words.at(-1), "+b2");
});

Deno.test("chains are bounded, and a publisher's share of them", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  for (let i = 0; i < MAX_CHAINS_PER_PUBLISHER + 3; i++) {
    await log.append([draft("NEW_BLOCK", {
      ...block("a1", 1, "a0"),
      chain: `c${i}`,
    })]);
  }
  assert.equal(log.ingest.size, MAX_CHAINS_PER_PUBLISHER);
  for (let i = 0; i < MAX_CHAINS; i++) {
    await log.append([
      draft("NEW_BLOCK", { ...block("a1", 1, "a0"), chain: `d${i}` }, {
        publisher: { subject: `q${i}`, maxRooms: Infinity },
      }),
    ]);
  }
  assert.equal(log.ingest.size, MAX_CHAINS);
});

/** Blocks of a random tree; `n0` is its root. */
function treeOf(choices: readonly number[]): Fields[] {
  const blocks: Fields[] = [block("n0", 0, "before")];
  for (const [i, choice] of choices.entries()) {
    const parent = blocks[choice % blocks.length]!;
    const height = (parent["height"] as number) + 1;
    blocks.push(block(`n${i + 1}`, height, parent["blockId"] as string));
  }
  return blocks;
}

/** Folds `blocks` as PROTOCOL.md specifies: a stack. */
function folded(
  all: readonly { type: string; payload: Fields }[],
): string[] {
  const stack: string[] = [];
  const parents = new Map<string, unknown>();
  for (const { type, payload } of all) {
    const name = payload["blockId"] as string;
    if (type === "NEW_BLOCK") {
      if (stack.length > 0 && payload["gapBefore"] === undefined) {
        assert.equal(
          payload["previousHash"],
          stack.at(-1),
          `parent of ${name}`,
        );
      }
      stack.push(name);
      parents.set(name, payload["previousHash"]);
    }
    if (type === "BLOCK_REVERTED") assert.equal(stack.pop(), name);
    if (type === "CHAIN_RESET") {
      const keeps = payload["keeps"] as { blockId: string } | null;
      while (stack.length > 0 && stack.at(-1) !== keeps?.blockId) stack.pop();
    }
  }
  return stack;
}

Deno.test("two publishers on two instances of one store: the fold is a chain, and ends as the one published last", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(1_000), { minLength: 1, maxLength: 20 }),
      fc.array(fc.tuple(fc.nat(1), fc.nat(1_000)), { maxLength: 30 }),
      async (choices, order) => {
        await using kv = await openStore(":memory:");
        const logs = [logOn(kv), logOn(kv)];
        const tree = treeOf(choices);
        const pending: Promise<unknown>[] = [];
        for (const [who, choice] of order) {
          const each = tree[choice % tree.length]!;
          const subject = `p${who}`;
          pending.push(logs[who]!.append([
            draft("NEW_BLOCK", each, { publisher: { subject, maxRooms: 1 } }),
          ]));
          if (choice % 3 === 0) await Promise.all(pending.splice(0));
        }
        await Promise.all(pending);
        folded(await events(logs[0]!));
        const tip = tree.reduce((a, b) =>
          (b["height"] as number) > (a["height"] as number) ? b : a
        );
        const branch: Fields[] = [];
        for (
          let at: Fields | undefined = tip;
          at;
          at = tree.find((it) => it["blockId"] === at!["previousHash"])
        ) branch.unshift(at);
        for (const [i, each] of branch.entries()) {
          await logs[i % 2]!.append([draft("NEW_BLOCK", each)]);
        }
        const end = block(
          "end",
          (tip["height"] as number) + 1,
          tip["blockId"] as string,
        );
        await logs[0]!.append([draft("NEW_BLOCK", end)]);
        const names = [...branch.map((it) => it["blockId"]), "end"];
        assert.deepEqual(
          folded(await events(logs[1]!)).slice(-names.length),
          names,
        );
        // A new instance that reads the log judges alike.
        const third = logOn(kv);
        const before = (await events(third)).length;
        await third.append([draft("NEW_BLOCK", end)]);
        assert.equal((await events(third)).length, before);
        await Promise.all([...logs, third].map((log) => log.settled()));
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("whatever answers of the store are lost, the fold is a chain, and ends as the one published last", async () => {
  const fate = fc.constantFrom("ok", "ok", "lost", "failed", "locked" as const);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(1_000), { minLength: 1, maxLength: 12 }),
      fc.array(fc.tuple(fc.nat(1), fc.nat(1_000)), { maxLength: 12 }),
      fc.array(fate, { minLength: 1, maxLength: 20 }),
      async (choices, order, fates) => {
        const kv = new MemoryKv(systemClock);
        let commits = 0;
        const stores = [0, 1].map(() =>
          kv.connect({
            weather: (operation) => ({
              ...CALM,
              end: operation === "read" ? "ok" : fates[commits++] ?? "ok",
            }),
          })
        );
        const logs = stores.map((store) => logOn(store));
        const tree = treeOf(choices);
        await Promise.all(order.map(([who, choice]) =>
          logs[who]!.append([
            draft("NEW_BLOCK", tree[choice % tree.length]!),
          ])
        ));
        folded(await events(logs[0]!));
        const branch: Fields[] = [];
        for (
          let at: Fields | undefined = tree.at(-1);
          at;
          at = tree.find((it) => it["blockId"] === at!["previousHash"])
        ) branch.unshift(at);
        for (const [i, each] of branch.entries()) {
          await logs[i % 2]!.append([draft("NEW_BLOCK", each)]);
        }
        const stack = folded(await events(logs[1]!));
        const names = branch.map((it) => it["blockId"] as string);
        const at = stack.lastIndexOf(names[0]!);
        assert.deepEqual(stack.slice(at, at + names.length), names);
        await Promise.all(logs.map((log) => log.settled()));
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("over HTTP and two instances, any tree in any order folds to the chain published last", async () => {
  await using first = await openTestService();
  const bugs: unknown[] = [];
  await using second = serviceOn(first.kv, bugs, {});
  const authorization = `Bearer ${await tokenOf("publisher")}`;
  const publish = async (who: number, payloads: readonly Fields[]) => {
    const response = await [first, second][who]!.app.request("/api/publish", {
      method: "POST",
      headers: { authorization, "content-type": "application/json" },
      body: JSON.stringify({
        messages: payloads.map((payload) => ({ type: "NEW_BLOCK", payload })),
      }),
    }, {
      remoteAddr: { transport: "tcp", hostname: "192.0.2.1", port: 1 },
      completed: Promise.resolve(),
    });
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()).accepted as Fields[];
  };
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(1_000), { minLength: 1, maxLength: 15 }),
      fc.array(fc.tuple(fc.nat(1), fc.nat(1_000)), { maxLength: 15 }),
      async (choices, order) => {
        const chain = `run${run++}`;
        const tree = treeOf(choices).map((it) => ({ ...it, chain }) as Fields);
        await publish(0, [tree[0]!]);
        await Promise.all(
          order.map(([who, choice]) =>
            publish(who, [tree[choice % tree.length]!])
          ),
        );
        const branch: Fields[] = [];
        for (
          let at: Fields | undefined = tree.at(-1);
          at;
          at = tree.find((it) => it["blockId"] === at!["previousHash"])
        ) branch.unshift(at);
        await publish(1, branch);
        const { events } = await (await first.request(
          "/api/channels/blocks/history?limit=1000",
        )).json();
        const names = folded(
          events.filter(({ payload }: { payload: Fields }) =>
            payload["chain"] === chain
          ),
        );
        const wanted = branch.map((it) => it["blockId"]);
        const at = names.lastIndexOf(wanted[0] as string);
        assert.deepEqual(names.slice(at, at + wanted.length), wanted);
      },
    ),
    { numRuns: 12 },
  );
  assert.deepEqual([...bugs, ...first.bugs], []);
  const [answer] = await publish(0, [{
    ...block("far", 900, "x"),
    chain: "run0",
  }]);
  assert.equal((answer!["missing"] as { to: number }).to, 899);
});
