/**
 * A block as a position in `blocks`: a client that holds a chain up to a block
 * resumes from that block, without a stored sequence number.
 *
 * @module
 */
import type { Position, Subscription } from "../protocol/commands.ts";
import type { Hub } from "./hub.ts";

/** Epoch of the position of an unknown block; no log has it. */
export const UNKNOWN_BLOCK = "?block";

/** A channel of a `subscribe`, its start as a position. */
export type Located = Omit<Subscription, "after"> & {
  readonly after?: Position | undefined;
};

/** Whether some of the channels start after a block. */
function isLocated(requested: Subscription): requested is Located {
  return requested.after === undefined || "epoch" in requested.after;
}

/**
 * Finds the positions of the blocks after which channels start.
 *
 * @param requests as clients send them.
 * @param hub reads the newest event about each block.
 * @returns synchronously unless one starts after a block.
 * @throws {Refusal} `STORE_UNAVAILABLE`.
 */
export function located(
  requests: readonly Subscription[],
  hub: Pick<Hub, "latest">,
): readonly Located[] | Promise<readonly Located[]> {
  if (requests.every(isLocated)) return requests;
  return Promise.all(
    requests.map(async (each) =>
      isLocated(each)
        ? each
        : { ...each, after: await positionOf(each.after, hub) }
    ),
  );
}

/**
 * The position at which a holder of the block resumes. For a block in the
 * chain: after its newest event. For a reverted block: at its revert, because
 * the blocks above it were reverted first.
 */
async function positionOf(
  after: Subscription["after"],
  hub: Pick<Hub, "latest">,
): Promise<Position> {
  const unknown = { epoch: UNKNOWN_BLOCK, seq: 0 };
  if (!after || !("blockId" in after)) return unknown;
  const text = await hub.latest(`block:${after.blockId}`);
  if (text === undefined) return unknown;
  const { type, epoch, seq, payload } = JSON.parse(text);
  if (payload.blockId !== after.blockId || payload.height !== after.height) {
    return unknown;
  }
  return { epoch, seq: type === "BLOCK_REVERTED" ? seq - 1 : seq };
}
