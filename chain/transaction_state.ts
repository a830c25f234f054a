/**
 * How far a transaction has come: what its newest event reports, seen on the
 * chain as it stands.
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
 * Judges a transaction, and looks up in the log what is not remembered.
 *
 * @param txId its id.
 * @param payload of its newest `TX_RECEIVED`; absent when none is known.
 * @param chains followed to the present.
 * @param log where to look.
 * @throws whatever the log throws.
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
 * Judges a transaction.
 *
 * @param txId its id.
 * @param payload of its newest `TX_RECEIVED`; absent when none is known.
 * @param chains followed to the present.
 * @param isReplaced whether the block that holds it was replaced, if it is
 * older than what is remembered of the chain.
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
  // Its take-back may follow, and adds nothing.
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
  holder: NamedBlock | undefined,
  isReplaced: boolean,
): TransactionState {
  // Who names no block leaves nothing to be judged.
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
