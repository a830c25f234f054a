/**
 * The complete blocks of `transactions`, folded from its events: an event about
 * a height after its `BLOCK_COMPLETE` makes that height and all above it
 * incomplete again.
 *
 * @module
 */
import type { Payload, Place } from "./chain_events.ts";
import type { UndoLog } from "./undo_log.ts";

/** Most complete blocks stored per chain; the lowest is evicted. */
export const MAX_COMPLETE = 1_024;
/** Most chains with complete blocks; the least recently used is evicted. */
export const MAX_COMPLETE_CHAINS = 64;

/** A `BLOCK_COMPLETE` that was published. */
export interface Completion {
  /** Its block. */
  readonly blockId: string;
  /** That block's height. */
  readonly height: number;
  /** Its content, for comparison. */
  readonly text: string;
  /** The position of its event; set once it is known. */
  place?: Place | undefined;
}

/** The content of a `BLOCK_COMPLETE`. */
export function completionOf(payload: Payload): Completion {
  const { blockId, height, transactions, failed, missing } = payload;
  return {
    blockId: blockId as string,
    height: height as number,
    text: JSON.stringify([transactions, failed, missing]),
  };
}

/**
 * The height that a `TX_RECEIVED` concerns: blocks from it on are no longer
 * complete. Absent where it concerns none.
 */
export function openedBy({ blockHeight, left }: Payload): number | undefined {
  return (blockHeight ?? (left as { height?: number } | undefined)?.height) as
    | number
    | undefined;
}

/** Stores complete blocks. */
export class Completions {
  readonly #undoLog: UndoLog;
  /** By chain, the most recently used last; blocks lowest first. */
  readonly #chains = new Map<string, Completion[]>();

  /** Empty. @param undoLog records steps of a trial. */
  constructor(undoLog: UndoLog) {
    this.#undoLog = undoLog;
  }

  /** The event with the same content about the same block, while it is complete. */
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

  /** Marks all blocks from a height on as incomplete. */
  open(chain: string, height: number): void {
    const blocks = this.#chains.get(chain);
    let at = blocks?.length ?? 0;
    while (at > 0 && blocks![at - 1]!.height >= height) at--;
    if (!blocks || at === blocks.length) return;
    const gone = blocks.splice(at);
    this.#undoLog.push(() => blocks.push(...gone));
  }

  /** Removes all. */
  clear(): void {
    this.#chains.clear();
  }

  /** Evicts entries beyond the bounds. */
  bound(): void {
    for (const [chain, blocks] of this.#chains) {
      if (this.#chains.size > MAX_COMPLETE_CHAINS) this.#chains.delete(chain);
      else if (blocks.length > MAX_COMPLETE) {
        blocks.splice(0, blocks.length - MAX_COMPLETE);
      }
    }
  }
}
