/**
 * Reads the payloads of `blocks`, and builds the messages by which the service
 * reverts published events.
 *
 * @module
 */
import { instantText } from "../protocol/encode.ts";
import { keysOf, tagsOf } from "../protocol/messages.ts";
import type { MessageType } from "../protocol/messages.ts";
import type { Draft, Head } from "../store/event_log.ts";
import type { Block, Hole, Reset } from "./spine.ts";

/** A validated payload. */
export type Payload = Readonly<Record<string, unknown>>;

/** The position of an event, and its id. */
export type Place = Head & { readonly id: string };

/** A block of a chain, and its event. */
export interface ChainBlock extends Block {
  /** The position of its event; set once it is known. */
  place?: Place | undefined;
  /** Whether it names transactions. */
  readonly isFull: boolean;
}

/** The name of a payload's chain; `""`: the default one. */
export function chainOf({ chain }: Payload): string {
  return typeof chain === "string" ? chain : "";
}

/** The block that a `NEW_BLOCK` adds. */
export function blockOf(payload: Payload): ChainBlock {
  const { blockId, hash, previousHash, height, gapBefore } = payload;
  const { transactions, transactionIds, transactionCount } = payload;
  return {
    blockId: blockId as string,
    key: (hash ?? blockId) as string,
    previous: previousHash as string | undefined,
    height: height as number,
    gapBefore: gapBefore as Hole | undefined,
    isFull: isFilled(transactions) || isFilled(transactionIds) ||
      Number(transactionCount ?? 0) > 0,
  };
}

function isFilled(list: unknown): boolean {
  return Array.isArray(list) && list.length > 0;
}

/** The ids of the transactions that a `NEW_BLOCK` lists, in their order. */
export function transactionIds(
  { transactions, transactionIds: ids }: Payload,
): string[] {
  if (Array.isArray(transactions) && transactions.length > 0) {
    return transactions.map(({ txId }) => txId);
  }
  return Array.isArray(ids) ? ids : [];
}

/** Builds the service's own messages about one chain. */
export class Corrections {
  readonly #chain: string;
  readonly #timestamp: string;

  /**
   * Builds messages about one chain at one time.
   *
   * @param chain its name; `""`: the default one.
   * @param now epoch milliseconds.
   */
  constructor(chain: string, now: number) {
    this.#chain = chain;
    this.#timestamp = instantText(now);
  }

  /** A block was reverted. */
  reverted({ blockId, height, previous }: Block): Draft {
    return this.#draft("BLOCK_REVERTED", "blocks", {
      blockId,
      height,
      ...(previous === undefined ? {} : { previousHash: previous }),
      reason: "reorg",
    });
  }

  /** All blocks above a block are void. */
  reset(
    channel: "blocks" | "transactions" | "logs",
    { keeps, reason }: Reset,
  ): Draft {
    return this.#draft("CHAIN_RESET", channel, {
      keeps: keeps && { blockId: keeps.blockId, height: keeps.height },
      reason,
    });
  }

  /**
   * A transaction is pending again. The message keeps its transfers, so that
   * subscribers who received them are notified of the revert.
   *
   * @param payload of its newest event.
   * @param left the block that contained it.
   */
  pending(
    payload: Payload,
    { blockId, height }: Pick<Block, "blockId"> & {
      readonly height?: number | undefined;
    },
  ): Draft {
    const {
      blockId: _block,
      blockHeight: _height,
      index: _index,
      gasUsed: _gasUsed,
      fee: _fee,
      replacedBy: _replacedBy,
      contradicts: _contradicts,
      ...lasting
    } = payload;
    return this.#draft("TX_RECEIVED", "transactions", {
      ...lasting,
      status: "pending",
      cause: "reorg",
      ...(height === undefined ? {} : { left: { blockId, height } }),
    });
  }

  /** The contract events of a block are void. */
  logsReverted({ blockId, height }: Block): Draft {
    return this.#draft("LOGS_REVERTED", "logs", { blockId, height });
  }

  #draft(type: MessageType, channel: string, fields: Payload): Draft {
    const payload = {
      ...(this.#chain === "" ? {} : { chain: this.#chain }),
      ...fields,
      timestamp: this.#timestamp,
    };
    return {
      channel,
      type,
      payloadText: JSON.stringify(payload),
      payload,
      tags: tagsOf(type, payload),
      id: undefined,
      keys: keysOf(type, payload),
    };
  }
}
