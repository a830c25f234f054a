/**
 * The messages of an EVM chain. An `id` names the occurrence: the same block or
 * status, when it returns after a revert, has another one.
 *
 * A block is a node of the DAG, its parent the edge. `blockId`, `hash` and the
 * DAG's `nodeId` are the block's hash, heights its number, amounts decimal
 * strings of wei.
 *
 * @module
 */
import type { AnyMessage, Message, PayloadOf } from "../protocol/messages.ts";
import { transfersOf } from "./evm_transfers.ts";
import type { EvmBlock, EvmTransaction, FinalityLevel } from "./evm_view.ts";
import type { Placed } from "./tail.ts";

/** A transaction as it is published. */
export type TxPayload = PayloadOf<"TX_RECEIVED">;
/** A message about a transaction. */
export type TxMessage = Message<"TX_RECEIVED"> & { type: "TX_RECEIVED" };

/** Placeholder for an unknown address; `missing` names the field. */
const UNKNOWN = "unknown";

/**
 * ISO 8601 of an instant. A test chain's time may be set to where that has no
 * four digits.
 *
 * @param ms epoch milliseconds.
 */
export function instant(ms: number): string {
  return new Date(Math.min(Math.max(ms, 0), Date.UTC(9999, 11, 31)))
    .toISOString();
}

/** A block that is published, and how often it was reverted before. */
export interface Occurrence extends Placed {
  /** 0 for the first time that it is published. */
  readonly reverts: number;
}

/** Builds the messages of one chain. */
export class Messages {
  /** Which chain: begins every `id`. */
  readonly chain: string;

  /** Names the chain, such as `evm:1`. */
  constructor(chain: string) {
    this.chain = chain;
  }

  /** Whether an event is of this chain and this kind of source. */
  owns(id: string): boolean {
    return id.startsWith(`${this.chain}:`);
  }

  /** How often a block was reverted before, from the id of its `NEW_BLOCK`. */
  revertsIn(id: string): number {
    return Number(/:block:0x[0-9a-f]+:(\d+)$/.exec(id)?.[1] ?? 0);
  }

  /** Names the occurrence of a block within the `id` of a transaction. */
  placeOf(at: Occurrence): string {
    return placeOf(at);
  }

  /** The occurrence that an `id` names; empty when it names none. */
  placeIn(id: string): string {
    const found = /:(?:confirmed|failed|reorg):([0-9a-f]{16}(?::\d+)?)$/;
    return found.exec(id)?.[1] ?? "";
  }

  /** The `id` of the last message about a block on a channel. */
  completeId(at: Occurrence, channel: "transactions" | "logs"): string {
    return this.#id(`complete:${channel}`, at);
  }

  /** `NEW_BLOCK`. */
  block(block: EvmBlock, at: Occurrence): AnyMessage {
    const { hash, parentHash, height, timestampMs, missing } = block;
    return {
      type: "NEW_BLOCK",
      id: this.#id("block", at),
      payload: {
        chain: this.chain,
        blockId: hash,
        height,
        timestamp: instant(timestampMs),
        hash,
        previousHash: parentHash,
        transactionCount: block.transactionCount,
        transactions: this.mined(block, at).map(({ payload }) => payload),
        ...(block.miner === undefined ? {} : { validator: block.miner }),
        ...whole("size", block.size),
        ...whole("gasUsed", block.gasUsed),
        ...whole("gasLimit", block.gasLimit),
        ...amount("baseFee", block.baseFee),
        ...(missing.length === 0 ? {} : { missing: [...missing] }),
      },
    };
  }

  /** The block joins the DAG. */
  added(at: Occurrence, timestampMs: number): AnyMessage {
    const { hash, parentHash, height } = at;
    return {
      type: "DAG_UPDATE",
      id: this.#id("added", at),
      payload: {
        updateType: "NODE_ADDED",
        nodeId: hash,
        relatedNodes: [parentHash],
        timestamp: instant(timestampMs),
        metadata: { layer: height, parentCount: 1, childCount: 0 },
      },
    };
  }

  /** The transactions of a block, in its order. */
  mined(block: EvmBlock, at: Occurrence): TxMessage[] {
    const { hash, height, timestampMs } = block;
    return block.transactions.map((tx, index) => {
      const status = tx.outcome?.succeeded === false ? "failed" : "confirmed";
      const transfers = transfersOf(tx);
      const { gasUsed, gasPrice } = tx.outcome ?? {};
      return {
        type: "TX_RECEIVED",
        id: `${this.chain}:tx:${tx.hash}:${status}:${placeOf(at)}`,
        payload: {
          ...this.#transaction(tx, status, timestampMs),
          ...(gasPrice === undefined ? {} : { gasPrice: String(gasPrice) }),
          blockId: hash,
          blockHeight: height,
          index,
          ...whole("gasUsed", gasUsed),
          ...(gasUsed === undefined || gasPrice === undefined
            ? {}
            : amount("fee", gasUsed * gasPrice)),
          ...(transfers.length === 0 ? {} : { transfers }),
        },
      };
    });
  }

  /** The last message about a block on a channel. */
  complete(
    { transactions, timestampMs, missing }: EvmBlock,
    at: Occurrence,
    channel: "transactions" | "logs",
  ): AnyMessage {
    const failed =
      transactions.filter(({ outcome }) => outcome?.succeeded === false).length;
    return {
      type: "BLOCK_COMPLETE",
      id: this.completeId(at, channel),
      channel,
      payload: {
        chain: this.chain,
        blockId: at.hash,
        height: at.height,
        transactions: transactions.length,
        failed,
        ...(missing.includes("transactions")
          ? { missing: ["transactions"] }
          : {}),
        timestamp: instant(timestampMs),
      },
    };
  }

  /** The contract events of a block, a message for each transaction. */
  logs(
    { transactions, timestampMs }: EvmBlock,
    at: Occurrence,
  ): AnyMessage[] {
    return transactions.flatMap(({ hash, outcome }, index): AnyMessage[] =>
      !outcome?.logs.length ? [] : [{
        type: "TX_LOGS",
        id: `${this.chain}:logs:${hash}:${placeOf(at)}`,
        payload: {
          chain: this.chain,
          txId: hash,
          blockId: at.hash,
          blockHeight: at.height,
          index,
          logs: outcome.logs.map(({ logIndex, topics, ...log }) => ({
            ...log,
            topics: [...topics],
            ...(logIndex === undefined ? {} : { logIndex }),
          })),
          timestamp: instant(timestampMs),
        },
      }]
    );
  }

  /** A transaction is in the pool. @param life numbers its stays there. */
  pending(tx: EvmTransaction, now: number, life: number): TxMessage {
    return {
      type: "TX_RECEIVED",
      id: `${this.chain}:tx:${tx.hash}:pending${again(life - 1)}`,
      payload: this.#transaction(tx, "pending", now),
    };
  }

  /** A transaction left its place in the pool to another. */
  replaced(
    payload: TxPayload,
    by: string,
    { now, life }: { now: number; life: number },
  ): TxMessage {
    const { txId } = payload;
    const suffix = `${by.slice(2, 18)}${again(life - 1)}`;
    return {
      type: "TX_RECEIVED",
      id: `${this.chain}:tx:${txId}:replaced:${suffix}`,
      payload: {
        ...payload,
        status: "replaced",
        replacedBy: by,
        timestamp: instant(now),
      },
    };
  }

  /** A node no longer knows a pending transaction. */
  dropped(
    payload: TxPayload,
    { now, life }: { now: number; life: number },
  ): TxMessage {
    return {
      type: "TX_RECEIVED",
      id: `${this.chain}:tx:${payload.txId}:dropped${again(life - 1)}`,
      payload: { ...payload, status: "dropped", timestamp: instant(now) },
    };
  }

  /** A transaction is pending again, since its block was reverted. */
  unmined(payload: TxPayload, at: Occurrence, now: number): TxMessage {
    return {
      type: "TX_RECEIVED",
      id: `${this.chain}:tx:${payload.txId}:pending:reorg:${placeOf(at)}`,
      payload: {
        ...asPending(payload),
        timestamp: instant(now),
        cause: "reorg",
        left: { blockId: at.hash, height: at.height },
      },
    };
  }

  /** The contract events of a block are void. */
  logsReverted(at: Occurrence, now: number): AnyMessage {
    return {
      type: "LOGS_REVERTED",
      id: this.#id("logs-reverted", at),
      payload: {
        chain: this.chain,
        blockId: at.hash,
        height: at.height,
        timestamp: instant(now),
      },
    };
  }

  /** The block leaves the DAG. */
  removed(at: Occurrence, now: number): AnyMessage {
    return {
      type: "DAG_UPDATE",
      id: `${this.chain}:removed:${at.hash}:${at.reverts}`,
      payload: {
        updateType: "NODE_REMOVED",
        nodeId: at.hash,
        relatedNodes: [at.parentHash],
        timestamp: instant(now),
        metadata: { layer: at.height },
      },
    };
  }

  /** `BLOCK_REVERTED`. */
  reverted(at: Occurrence, reason: string, now: number): AnyMessage {
    return {
      type: "BLOCK_REVERTED",
      id: this.#id("reverted", at),
      payload: {
        chain: this.chain,
        blockId: at.hash,
        height: at.height,
        previousHash: at.parentHash,
        reason,
        timestamp: instant(now),
      },
    };
  }

  /** `FINALITY`. */
  finality(level: FinalityLevel, at: Occurrence, now: number): AnyMessage {
    return {
      type: "FINALITY",
      id: this.#id(level, at),
      payload: {
        chain: this.chain,
        level,
        blockId: at.hash,
        height: at.height,
        timestamp: instant(now),
      },
    };
  }

  /**
   * `CHAIN_RESET` on one channel.
   *
   * @param keeps the newest block that remains; none when absent.
   * @param reset `from` is the tip that is given up, and names the occurrence.
   */
  reset(
    channel: "blocks" | "transactions" | "logs" | "dag",
    keeps: Pick<Placed, "hash" | "height"> | undefined,
    { reason, from, now }: { reason: string; from: Occurrence; now: number },
  ): AnyMessage {
    return {
      type: "CHAIN_RESET",
      id: this.#id(`reset:${channel}`, from),
      channel,
      payload: {
        chain: this.chain,
        keeps: keeps ? { height: keeps.height, blockId: keeps.hash } : null,
        reason,
        timestamp: instant(now),
      },
    };
  }

  #id(what: string, { hash, reverts }: Occurrence): string {
    return `${this.chain}:${what}:${hash}${again(reverts)}`;
  }

  #transaction(
    tx: EvmTransaction,
    status: TxPayload["status"],
    timestampMs: number,
  ): TxPayload {
    const { input, creates, kind, missing, blobVersionedHashes } = tx;
    const most = BigInt(Number.MAX_SAFE_INTEGER);
    const gas = tx.gas ?? 0n;
    return {
      chain: this.chain,
      txId: tx.hash,
      from: tx.from ?? UNKNOWN,
      to: tx.to ?? UNKNOWN,
      amount: String(tx.value ?? 0n),
      gasPrice: String(tx.gasPrice ?? 0n),
      // No block holds that much gas; a test chain's transaction may ask for it.
      gasLimit: Number(gas < most ? gas : most),
      nonce: tx.nonce ?? 0,
      ...(input === undefined || input === "0x" ? {} : { data: input }),
      status,
      timestamp: instant(timestampMs),
      ...(creates === undefined ? {} : { creates }),
      ...(kind === undefined ? {} : { kind }),
      ...amount("maxFeePerGas", tx.maxFeePerGas),
      ...amount("maxPriorityFeePerGas", tx.maxPriorityFeePerGas),
      ...amount("maxFeePerBlobGas", tx.maxFeePerBlobGas),
      ...(blobVersionedHashes === undefined ? {} : { blobVersionedHashes }),
      ...(tx.authorizations === undefined
        ? {}
        : { authorizations: tx.authorizations }),
      ...(missing.length === 0 ? {} : { missing: [...missing] }),
    };
  }
}

/**
 * A transaction as it waits in the pool: without what its block gave it. Only
 * the transfers that it made in a reverted block stay: without them, those who
 * received by them would not receive that they are void.
 *
 * @param payload with any status.
 */
export function asPending(
  {
    blockId: _blockId,
    blockHeight: _blockHeight,
    index: _index,
    gasUsed: _gasUsed,
    fee: _fee,
    cause: _cause,
    left: _left,
    replacedBy: _replacedBy,
    data: _data,
    ...rest
  }: TxPayload,
): TxPayload {
  const { maxFeePerGas, gasPrice } = rest;
  return { ...rest, gasPrice: maxFeePerGas ?? gasPrice, status: "pending" };
}

/** Names the occurrence of a block within the `id` of a transaction. */
function placeOf({ hash, reverts }: Occurrence): string {
  return `${hash.slice(2, 18)}${again(reverts)}`;
}

function again(times: number): string {
  return times <= 0 ? "" : `:${times}`;
}

/** A count, left out when it is not known or no number can hold it. */
function whole(
  name: string,
  value: bigint | undefined,
): Record<string, number> {
  if (value === undefined || value > BigInt(Number.MAX_SAFE_INTEGER)) return {};
  return { [name]: Number(value) };
}

/** An amount, left out when it is not known. */
function amount(
  name: string,
  value: bigint | undefined,
): Record<string, string> {
  return value === undefined ? {} : { [name]: String(value) };
}
