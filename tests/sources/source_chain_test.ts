/**
 * The EVM source against a chain that does its worst: reorganisations, nodes
 * that fall behind or are cut off, a server that keeps part of a call, and the
 * source killed in between. Time stands still but for what a test moves.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type {
  AnyEvent,
  AnyMessage,
  PayloadOf,
} from "../../protocol/messages.ts";
import { evmSource, MAX_REORG_DEPTH, START_BLOCKS } from "../../sources/evm.ts";
import type {
  EvmBlock,
  EvmNode,
  EvmTransaction,
  NodeOptions,
} from "../../sources/evm_view.ts";
import type { PageOptions, Publisher } from "../../sources/source.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { keptLog, MemoryPublisher } from "../fakes/publisher.ts";

/** A chain, and the node that shows as much of it as it has seen. */
class FakeChain {
  blocks: EvmBlock[] = [];
  /** Blocks that the node has not seen yet. */
  behind = 0;
  reachable = true;
  /** Time of genesis. */
  epochMs = Date.UTC(2025, 0, 1);
  /** Questions after which the chain is reorganised, unasked. */
  jumpIn = 0;
  #made = 0;
  #open: NodeOptions | undefined;

  constructor() {
    this.mine(1);
  }

  mine(count: number): void {
    for (let i = 0; i < count; i++) {
      const id = (++this.#made).toString(16).padStart(64, "0");
      const height = this.blocks.length;
      this.blocks.push({
        hash: `0x${id.split("").reverse().join("")}`,
        parentHash: this.blocks.at(-1)?.hash ?? `0x${"0".repeat(64)}`,
        height,
        timestampMs: this.epochMs + height * 1000,
        miner: undefined,
        size: 1n,
        gasUsed: 1n,
        gasLimit: 2n ** 64n,
        transactions: Array.from(
          { length: this.#made % 3 },
          (_, nonce) => this.#transaction(`${this.#made}-${nonce}`, nonce),
        ),
      });
    }
    this.#open?.onHead();
  }

  reorg(depth: number, longer: number): EvmBlock[] {
    const gone = this.blocks.splice(
      Math.max(1, this.blocks.length - depth),
    );
    this.mine(gone.length + longer);
    return gone;
  }

  /** The chain changes its mind to blocks that it had before. */
  restore(blocks: readonly EvmBlock[]): void {
    this.blocks.splice(blocks[0]?.height ?? Infinity, Infinity, ...blocks);
    this.#open?.onHead();
  }

  cut(): void {
    const open = this.#open;
    this.#open = undefined;
    open?.onClosed();
  }

  readonly connect = (options: NodeOptions): Promise<EvmNode> => {
    if (!this.reachable) return Promise.reject(new Error("unreachable"));
    this.#open = options;
    const seen = () => {
      if (this.#open !== options) throw new Error("closed");
      if (this.jumpIn > 0 && --this.jumpIn === 0) this.reorg(2, 1);
      return this.blocks.slice(
        0,
        Math.max(1, this.blocks.length - this.behind),
      );
    };
    const node: EvmNode = {
      chainId: 7,
      head: () =>
        Promise.try(() => {
          const { height, hash, timestampMs } = seen().at(-1)!;
          return { height, hash, timestampMs };
        }),
      hashAt: (height) => Promise.try(() => seen()[height]?.hash),
      block: (height) => Promise.try(() => seen()[height]),
      pending: () => Promise.resolve(undefined),
      vitals: () =>
        Promise.try(() => {
          seen();
          return {
            version: "fake",
            peers: 3,
            syncing: false,
            latencyMs: 1,
          };
        }),
      close: () => Promise.resolve(),
    };
    return Promise.resolve(node);
  };

  #transaction(name: string, nonce: number): EvmTransaction {
    return {
      hash: `0xt${name}`,
      from: "0x1",
      to: "0x2",
      value: 1n,
      gasPrice: 1n,
      gas: 21_000n,
      nonce,
      input: "0x",
      outcome: { succeeded: nonce === 0, gasUsed: 21_000n },
    };
  }
}

/** A server that may die with part of a call kept, for one life of a source. */
class Mortal implements Publisher {
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

function begin(chain: FakeChain, store: MemoryPublisher, clock: ManualClock) {
  const publisher = new Mortal(store);
  const { log, entries } = keptLog();
  const stop = new AbortController();
  const running = evmSource({
    rpcUrl: "ws://node.test",
    publisher,
    log,
    clock,
    random: () => 0.5,
    connect: chain.connect,
  }).run(stop.signal);
  return {
    publisher,
    entries,
    async end() {
      stop.abort();
      await running;
    },
  };
}

/** What all that was published adds up to; objects to what cannot be. */
function replay(events: readonly AnyEvent[]): string[] {
  const chain: { hash: string; height: number }[] = [];
  let told: PayloadOf<"NEW_BLOCK"> | undefined;
  let missing: string[] = [];
  const ids = new Set<string>();
  for (const { type, id, payload } of events) {
    if (type === "NODE_STATUS") continue;
    assert.ok(!ids.has(id), `${id} was told twice`);
    ids.add(id);
    if (type === "NEW_BLOCK") {
      assert.deepEqual(missing, [], "a block is told whole before the next");
      told = payload;
      missing = (payload.transactions ?? []).map(({ txId, status }) =>
        `${txId}:${status}`
      );
    } else if (type === "TX_RECEIVED") {
      assert.equal(`${payload.txId}:${payload.status}`, missing.shift());
    } else if (type === "DAG_UPDATE") {
      if (payload.updateType === "NODE_ADDED") {
        const tip = chain.at(-1);
        assert.equal(payload.nodeId, told?.blockId);
        if (tip) {
          assert.equal(told?.previousHash, tip.hash);
          assert.equal(told?.height, tip.height + 1);
        }
        chain.push({ hash: payload.nodeId, height: told!.height });
      } else {
        assert.equal(payload.updateType, "NODE_REMOVED");
        assert.equal(chain.pop()?.hash, payload.nodeId);
        // A killed source may leave a block half told that stands no more.
        missing = [];
      }
    }
  }
  return chain.map(({ hash }) => hash);
}

Deno.test("evmSource() ends with the node's own chain, told once and in order, whatever happens", async () => {
  const step = fc.oneof(
    fc.record({ what: fc.constant("mine" as const), count: fc.nat(4) }),
    fc.record({
      what: fc.constant("reorg" as const),
      count: fc.integer({ min: 1, max: 6 }),
    }),
    fc.record({ what: fc.constant("back" as const), count: fc.nat(1) }),
    fc.record({ what: fc.constant("lag" as const), count: fc.nat(5) }),
    fc.record({
      what: fc.constant("jump" as const),
      count: fc.integer({ min: 1, max: 9 }),
    }),
    fc.record({ what: fc.constant("cut" as const), count: fc.nat(1) }),
    fc.record({ what: fc.constant("kill" as const), count: fc.nat(9) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 14 }),
      async (steps) => {
        const chain = new FakeChain();
        const store = new MemoryPublisher();
        const clock = new ManualClock();
        let gone: EvmBlock[] = [];
        let source = begin(chain, store, clock);
        await pass(clock, 1_000);
        for (const { what, count } of steps) {
          if (what === "mine") chain.mine(count);
          else if (what === "reorg") gone = chain.reorg(count, 1);
          else if (what === "back") {
            const parent = chain.blocks[(gone[0]?.height ?? 0) - 1];
            if (parent && parent.hash === gone[0]?.parentHash) {
              chain.restore(gone);
            }
          } else if (what === "lag") chain.behind = count;
          else if (what === "jump") {
            chain.jumpIn = count;
            chain.mine(3);
          } else if (what === "cut") {
            chain.reachable = count === 1;
            chain.cut();
          } else {
            // Dies within what comes next, after so many messages.
            source.publisher.left = count;
            chain.mine(1);
            await pass(clock, 1_000);
            await source.end();
            // The server's memory of ids ends; positions in the log do not.
            store.forget();
            source = begin(chain, store, clock);
          }
          await pass(clock, 3_000);
        }
        chain.behind = 0;
        chain.reachable = true;
        chain.mine(1);
        await pass(clock, 30_000);
        await source.end();

        const view = replay(store.events);
        const real = chain.blocks.map(({ hash }) => hash);
        assert.equal(view.at(-1), real.at(-1));
        assert.deepEqual(view, real.slice(-view.length));
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("evmSource() begins a long chain near its head", async () => {
  const chain = new FakeChain();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  chain.mine(99);

  const source = begin(chain, store, clock);
  await pass(clock, 2_000);
  await source.end();

  const heights = store.of("blocks").map(({ payload }) => payload["height"]);
  assert.equal(heights.length, START_BLOCKS);
  assert.equal(heights[0], 100 - START_BLOCKS);
});

Deno.test("evmSource() publishes every block of a gap, however long", async () => {
  const chain = new FakeChain();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  chain.mine(1);
  const first = begin(chain, store, clock);
  await pass(clock, 1_000);
  await first.end();
  chain.mine(700);

  const second = begin(chain, store, clock);
  await pass(clock, 30_000);
  await second.end();

  assert.equal(replay(store.events).length, 701);
});

Deno.test("evmSource() takes back no more than its depth, and goes on from there", async () => {
  for (const depth of [MAX_REORG_DEPTH - 1, MAX_REORG_DEPTH, 200]) {
    const chain = new FakeChain();
    const store = new MemoryPublisher();
    const clock = new ManualClock();
    const source = begin(chain, store, clock);
    await pass(clock, 1_000);
    chain.mine(300);
    await pass(clock, 20_000);

    chain.reorg(depth, 1);
    await pass(clock, 20_000);
    await source.end();

    const removed = store.of("dag").filter(({ payload }) =>
      payload["updateType"] === "NODE_REMOVED"
    );
    assert.equal(removed.length, Math.min(depth, MAX_REORG_DEPTH));
    assert.equal(
      store.of("blocks").at(-1)!.payload["blockId"],
      chain.blocks.at(-1)!.hash,
    );
    const reorg = source.entries.find(({ event }) => event === "source_reorg");
    assert.equal(
      reorg?.fields["deeperThanKnown"],
      depth < MAX_REORG_DEPTH ? undefined : true,
    );
  }
});

Deno.test("evmSource() waits for a node that is behind, and gives up a chain begun anew", async () => {
  const chain = new FakeChain();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  chain.mine(300);
  const source = begin(chain, store, clock);
  await pass(clock, 5_000);
  const before = store.of("dag").length;
  assert.equal(before, START_BLOCKS);

  chain.behind = 250;
  chain.cut();
  await pass(clock, 15_000);
  assert.equal(store.of("dag").length, before, "it is only behind");
  const status = store.of("nodes").at(-1)!.payload;
  assert.equal(status["status"], "SYNCING");
  assert.equal(status["blockHeight"], 50);
  chain.behind = 0;
  chain.blocks = chain.blocks.slice(0, 1);
  chain.epochMs += 86_400_000;
  chain.mine(20);
  chain.cut();
  await pass(clock, 15_000);
  await source.end();

  const real = chain.blocks.map(({ hash }) => hash);
  assert.deepEqual(replay(store.events), real.slice(-START_BLOCKS));
});
