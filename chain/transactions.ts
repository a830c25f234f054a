/**
 * The newest status of each transaction, folded from the events of
 * `transactions`, and the meaning of a further status after it.
 *
 * @module
 */
import type { Payload, Place } from "./chain_events.ts";
import { Completions, openedBy } from "./completions.ts";
import { EqualParts } from "./equal_parts.ts";
import type { Standing } from "./spine.ts";
import { UndoLog } from "./undo_log.ts";

/**
 * Most transactions stored, divided equally among publishers when full: of the
 * publisher with the most, the least recently changed is evicted.
 */
export const MAX_TRANSACTIONS = 20_000;

/** The newest status of a transaction. */
export interface Status {
  /** As in `TX_RECEIVED`. */
  readonly status: string;
  /** The block that contains it, where its publisher names it. */
  readonly blockId?: string | undefined;
  /** That block's height. */
  readonly height?: number | undefined;
  /** Blocks from this height on are no longer complete. */
  readonly opens?: number | undefined;
  /** It is in a block, but its outcome is unknown. */
  readonly isUnsure: boolean;
  /** The position of the event; set once it is known. */
  place?: Place | undefined;
}

/** The status that a `TX_RECEIVED` reports. */
export function statusOf(payload: Payload): Status {
  const { status, blockId, blockHeight, missing } = payload;
  return {
    status: status as string,
    blockId: blockId as string | undefined,
    height: blockHeight as number | undefined,
    opens: openedBy(payload),
    isUnsure: Array.isArray(missing) && missing.includes("receipt"),
  };
}

/** Whether a block contains the transaction. */
export function isHeld({ status }: Status): boolean {
  return status === "confirmed" || status === "failed";
}

/** The meaning of a status after the one before it. */
export type StatusVerdict =
  /** It may follow. */
  | "follows"
  /** It was published before, so it is not stored again. */
  | "known"
  /** A status of the pool, for a transaction that a current block contains. */
  | "late"
  /** It follows once the transaction has left its block. */
  | "leaves"
  /** It cannot follow. */
  | "contradicts";

/**
 * Judges a status against the one before it.
 *
 * @param before the newest one.
 * @param payload of the next `TX_RECEIVED`.
 * @param standing returns whether the block of `before` is in the chain.
 */
export function judgeStatus(
  before: Status | undefined,
  payload: Payload,
  standing: () => Standing,
): StatusVerdict {
  if (!before || !isHeld(before)) return "follows";
  const next = statusOf(payload);
  if (!isHeld(next)) return judgePool(before, payload, standing);
  const isNamed = before.blockId !== undefined && next.blockId !== undefined;
  if (isNamed && before.blockId !== next.blockId) {
    const stands = standing();
    return stands === "stands" || stands === "old" ? "contradicts" : "leaves";
  }
  if (before.status === next.status) {
    const isMore = before.blockId === undefined ||
      (before.isUnsure && !next.isUnsure);
    return isMore ? "follows" : "known";
  }
  if (before.isUnsure) return "follows";
  const isGone = before.blockId !== undefined && !isNamed &&
    standing() === "gone";
  return isGone ? "leaves" : "contradicts";
}

/** A status of the pool after one of a block. */
function judgePool(
  { blockId }: Status,
  { status, cause, left }: Payload,
  standing: () => Standing,
): StatusVerdict {
  if (status === "pending" && cause !== undefined) {
    const from = (left as { blockId?: string } | undefined)?.blockId;
    const isOther = from !== undefined && blockId !== undefined &&
      from !== blockId;
    return isOther ? "known" : "follows";
  }
  if (blockId === undefined) return "contradicts";
  const verdicts: Record<Standing, StatusVerdict> = {
    stands: "late",
    old: "late",
    gone: "leaves",
    unknown: "contradicts",
  };
  return verdicts[standing()];
}

/** The stored state of a transaction. */
interface Known {
  readonly status: Status;
  /** The owner whose share it counts for: its first publisher. */
  readonly owner: string;
}

/** Stores the newest status of transactions. */
export class Transactions {
  /** Records steps, to undo them. */
  readonly undoLog: UndoLog = new UndoLog();
  /** The complete blocks. */
  readonly completions: Completions = new Completions(this.undoLog);
  /** By chain and id, the most recently changed last. */
  readonly #known = new Map<string, Known>();
  readonly #shares = new EqualParts();
  #isWhole = true;

  /** Number of stored transactions. */
  get size(): number {
    return this.#known.size;
  }

  /** Whether no transaction was evicted. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /**
   * The newest status.
   *
   * @param chain its name; `""`: the default one.
   * @param txId of the transaction.
   */
  get(chain: string, txId: string): Status | undefined {
    return this.#known.get(nameOf(chain, txId))?.status;
  }

  /**
   * A `TX_RECEIVED` was published.
   *
   * @param owner whose share a new transaction counts for.
   */
  set(chain: string, txId: string, status: Status, owner: string): void {
    const name = nameOf(chain, txId);
    const before = this.#known.get(name);
    if (status.opens !== undefined) {
      this.completions.open(chain, status.opens);
    }
    this.#put(name, { status, owner: before?.owner ?? owner });
    this.undoLog.push(() => this.#put(name, before));
  }

  /** A `CHAIN_RESET` was published: voids transactions of blocks above a height. */
  reset(chain: string, height: number): void {
    const prefix = nameOf(chain, "");
    const gone = [...this.#known].filter(([name, { status }]) =>
      name.startsWith(prefix) && (status.height ?? -1) > height
    );
    for (const [name] of gone) this.#put(name, undefined);
    this.completions.open(chain, height + 1);
    this.undoLog.push(() => {
      for (const [name, known] of gone) this.#put(name, known);
    });
  }

  /** Ids of pending transactions, the most recently published first. */
  pending(): string[] {
    return [...this.#known]
      .filter(([, { status }]) => status.status === "pending")
      .map(([name]) => name.slice(name.indexOf("\n") + 1))
      .reverse();
  }

  /** Removes all. */
  clear(): void {
    this.completions.clear();
    this.#known.clear();
    this.#shares.clear();
    this.#isWhole = true;
  }

  /** Evicts transactions beyond the bound. */
  bound(): void {
    this.completions.bound();
    while (this.#known.size > MAX_TRANSACTIONS) {
      this.#put(this.#shares.oldest("names")!, undefined);
      this.#isWhole = false;
    }
  }

  /** The order of the map is the order of change. */
  #put(name: string, known: Known | undefined): void {
    const before = this.#known.get(name);
    if (before) this.#shares.leave(before.owner, name);
    this.#known.delete(name);
    if (!known) return;
    const owner = this.#shares.take(known.owner, name);
    this.#known.set(name, { ...known, owner });
  }
}

function nameOf(chain: string, txId: string): string {
  return `${chain}\n${txId}`;
}
