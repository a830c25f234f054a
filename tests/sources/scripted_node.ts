/**
 * A node of an EVM chain that does what a test orders: a chain and a pool as real
 * nodes have them, reorganisations at will, and any odd answer. It is asked in
 * memory, or over real sockets and HTTP.
 *
 * @module
 */
import type { JsonRpc, OpenRpc, RpcOptions } from "../../sources/json_rpc.ts";
import { NodeFault } from "../../sources/evm_view.ts";

/** A transaction as tests make it. */
export interface ScriptedTransaction {
  readonly hash: string;
  readonly from: string;
  readonly nonce: number;
  readonly price: number;
}

/** A block as tests see it. */
export interface ScriptedBlock {
  readonly hash: string;
  readonly parentHash: string;
  readonly height: number;
  readonly transactions: readonly ScriptedTransaction[];
  /** Hashes of those that failed. */
  readonly failed: ReadonlySet<string>;
}

/** What the node answers in place of the truth. */
export type Odd = (params: readonly unknown[], answer: unknown) => unknown;

/** An error as JSON-RPC has it; throw it from an {@link Odd}. */
export class RpcError extends Error {
  constructor(readonly code: number, message = "refused") {
    super(message);
  }
}

/** A hexadecimal name of 32 bytes with distinct first digits. */
function named(number: number): string {
  const digits = number.toString(16).padStart(64, "0");
  return `0x${digits.split("").reverse().join("")}`;
}

/** `Transfer(address,address,uint256)`. */
const TRANSFER =
  "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
const word = (hex: string) => `0x${hex.slice(2).padStart(64, "0")}`;

const hex = (value: number) => `0x${value.toString(16)}`;

/** The address of a test's account. */
export function account(number: number): string {
  return `0x${number.toString(16).padStart(40, "0")}`;
}

/** A chain, its pool, and the node that shows it. */
export class ScriptedNode {
  chainId = 7;
  blocks: ScriptedBlock[] = [];
  readonly pool = new Map<string, ScriptedTransaction>();
  /** Every transaction there ever was. */
  readonly all = new Map<string, ScriptedTransaction>();
  /** Newest blocks that the node does not show yet. */
  behind = 0;
  reachable = true;
  /** Requests after which the chain is reorganised, unasked. */
  jumpIn = 0;
  /** Answers in place of the truth, by method. */
  readonly odd = new Map<string, Odd>();
  /** Methods asked, in order. */
  readonly asked: string[] = [];
  /** Time of genesis, in epoch seconds. */
  epoch = Date.UTC(2025, 0, 1) / 1000;
  #made = 0;
  readonly #open = new Map<RpcOptions, Map<string, string>>();

  constructor() {
    this.mine(1);
  }

  /** The newest block there is. */
  get tip(): ScriptedBlock {
    return this.blocks.at(-1)!;
  }

  /** Blocks that the node shows. */
  get shown(): ScriptedBlock[] {
    return this.blocks.slice(0, Math.max(1, this.blocks.length - this.behind));
  }

  /** The block that holds a transaction. */
  holderOf(hash: string): ScriptedBlock | undefined {
    return this.blocks.find(({ transactions }) =>
      transactions.some((tx) => tx.hash === hash)
    );
  }

  /** The next nonce of an account in the chain. */
  nonceOf(from: string): number {
    return this.blocks.flatMap(({ transactions }) => transactions)
      .filter((tx) => tx.from === from).length;
  }

  /** Puts a transaction into the pool; a dearer one replaces. */
  submit(
    { from = account(1), nonce, price = 1 }: Partial<ScriptedTransaction> = {},
  ): ScriptedTransaction {
    const tx = {
      hash: named(0x1000_0000 + ++this.#made),
      from,
      nonce: nonce ?? this.nonceOf(from) +
          [...this.pool.values()].filter((it) => it.from === from).length,
      price,
    };
    this.all.set(tx.hash, tx);
    for (const other of this.pool.values()) {
      if (other.from === from && other.nonce === tx.nonce) {
        if (other.price >= price) return tx;
        this.pool.delete(other.hash);
      }
    }
    this.pool.set(tx.hash, tx);
    this.#notify("newPendingTransactions", tx.hash);
    return tx;
  }

  /** Forgets a pending transaction. */
  drop(hash: string): void {
    this.pool.delete(hash);
  }

  /**
   * Makes blocks; the first holds transactions.
   *
   * @param transactions those of the pool or not; what cannot be, is left out.
   */
  mine(count: number, transactions: readonly ScriptedTransaction[] = []): void {
    for (let made = 0; made < count; made++) {
      const id = ++this.#made;
      const parent = this.blocks.at(-1);
      const held: ScriptedTransaction[] = [];
      if (made === 0) {
        for (const tx of transactions) {
          const next = this.nonceOf(tx.from) +
            held.filter(({ from }) => from === tx.from).length;
          if (tx.nonce === next) held.push(tx);
        }
      }
      this.blocks.push({
        hash: named(id),
        parentHash: parent?.hash ?? named(0),
        height: (parent?.height ?? -1) + 1,
        transactions: held,
        failed: new Set(
          held.filter((_, at) => (id + at) % 3 === 0).map(({ hash }) => hash),
        ),
      });
      this.#clean();
    }
    this.#notify("newHeads", {});
  }

  /** Makes many blocks full of transactions that were never pending. */
  burst(blocks: number, transactions: number): void {
    for (let made = 0; made < blocks; made++) {
      this.mine(1);
      const { height } = this.tip;
      const from = account(1_000 + height);
      const held = Array.from({ length: transactions }, (_, nonce) => ({
        hash: named(0x2000_0000 + height * 4_096 + nonce),
        from,
        nonce,
        price: 1,
      }));
      this.blocks.push({ ...this.blocks.pop()!, transactions: held });
    }
  }

  /** Takes back the newest blocks; their transactions are pending again. */
  rollback(depth: number): ScriptedBlock[] {
    const gone = this.blocks.splice(Math.max(1, this.blocks.length - depth));
    for (const tx of gone.flatMap(({ transactions }) => transactions)) {
      const rival = [...this.pool.values()].find(({ from, nonce }) =>
        from === tx.from && nonce === tx.nonce
      );
      if (rival && rival.price >= tx.price) continue;
      if (rival) this.pool.delete(rival.hash);
      this.pool.set(tx.hash, tx);
    }
    this.#clean();
    return gone;
  }

  /** Replaces the newest blocks by others. */
  reorg(
    depth: number,
    longer = 1,
    transactions: readonly ScriptedTransaction[] = [],
  ): ScriptedBlock[] {
    const gone = this.rollback(depth);
    this.mine(gone.length + longer, transactions);
    return gone;
  }

  /** Goes back to blocks that were replaced. */
  restore(blocks: readonly ScriptedBlock[]): void {
    const [first] = blocks;
    if (!first) return;
    this.rollback(this.blocks.length - first.height);
    this.blocks.push(...blocks);
    this.#clean();
    this.#notify("newHeads", {});
  }

  /** Cuts all connections. */
  cut(): void {
    for (const options of [...this.#open.keys()]) {
      this.#open.delete(options);
      options.onClosed();
    }
  }

  /** Opens a connection in memory. */
  readonly open: OpenRpc = (options) => {
    if (!this.reachable) return Promise.reject(new Error("unreachable"));
    const subscriptions = new Map<string, string>();
    this.#open.set(options, subscriptions);
    const rpc: JsonRpc = {
      pushes: true,
      ask: (method, ...params) =>
        Promise.try(async () => {
          options.signal.throwIfAborted();
          if (!this.#open.has(options)) throw new Error("closed");
          try {
            const answer = await this.answer(method, params);
            if (method === "eth_subscribe" && typeof answer === "string") {
              subscriptions.set(String(params[0]), answer);
            }
            return structuredClone(answer);
          } catch (error) {
            if (!(error instanceof RpcError)) throw error;
            throw new NodeFault(`${method}: ${error.message}`, error.code);
          }
        }),
      close: () => {
        this.#open.delete(options);
        return Promise.resolve();
      },
    };
    return Promise.resolve(rpc);
  };

  /** Serves WebSockets and HTTP on a free port. */
  serve() {
    const sockets = new Set<WebSocket>();
    const answerTo = async (text: string) => {
      const { id, method, params } = JSON.parse(text);
      try {
        const result = await this.answer(method, params);
        return JSON.stringify({ jsonrpc: "2.0", id, result });
      } catch (error) {
        const code = error instanceof RpcError ? error.code : -32603;
        const { message } = error as Error;
        return JSON.stringify({ jsonrpc: "2.0", id, error: { code, message } });
      }
    };
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen() {} },
      async (request) => {
        if (request.headers.get("upgrade") !== "websocket") {
          return new Response(await answerTo(await request.text()));
        }
        const { socket, response } = Deno.upgradeWebSocket(request);
        sockets.add(socket);
        socket.onclose = () => sockets.delete(socket);
        socket.onmessage = async ({ data }) => {
          const answer = await answerTo(data);
          if (socket.readyState === WebSocket.OPEN) socket.send(answer);
        };
        return response;
      },
    );
    const host = `127.0.0.1:${server.addr.port}`;
    return {
      ws: `ws://${host}`,
      http: `http://${host}`,
      /** Sends a text as it is to all that are connected. */
      push: (text: string) => sockets.forEach((socket) => socket.send(text)),
      async [Symbol.asyncDispose]() {
        await server.shutdown();
      },
    };
  }

  /** What the node answers. @throws {RpcError} when it refuses. */
  answer(method: string, params: readonly unknown[]): unknown {
    this.asked.push(method);
    if (this.jumpIn > 0 && --this.jumpIn === 0) this.reorg(2, 1);
    const truth = this.#truth(method, params);
    const odd = this.odd.get(method);
    const answer = odd ? odd(params, truth) : truth;
    if (answer !== undefined) return answer;
    throw new RpcError(-32601, `${method} does not exist`);
  }

  /** `undefined` for methods that the node does not have. */
  #truth(method: string, params: readonly unknown[]): unknown {
    switch (method) {
      case "eth_chainId":
        return hex(this.chainId);
      case "eth_subscribe":
        return `sub:${params[0]}`;
      case "eth_getBlockByNumber":
        return this.#block(this.#at(params[0]), params[1] === true);
      case "eth_getBlockByHash":
        return this.#block(
          this.shown.find(({ hash }) => hash === params[0]),
          params[1] === true,
        );
      case "eth_getBlockReceipts": {
        const block = this.#at(params[0]);
        return block?.transactions.map((tx) => this.#receipt(block, tx)) ??
          null;
      }
      case "eth_getTransactionReceipt": {
        const [block, tx] = this.#mined(params[0]);
        return block && tx ? this.#receipt(block, tx) : null;
      }
      case "eth_getTransactionByHash": {
        const [block, tx] = this.#mined(params[0]);
        if (block && tx) return this.#transaction(tx, block);
        const pending = this.pool.get(params[0] as string);
        return pending ? this.#transaction(pending) : null;
      }
      case "web3_clientVersion":
        return "scripted/1.0";
      case "net_peerCount":
        return "0x3";
      case "eth_syncing":
        return false;
      default:
        return undefined;
    }
  }

  #at(tag: unknown): ScriptedBlock | undefined {
    const { shown } = this;
    if (tag === "latest") return shown.at(-1);
    // Levels as anvil has them, with shorter epochs.
    if (tag === "safe") return shown.at(-1 - Math.min(16, shown.length - 1));
    if (tag === "finalized") {
      return shown.at(-1 - Math.min(32, shown.length - 1));
    }
    return shown[Number(tag)];
  }

  #mined(
    hash: unknown,
  ): [ScriptedBlock | undefined, ScriptedTransaction | undefined] {
    const block = this.shown.find(({ transactions }) =>
      transactions.some((tx) => tx.hash === hash)
    );
    return [block, block?.transactions.find((tx) => tx.hash === hash)];
  }

  #block(block: ScriptedBlock | undefined, whole: boolean): unknown {
    if (!block) return null;
    return {
      hash: block.hash,
      parentHash: block.parentHash,
      number: hex(block.height),
      timestamp: hex(this.epoch + block.height),
      miner: account(99),
      size: "0x1",
      gasUsed: "0x1",
      // More than a number holds: such a count is left out.
      gasLimit: "0x10000000000000000",
      baseFeePerGas: "0x7",
      transactions: block.transactions.map((tx) =>
        whole ? this.#transaction(tx, block) : tx.hash
      ),
    };
  }

  #transaction(
    { hash, from, nonce, price }: ScriptedTransaction,
    block?: ScriptedBlock,
  ): unknown {
    return {
      hash,
      from: from.toUpperCase().replace("0X", "0x"),
      to: account(2),
      value: "0x1",
      gasPrice: hex(price),
      gas: "0x5208",
      nonce: hex(nonce),
      input: "0x",
      type: "0x0",
      blockHash: block?.hash ?? null,
    };
  }

  #receipt(block: ScriptedBlock, { hash, price }: ScriptedTransaction) {
    const isFailed = block.failed.has(hash);
    return {
      transactionHash: hash,
      blockHash: block.hash,
      contractAddress: null,
      effectiveGasPrice: hex(price),
      gasUsed: "0x5208",
      status: isFailed ? "0x0" : "0x1",
      // Every transaction that succeeds moves a token to one more account.
      logs: [{
        address: account(50),
        topics: isFailed ? [] : [TRANSFER, word(account(51)), word(hash)],
        data: isFailed ? "0x" : word("0x5"),
        logIndex: "0x0",
      }],
    };
  }

  /** What is mined, or can be mined no more, is not pending. */
  #clean(): void {
    for (const [hash, { from, nonce }] of this.pool) {
      if (nonce < this.nonceOf(from)) this.pool.delete(hash);
    }
  }

  #notify(topic: string, result: unknown): void {
    for (const [options, subscriptions] of this.#open) {
      const id = subscriptions.get(topic);
      if (id !== undefined) options.onNotice(id, result);
    }
  }
}

/** Some of a node's pool, in the order in which it can be mined. */
export function chosen(
  node: ScriptedNode,
  count: number,
): ScriptedTransaction[] {
  return [...node.pool.values()].sort((a, b) => a.nonce - b.nonce)
    .slice(0, count + 1);
}
