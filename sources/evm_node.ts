/**
 * An EVM node over JSON-RPC on a WebSocket. All that is viem's is in here, so
 * that only those who follow such a node load it.
 *
 * @module
 */
import {
  formatBlock,
  formatTransaction,
  getContractAddress,
  getSocketRpcClient,
  hexToBigInt,
  hexToNumber,
  numberToHex,
} from "viem/utils";
import { systemClock } from "../platform/clock.ts";
import { NodeFault } from "./evm_view.ts";
import type {
  EvmBlock,
  EvmNode,
  EvmTransaction,
  EvmVitals,
  NodeOptions,
} from "./evm_view.ts";

/** How long a node may take to open a socket, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** How long a node may take to answer, in milliseconds. */
export const ANSWER_TIMEOUT_MS = 15_000;
/** How long a node may take to close a socket, in milliseconds. */
const CLOSE_TIMEOUT_MS = 1_000;
/** Receipts asked for at once, where a node cannot give a whole block's. */
const RECEIPTS_AT_ONCE = 25;
/** JSON-RPC codes of methods that a node does not have, or does not allow. */
const NO_SUCH_METHOD: ReadonlySet<unknown> = new Set([-32601, -32004]);

type Client = Awaited<ReturnType<typeof getSocketRpcClient<WebSocket>>>;
type Opened = Parameters<
  Parameters<typeof getSocketRpcClient<WebSocket>>[0]["getSocket"]
>[0];
type RpcBlock = Parameters<typeof formatBlock>[0];
type RpcTransaction = Parameters<typeof formatTransaction>[0];
type Transaction = ReturnType<typeof formatTransaction>;
type Hex = `0x${string}`;

/** What of a receipt is used. */
interface Receipt {
  readonly transactionHash: Hex;
  readonly blockHash: Hex;
  readonly contractAddress?: Hex | null;
  readonly effectiveGasPrice?: Hex;
  readonly gasUsed: Hex;
  readonly status?: Hex;
}

/**
 * Connects to a node, and listens for new heads and pending transactions where
 * it offers that.
 *
 * @param options the node's address, and who hears of it.
 * @throws when it cannot be reached, or is no EVM node.
 */
export async function connect(options: NodeOptions): Promise<EvmNode> {
  const client = await getSocketRpcClient<WebSocket>({
    // viem shares one socket among all that name the same key and URL, and
    // puts the URL into errors, where a provider's key has no business.
    key: crypto.randomUUID(),
    url: new URL(options.url).host,
    keepAlive: false,
    // What was missed meanwhile must be asked for, so this is the caller's.
    reconnect: false,
    getSocket: (handlers) => open(options, handlers),
  });
  const rpc = new Rpc(client);
  try {
    const chainId = hexToNumber(await rpc.ask("eth_chainId"));
    await rpc.listen("newHeads", options.onHead);
    await rpc.listen("newPendingTransactions", (hash) => {
      if (typeof hash === "string") options.onPending(hash);
    });
    return new SocketNode(rpc, chainId);
  } catch (error) {
    await rpc.close();
    throw error;
  }
}

/** Opens a socket as viem's client wants it. */
function open(
  { url, signal, onClosed }: NodeOptions,
  { onClose, onError, onOpen, onResponse }: Opened,
): ReturnType<
  Parameters<typeof getSocketRpcClient<WebSocket>>[0]["getSocket"]
> {
  const socket = new WebSocket(url);
  return new Promise((resolve, reject) => {
    let opened = false;
    const settle = () => {
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", fail);
    };
    const fail = () => {
      settle();
      if (opened) return;
      socket.close();
      reject(new Error("Node cannot be reached"));
    };
    const timer = systemClock.after(CONNECT_TIMEOUT_MS, fail);
    signal.addEventListener("abort", fail);
    if (signal.aborted) fail();
    const end = () => {
      socket.removeEventListener("close", end);
      fail();
      if (!opened) return;
      onClose();
      onClosed();
    };
    socket.addEventListener("close", end);
    socket.addEventListener("error", () => {
      if (opened) onError(new Error("Connection to the node broke"));
      fail();
    });
    socket.addEventListener("message", ({ data }) => {
      let answer;
      try {
        answer = JSON.parse(data);
      } catch {
        return;
      }
      onResponse(answer);
    });
    socket.addEventListener("open", () => {
      opened = true;
      settle();
      onOpen();
      const close = socket.close.bind(socket);
      resolve(Object.assign(socket, {
        close() {
          close();
          end();
        },
        request({ body }: { body: unknown }) {
          if (socket.readyState !== WebSocket.OPEN) {
            throw new Error("Connection to the node is closed");
          }
          socket.send(JSON.stringify(body));
        },
      }));
    });
  });
}

/** Requests and answers. */
class Rpc {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  // deno-lint-ignore no-explicit-any -- what a node answers has no static type.
  async ask(method: string, ...params: unknown[]): Promise<any> {
    const { error, result } = await this.#client.requestAsync({
      body: { method, params },
      timeout: ANSWER_TIMEOUT_MS,
    });
    if (error) throw new NodeFault(`${method}: ${error.message}`, error.code);
    return result;
  }

  /** As {@link ask}, but nothing when the node refuses. */
  // deno-lint-ignore no-explicit-any -- as above.
  async askIfItCan(method: string, ...params: unknown[]): Promise<any> {
    try {
      return await this.ask(method, ...params);
    } catch (error) {
      if (error instanceof NodeFault) return undefined;
      throw error;
    }
  }

  /** Hears a subscription, if the node has it. */
  listen(topic: string, heard: (result: unknown) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.request({
        body: { method: "eth_subscribe", params: [topic] },
        onError: () => reject(new Error("Connection to the node broke")),
        // The first answer is the subscription itself, or its refusal.
        onResponse: (response) => {
          if (response.method === "eth_subscription") {
            heard(
              (response as { params?: { result?: unknown } }).params
                ?.result,
            );
          } else resolve();
        },
      });
    });
  }

  async close(): Promise<void> {
    const { socket } = this.#client;
    const closed = new Promise<void>((resolve) => {
      if (socket.readyState === WebSocket.CLOSED) return resolve();
      const timer = systemClock.after(CLOSE_TIMEOUT_MS, resolve);
      socket.addEventListener("close", () => {
        timer[Symbol.dispose]();
        resolve();
      });
    });
    this.#client.close();
    await closed;
  }
}

class SocketNode implements EvmNode {
  readonly chainId: number;
  readonly #rpc: Rpc;
  #wholeReceipts = true;

  constructor(rpc: Rpc, chainId: number) {
    this.#rpc = rpc;
    this.chainId = chainId;
  }

  async head(): Promise<Pick<EvmBlock, "height" | "hash" | "timestampMs">> {
    const block = await this.#rpc.ask("eth_getBlockByNumber", "latest", false);
    return {
      height: hexToNumber(block.number),
      hash: block.hash,
      timestampMs: hexToNumber(block.timestamp) * 1000,
    };
  }

  async hashAt(height: number): Promise<string | undefined> {
    const block = await this.#rpc.ask(
      "eth_getBlockByNumber",
      numberToHex(height),
      false,
    );
    return block?.hash ?? undefined;
  }

  async block(height: number): Promise<EvmBlock | undefined> {
    const raw: RpcBlock | null = await this.#rpc.ask(
      "eth_getBlockByNumber",
      numberToHex(height),
      true,
    );
    if (!raw?.hash) return undefined;
    const block = formatBlock(raw);
    const transactions = block.transactions as Transaction[];
    const receipts = await this.#receipts(transactions, height);
    const pairs = transactions.map((transaction) => ({
      transaction,
      receipt: receipts.get(transaction.hash),
    }));
    // A receipt of another block: the chain was reorganised in between.
    if (pairs.some(({ receipt }) => receipt?.blockHash !== block.hash)) {
      return undefined;
    }
    return {
      hash: block.hash!,
      parentHash: block.parentHash!,
      height,
      timestampMs: Number(block.timestamp) * 1000,
      miner: block.miner ?? undefined,
      size: block.size,
      gasUsed: block.gasUsed,
      gasLimit: block.gasLimit,
      transactions: pairs.map(({ transaction, receipt }) =>
        told(transaction, receipt)
      ),
    };
  }

  async pending(hash: string): Promise<EvmTransaction | undefined> {
    const raw: RpcTransaction | null = await this.#rpc.askIfItCan(
      "eth_getTransactionByHash",
      hash,
    );
    if (!raw || raw.blockHash) return undefined;
    return told(formatTransaction(raw), undefined);
  }

  async vitals(): Promise<EvmVitals> {
    const version = await this.#rpc.askIfItCan("web3_clientVersion");
    const peers = await this.#rpc.askIfItCan("net_peerCount");
    const began = systemClock.monotonic();
    const syncing = await this.#rpc.askIfItCan("eth_syncing");
    return {
      version: typeof version === "string" ? version : undefined,
      peers: typeof peers === "string"
        ? hexToNumber(peers as `0x${string}`)
        : undefined,
      syncing: syncing !== undefined && syncing !== false,
      latencyMs: systemClock.monotonic() - began,
    };
  }

  close(): Promise<void> {
    return this.#rpc.close();
  }

  /** Receipts by transaction; those that the node does not have are missing. */
  async #receipts(
    transactions: readonly Transaction[],
    height: number,
  ): Promise<Map<string, Receipt>> {
    const raw: (Receipt | null)[] = [];
    if (transactions.length > 0 && this.#wholeReceipts) {
      try {
        raw.push(
          ...await this.#rpc.ask(
            "eth_getBlockReceipts",
            numberToHex(height),
          ) ?? [],
        );
      } catch (error) {
        if (!(error instanceof NodeFault)) throw error;
        if (!NO_SUCH_METHOD.has(error.code)) throw error;
        this.#wholeReceipts = false;
      }
    }
    if (!this.#wholeReceipts) {
      for (let at = 0; at < transactions.length; at += RECEIPTS_AT_ONCE) {
        const some = transactions.slice(at, at + RECEIPTS_AT_ONCE);
        raw.push(
          ...await Promise.all(
            some.map(({ hash }) =>
              this.#rpc.ask("eth_getTransactionReceipt", hash)
            ),
          ),
        );
      }
    }
    return new Map(
      raw.filter((receipt) => receipt !== null)
        .map((receipt) => [receipt.transactionHash, receipt]),
    );
  }
}

/** A transaction with what its receipt, if there is one, says of it. */
function told(tx: Transaction, receipt: Receipt | undefined): EvmTransaction {
  const nonce = Number(tx.nonce);
  return {
    hash: tx.hash,
    from: tx.from,
    to: tx.to ?? receipt?.contractAddress ??
      getContractAddress({ from: tx.from, nonce: BigInt(nonce) }),
    value: tx.value,
    gasPrice: receipt?.effectiveGasPrice
      ? hexToBigInt(receipt.effectiveGasPrice)
      : tx.gasPrice ?? tx.maxFeePerGas ?? 0n,
    gas: tx.gas,
    nonce,
    input: tx.input,
    outcome: receipt && {
      succeeded: receipt.status !== "0x0",
      gasUsed: hexToBigInt(receipt.gasUsed),
    },
  };
}
