/**
 * The newest status of each transaction as the events of `transactions` fold,
 * and what a further status means after it.
 *
 * @module
 */
import type { Payload, Place } from "./chain_events.ts";
import { Completions, openedBy } from "./completions.ts";
import { EqualParts } from "./equal_parts.ts";
import type { Standing } from "./spine.ts";
import { UndoLog } from "./undo_log.ts";

/**
 * Transactions remembered, in equal parts where their publishers need more: of
 * who holds most the one unchanged for longest is forgotten.
 */
export const MAX_TRANSACTIONS = 20_000;

/** The newest status of a transaction. */
export interface Status {
  /** As in `TX_RECEIVED`. */
  readonly status: string;
  /** The block that holds it, where its publisher names it. */
  readonly blockId?: string | undefined;
  /** That block's height. */
  readonly height?: number | undefined;
  /** From that height on no block is complete any more. */
  readonly opens?: number | undefined;
  /** In a block, but its outcome is not known. */
  readonly isUnsure: boolean;
  /** Where the event stands; set once that is known. */
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

/** Whether a block holds the transaction. */
export function isHeld({ status }: Status): boolean {
  return status === "confirmed" || status === "failed";
}

/** What a status means after the one before it. */
export type StatusVerdict =
  /** It may follow. */
  | "follows"
  /** It was published before: what stands is not stored again. */
  | "known"
  /** News of the pool, about a transaction that a standing block holds. */
  | "late"
  /** It follows once the transaction has left the block that held it. */
  | "leaves"
  /** It cannot follow. */
  | "contradicts";

/**
 * Judges a status by the one before it.
 *
 * @param before the newest one.
 * @param payload of the next `TX_RECEIVED`.
 * @param standing answers whether the block of `before` stands.
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

/** What is remembered of a transaction. */
interface Known {
  readonly status: Status;
  /** Whose share it takes: of its first publisher. */
  readonly owner: string;
}

/** Remembers the newest status of transactions. */
export class Transactions {
  /** Tries steps, to be undone. */
  readonly undoLog: UndoLog = new UndoLog();
  /** The blocks of which all is published. */
  readonly completions: Completions = new Completions(this.undoLog);
  /** By chain and id, the one that changed last at the end. */
  readonly #known = new Map<string, Known>();
  readonly #shares = new EqualParts();
  #isWhole = true;

  /** How many are remembered. */
  get size(): number {
    return this.#known.size;
  }

  /** Whether none was forgotten. */
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
   * @param owner whose share it takes, when it is not known yet.
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

  /** A `CHAIN_RESET` was published: what blocks above a height held is void. */
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

  /** Ids of those that are pending, the one published last first. */
  pending(): string[] {
    return [...this.#known]
      .filter(([, { status }]) => status.status === "pending")
      .map(([name]) => name.slice(name.indexOf("\n") + 1))
      .reverse();
  }

  /** Forgets all. */
  clear(): void {
    this.completions.clear();
    this.#known.clear();
    this.#shares.clear();
    this.#isWhole = true;
  }

  /** Forgets what is beyond the bound. */
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
