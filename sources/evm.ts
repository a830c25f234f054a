/**
 * Follows an EVM chain, of which any node may stop, restart or change its mind:
 * every block of the chain is published once, in order, and what the chain took
 * back is said before what stands in its place.
 *
 * A block is a node of the DAG, its parent the edge. `blockId`, `hash` and the
 * DAG's `nodeId` are the block's hash, heights its number, amounts decimal
 * strings of wei; the `to` of a contract creation is the contract.
 *
 * @module
 */
import type { AnyEvent, AnyMessage, PayloadOf } from "../protocol/messages.ts";
import { backoffMs } from "../platform/backoff.ts";
import { systemClock } from "../platform/clock.ts";
import type { Clock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import { systemRandom } from "../platform/random.ts";
import type { Random } from "../platform/random.ts";
import { RETRY, RetryingPublisher } from "./retrying_publisher.ts";
import { describe, isFinal } from "./source.ts";
import type { Log, Publisher, Source } from "./source.ts";
import { NodeFault } from "./evm_view.ts";
import type {
  EvmBlock,
  EvmNode,
  EvmTransaction,
  NodeOptions,
} from "./evm_view.ts";

/**
 * Deepest reorganisation told block by block. Of a deeper one, only so many
 * blocks are taken back.
 */
export const MAX_REORG_DEPTH = 128;
/** Blocks before the head with which a chain that is new to us begins. */
export const START_BLOCKS = 16;
/** Most pending transactions waiting to be looked at; older ones are dropped. */
export const MAX_PENDING = 1_000;
/** Pending transactions looked at together. */
const PENDING_AT_ONCE = 25;
/** Transactions remembered as mined, so as not to be called pending after. */
const MAX_MINED = 20_000;
/** Blocks remembered as taken back. */
const MAX_TAKEN_BACK = 4_096;
/** Events of a channel read back at the start. */
const RESUME_EVENTS = 1_000;
/** Longest wait for a new head before it is asked for, in milliseconds. */
export const POLL_MS = 2_000;
/** Time between two reports on the node, in milliseconds. */
export const STATUS_MS = 10_000;
/** Failed attempts after which a connection is given up. */
const MAX_FAILURES = 5;

/** What an EVM source needs. */
export interface EvmSourceOptions {
  /** The node: a `ws:` or `wss:` URL. */
  readonly rpcUrl: string;
  /** Where messages go, and what was published is read from. */
  readonly publisher: Publisher;
  /** Hears of breaks, reorganisations and faults. */
  readonly log: Log;
  /** The node's name in `NODE_STATUS`; the URL's host when absent. */
  readonly nodeId?: string;
  /** Measures waits. */
  readonly clock?: Clock;
  /** Jitter: uniform in [0, 1). */
  readonly random?: Random;
  /** Longest message the server takes, in bytes of UTF-8. */
  readonly maxMessageBytes?: number | undefined;
  /** Longest wait for a new head before it is asked for, in milliseconds. */
  readonly pollMs?: number;
  /** How to reach the node; over a WebSocket when absent. */
  readonly connect?: (options: NodeOptions) => Promise<EvmNode>;
}

/**
 * Makes a source that follows an EVM node.
 *
 * @param options the node, its outlet and log.
 * @throws {TypeError} when `rpcUrl` is not a `ws:` or `wss:` URL.
 */
export function evmSource(options: EvmSourceOptions): Source {
  const url = URL.canParse(options.rpcUrl)
    ? new URL(options.rpcUrl)
    : undefined;
  if (url?.protocol !== "ws:" && url?.protocol !== "wss:") {
    throw new TypeError("Expected the node's address as a ws: or wss: URL");
  }
  return {
    async run(signal) {
      try {
        await new Follower(options).run(signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },
  };
}

async function connectSocket(options: NodeOptions): Promise<EvmNode> {
  const { connect } = await import("./evm_node.ts");
  return connect(options);
}

/** A block that was published and, as far as we know, still stands. */
interface Published {
  readonly hash: string;
  readonly parentHash: string;
  readonly height: number;
  readonly timestampMs: number;
}

/** Wakes who waits; a ring while nobody waits is remembered. */
class Bell {
  #rung = false;
  #wake = () => {};

  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  /** Waits for a ring, but no longer than `ms` or the signal. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      this.#wake = wake;
      signal.addEventListener("abort", wake);
      using _timer = clock.after(ms, wake);
      await promise;
      signal.removeEventListener("abort", wake);
    }
    this.#rung = false;
  }
}

/** Hashes that wait to be looked at; the oldest give way. */
class Queue {
  readonly bell = new Bell();
  #hashes: string[] = [];

  add(hash: string): void {
    if (this.#hashes.length === MAX_PENDING) this.#hashes.shift();
    this.#hashes.push(hash);
    this.bell.ring();
  }

  take(): string[] {
    return this.#hashes.splice(0, PENDING_AT_ONCE);
  }
}

/** One run of the source. */
class Follower {
  readonly #options: EvmSourceOptions;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #feed: RetryingPublisher;
  readonly #nodeId: string;
  /** Which chain: begins every `id`. Nothing before the first connection. */
  #chain: string | undefined;
  /** Published blocks that stand, each the parent of the next. */
  #tail: Published[] = [];
  /** How often each block was taken back. */
  readonly #takenBack = new Map<string, number>();
  /** Transactions told as mined. */
  readonly #mined = new Set<string>();
  /** Height of the first block told, of a chain of which none was. */
  #start: number | undefined;
  /** Whether the newest block's transactions may not all be published. */
  #unfinished = false;
  /** What was last said of the node. */
  #status: PayloadOf<"NODE_STATUS">["status"] | undefined;
  #statusDue = 0;
  #statusAt = 0;

  constructor(options: EvmSourceOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#nodeId = options.nodeId ?? new URL(options.rpcUrl).host;
    this.#feed = new RetryingPublisher({
      ...options,
      clock: this.#clock,
      random: this.#random,
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      const began = this.#clock.monotonic();
      try {
        await this.#follow(signal);
      } catch (error) {
        if (signal.aborted || isFinal(error)) throw error;
        // A connection that held for a while was a good one.
        if (this.#clock.monotonic() - began > STATUS_MS) attempt = 0;
        const waitMs = Math.ceil(backoffMs(attempt, RETRY, this.#random));
        this.#log("source_node_lost", {
          nodeId: this.#nodeId,
          ...describe(error),
          attempt,
          waitMs,
        });
        await this.#sayStatus({ status: "OFFLINE" }, signal);
        await pause(this.#clock, waitMs, signal);
      }
    }
  }

  /** Follows the node for as long as the connection lasts. */
  async #follow(signal: AbortSignal): Promise<void> {
    const heads = new Bell();
    const pending = new Queue();
    const lost = new AbortController();
    const node = await (this.#options.connect ?? connectSocket)({
      url: this.#options.rpcUrl,
      signal,
      onHead: () => heads.ring(),
      onPending: (hash) => pending.add(hash),
      onClosed: () => lost.abort(new Error("Connection to the node was lost")),
    });
    // Reading stops with the connection; publishing only with the source.
    const both = AbortSignal.any([signal, lost.signal]);
    let looking: Promise<void> | undefined;
    try {
      await this.#recognise(node, signal);
      looking = this.#lookAtPending(node, pending, both);
      for (let failures = 0; !both.aborted;) {
        try {
          await this.#catchUp(node, signal);
          await this.#reportOn(node, signal);
          failures = 0;
        } catch (error) {
          if (!(error instanceof NodeFault)) throw error;
          if (++failures > MAX_FAILURES) throw error;
          this.#log("source_node_failed", {
            nodeId: this.#nodeId,
            ...describe(error),
            failures,
          });
          await pause(
            this.#clock,
            backoffMs(failures, RETRY, this.#random),
            both,
          );
          continue;
        }
        await heads.wait(this.#clock, this.#options.pollMs ?? POLL_MS, both);
      }
      both.throwIfAborted();
    } finally {
      lost.abort(new Error("Connection to the node was ended"));
      await node.close();
      await looking;
    }
  }

  // What is known of the chain.

  /** Finds out which chain the node follows, and what of it was published. */
  async #recognise(node: EvmNode, signal: AbortSignal): Promise<void> {
    const chain = `evm:${node.chainId}`;
    if (this.#chain === chain) return;
    const before = this.#chain;
    this.#chain = chain;
    if (before !== undefined) {
      // Another chain under the same address: nothing of the old one stands.
      this.#log("source_chain_replaced", { before, chain });
      this.#start = undefined;
      await this.#takeBack(0, signal);
      return;
    }
    await this.#resume(signal);
    this.#log("source_started", {
      source: "evm",
      chain,
      height: this.#tail.at(-1)?.height ?? -1,
    });
  }

  /** Reads from the DAG's own events which blocks stand. */
  async #resume(signal: AbortSignal): Promise<void> {
    const ours = (events: readonly AnyEvent[]) =>
      events.filter(({ id }) => id.startsWith(`${this.#chain}:`));
    const dag = ours(
      await this.#feed.page("dag", { limit: RESUME_EVENTS }, signal),
    );
    for (const event of dag) {
      if (event.type !== "DAG_UPDATE") continue;
      const { updateType, nodeId, relatedNodes, metadata, timestamp } =
        event.payload;
      if (updateType === "NODE_ADDED") {
        this.#append({
          hash: nodeId,
          parentHash: relatedNodes[0] ?? "",
          height: metadata?.layer ?? 0,
          timestampMs: Date.parse(timestamp),
        });
      } else if (updateType === "NODE_REMOVED") this.#strike(nodeId);
    }
    // The last block may have been published, and its node not.
    const [last] = ours(await this.#feed.page("blocks", { limit: 1 }, signal));
    if (last?.type === "NEW_BLOCK") {
      const { blockId: hash, previousHash: parentHash = "", height } =
        last.payload;
      const timestampMs = Date.parse(last.payload.timestamp);
      const known = dag.some(({ id }) => id === this.#addedId(hash));
      if (last.id === this.#blockId(hash) && !known) {
        const block = { hash, parentHash, height, timestampMs };
        await this.#feed.send([this.#added(block)], signal);
        this.#append(block);
      }
    }
    this.#unfinished = this.#tail.length > 0;
  }

  /** Publishes what of the newest block's transactions was not. */
  async #complete(node: EvmNode, signal: AbortSignal): Promise<void> {
    const tip = this.#tail.at(-1)!;
    const block = await node.block(tip.height);
    if (!block) throw new NodeFault(`Node does not show block ${tip.height}`);
    this.#unfinished = false;
    // Otherwise it stands no more, and is about to be taken back.
    if (block.hash !== tip.hash) return;
    const events = await this.#feed.page(
      "transactions",
      { limit: RESUME_EVENTS },
      signal,
    );
    const known = new Set(events.map(({ id }) => id));
    const messages = this.#minedIn(block);
    const last = messages.findLastIndex(({ id }) => known.has(id!));
    this.#remember(block);
    await this.#feed.send(messages.slice(last + 1), signal);
  }

  #append(block: Published): void {
    while (this.#tail.length > 0 && this.#tail.at(-1)!.height >= block.height) {
      this.#tail.pop();
    }
    if (this.#tail.at(-1)?.hash !== block.parentHash) this.#tail = [];
    this.#tail.push(block);
    if (this.#tail.length > MAX_REORG_DEPTH) this.#tail.shift();
  }

  #strike(hash: string): void {
    if (this.#tail.at(-1)?.hash === hash) this.#tail.pop();
    const times = this.#times(hash) + 1;
    this.#takenBack.delete(hash);
    this.#takenBack.set(hash, times);
    if (this.#takenBack.size <= MAX_TAKEN_BACK) return;
    const [oldest] = this.#takenBack.keys();
    this.#takenBack.delete(oldest!);
  }

  #times(hash: string): number {
    return this.#takenBack.get(hash) ?? 0;
  }

  // Following it.

  /** Publishes all that the node knows and we have not published. */
  async #catchUp(node: EvmNode, signal: AbortSignal): Promise<void> {
    for (let moved = 0; !signal.aborted;) {
      const head = await node.head();
      const tip = this.#tail.at(-1);
      if (this.#unfinished && head.height >= tip!.height) {
        await this.#complete(node, signal);
      }
      if (tip?.hash === head.hash) return;
      // Genesis is no news, and not every test node keeps to the same one.
      this.#start ??= Math.max(1, head.height - START_BLOCKS + 1);
      let next = this.#start;
      if (tip) {
        const kept = await this.#standing(node, head.height);
        const first = this.#tail[kept];
        // A node that is merely behind shows a head older than what we know.
        const replaced = kept === 0 && head.timestampMs > tip.timestampMs;
        if (first && first.height > head.height && !replaced) return;
        if (first) await this.#takeBack(kept, signal);
        if (first && first.height > head.height) {
          this.#start = undefined;
          continue;
        }
        next = first?.height ?? tip.height + 1;
      }
      if (next > head.height) return;
      for (; next <= head.height && !signal.aborted; next++) {
        const block = await node.block(next);
        const parent = this.#tail.at(-1);
        // The chain moved meanwhile: look at it anew.
        if (!block || (parent && block.parentHash !== parent.hash)) {
          if (++moved > MAX_FAILURES) {
            throw new NodeFault(`Node shows no block ${next} that fits`);
          }
          await pause(
            this.#clock,
            backoffMs(moved, RETRY, this.#random),
            signal,
          );
          break;
        }
        moved = 0;
        await this.#publish(block, signal);
      }
    }
  }

  /** How many of the published blocks, from the oldest, the node has too. */
  async #standing(node: EvmNode, headHeight: number): Promise<number> {
    for (let kept = this.#tail.length; kept > 0; kept--) {
      const { height, hash } = this.#tail[kept - 1]!;
      if (height > headHeight) continue;
      const found = await node.hashAt(height);
      if (found === undefined) {
        throw new NodeFault(`Node does not show its block ${height}`);
      }
      if (found === hash) return kept;
    }
    return 0;
  }

  async #takeBack(kept: number, signal: AbortSignal): Promise<void> {
    const gone = this.#tail.slice(kept).reverse();
    this.#log("source_reorg", {
      depth: gone.length,
      from: gone.at(-1)?.height,
      ...(kept === 0 ? { deeperThanKnown: true } : {}),
    });
    const timestamp = new Date(this.#clock.now()).toISOString();
    await this.#feed.send(
      gone.map(({ hash, parentHash, height }) => ({
        type: "DAG_UPDATE",
        id: `${this.#chain}:removed:${hash}:${this.#times(hash)}`,
        payload: {
          updateType: "NODE_REMOVED",
          nodeId: hash,
          relatedNodes: [parentHash],
          timestamp,
          metadata: { layer: height },
        },
      })),
      signal,
    );
    for (const { hash } of gone) this.#strike(hash);
    this.#unfinished = false;
  }

  async #publish(block: EvmBlock, signal: AbortSignal): Promise<void> {
    const { hash, parentHash, height, timestampMs } = block;
    const mined = this.#minedIn(block);
    const published = { hash, parentHash, height, timestampMs };
    this.#remember(block);
    await this.#feed.send([
      {
        type: "NEW_BLOCK",
        id: this.#blockId(hash),
        payload: {
          blockId: hash,
          height,
          timestamp: this.#instant(timestampMs),
          hash,
          previousHash: parentHash,
          transactions: mined.map(({ payload }) => payload),
          ...(block.miner === undefined ? {} : { validator: block.miner }),
          ...whole("size", block.size),
          ...whole("gasUsed", block.gasUsed),
          ...whole("gasLimit", block.gasLimit),
        },
      },
      this.#added(published),
      ...mined,
    ], signal);
    this.#append(published);
  }

  #added({ hash, parentHash, height, timestampMs }: Published): AnyMessage {
    return {
      type: "DAG_UPDATE",
      id: this.#addedId(hash),
      payload: {
        updateType: "NODE_ADDED",
        nodeId: hash,
        relatedNodes: [parentHash],
        timestamp: this.#instant(timestampMs),
        metadata: {
          layer: height,
          parentCount: 1,
          childCount: 0,
        },
      },
    };
  }

  /** Names a block, and again differently each time it comes back. */
  #blockId(hash: string): string {
    return `${this.#chain}:block:${hash}${this.#again(hash)}`;
  }

  #addedId(hash: string): string {
    return `${this.#chain}:added:${hash}${this.#again(hash)}`;
  }

  #again(hash: string): string {
    const times = this.#times(hash);
    return times === 0 ? "" : `:${times}`;
  }

  #instant(ms: number): string {
    // A test chain's time may be set to where ISO 8601 has no four digits.
    return new Date(Math.min(Math.max(ms, 0), Date.UTC(9999, 11, 31)))
      .toISOString();
  }

  // Transactions.

  #minedIn(
    block: EvmBlock,
  ): Extract<AnyMessage, { type: "TX_RECEIVED" }>[] {
    const place = `${block.hash.slice(2, 18)}${this.#again(block.hash)}`;
    return block.transactions.map((tx) => {
      const status = tx.outcome?.succeeded ? "confirmed" : "failed";
      return {
        type: "TX_RECEIVED",
        id: `${this.#chain}:tx:${tx.hash}:${status}:${place}`,
        payload: transaction(tx, status, this.#instant(block.timestampMs)),
      };
    });
  }

  #remember({ transactions }: EvmBlock): void {
    for (const { hash } of transactions) this.#mined.add(hash);
    for (const hash of this.#mined) {
      if (this.#mined.size <= MAX_MINED) break;
      this.#mined.delete(hash);
    }
  }

  /** Publishes pending transactions as they are heard of. Never throws. */
  async #lookAtPending(
    node: EvmNode,
    queue: Queue,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      const hashes = queue.take();
      if (hashes.length === 0) {
        await queue.bell.wait(this.#clock, STATUS_MS, signal);
        continue;
      }
      try {
        const found = await Promise.all(
          hashes.map((hash) => node.pending(hash)),
        );
        const timestamp = this.#instant(this.#clock.now());
        await this.#feed.send(
          found.filter((tx) => tx !== undefined)
            // Mined while it was looked at: the news is old.
            .filter(({ hash }) => !this.#mined.has(hash))
            .map((tx) => ({
              type: "TX_RECEIVED",
              id: `${this.#chain}:tx:${tx.hash}:pending`,
              payload: transaction(tx, "pending", timestamp),
            })),
          signal,
        );
      } catch (error) {
        // Pending transactions are news, not history: these are let go.
        if (signal.aborted) return;
        this.#log("source_pending_failed", { ...describe(error) });
      }
    }
  }

  // The node.

  async #reportOn(node: EvmNode, signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    if (this.#status !== "OFFLINE" && now < this.#statusDue) return;
    this.#statusDue = now + STATUS_MS;
    const { version, peers, syncing, latencyMs } = await node.vitals();
    const { height } = await node.head();
    const behind = height < (this.#tail.at(-1)?.height ?? 0);
    await this.#sayStatus({
      status: syncing || behind ? "SYNCING" : "ONLINE",
      blockHeight: height,
      networkLatency: Math.round(latencyMs * 100) / 100,
      ...(version === undefined ? {} : { version: version.slice(0, 256) }),
      ...(peers === undefined ? {} : { peers }),
    }, signal);
  }

  async #sayStatus(
    said: Pick<PayloadOf<"NODE_STATUS">, "status"> & Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<void> {
    if (said.status === "OFFLINE" && this.#status === "OFFLINE") return;
    this.#status = said.status;
    this.#statusAt = Math.max(this.#clock.now(), this.#statusAt + 1);
    const name = this.#nodeId.replace(/[^\x21-\x7e]/g, "_").slice(0, 64);
    await this.#feed.send([{
      type: "NODE_STATUS",
      id: `evm:node:${name}:${said.status}:${this.#statusAt}`,
      payload: {
        nodeId: this.#nodeId,
        ...said,
        lastUpdate: this.#instant(this.#statusAt),
      },
    }], signal);
  }
}

/** A count, left out when the node does not tell it or a number cannot. */
function whole(
  name: string,
  value: bigint | undefined,
): Record<string, number> {
  if (value === undefined || value > BigInt(Number.MAX_SAFE_INTEGER)) return {};
  return { [name]: Number(value) };
}

function transaction(
  { hash, from, to, value, gasPrice, gas, nonce, input, outcome }:
    EvmTransaction,
  status: PayloadOf<"TX_RECEIVED">["status"],
  timestamp: string,
): PayloadOf<"TX_RECEIVED"> {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  return {
    txId: hash,
    from,
    to,
    amount: String(value),
    gasPrice: String(gasPrice),
    // No block holds that much gas; a test chain's transaction may ask for it.
    gasLimit: Number(gas < most ? gas : most),
    nonce,
    ...(input === "0x" || input === "" ? {} : { data: input }),
    status,
    timestamp,
    ...(outcome ? whole("gasUsed", outcome.gasUsed) : {}),
  };
}
