/**
 * The state of a transaction: the status in its newest event, combined with the
 * current chain.
 *
 * @module
 */
import type { TrackedState, TransactionState } from "../protocol/states.ts";
import { chainOf } from "./chain_events.ts";
import type { Payload } from "./chain_events.ts";
import type { Chains, ReadableChain } from "./ingest.ts";
import { holderOf, wasReplaced } from "./replaced.ts";
import type { LatestSource, NamedBlock } from "./replaced.ts";

/**
 * Derives the state of a transaction, reading older blocks from the log.
 *
 * @param txId its id.
 * @param payload of its newest `TX_RECEIVED`; absent when there is none.
 * @param chains followed to their current ends.
 * @param log the log to read.
 * @throws errors of the log.
 */
export async function lookedUpState(
  txId: string,
  payload: Payload | undefined,
  chains: Pick<Chains, "find">,
  log: LatestSource,
): Promise<TrackedState> {
  const holder = holderOf(payload);
  const isGone = holder !== undefined && await wasReplaced(holder, chains, log);
  return stateOf(txId, payload, chains, isGone);
}

/**
 * Derives the state of a transaction.
 *
 * @param txId its id.
 * @param payload of its newest `TX_RECEIVED`; absent when there is none.
 * @param chains followed to their current ends.
 * @param isReplaced whether the block that contains it was replaced, if it is
 * below the stored blocks of the chain.
 */
export function stateOf(
  txId: string,
  payload: Payload | undefined,
  chains: Pick<Chains, "find">,
  isReplaced = false,
): TrackedState {
  if (!payload) return { txId, state: "unknown" };
  const { status, cause, replacedBy, blockId, blockHeight } = payload;
  switch (status) {
    case "pending":
      return { txId, state: cause === "reorg" ? "reverted" : "seen" };
    case "replaced":
    case "dropped":
      return {
        txId,
        state: status,
        ...(replacedBy ? { replacedBy: replacedBy as string } : {}),
      };
  }
  const chain = chains.find(chainOf(payload));
  const height = blockHeight as number | undefined;
  const holder = holderOf(payload);
  const state = heldState(chain, holder, isReplaced);
  // Its revert may follow, and adds nothing.
  if (state === "reverted") return { txId, state };
  return {
    txId,
    state,
    ok: status !== "failed",
    ...(blockId ? { blockId: blockId as string } : {}),
    ...(height === undefined ? {} : { height }),
  };
}

/** The finality of the block that contains a transaction. */
function heldState(
  chain: ReadableChain | undefined,
  holder: NamedBlock | undefined,
  isReplaced: boolean,
): TransactionState {
  // Without a named block there is nothing to judge.
  if (!chain || !holder) return "included";
  const { blockId, height } = holder;
  const { tip, final } = chain.spine;
  const standing = chain.spine.standingOf(blockId, height);
  if (standing === "gone") return "reverted";
  if (standing === "old" && isReplaced) return "reverted";
  if (height <= final) return "final";
  if (height <= chain.spine.safe) return "confirmed";
  return tip && tip.height > height ? "confirmed" : "included";
}
