/**
 * Whether a block below the stored part of its chain was replaced: the log has
 * the block that was published last at its height.
 *
 * @module
 */
import { blockOf, chainOf } from "./chain_events.ts";
import type { Payload } from "./chain_events.ts";
import type { Chains } from "./ingest.ts";

/** Reads the newest event about a subject. */
export interface LatestSource {
  /**
   * Reads the newest event about one subject.
   *
   * @param key as in `EventLog.latest`.
   * @returns its frame; nothing when there is none.
   */
  latest(key: string): Promise<string | undefined>;
}

/** A block as an event names it. */
export interface NamedBlock {
  /** Its chain; `""`: the default one. */
  readonly chain: string;
  /** Its `blockId`. */
  readonly blockId: string;
  /** Its height. */
  readonly height: number;
}

/**
 * Whether another block replaced one that the stored part of the chain does not
 * contradict. A block without a named parent replaces none.
 *
 * @param block the block to check.
 * @param chains followed to their current ends.
 * @param log the log to read.
 * @throws errors of the log.
 */
export async function wasReplaced(
  { chain, blockId, height }: NamedBlock,
  chains: Pick<Chains, "find">,
  log: LatestSource,
): Promise<boolean> {
  const { spine } = chains.find(chain) ?? {};
  if (spine?.standingOf(blockId, height) !== "old") return false;
  const text = await log.latest(`block#${height}`);
  if (text === undefined) return false;
  const { type, payload } = JSON.parse(text) as {
    readonly type: string;
    readonly payload: Payload;
  };
  // Heights of all chains share one key.
  if (chainOf(payload) !== chain) return false;
  const other = blockOf(payload);
  if (other.blockId === blockId) return type === "BLOCK_REVERTED";
  return other.previous !== undefined;
}

/** The block that contains a transaction, as its newest event names it. */
export function holderOf(payload: Payload | undefined): NamedBlock | undefined {
  const { status, blockId, blockHeight } = payload ?? {};
  const isHeld = status === "confirmed" || status === "failed";
  return isHeld && blockId !== undefined && blockHeight !== undefined
    ? {
      chain: chainOf(payload!),
      blockId: blockId as string,
      height: blockHeight as number,
    }
    : undefined;
}
