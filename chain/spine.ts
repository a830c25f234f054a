/**
 * The spine of one chain: its current blocks, folded from the events of
 * `blocks`, and the messages to publish before a new block may join them.
 *
 * @module
 */
import { UndoLog } from "./undo_log.ts";

/** Most current blocks stored per chain; a deeper fork is a reset. */
export const TAIL_BLOCKS = 1_024;
/** Most reverted blocks stored per chain; the first reverted is evicted. */
export const GONE_BLOCKS = 1_024;

/** The finality of blocks up to a height. */
export type Level = "safe" | "final";

/** The fields of a block that decide its place in the chain. */
export interface Block {
  /** Its `blockId`. */
  readonly blockId: string;
  /** The name that a child uses for it: its `hash`, else its `blockId`. */
  readonly key: string;
  /** Its parent's key; absent where the publisher does not name it. */
  readonly previous?: string | undefined;
  /** Blocks above genesis. */
  readonly height: number;
  /** Set when blocks before it are unknown. */
  readonly gapBefore?: Hole | undefined;
}

/** Range of heights that are missing below a block. */
export interface Hole {
  /** The lowest missing height. */
  readonly from: number;
  /** The highest. */
  readonly to: number;
}

/**
 * Whether a block is in the chain; `old`: it is below the stored blocks, which
 * do not contradict it; `unknown`: the stored blocks do not decide it.
 */
export type Standing = "stands" | "gone" | "old" | "unknown";

/** The steps needed for a block to join. */
export type Verdict<B extends Block = Block> =
  /** The same block is already in the chain: there is nothing to publish. */
  | { readonly kind: "stands"; readonly block: B }
  /** It joins once the blocks that it replaces are reverted. */
  | {
    readonly kind: "joins";
    /** Blocks to revert first, newest first. */
    readonly reverts: readonly B[];
    /** A reset to publish first, when the fork is below the stored blocks. */
    readonly reset?: Reset | undefined;
    /** Set when blocks before this one are unknown. */
    readonly gapBefore?: Hole | undefined;
    /** The revert goes below a block that was published as safe or final. */
    readonly breaksFinality: boolean;
  };

/** A restart of the chain, published for readers that hold the old one. */
export interface Reset {
  /** The newest block that is still valid; `null`: none. */
  readonly keeps: Pick<Block, "blockId" | "height"> | null;
  /** Why the change cannot be published block by block. */
  readonly reason: "deeper_than_kept" | "finality_broken";
}

/**
 * Folds the events of `blocks` about one chain. It publishes nothing:
 * {@link judge} decides the steps, and only published events change the fold.
 */
export class Spine<B extends Block = Block> {
  /** Current blocks, oldest first. */
  readonly #tail: B[] = [];
  readonly #standing = new Map<string, B>();
  /** Those of them below which blocks are unknown, oldest first. */
  readonly #gapped: B[] = [];
  /** Names of reverted blocks, the first reverted first. */
  readonly #gone = new Set<string>();
  /** What was published above it and is not in the tail left by a reset. */
  #voidAbove = Infinity;
  readonly #levels: Record<Level, number> = { safe: -1, final: -1 };
  /**
   * Records steps, to undo them. More blocks than {@link TAIL_BLOCKS} may be
   * stored during a trial.
   */
  readonly undoLog: UndoLog = new UndoLog();

  /** The newest block; absent before the first. */
  get tip(): B | undefined {
    return this.#tail.at(-1);
  }

  /** The newest unknown heights below the tip. */
  get hole(): Hole | undefined {
    return this.#gapped.at(-1)?.gapBefore;
  }

  /** The height up to which all blocks are final; -1: none yet. */
  get final(): number {
    return this.#levels.final;
  }

  /**
   * The height up to which all blocks are safe or final, so that none is
   * reverted; -1: none yet.
   */
  get safe(): number {
    return Math.max(this.#levels.safe, this.#levels.final);
  }

  /** The stored blocks, oldest first. */
  get tail(): readonly B[] {
    return this.#tail;
  }

  /** The current block with that key, while it is stored. */
  standing(key: string): B | undefined {
    return this.#standing.get(key);
  }

  /**
   * Decides the messages to publish before `block`.
   *
   * @param block the block that a publisher adds.
   */
  judge(block: Block): Verdict<B> {
    const known = this.#standing.get(block.key);
    if (known) return { kind: "stands", block: known };
    const tip = this.tip;
    if (!tip || block.previous === undefined || block.previous === tip.key) {
      return { kind: "joins", reverts: [], breaksFinality: false };
    }
    const parent = this.#standing.get(block.previous);
    return parent
      ? this.#joined(this.on(parent), undefined)
      : this.#orphan(block, tip);
  }

  /** A `NEW_BLOCK` was published. */
  add(block: B): void {
    // A block without a named parent may be published again.
    if (this.#standing.has(block.key)) return;
    this.#tail.push(block);
    this.#standing.set(block.key, block);
    if (block.gapBefore) this.#gapped.push(block);
    const wasGone = this.#gone.delete(block.blockId);
    this.undoLog.push(() => {
      this.#drop(this.#tail.length - 1);
      if (wasGone) this.#gone.add(block.blockId);
    });
    if (this.undoLog.isTrying) return;
    while (this.#tail.length > TAIL_BLOCKS) {
      const oldest = this.#tail.shift()!;
      if (oldest.height > this.#voidAbove) this.#voidAbove = Infinity;
      this.#standing.delete(oldest.key);
      if (this.#gapped[0] === oldest) this.#gapped.shift();
    }
  }

  /** A `BLOCK_REVERTED` was published: removes the block and those above it. */
  revert(blockId: string): void {
    const at = this.#tail.findLastIndex((it) => it.blockId === blockId);
    if (at >= 0) this.#cut(at);
    else this.#leave([blockId]);
  }

  /** The newest current block of that name, while it is stored. */
  named(blockId: string): B | undefined {
    return this.#tail.findLast((it) => it.blockId === blockId);
  }

  /**
   * Whether a block is in the chain. A block below the stored ones may have been
   * voided by a reset that is no longer stored; one above the tip may not have
   * been published.
   *
   * @param blockId its name.
   * @param height its height; absent where its publisher does not name it.
   */
  standingOf(blockId: string, height: number | undefined): Standing {
    if (this.named(blockId)) return "stands";
    if (this.#gone.has(blockId)) return "gone";
    if (height === undefined) return "unknown";
    const [oldest] = this.#tail;
    if (!oldest || height < oldest.height) {
      if (height > this.#voidAbove) return "gone";
      return oldest ? "old" : "unknown";
    }
    const isTaken = this.#tail.some((block) => block.height === height);
    return isTaken ? "gone" : "unknown";
  }

  /** Current blocks above `block`, which is current too, newest first. */
  on(block: B): B[] {
    return this.#tail.slice(this.#tail.lastIndexOf(block) + 1).reverse();
  }

  /** A `FINALITY` was published; its level only rises. */
  finalize(height: number, level: Level = "final"): void {
    this.#setLevel(level, Math.max(this.#levels[level], height));
  }

  /**
   * A `CHAIN_RESET` was published. Blocks above that height are removed, as in
   * every reader: the block that its publisher names may never have been current.
   */
  reset(keeps: Reset["keeps"]): void {
    const kept = keeps?.height ?? -1;
    this.#cut(this.#tail.length - this.#above(kept).length);
    for (const level of ["safe", "final"] as const) {
      this.#setLevel(level, Math.min(this.#levels[level], kept));
    }
    const before = this.#voidAbove;
    this.#voidAbove = kept;
    this.undoLog.push(() => this.#voidAbove = before);
  }

  /**
   * Its parent is unknown. Blocks at the parent's height or above are on another
   * branch, so they are reverted; the blocks in between are missing.
   */
  #orphan(block: Block, tip: B): Verdict<B> {
    if (block.height > tip.height + 1) {
      return this.#joined([], { from: tip.height + 1, to: block.height - 1 });
    }
    const reverts = this.#above(block.height - 2);
    const below = this.#tail[this.#tail.length - reverts.length - 1];
    const from = (below?.height ?? block.height - 2) + 1;
    const to = block.height - 1;
    return this.#joined(reverts, from <= to ? { from, to } : undefined);
  }

  #joined(
    reverts: readonly B[],
    gapBefore: Hole | undefined,
  ): Verdict<B> {
    const below = this.#tail[this.#tail.length - reverts.length - 1];
    const breaksFinality = reverts.some(({ height }) => height <= this.safe);
    const isAll = reverts.length > 0 && below === undefined;
    if (!breaksFinality && !isAll) {
      return { kind: "joins", reverts, gapBefore, breaksFinality };
    }
    const keeps = below === undefined
      ? null
      : { blockId: below.blockId, height: below.height };
    const reason = breaksFinality ? "finality_broken" : "deeper_than_kept";
    return {
      kind: "joins",
      reverts: [],
      reset: { keeps, reason },
      gapBefore,
      breaksFinality,
    };
  }

  /** Current blocks above `height`, newest first. */
  #above(height: number): B[] {
    let at = this.#tail.length;
    while (at > 0 && this.#tail[at - 1]!.height > height) at--;
    return this.#tail.slice(at).reverse();
  }

  /** Removes blocks from the chain, newest first. */
  #cut(from: number): void {
    const gone = this.#drop(from);
    this.#leave(gone.map(({ blockId }) => blockId).reverse());
  }

  #drop(from: number): readonly B[] {
    const gone = this.#tail.splice(from);
    for (const { key } of gone) this.#standing.delete(key);
    const gapped = gone.filter(({ gapBefore }) => gapBefore);
    this.#gapped.splice(this.#gapped.length - gapped.length);
    this.undoLog.push(() => {
      this.#tail.push(...gone);
      this.#gapped.push(...gapped);
      for (const block of gone) this.#standing.set(block.key, block);
    });
    return gone;
  }

  /** Stores names of reverted blocks. */
  #leave(blockIds: readonly string[]): void {
    const fresh = blockIds.filter((blockId) => !this.#gone.has(blockId));
    for (const blockId of fresh) this.#gone.add(blockId);
    this.undoLog.push(() => {
      for (const blockId of fresh) this.#gone.delete(blockId);
    });
    if (this.undoLog.isTrying) return;
    for (const blockId of this.#gone) {
      if (this.#gone.size <= GONE_BLOCKS) break;
      this.#gone.delete(blockId);
    }
  }

  #setLevel(level: Level, height: number): void {
    const before = this.#levels[level];
    this.#levels[level] = height;
    this.undoLog.push(() => this.#levels[level] = before);
  }
}
