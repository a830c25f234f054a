/**
 * One EVM node over JSON-RPC. Loaded only where such a node is followed.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import {
  readBlock,
  readHash,
  readHead,
  readList,
  readReceipt,
  readTransaction,
  readWhole,
  withReceipt,
} from "./evm_read.ts";
import type { Receipt } from "./evm_read.ts";
import { NodeFault } from "./evm_view.ts";
import type {
  EvmBlock,
  EvmHead,
  EvmNode,
  EvmTransaction,
  EvmVitals,
  FinalityLevel,
  NodeListener,
} from "./evm_view.ts";
import type { JsonRpc, OpenRpc } from "./json_rpc.ts";

/** Receipts requested at once, where a node does not give a whole block's. */
const RECEIPTS_AT_ONCE = 25;
/** Failures after which a whole block's receipts are not requested any more. */
const MAX_WHOLE_FAILURES = 3;
/** Time between two looks for pending transactions by polling, in milliseconds. */
const FILTER_MS = 1_000;
/** JSON-RPC codes of methods that a node does not have, or does not allow. */
const NO_SUCH_METHOD: ReadonlySet<unknown> = new Set([
  -32601,
  -32004,
  -32700,
  -32600,
]);
const TAGS: Readonly<Record<FinalityLevel, string>> = {
  safe: "safe",
  final: "finalized",
};

/** What connecting to a node needs. */
export interface ConnectOptions extends NodeListener {
  /** The node's address; may hold a provider's key. */
  readonly url: string;
  /** Ends connecting, and the connection's requests. */
  readonly signal: AbortSignal;
  /** Measures deadlines and durations. */
  readonly clock: Clock;
  /** Opens the connection. */
  readonly open: OpenRpc;
}

/**
 * Connects to a node, and listens for heads and pending transactions where the
 * node offers that.
 *
 * @param options the node's address, and who receives what it reports.
 * @throws when it cannot be reached, or is no EVM node.
 */
export async function connect(options: ConnectOptions): Promise<EvmNode> {
  const { open, url, clock, signal, onClosed, onHead, onPending } = options;
  const topics = new Map<string, (result: unknown) => void>();
  const ended = new AbortController();
  const rpc = await open({
    url,
    clock,
    signal: AbortSignal.any([signal, ended.signal]),
    onNotice: (subscription, result) => topics.get(subscription)?.(result),
    onClosed: once(() => {
      ended.abort(new Error("Connection to the node was lost"));
      onClosed();
    }),
  });
  const node = { rpc, clock, signal: ended.signal, topics };
  try {
    const chainId = readWhole(await rpc.ask("eth_chainId"));
    if (chainId === undefined) throw new NodeFault("Node names no chain");
    // Nothing waits for these: a node may never answer, and polling suffices.
    void subscribe(node, ["newHeads"], () => onHead());
    void listenForPending(node, onPending);
    return new RpcNode(rpc, clock, chainId, () => {
      ended.abort(new Error("Connection to the node was ended"));
      return rpc.close();
    });
  } catch (error) {
    ended.abort(error);
    await rpc.close();
    throw error;
  }
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    work();
  };
}

interface Listening {
  readonly rpc: JsonRpc;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly topics: Map<string, (result: unknown) => void>;
}

/** Subscribes to a topic. @returns whether the node accepted. Never throws. */
async function subscribe(
  { rpc, topics }: Listening,
  params: readonly unknown[],
  receive: (result: unknown) => void,
): Promise<boolean> {
  if (!rpc.pushes) return false;
  try {
    const id = await rpc.ask("eth_subscribe", ...params);
    if (typeof id !== "string") return false;
    topics.set(id, receive);
    return true;
  } catch {
    return false;
  }
}

/** By whole objects, else by hashes, else by polling a filter. Never throws. */
async function listenForPending(
  node: Listening,
  onPending: NodeListener["onPending"],
): Promise<void> {
  const receive = (result: unknown) => {
    const found = typeof result === "string"
      ? readHash(result)
      : readTransaction(result);
    if (found !== undefined) onPending(found);
  };
  const topic = "newPendingTransactions";
  if (await subscribe(node, [topic, true], receive)) return;
  if (await subscribe(node, [topic], receive)) return;
  const { rpc, clock, signal } = node;
  try {
    const filter = await rpc.ask("eth_newPendingTransactionFilter");
    const look = async () => {
      if (signal.aborted) return;
      try {
        const found = readList(await rpc.ask("eth_getFilterChanges", filter));
        found?.forEach(receive);
        timer = clock.after(FILTER_MS, () => void look());
      } catch {
        // The filter is gone; pending transactions are not promised.
      }
    };
    let timer = clock.after(FILTER_MS, () => void look());
    const stop = () => timer[Symbol.dispose]();
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  } catch {
    // The node does not report pending transactions.
  }
}

function hex(height: number): string {
  return `0x${height.toString(16)}`;
}

class RpcNode implements EvmNode {
  readonly chainId: number;
  readonly close: () => Promise<void>;
  readonly #rpc: JsonRpc;
  readonly #clock: Clock;
  #wholeFailures = 0;

  constructor(
    rpc: JsonRpc,
    clock: Clock,
    chainId: number,
    close: () => Promise<void>,
  ) {
    this.#rpc = rpc;
    this.#clock = clock;
    this.chainId = chainId;
    this.close = close;
  }

  async head(): Promise<EvmHead> {
    const head = readHead(
      await this.#rpc.ask("eth_getBlockByNumber", "latest", false),
    );
    if (!head) throw new NodeFault("Node has no newest block");
    return head;
  }

  async headAt(height: number): Promise<EvmHead | undefined> {
    const head = readHead(
      await this.#rpc.ask("eth_getBlockByNumber", hex(height), false),
    );
    return head?.height === height ? head : undefined;
  }

  async block(height: number, hash?: string): Promise<EvmBlock | undefined> {
    // Both at once: the receipts are checked against the block.
    const whole = this.#wholeReceipts(height);
    let block = readBlock(
      await this.#rpc.ask("eth_getBlockByNumber", hex(height), true),
    );
    if (!block && hash !== undefined) {
      block = readBlock(
        await this.#rpc.ask("eth_getBlockByHash", hash, true),
      );
    }
    const receipts = await whole;
    if (!block || block.height !== height) return undefined;
    const { transactions } = block;
    const found = await this.#receiptsOf(block, receipts);
    const mined = transactions.map((tx) => withReceipt(tx, found.get(tx.hash)));
    const isWhole = mined.every(({ hash }) => found.has(hash));
    return {
      ...block,
      transactions: mined,
      missing: isWhole ? block.missing : [...block.missing, "receipts"],
    };
  }

  async level(level: FinalityLevel): Promise<EvmHead | undefined> {
    try {
      return readHead(
        await this.#rpc.ask("eth_getBlockByNumber", TAGS[level], false),
      );
    } catch (error) {
      if (error instanceof NodeFault) return undefined;
      throw error;
    }
  }

  async transaction(hash: string): Promise<EvmTransaction | undefined> {
    return readTransaction(
      await this.#rpc.ask("eth_getTransactionByHash", hash),
    );
  }

  async vitals(): Promise<EvmVitals> {
    const version = await this.#askIfItCan("web3_clientVersion");
    const peers = await this.#askIfItCan("net_peerCount");
    const began = this.#clock.monotonic();
    const syncing = await this.#askIfItCan("eth_syncing");
    return {
      version: typeof version === "string" ? version : undefined,
      peers: readWhole(peers),
      syncing: syncing === true ||
        (typeof syncing === "object" && syncing !== null),
      latencyMs: this.#clock.monotonic() - began,
    };
  }

  /** `undefined` when the node refuses. */
  async #askIfItCan(method: string, ...params: unknown[]): Promise<unknown> {
    try {
      return await this.#rpc.ask(method, ...params);
    } catch (error) {
      if (error instanceof NodeFault) return undefined;
      throw error;
    }
  }

  /** A block's receipts in one answer, where the node gives them. */
  async #wholeReceipts(height: number): Promise<readonly Receipt[]> {
    if (this.#wholeFailures >= MAX_WHOLE_FAILURES) return [];
    try {
      const raw = await this.#rpc.ask("eth_getBlockReceipts", hex(height));
      this.#wholeFailures = 0;
      return (readList(raw) ?? []).map(readReceipt)
        .filter((receipt) => receipt !== undefined);
    } catch (error) {
      // A lost connection fails the request for the block as well.
      if (!(error instanceof NodeFault)) return [];
      this.#wholeFailures = NO_SUCH_METHOD.has(error.code)
        ? MAX_WHOLE_FAILURES
        : this.#wholeFailures + 1;
      return [];
    }
  }

  /** Receipts by transaction: those given, the rest one by one. */
  async #receiptsOf(
    { hash: blockHash, transactions }: EvmBlock,
    given: readonly Receipt[],
  ): Promise<Map<string, Receipt>> {
    const found = new Map<string, Receipt>();
    const take = (receipt: Receipt | undefined) => {
      // One of another block: the chain was reorganised in between.
      if (!receipt || (receipt.blockHash ?? blockHash) !== blockHash) return;
      found.set(receipt.hash, receipt);
    };
    given.forEach(take);
    const rest = transactions.filter(({ hash }) => !found.has(hash));
    for (let at = 0; at < rest.length; at += RECEIPTS_AT_ONCE) {
      const some = rest.slice(at, at + RECEIPTS_AT_ONCE);
      const raw = await Promise.all(
        some.map(({ hash }) =>
          this.#askIfItCan("eth_getTransactionReceipt", hash)
        ),
      );
      raw.forEach((receipt) => take(readReceipt(receipt)));
    }
    return found;
  }
}
