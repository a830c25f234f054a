/**
 * Whether a block that is older than what is remembered of its chain was
 * replaced: the log says which block was published last at its height.
 *
 * @module
 */
import { blockOf, chainOf } from "./chain_events.ts";
import type { Payload } from "./chain_events.ts";
import type { Chains } from "./ingest.ts";

/** Reads the newest event about something. */
export interface LatestSource {
  /**
   * Reads the newest event about one thing.
   *
   * @param key as in `EventLog.latest`.
   * @returns its frame; nothing when none is known.
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
 * Whether another block took the place of one that the chain's memory holds
 * nothing against. A block whose publisher names no parent replaces none.
 *
 * @param block the one in question.
 * @param chains followed to the present.
 * @param log where to look.
 * @throws whatever the log throws.
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

/** The block that holds a transaction, as its newest event names it. */
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
