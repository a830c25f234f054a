/**
 * The newest blocks, and the finality of each.
 *
 * @module
 */
import type { PayloadOf } from "../../protocol/messages.ts";
import type { BlockRow, Level } from "./rows.ts";

/** Blocks kept, newest first. */
export const MAX_BLOCKS = 60;
/** Chains whose finality is kept; those named first are. */
export const MAX_CHAINS = 16;

/** Something in a block, or a block itself. */
interface Place {
  /** The chain it belongs to. */
  readonly chain: string;
  /** Height of the block; absent outside of one. */
  readonly height: number | undefined;
  /** Whether the block left the chain. */
  readonly isReverted: boolean;
}

/** Follows the channel of blocks. */
export class Blocks {
  #rows: readonly BlockRow[] = [];
  /** Height of the newest block of each level, by chain. */
  readonly #floors = new Map<string, { safe: number; final: number }>();

  /** The newest {@link MAX_BLOCKS}, newest first, with those that left. */
  get rows(): readonly BlockRow[] {
    return this.#rows;
  }

  /** The newest block that is not reverted. */
  get tip(): BlockRow | undefined {
    return this.#rows.find(({ isReverted }) => !isReverted);
  }

  /** Mean seconds between the blocks shown; absent below two blocks. */
  get paceSeconds(): number | undefined {
    const last = this.tip;
    const first = this.#rows.findLast(({ isReverted }) => !isReverted);
    if (!first || !last || last.height <= first.height) return undefined;
    return (last.at - first.at) / 1000 / (last.height - first.height);
  }

  /** Height of the newest final block of a chain; absent when none is known. */
  finalHeight(chain: string): number | undefined {
    const final = this.#floors.get(chain)?.final ?? -1;
    return final < 0 ? undefined : final;
  }

  /** The finality of something. */
  level({ chain, height, isReverted }: Place): Level {
    if (isReverted) return "reverted";
    const floors = this.#floors.get(chain);
    if (!floors || height === undefined) return "new";
    if (height <= floors.final) return "final";
    return height <= floors.safe ? "safe" : "new";
  }

  /**
   * Takes a block.
   *
   * @param at epoch milliseconds.
   */
  add(block: PayloadOf<"NEW_BLOCK">, at: number): void {
    const { gasUsed, gasLimit, transactions } = block;
    const row: BlockRow = {
      id: block.blockId,
      height: block.height,
      at,
      chain: block.chain ?? "",
      isReverted: false,
      hash: block.hash ?? block.blockId,
      validator: block.validator ?? "",
      transactions: block.transactionCount ?? transactions?.length ?? 0,
      size: block.size ?? 0,
      fullness: gasUsed !== undefined && gasLimit
        ? Math.min(1, gasUsed / gasLimit)
        : undefined,
    };
    // A block that returns after a reorganisation replaces its earlier row.
    this.#rows = [row, ...this.#rows.filter(({ id }) => id !== row.id)]
      .slice(0, MAX_BLOCKS);
  }

  /** Marks a block that left the chain. */
  revert({ blockId }: PayloadOf<"BLOCK_REVERTED">): void {
    this.#void(({ id }) => id === blockId);
  }

  /** Raises a level. */
  settle({ chain = "", level, height }: PayloadOf<"FINALITY">): void {
    const known = this.#floors.get(chain);
    if (!known && this.#floors.size >= MAX_CHAINS) return;
    const floors = known ?? { safe: -1, final: -1 };
    this.#floors.set(chain, floors);
    floors[level] = Math.max(floors[level], height);
  }

  /** Marks all blocks above the one that a chain keeps. */
  reset({ chain = "", keeps }: PayloadOf<"CHAIN_RESET">): void {
    const kept = keeps?.height ?? -1;
    const floors = this.#floors.get(chain);
    if (floors) {
      floors.safe = Math.min(floors.safe, kept);
      floors.final = Math.min(floors.final, kept);
    }
    this.#void((row) => row.chain === chain && row.height > kept);
  }

  #void(isGone: (row: BlockRow) => boolean): void {
    this.#rows = this.#rows.map((row) =>
      isGone(row) ? { ...row, isReverted: true } : row
    );
  }
}
