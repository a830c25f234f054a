import assert from "node:assert/strict";
import { decode } from "../../protocol/decode.ts";
import type {
  AnyEvent,
  AnyMessage,
  PayloadOf,
} from "../../protocol/messages.ts";
import { Refusal } from "../../protocol/refusals.ts";
import { Chain, DEPTH, MAX_REORG, sealOf } from "../../sources/chain.ts";
import type { Past } from "../../sources/chain.ts";
import { MAX_PARENTS } from "../../sources/chain_dag.ts";
import {
  BLOCK_GAS_LIMIT,
  INITIAL_BALANCE,
} from "../../sources/chain_ledger.ts";
import { STEPS_PER_BLOCK } from "../../sources/chain_story.ts";
import {
  BLOCK_SUBSIDY,
  MIN_VALIDATORS,
} from "../../sources/chain_validators.ts";
import { simulator, STEP_MS } from "../../sources/simulator.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { keptLog, MemoryPublisher } from "../fakes/publisher.ts";

const START = Date.UTC(2025, 7, 7, 10);
/** Half an hour of the chain. */
const LONG = 18_000;

/** Lets a chain live, a step every tenth of a second. */
function live(chain: Chain, steps: number, from = START): AnyMessage[] {
  return Array.from(
    { length: steps },
    (_, step) => chain.step(from + step * STEP_MS),
  ).flat();
}

/** The events that a server returns to a restarted chain. */
function pastOf(messages: readonly AnyMessage[], now: number): Past {
  const on = (types: readonly AnyMessage["type"][], limit: number) =>
    messages.filter(({ type }) => types.includes(type)).slice(-limit).map((
      message,
    ) => ({
      ...message,
      timestamp: new Date(now).toISOString(),
    } as AnyEvent));
  const of = (type: AnyMessage["type"], limit: number) => on([type], limit);
  return {
    blocks: on(["NEW_BLOCK", "BLOCK_REVERTED", "FINALITY"], 320),
    dag: of("DAG_UPDATE", 1000),
    transactions: on(["TX_RECEIVED", "BLOCK_COMPLETE"], 1000),
    validators: of("VALIDATOR_EVENT", 1000),
    nodes: of("NODE_STATUS", 1000),
    alerts: of("ALERT_TRIGGERED", 64),
  };
}

/** Follows all events of a chain, and fails on inconsistent ones. */
class Auditor {
  readonly balances = new Map<string, bigint>();
  readonly seen = new Map<string, number>();
  readonly #ids = new Set<string>();
  readonly #nonces = new Map<string, number>();
  readonly #executed = new Map<string, number>();
  readonly #pending = new Map<string, PayloadOf<"TX_RECEIVED">>();
  readonly #inBlock = new Map<string, PayloadOf<"TX_RECEIVED">>();
  /** Transactions of standing blocks, as they were published. */
  readonly #mined = new Map<string, PayloadOf<"TX_RECEIVED">>();
  readonly #floors = { safe: -1, final: -1 };
  /** Transactions of the newest block that were not published yet. */
  #owed: string[] = [];
  #outbid: { rival: string; by: string } | undefined;
  /** What waited when the chain was stopped. */
  #left = new Set<string>();
  /** Blocks reverted since the last new one. */
  #depth = 0;
  readonly #blocks: PayloadOf<"NEW_BLOCK">[] = [];
  readonly #graph = new Map<string, { layer: number; parents: Set<string> }>();
  readonly #validators = new Map<
    string,
    { active: boolean; stake: bigint; proposed: number }
  >();
  readonly #nodes = new Map<string, PayloadOf<"NODE_STATUS">>();
  readonly #troubled = new Set<string>();

  get head(): PayloadOf<"NEW_BLOCK"> | undefined {
    return this.#blocks.at(-1);
  }

  /** The chain was stopped: what waits will be dropped. */
  end(): void {
    this.#left = new Set(this.#pending.keys());
  }

  get pending(): number {
    return this.#pending.size;
  }

  see(messages: readonly AnyMessage[]): void {
    for (const message of messages) {
      assert.ok(message.id && !this.#ids.has(message.id), `${message.id}`);
      this.#ids.add(message.id);
      assert.equal(decode(JSON.stringify(message), 65_536).kind, "publish");
      this.#see(message);
    }
  }

  #count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  #see(message: AnyMessage): void {
    switch (message.type) {
      case "NEW_BLOCK":
        return this.#block(message.payload);
      case "BLOCK_REVERTED":
        return this.#revert(message.payload);
      case "FINALITY":
        return this.#finality(message.payload);
      case "TX_LOGS": {
        const { txId, blockId, index, logs } = message.payload;
        this.#count("TX_LOGS");
        assert.equal(blockId, this.head!.blockId);
        const tx = this.#mined.get(txId)!;
        assert.equal(tx.index, index);
        const moved = tx.transfers!.at(-1)!;
        assert.equal(moved.asset, "erc20");
        assert.equal(moved.token, logs[0]!.address);
        assert.equal(String(BigInt(logs[0]!.data!)), moved.amount);
        assert.ok(logs[0]!.topics[2]!.endsWith(moved.to.slice(2)));
        return;
      }
      case "LOGS_REVERTED":
        assert.equal(message.payload.blockId, this.head!.blockId);
        return;
      case "BLOCK_COMPLETE": {
        const { blockId, transactions } = message.payload;
        assert.equal(blockId, this.head!.blockId);
        assert.equal(transactions, this.head!.transactions!.length);
        assert.deepEqual(this.#owed, [], "a block is whole when it says so");
        return;
      }
      case "DAG_UPDATE":
        return this.#dag(message.payload);
      case "TX_RECEIVED":
        return this.#transaction(message.payload);
      case "VALIDATOR_EVENT":
        return this.#validator(message.payload);
      case "NODE_STATUS":
        return this.#node(message.payload);
      case "ALERT_TRIGGERED":
        this.#count(
          `${message.payload.type}:${message.payload.status ?? "firing"}`,
        );
        assert.ok(this.#troubled.has(message.payload.subject!));
        return;
      default:
        assert.fail(message.type);
    }
  }

  #block(block: PayloadOf<"NEW_BLOCK">): void {
    const before = this.head;
    this.#depth = 0;
    assert.equal(block.transactionCount, block.transactions!.length);
    assert.equal(block.height, before ? before.height + 1 : 0);
    assert.equal(block.previousHash, before?.hash ?? `0x${"0".repeat(64)}`);
    if (before) {
      assert.ok(Date.parse(block.timestamp) > Date.parse(before.timestamp));
    }
    assert.deepEqual(sealOf(block), { hash: block.hash, size: block.size });
    assert.equal(block.blockId, block.hash);
    const transactions = block.transactions!;
    let gas = 0;
    let fees = 0n;
    for (const tx of transactions) {
      const pending = this.#pending.get(tx.txId);
      assert.ok(pending, "a transaction is pending before it is in a block");
      assert.deepEqual({ ...tx, status: 0, timestamp: 0 }, {
        ...pending,
        status: 0,
        timestamp: 0,
        gasUsed: tx["gasUsed"],
        fee: tx["fee"],
        ...(tx.status === "failed" ? { reason: "reverted" } : {}),
      });
      const used = tx["gasUsed"] as number;
      assert.ok(used > 0 && used <= tx.gasLimit);
      const fee = BigInt(used) * BigInt(tx.gasPrice);
      assert.equal(tx["fee"], String(fee));
      assert.equal(tx.nonce, this.#executed.get(tx.from) ?? 0);
      this.#executed.set(tx.from, tx.nonce + 1);
      this.#pay(tx.from, -fee);
      if (tx.status === "confirmed") {
        this.#pay(tx.from, -BigInt(tx.amount));
        this.#pay(tx.to, BigInt(tx.amount));
      }
      this.#inBlock.set(tx.txId, tx);
      gas += used;
      fees += fee;
    }
    assert.equal(block.gasUsed, gas);
    assert.equal(block.gasLimit, BLOCK_GAS_LIMIT);
    assert.ok(gas <= BLOCK_GAS_LIMIT);
    assert.equal(block["fees"], String(fees));
    assert.ok(this.#validators.get(block.validator!)?.active);
    this.#blocks.push(block);
    this.#owed = transactions.map(({ txId }) => txId);
  }

  #revert(
    { blockId, height, previousHash }: PayloadOf<"BLOCK_REVERTED">,
  ): void {
    const block = this.#blocks.pop()!;
    assert.equal(block.blockId, blockId, "the newest is reverted first");
    assert.equal(block.height, height);
    assert.equal(block.previousHash, previousHash);
    assert.ok(height > this.#floors.safe && height > this.#floors.final);
    this.#depth++;
    assert.ok(this.#depth <= MAX_REORG);
    this.#count(`depth:${this.#depth}`);
    for (const { txId } of block.transactions!) {
      assert.ok(this.#pending.has(txId), "its transactions wait again before");
    }
    assert.ok(!this.#graph.has(blockId), "it left the DAG before");
  }

  #finality(
    { level, blockId, height }: PayloadOf<"FINALITY">,
  ): void {
    this.#count(level);
    assert.ok(height > this.#floors[level], "a level only rises");
    assert.equal(height, this.head!.height - DEPTH[level]);
    const block = this.#blocks.find((it) => it.height === height);
    assert.equal(block?.blockId, blockId);
    this.#floors[level] = height;
  }

  #pay(address: string, amount: bigint): void {
    const balance = (this.balances.get(address) ?? INITIAL_BALANCE) + amount;
    assert.ok(balance >= 0n, "no account spends what it does not have");
    this.balances.set(address, balance);
  }

  #dag(update: PayloadOf<"DAG_UPDATE">): void {
    const { updateType, nodeId, relatedNodes, metadata } = update;
    this.#count(updateType);
    if (updateType === "NODE_ADDED") {
      assert.ok(!this.#graph.has(nodeId));
      const layers = relatedNodes.map((parent) =>
        this.#graph.get(parent)!.layer
      );
      const layer = Math.max(-1, ...layers) + 1;
      if (metadata!["candidate"] !== true) {
        assert.equal(this.head!.blockId, nodeId);
        assert.deepEqual(this.head!["parents"], relatedNodes);
        assert.equal(metadata!.layer, layer);
      }
      assert.equal(new Set(relatedNodes).size, relatedNodes.length);
      assert.ok(relatedNodes.length <= MAX_PARENTS);
      assert.ok(relatedNodes.length > 0 || this.head!.height === 0);
      assert.equal(metadata!.parentCount, relatedNodes.length);
      assert.equal(metadata!.childCount, 0);
      assert.ok(metadata!.weight! >= 1);
      this.#count(`parents:${relatedNodes.length}`);
      this.#graph.set(nodeId, {
        layer: metadata!.layer!,
        parents: new Set(relatedNodes),
      });
      return;
    }
    const node = this.#graph.get(nodeId)!;
    assert.ok(node, `${updateType} is about a node that was added`);
    for (const related of relatedNodes) {
      assert.ok(this.#graph.get(related)!.layer < node.layer);
    }
    if (updateType === "EDGE_ADDED") {
      assert.ok(!node.parents.has(relatedNodes[0]!));
      node.parents.add(relatedNodes[0]!);
      assert.equal(metadata!.parentCount, node.parents.size);
    } else if (updateType === "EDGE_REMOVED") {
      assert.ok(node.parents.delete(relatedNodes[0]!));
      assert.equal(metadata!.parentCount, node.parents.size);
    } else if (updateType === "NODE_REMOVED") {
      assert.deepEqual([...node.parents], relatedNodes);
      for (const { parents } of this.#graph.values()) {
        assert.ok(!parents.has(nodeId), "only a node without children leaves");
      }
      this.#graph.delete(nodeId);
    } else {
      const path = [nodeId, ...relatedNodes];
      for (const [at, related] of relatedNodes.entries()) {
        assert.ok(this.#graph.get(path[at]!)!.parents.has(related));
      }
    }
  }

  #transaction(tx: PayloadOf<"TX_RECEIVED">): void {
    const { txId, from, nonce, status } = tx;
    this.#count(status);
    if (tx.cause === "reorg") return this.#unmine(tx);
    if (status === "pending") {
      assert.ok(!this.#pending.has(txId));
      const rival = this.#waiting(from, nonce);
      if (rival) {
        assert.ok(Number(tx.gasPrice) > Number(rival.gasPrice));
        this.#outbid = { rival: rival.txId, by: txId };
      } else {
        assert.equal(nonce, this.#nonces.get(from) ?? 0);
        this.#nonces.set(from, nonce + 1);
      }
      assert.notEqual(from, tx.to);
      this.#pending.set(txId, tx);
      return;
    }
    assert.ok(this.#pending.delete(txId), "it ends once, after pending");
    if (status === "replaced") {
      assert.deepEqual(this.#outbid, { rival: txId, by: tx.replacedBy });
      return;
    }
    if (status === "dropped") {
      if (this.#left.has(txId)) return;
      assert.equal(nonce + 1, this.#nonces.get(from), "the last one goes");
      this.#nonces.set(from, nonce);
      return;
    }
    const { blockId, blockHeight, index, transfers, ...reported } = tx;
    assert.deepEqual(reported, this.#inBlock.get(txId));
    const block = this.#blocks.findLast(({ transactions }) =>
      transactions!.some((it) => it.txId === txId)
    )!;
    assert.equal(blockId, block.blockId);
    assert.equal(blockHeight, block.height);
    assert.equal(block.transactions![index!]!.txId, txId);
    assert.equal(this.#owed.shift(), txId, "in the order of the block");
    const native = transfers?.filter(({ asset }) => asset === "native") ?? [];
    const moved = status === "confirmed" && tx.amount !== "0";
    assert.deepEqual(
      native.map(({ amount }) => amount),
      moved ? [tx.amount] : [],
    );
    const isTransfer = tx.data?.startsWith("0xa9059cbb") ?? false;
    assert.equal(
      (transfers?.length ?? 0) - native.length,
      isTransfer && status === "confirmed" ? 1 : 0,
    );
    this.#mined.set(txId, tx);
  }

  /** A transaction's block is about to be reverted. */
  #unmine(tx: PayloadOf<"TX_RECEIVED">): void {
    this.#count("reorg");
    const mined = this.#mined.get(tx.txId)!;
    assert.equal(tx.left!.blockId, mined.blockId);
    assert.ok(this.#mined.delete(tx.txId));
    this.#inBlock.delete(tx.txId);
    assert.deepEqual(tx.transfers, mined.transfers, "they are void");
    const { cause: _, left: __, transfers: ___, ...waiting } = tx;
    this.#pending.set(tx.txId, waiting as PayloadOf<"TX_RECEIVED">);
    const fee = BigInt(mined.fee!);
    this.#executed.set(tx.from, tx.nonce);
    this.#pay(tx.from, fee);
    if (mined.status === "failed") return;
    this.#pay(tx.from, BigInt(tx.amount));
    this.#pay(tx.to, -BigInt(tx.amount));
  }

  #waiting(
    from: string,
    nonce: number,
  ): PayloadOf<"TX_RECEIVED"> | undefined {
    return [...this.#pending.values()].find((tx) =>
      tx.from === from && tx.nonce === nonce
    );
  }

  #validator(event: PayloadOf<"VALIDATOR_EVENT">): void {
    const { eventType, validatorId, metadata } = event;
    this.#count(eventType);
    this.#troubled.add(validatorId);
    const stake = BigInt(event.stake!);
    const known = this.#validators.get(validatorId) ??
      { active: false, stake, proposed: 0 };
    this.#validators.set(validatorId, known);
    assert.equal(known.active, eventType !== "JOINED", validatorId);
    if (eventType === "PROPOSED") {
      known.proposed++;
      assert.equal(this.head!.validator, validatorId);
      assert.equal(event.blockHeight, this.head!.height);
    }
    if (eventType === "JOINED") known.stake = stake;
    if (eventType === "REWARDED") {
      const block = this.#blocks[event.blockHeight!]!;
      assert.equal(block.validator, validatorId);
      const reward = BigInt(block["fees"] as string) + BLOCK_SUBSIDY;
      assert.equal(event.reward, String(reward));
      known.stake += reward;
    }
    if (eventType === "SLASHED") {
      assert.ok(BigInt(event.penalty!) > 0n);
      known.stake -= BigInt(event.penalty!);
    }
    known.active = eventType !== "LEFT";
    assert.equal(stake, known.stake);
    assert.ok(stake > 0n);
    assert.equal(metadata!.proposedBlocks, known.proposed);
    const active = [...this.#validators.values()].filter(({ active }) =>
      active
    );
    assert.ok(!this.head || active.length >= MIN_VALIDATORS);
  }

  #node(node: PayloadOf<"NODE_STATUS">): void {
    this.#count(node.status);
    this.#troubled.add(node.nodeId);
    const before = this.#nodes.get(node.nodeId);
    this.#nodes.set(node.nodeId, node);
    assert.ok(node.blockHeight! <= this.head!.height);
    const up = node.status === "ONLINE" || node.status === "SYNCING";
    assert.equal(node.uptime !== undefined, up);
    if (!before) return;
    assert.ok(Date.parse(node.lastUpdate) > Date.parse(before.lastUpdate));
    assert.ok(
      node.blockHeight! >= before.blockHeight! - MAX_REORG,
      "heights only fall by a reorganisation",
    );
    const next: Record<string, string[]> = {
      SYNCING: ["SYNCING", "ONLINE"],
      ONLINE: ["ONLINE", "ERROR", "OFFLINE"],
      ERROR: ["OFFLINE"],
      OFFLINE: ["SYNCING", "ONLINE"],
    };
    assert.ok(
      next[before.status]!.includes(node.status),
      `${before.status} -> ${node.status}`,
    );
    if (node.status === "ONLINE") {
      assert.ok(this.head!.height - node.blockHeight! <= 1);
    }
  }
}

Deno.test("Chain adds up over half an hour, and shows all that can happen", () => {
  const chain = new Chain({ seed: "audit" });
  const auditor = new Auditor();

  for (let step = 0; step < LONG; step++) {
    auditor.see(chain.step(START + step * STEP_MS));
  }

  assert.equal(auditor.head!.height, LONG / STEPS_PER_BLOCK - 1);
  for (const [address, balance] of auditor.balances) {
    assert.equal(chain.balanceOf(address), balance);
  }
  assert.ok(auditor.pending < 200, "the pool is worked off");
  const expected = [
    ...["NODE_ADDED", "NODE_REMOVED", "EDGE_ADDED", "EDGE_REMOVED"],
    ...["PATH_UPDATED", "parents:1", "parents:2", "parents:3"],
    ...["pending", "confirmed", "failed", "replaced", "dropped", "reorg"],
    ...["TX_LOGS", "safe", "final", "depth:1", "depth:2", "depth:3"],
    ...["JOINED", "LEFT", "SLASHED", "REWARDED", "PROPOSED", "VOTED"],
    ...["ONLINE", "OFFLINE", "SYNCING", "ERROR"],
    ...["validator_slashed:firing", "node_error:firing"],
    "node_error:resolved",
  ];
  for (const what of expected) assert.ok(auditor.seen.get(what), what);
  assert.ok(auditor.seen.get("NODE_REMOVED")! < LONG / STEPS_PER_BLOCK / 10);
});

Deno.test("Chain spreads its events over the second", () => {
  const chain = new Chain({ seed: "pace" });
  live(chain, 100);

  const steps = Array.from(
    { length: 600 },
    (_, step) => chain.step(START + (100 + step) * STEP_MS),
  );

  const between = steps.filter((_, step) => step % STEPS_PER_BLOCK !== 0);
  const lively = between.filter((messages) => messages.length > 0);
  assert.ok(lively.length > between.length / 2);
  const a_second = steps.flat().length / 60;
  assert.ok(a_second > 10 && a_second < 40, String(a_second));
});

Deno.test("Chain is the same for the same seed, and another for another", () => {
  const one = live(new Chain({ seed: "same" }), 500);

  assert.deepEqual(live(new Chain({ seed: "same" }), 500), one);
  const other = new Set(
    live(new Chain({ seed: "other" }), 500).map(({ id }) => id),
  );
  assert.ok(one.every(({ id }) => !other.has(id)));
});

Deno.test("Chain continues from its last block, wherever it was stopped", () => {
  const auditor = new Auditor();
  const said: AnyMessage[] = [];
  let now = START;
  for (let life = 0; life < 40; life++) {
    const before = auditor.head;
    const past = pastOf(said, now);
    const chain = new Chain({
      seed: "phoenix",
      ...(life > 0 ? { past } : {}),
    });
    assert.equal(chain.height, before?.height ?? -1);
    const steps = 37 + life * 13;
    for (let step = 0; step < steps; step++, now += STEP_MS) {
      const messages = chain.step(now);
      said.push(...messages);
      auditor.see(messages);
    }
    assert.ok(auditor.head!.height > (before?.height ?? -1));
    now += 3_000;
    auditor.end();
  }
  assert.ok(auditor.seen.get("dropped"), "what was pending did not stay so");
  assert.ok(auditor.pending < 100);
});

Deno.test("Chain completes what a stop cut in two", () => {
  const whole = live(new Chain({ seed: "cut" }), 1_001);
  const last = whole.findLastIndex(({ type }) => type === "NEW_BLOCK");
  const cut = whole.slice(0, last + 1);
  const auditor = new Auditor();
  auditor.see(cut);
  const now = START + 1_100 * STEP_MS;

  const next = new Chain({ seed: "cut", past: pastOf(cut, now) });

  const block = auditor.head!;
  const first = next.step(now);
  const added = first.find(({ type, payload }) =>
    type === "DAG_UPDATE" && payload["nodeId"] === block.blockId
  );
  assert.deepEqual(added?.payload["relatedNodes"], block["parents"]);
  for (const { txId, status } of block.transactions!) {
    const end = first.find(({ type, payload }) =>
      type === "TX_RECEIVED" && payload["txId"] === txId
    );
    assert.equal(end?.payload["status"], status);
  }
  assert.ok(
    first.some(({ type, payload }) =>
      type === "BLOCK_COMPLETE" && payload["blockId"] === block.blockId
    ),
  );
  auditor.end();
  auditor.see(first);
});

Deno.test("Chain does not take another source's blocks for its own", () => {
  const foreign = live(new Chain({ seed: "theirs" }), 100);

  const chain = new Chain({ seed: "ours", past: pastOf(foreign, START) });

  assert.equal(chain.height, -1);
});

Deno.test("simulator() publishes in time, through faults, and again after a restart", async () => {
  const clock = new ManualClock();
  const publisher = new MemoryPublisher();
  const { log, entries } = keptLog();
  const source = simulator({
    ...{ publisher, log, clock, seed: "run" },
    random: () => 0.5,
  });
  const auditor = new Auditor();
  let received = 0;

  for (let life = 0; life < 3; life++) {
    const stop = new AbortController();
    const running = source.run(stop.signal);
    await pass(clock, 10_000);
    publisher.faults.push(
      { error: new Refusal("STORE_UNAVAILABLE") },
      { error: new Error("connection reset"), kept: true },
      { error: new Refusal("RATE_LIMITED", undefined, { retryAfterMs: 700 }) },
    );
    await pass(clock, 10_000);
    stop.abort();
    await running;
    auditor.see(
      publisher.events.slice(received).map((
        { type, id, payload },
      ) => ({ type, id, payload } as AnyMessage)),
    );
    auditor.end();
    received = publisher.events.length;
  }

  assert.ok(auditor.head!.height >= 50, String(auditor.head!.height));
  assert.equal(
    entries.filter(({ event }) => event === "source_publish_failed").length,
    9,
  );
});
