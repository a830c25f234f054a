/**
 * The canonical end of a chain: a fold of the events of `blocks`, without time,
 * network or store.
 *
 * @module
 */

/** A block's place in a chain. */
export interface Placed {
  /** Its name. */
  readonly hash: string;
  /** The block before it. */
  readonly parentHash: string;
  /** Blocks above genesis. */
  readonly height: number;
}

/** Canonical blocks remembered, the newest ones. */
export const MAX_TAIL_BLOCKS = 1_024;
/** Reverted blocks remembered, for the names of their next occurrences. */
export const MAX_REVERTED_BLOCKS = 16_384;

/** The newest canonical blocks, each the parent of the next. */
export class Tail {
  #blocks: Placed[] = [];
  /** How often each block was reverted. */
  readonly #reverts = new Map<string, number>();

  /** The newest canonical block; absent before the first. */
  get tip(): Placed | undefined {
    return this.#blocks.at(-1);
  }

  /** The oldest block that is remembered. */
  get oldest(): Placed | undefined {
    return this.#blocks[0];
  }

  /** How many blocks are remembered. */
  get size(): number {
    return this.#blocks.length;
  }

  /** The canonical block of a height, while it is remembered. */
  at(height: number): Placed | undefined {
    const { oldest } = this;
    return oldest && this.#blocks[height - oldest.height];
  }

  /** Blocks above a height, newest first. */
  above(height: number): Placed[] {
    return this.#blocks.filter((block) => block.height > height).reverse();
  }

  /** How often a block was reverted: numbers its occurrences. */
  reverts(hash: string): number {
    return this.#reverts.get(hash) ?? 0;
  }

  /**
   * A block joined. One that does not fit begins the tail again.
   *
   * @param reverts how often it was reverted before, where that is known.
   */
  add(block: Placed, reverts = this.reverts(block.hash)): void {
    if (reverts > this.reverts(block.hash)) {
      this.#reverts.set(block.hash, reverts);
    }
    const { tip } = this;
    const fits = tip?.hash === block.parentHash &&
      tip.height + 1 === block.height;
    if (!fits) this.#blocks = [];
    this.#blocks.push(block);
    const spare = this.#blocks.length - MAX_TAIL_BLOCKS;
    if (spare > 0) this.#blocks.splice(0, spare);
  }

  /** A block was reverted: it and all above it go. */
  revert(hash: string): void {
    const at = this.#blocks.findLastIndex((block) => block.hash === hash);
    if (at >= 0) this.#cut(at);
    else this.#count(hash);
  }

  /** A reset: all blocks above `height` go; all there are when absent. */
  reset(height = -1): void {
    const at = this.#blocks.findIndex((block) => block.height > height);
    if (at >= 0) this.#cut(at);
  }

  /**
   * Remembers more: canonical blocks below the oldest one.
   *
   * @param blocks oldest first; those that do not lead up to it are ignored.
   * @returns how many were taken.
   */
  extend(blocks: readonly Placed[]): number {
    const older: Placed[] = [];
    let child = this.oldest;
    for (const block of blocks.toReversed()) {
      if (child === undefined || block.height >= child.height) continue;
      if (child.parentHash !== block.hash) break;
      older.push(block);
      child = block;
    }
    this.#blocks = [...older.reverse(), ...this.#blocks];
    return older.length;
  }

  #cut(from: number): void {
    for (const { hash } of this.#blocks.splice(from)) this.#count(hash);
  }

  #count(hash: string): void {
    const times = this.reverts(hash) + 1;
    this.#reverts.delete(hash);
    this.#reverts.set(hash, times);
    if (this.#reverts.size <= MAX_REVERTED_BLOCKS) return;
    const [first] = this.#reverts.keys();
    this.#reverts.delete(first!);
  }
}
