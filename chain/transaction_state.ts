/**
 * How far a transaction has come: what its newest event says, seen on the
 * chain as it stands.
 *
 * @module
 */
import type { TrackedState, TransactionState } from "../protocol/states.ts";
import { chainOf } from "./chain_events.ts";
import type { Payload } from "./chain_events.ts";
import type { Chains, ReadableChain } from "./ingest.ts";

/**
 * Judges a transaction.
 *
 * @param txId its id.
 * @param payload of its newest `TX_RECEIVED`; absent when none is known.
 * @param chains followed to the present.
 */
export function stateOf(
  txId: string,
  payload: Payload | undefined,
  chains: Pick<Chains, "find">,
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
  const state = heldState(chain, blockId as string | undefined, height);
  // Its take-back may follow, and says no more.
  if (state === "reverted") return { txId, state };
  return {
    txId,
    state,
    ok: status !== "failed",
    ...(blockId ? { blockId: blockId as string } : {}),
    ...(height === undefined ? {} : { height }),
  };
}

/** How firmly the block that holds a transaction stands. */
function heldState(
  chain: ReadableChain | undefined,
  blockId: string | undefined,
  height: number | undefined,
): TransactionState {
  // Who names no block leaves nothing to be judged.
  if (!chain || blockId === undefined || height === undefined) {
    return "included";
  }
  const { tip, final } = chain.spine;
  if (chain.spine.standingOf(blockId, height) === "gone") return "reverted";
  if (height <= final) return "final";
  if (height <= chain.safe) return "confirmed";
  return tip && tip.height > height ? "confirmed" : "included";
}
