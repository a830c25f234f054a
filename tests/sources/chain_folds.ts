/**
 * What a subscriber of one channel holds to be true, by the contract of
 * PROTOCOL.md; objects to whatever breaks it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { tagsOf } from "../../protocol/messages.ts";
import type { AnyEvent, PayloadOf } from "../../protocol/messages.ts";

/** A block that stands. */
export interface FoldedBlock {
  readonly hash: string;
  readonly height: number;
}

/** Folds `blocks`. @returns the standing chain, oldest first. */
export function foldBlocks(events: readonly AnyEvent[]): FoldedBlock[] {
  let chain: FoldedBlock[] = [];
  /** Parent of the next block, where the fold holds no block. */
  let anchor: string | undefined;
  const floors = { safe: -1, final: -1 };
  const ids = new Set<string>();
  for (const { type, id, payload } of events) {
    assert.ok(!ids.has(id), `${id} was published twice`);
    ids.add(id);
    const tip = chain.at(-1);
    if (type === "NEW_BLOCK") {
      const { blockId: hash, previousHash, height } = payload;
      if (tip) assert.equal(height, tip.height + 1, "heights have no holes");
      const parent = tip?.hash ?? anchor;
      if (parent !== undefined) assert.equal(previousHash, parent);
      chain.push({ hash, height });
    } else if (type === "BLOCK_REVERTED") {
      const floor = Math.max(floors.safe, floors.final);
      assert.ok(payload.height > floor, "what is final is not reverted");
      if (tip) assert.equal(payload.blockId, tip.hash, "the newest goes first");
      chain.pop();
      anchor = payload.previousHash;
    } else if (type === "CHAIN_RESET") {
      const { keeps } = payload;
      chain = chain.filter(({ height }) => height <= (keeps?.height ?? -1));
      if (chain.length > 0) assert.equal(chain.at(-1)!.hash, keeps?.blockId);
      anchor = keeps?.blockId;
      floors.safe = Math.min(floors.safe, keeps?.height ?? -1);
      floors.final = Math.min(floors.final, keeps?.height ?? -1);
    } else if (type === "FINALITY") {
      const { level, blockId, height } = payload;
      assert.ok(height > floors[level], "a level only rises");
      assert.ok(chain.some((it) => it.hash === blockId), "it stands");
      floors[level] = height;
    }
  }
  return chain;
}

/** A transaction's newest status. */
export type FoldedTransaction = Pick<
  PayloadOf<"TX_RECEIVED">,
  "status" | "blockId" | "replacedBy"
>;

/**
 * Folds `transactions`. Objects to blocks that are not whole when the next
 * begins.
 *
 * @returns statuses by id; those that a reset voided are left out.
 */
export function foldTransactions(
  events: readonly AnyEvent[],
): Map<string, FoldedTransaction> {
  const status = new Map<string, PayloadOf<"TX_RECEIVED">>();
  const ids = new Set<string>();
  let open: { blockId: string; index: number } | undefined;
  for (const { type, id, payload } of events) {
    assert.ok(!ids.has(id), `${id} was published twice`);
    ids.add(id);
    if (type === "BLOCK_COMPLETE") {
      const { blockId, transactions } = payload;
      assert.equal(open?.index ?? 0, transactions, "it is whole");
      if (open) assert.equal(open.blockId, blockId);
      open = undefined;
    } else if (type === "CHAIN_RESET") {
      for (const [txId, { blockHeight }] of status) {
        if ((blockHeight ?? -1) > (payload.keeps?.height ?? -1)) {
          status.delete(txId);
        }
      }
    } else if (type === "TX_RECEIVED") {
      const { txId, blockId, left, cause } = payload;
      const before = status.get(txId);
      if (payload.status === "confirmed" || payload.status === "failed") {
        if (open) assert.equal(open.blockId, blockId, "one block at a time");
        open ??= { blockId: blockId!, index: 0 };
        assert.equal(payload.index, open.index++, "in the order of the block");
      }
      if (cause === "reorg") {
        assert.equal(left?.blockId, before?.blockId, "it leaves its block");
        const named = addressesOf(payload);
        for (const address of addressesOf(before!)) {
          assert.ok(named.includes(address), `${address} receives the revert`);
        }
        open = undefined;
      }
      status.set(txId, payload);
    }
  }
  return status;
}

/** Filters by these addresses let a transaction's event through. */
function addressesOf(payload: PayloadOf<"TX_RECEIVED">): readonly string[] {
  return tagsOf("TX_RECEIVED", payload)["address"]!;
}

/** Folds `logs`. @returns transactions with standing logs, by block. */
export function foldLogs(events: readonly AnyEvent[]): Map<string, string[]> {
  const blocks = new Map<string, { height: number; txIds: string[] }>();
  const ids = new Set<string>();
  for (const { type, id, payload } of events) {
    assert.ok(!ids.has(id), `${id} was published twice`);
    ids.add(id);
    if (type === "TX_LOGS") {
      const { blockId, blockHeight: height, txId } = payload;
      const block = blocks.getOrInsert(blockId, { height, txIds: [] });
      block.txIds.push(txId);
    } else if (type === "LOGS_REVERTED") blocks.delete(payload.blockId);
    else if (type === "CHAIN_RESET") {
      for (const [blockId, { height }] of blocks) {
        if (height > (payload.keeps?.height ?? -1)) blocks.delete(blockId);
      }
    }
  }
  return new Map(
    [...blocks].map(([blockId, { txIds }]) => [blockId, txIds]),
  );
}

/** Folds `dag` as a chain. @returns its nodes, oldest first. */
export function foldDag(events: readonly AnyEvent[]): string[] {
  let chain: { nodeId: string; height: number }[] = [];
  for (const { type, payload } of events) {
    if (type === "CHAIN_RESET") {
      const kept = payload.keeps?.height ?? -1;
      chain = chain.filter(({ height }) => height <= kept);
    }
    if (type !== "DAG_UPDATE") continue;
    const { updateType, nodeId, metadata } = payload;
    if (updateType === "NODE_ADDED") {
      chain.push({ nodeId, height: metadata!.layer! });
    } else {
      assert.equal(updateType, "NODE_REMOVED");
      assert.equal(chain.pop()?.nodeId, nodeId, "the newest is removed first");
    }
  }
  return chain.map(({ nodeId }) => nodeId);
}
