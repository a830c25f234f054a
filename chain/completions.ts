/**
 * Which blocks are complete on `transactions`, as its events fold: what is said
 * of a height after its `BLOCK_COMPLETE` opens it, and all above it, again.
 *
 * @module
 */
import type { Payload, Place } from "./chain_events.ts";
import type { UndoLog } from "./undo_log.ts";

/** Complete blocks remembered of a chain; the lowest is forgotten. */
export const MAX_COMPLETE = 1_024;
/** Chains of which any are; the one unused for longest is forgotten. */
export const MAX_COMPLETE_CHAINS = 64;

/** A `BLOCK_COMPLETE` that was published. */
export interface Completion {
  /** Its block. */
  readonly blockId: string;
  /** That block's height. */
  readonly height: number;
  /** What it says of the block, to be compared. */
  readonly text: string;
  /** Where its event stands; set once that is known. */
  place?: Place | undefined;
}

/** What a `BLOCK_COMPLETE` says. */
export function completionOf(payload: Payload): Completion {
  const { blockId, height, transactions, failed, missing } = payload;
  return {
    blockId: blockId as string,
    height: height as number,
    text: JSON.stringify([transactions, failed, missing]),
  };
}

/**
 * The height that a `TX_RECEIVED` is about, so that no block from there on is
 * complete any more; absent where it is about none.
 */
export function openedBy({ blockHeight, left }: Payload): number | undefined {
  return (blockHeight ?? (left as { height?: number } | undefined)?.height) as
    | number
    | undefined;
}

/** Remembers complete blocks. */
export class Completions {
  readonly #undoLog: UndoLog;
  /** By chain, the one used last at the end; blocks lowest first. */
  readonly #chains = new Map<string, Completion[]>();

  /** Knows none. @param undoLog records steps that are only tried. */
  constructor(undoLog: UndoLog) {
    this.#undoLog = undoLog;
  }

  /** The one that says the same of the same block, while that is complete. */
  find(chain: string, completion: Completion): Completion | undefined {
    const { blockId, height, text } = completion;
    return this.#chains.get(chain)?.findLast((it) =>
      it.height === height && it.blockId === blockId && it.text === text
    );
  }

  /** A `BLOCK_COMPLETE` was published. */
  add(chain: string, completion: Completion): void {
    this.open(chain, completion.height);
    const blocks = this.#chains.get(chain) ?? [];
    this.#chains.delete(chain);
    this.#chains.set(chain, blocks);
    blocks.push(completion);
    this.#undoLog.push(() => blocks.pop());
  }

  /** From a height on nothing is complete. */
  open(chain: string, height: number): void {
    const blocks = this.#chains.get(chain);
    let at = blocks?.length ?? 0;
    while (at > 0 && blocks![at - 1]!.height >= height) at--;
    if (!blocks || at === blocks.length) return;
    const gone = blocks.splice(at);
    this.#undoLog.push(() => blocks.push(...gone));
  }

  /** Forgets all. */
  clear(): void {
    this.#chains.clear();
  }

  /** Forgets what is beyond the bounds. */
  bound(): void {
    for (const [chain, blocks] of this.#chains) {
      if (this.#chains.size > MAX_COMPLETE_CHAINS) this.#chains.delete(chain);
      else if (blocks.length > MAX_COMPLETE) {
        blocks.splice(0, blocks.length - MAX_COMPLETE);
      }
    }
  }
}
