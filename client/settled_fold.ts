/**
 * The final ones of some transactions, folded from `transactions` and `blocks`
 * together. These are not in step: one reports the current chain, the other
 * finality.
 *
 * @module
 */
import type { BlockPlace } from "./following.ts";
import { RequestError } from "./failure.ts";
import type { AnyEvent, Event, Position } from "./types.ts";

/** Most transactions that wait: to become final, or to be taken. */
export const MAX_HELD = 10_000;
/** Most blocks above the newest final one that are known to be complete. */
export const MAX_COMPLETE = 10_000;
/** Transactions that became final and are remembered, to name those that fall. */
export const MAX_REMEMBERED = 1_024;

/** Where an iteration stands, and what it holds back: to be kept as JSON. */
export interface SettledCursor {
  /** The position in `transactions`. */
  readonly transactions: Position;
  /** The position in `blocks`. */
  readonly blocks: Position;
  /** Transactions in blocks that are not final, by id. */
  readonly held: Readonly<Record<string, Event<"TX_RECEIVED">>>;
  /** Standing blocks of which all transactions were received, oldest first. */
  readonly complete: readonly BlockPlace[];
  /** The newest block reported as final. */
  readonly firm?: BlockPlace | undefined;
  /** The newest of these of which all transactions were received. */
  readonly block?: BlockPlace | undefined;
  /** Heights of the newest transactions that were added, by id. */
  readonly added: Readonly<Record<string, number>>;
  /** The highest height of those that were added and are not in `added`. */
  readonly forgotten: number;
}

/** What became final, or is so no more. */
export interface SettledChange {
  /**
   * Transactions that were added before and left the chain: to be undone
   * before `added` is done.
   */
  readonly reverted: readonly string[];
  /**
   * Transactions whose blocks became final, each once; those that failed, too:
   * see `status`.
   */
  readonly added: readonly Event<"TX_RECEIVED">[];
  /**
   * All that matches up to this block was added; absent before the first, and
   * where the events received so far take it back.
   */
  readonly block: BlockPlace | undefined;
  /**
   * Keep it together with what was done about this change: an iteration that
   * begins `after` it goes on exactly here.
   */
  readonly cursor: SettledCursor;
}

/** How firm a block must be, and where to go on. */
export interface SettledFoldOptions {
  /** Default `final`. */
  readonly level?: "final" | "safe";
  /** Where one before it stood. */
  readonly after?: SettledCursor | undefined;
}

/** The fold of one chain. */
export class SettledFold {
  /** Up to where each channel was folded. */
  readonly at: {
    transactions: Position | undefined;
    blocks: Position | undefined;
  };
  readonly #level: "final" | "safe";
  readonly #held: Map<string, Event<"TX_RECEIVED">>;
  /** Heights of what was added, the newest last. */
  readonly #added: Map<string, number>;
  /** What was added since the last change. */
  readonly #fresh = new Map<string, Event<"TX_RECEIVED">>();
  readonly #reverted = new Set<string>();
  #complete: readonly BlockPlace[];
  #firm: BlockPlace | undefined;
  #block: BlockPlace | undefined;
  #forgotten: number;

  /** Goes on where one before it stood, or begins. */
  constructor({ level = "final", after }: SettledFoldOptions) {
    const { transactions, blocks, held, added, complete } = after ?? {};
    this.at = { transactions, blocks };
    this.#level = level;
    this.#held = new Map(Object.entries(held ?? {}));
    this.#added = new Map(Object.entries(added ?? {}));
    this.#complete = complete ?? [];
    this.#firm = after?.firm;
    this.#block = after?.block;
    this.#forgotten = after?.forgotten ?? -1;
  }

  /** Whether it is known where both channels begin. */
  get isBegun(): boolean {
    return Boolean(this.at.transactions && this.at.blocks);
  }

  /**
   * One more event.
   *
   * @param isOurs whether it is of the chain; otherwise only the position moves.
   * @throws {RequestError} `EVENTS_LOST`, `QUEUE_FULL`.
   */
  take(event: AnyEvent, isOurs: boolean): void {
    if (isOurs) this.#fold(event);
    const { channel, epoch, seq } = event;
    const name = channel as "transactions" | "blocks";
    this.at[name] = { epoch: epoch!, seq: seq! };
  }

  /** What changed since the last time. */
  change(): SettledChange {
    const added = [...this.#fresh.values()];
    const reverted = [...this.#reverted];
    this.#fresh.clear();
    this.#reverted.clear();
    for (const [txId, height] of this.#added) {
      if (this.#added.size <= MAX_REMEMBERED) break;
      this.#added.delete(txId);
      this.#forgotten = Math.max(this.#forgotten, height);
    }
    const { transactions, blocks } = this.at;
    const block = this.#block;
    return {
      reverted,
      added,
      block,
      cursor: {
        transactions: transactions!,
        blocks: blocks!,
        held: Object.fromEntries(this.#held),
        complete: this.#complete,
        firm: this.#firm,
        block,
        added: Object.fromEntries(this.#added),
        forgotten: this.#forgotten,
      },
    };
  }

  #fold(event: AnyEvent): void {
    const { type, channel, payload } = event;
    if (type === "FINALITY") {
      const { level, blockId, height } = payload;
      if (level !== "final" && level !== this.#level) return;
      this.#firm = { blockId, height };
    } else if (type === "CHAIN_RESET") {
      if (channel === "blocks") this.#firm = undefined;
      else this.#reset(payload.keeps?.height ?? -1);
    } else if (type === "BLOCK_COMPLETE") {
      const { blockId, height, missing } = payload;
      if (missing) {
        throw lost(`The transactions of block ${height} are not known`);
      }
      this.#reopen(height);
      // Without the oldest it waits until a later one is final.
      const complete = this.#complete.slice(1 - MAX_COMPLETE);
      this.#complete = [...complete, { blockId, height }];
    } else if (type === "TX_RECEIVED") this.#transaction(event);
    else return;
    this.#settle();
  }

  #transaction(event: Event<"TX_RECEIVED">): void {
    const { txId, status, blockHeight, left } = event.payload;
    const isKnown = this.#held.has(txId) || this.#added.has(txId);
    if (!isKnown && left && left.height <= this.#forgotten) {
      throw lost(`${txId} was final, and is not remembered`);
    }
    this.#remove(txId);
    this.#reopen(blockHeight ?? left?.height ?? Infinity);
    const isIn = status === "confirmed" || status === "failed";
    if (!isIn || blockHeight === undefined) return;
    this.#held.set(txId, event);
    this.#bound(this.#held);
  }

  #bound({ size }: ReadonlyMap<string, unknown>): void {
    if (size > MAX_HELD) throw new RequestError("QUEUE_FULL");
  }

  /** What blocks above a height held is void. */
  #reset(height: number): void {
    if (this.#forgotten > height) {
      throw lost(`What was final above ${height} is void, and not remembered`);
    }
    this.#reopen(height + 1);
    for (const [txId, { payload }] of this.#held) {
      if (payload.blockHeight! > height) this.#held.delete(txId);
    }
    for (const [txId, at] of this.#added) {
      if (at > height) this.#remove(txId);
    }
  }

  /** Blocks from a height on do not stand, or are not complete. */
  #reopen(height: number): void {
    this.#complete = this.#complete.filter((block) => block.height < height);
    if (this.#block && this.#block.height >= height) this.#block = undefined;
  }

  #remove(txId: string): void {
    this.#held.delete(txId);
    if (!this.#added.delete(txId)) return;
    if (!this.#fresh.delete(txId)) this.#reverted.add(txId);
  }

  /** Adds what is final and was received as a whole. */
  #settle(): void {
    const firm = this.#firm;
    const isWhole = this.#complete.some((it) => it.blockId === firm?.blockId);
    if (!firm || !isWhole) return;
    this.#block = firm;
    this.#complete = this.#complete.filter(({ height }) =>
      height >= firm.height
    );
    for (const [txId, event] of this.#held) {
      const height = event.payload.blockHeight!;
      if (height > firm.height) continue;
      this.#held.delete(txId);
      this.#fresh.set(txId, event);
      this.#added.set(txId, height);
    }
    this.#bound(this.#fresh);
  }
}

/** The error of an iteration that no longer knows what happened. */
export function lost(message: string): RequestError {
  return new RequestError("EVENTS_LOST", { message });
}
