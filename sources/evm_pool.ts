/**
 * The pool of a node as it was published: which transactions are
 * pending, and what has to be published when they are replaced or gone.
 *
 * @module
 */
import { asPending } from "./evm_messages.ts";
import type { Messages, TxMessage, TxPayload } from "./evm_messages.ts";
import type { EvmTransaction } from "./evm_view.ts";

/**
 * Most transactions published as pending. Above it new ones are published only
 * once they are mined: none is forgotten that was published as pending.
 */
export const MAX_POOL = 20_000;
/** Mined transactions remembered, so as not to be called pending after. */
export const MAX_MINED = 20_000;
/** Transactions whose earlier stays in the pool are counted. */
export const MAX_LIVES = 20_000;
/** Least time between two requests about one transaction, in milliseconds. */
export const RECHECK_MS = 5_000;
/** Requests in a row that a node answers with nothing until it is dropped. */
export const MISSES = 2;
/** Replaced and dropped transactions that the node is asked about: most. */
export const MAX_GONE = 1_000;
/** How long the node is asked about one that is gone, in milliseconds. */
export const GONE_MS = 600_000;

interface Entry {
  readonly payload: TxPayload;
  /** Which of its stays in the pool, from 1. */
  readonly life: number;
  /** When it was requested last, on the monotonic clock. */
  checkedAt: number;
  misses: number;
}

/** A replaced or dropped transaction, which may return. */
interface Gone {
  readonly leftAt: number;
  checkedAt: number;
}

/** When something happens, on both clocks. */
export interface Moment {
  /** Epoch milliseconds. */
  readonly now: number;
  /** Milliseconds of the monotonic clock. */
  readonly monotonic: number;
}

/** Pending transactions by hash and by sender and nonce. */
export class Pool {
  readonly #messages: Messages;
  /** In the order of their last check: the oldest first. */
  readonly #entries = new Map<string, Entry>();
  /** Those of the same sender and nonce. */
  readonly #places = new Map<string, Set<string>>();
  readonly #mined = new Set<string>();
  /** In the order of their last check: the oldest first. */
  readonly #gone = new Map<string, Gone>();
  readonly #lives = new Map<string, number>();

  /** Begins empty. */
  constructor(messages: Messages) {
    this.#messages = messages;
  }

  /** How many are published as pending. */
  get size(): number {
    return this.#entries.size;
  }

  /** Whether no new one may be published as pending. */
  get isFull(): boolean {
    return this.#entries.size >= MAX_POOL;
  }

  /** Whether a transaction is published as pending or was mined recently. */
  knows(hash: string): boolean {
    return this.#entries.has(hash) || this.#mined.has(hash);
  }

  /**
   * A node shows a pending transaction.
   *
   * @returns what to publish: that it is pending, and that the one with the
   * same sender and nonce is replaced. Nothing when it is known, when its gas
   * price is not above that of the one that it would replace, or when the pool
   * is full.
   */
  add(tx: EvmTransaction, at: Moment): TxMessage[] {
    return this.#add(tx, at, offersMore);
  }

  #add(
    tx: EvmTransaction,
    at: Moment,
    isBetter: (a: TxPayload, b: TxPayload) => boolean,
  ): TxMessage[] {
    if (this.knows(tx.hash) || this.isFull) return [];
    const life = (this.#lives.get(tx.hash) ?? 0) + 1;
    const message = this.#messages.pending(tx, at.now, life);
    const rivals = this.#rivalsOf(message.payload);
    if (!rivals.every((it) => isBetter(message.payload, it.payload))) {
      return [];
    }
    this.#keep(message.payload, life, at);
    return [message, ...this.#replace(rivals, tx.hash, at)];
  }

  /**
   * A block was published.
   *
   * @param transactions its payloads.
   * @returns what to publish of those whose place they took.
   */
  mine(transactions: readonly TxPayload[], at: Moment): TxMessage[] {
    return transactions.flatMap((payload) => {
      const { txId } = payload;
      this.#remove(txId);
      this.#gone.delete(txId);
      this.#mined.delete(txId);
      this.#mined.add(txId);
      shrink(this.#mined, MAX_MINED);
      return this.#replace(this.#rivalsOf(payload), txId, at);
    });
  }

  /** A block was reverted: this transaction of it is pending again. */
  restore(payload: TxPayload, at: Moment): void {
    this.#mined.delete(payload.txId);
    const life = (this.#lives.get(payload.txId) ?? 0) + 1;
    this.#keep(asPending(payload), life, at);
  }

  /**
   * Reads back what was published before.
   *
   * @param events payloads of one chain, oldest first.
   * @returns what a killed source should have published and did not.
   */
  resume(events: Iterable<TxPayload>, at: Moment): TxMessage[] {
    const owed = new Map<string, TxMessage>();
    for (const payload of events) {
      const { txId, status } = payload;
      owed.delete(txId);
      if (status === "pending") this.restore(payload, at);
      else if (status === "replaced" || status === "dropped") {
        this.#remove(txId);
        this.#leave(txId, at);
      } else {
        for (const message of this.mine([payload], at)) {
          owed.set(message.payload.txId, message);
        }
      }
    }
    return [...owed.values()];
  }

  /**
   * Which transactions should be requested from the node now.
   *
   * @param limit most of them, those first that were requested longest ago.
   */
  due({ monotonic }: Moment, limit: number): string[] {
    const due: string[] = [];
    for (const checks of [this.#entries, this.#gone]) {
      for (const [hash, { checkedAt }] of checks) {
        if (due.length === limit || monotonic - checkedAt < RECHECK_MS) break;
        due.push(hash);
      }
    }
    return due;
  }

  /**
   * A node answered a request about a transaction.
   *
   * @param found what it knows: the transaction, pending or mined.
   * @returns what to publish: that it is dropped, after {@link MISSES} misses,
   * or that one that was gone is back.
   */
  checked(
    hash: string,
    found: EvmTransaction | undefined,
    at: Moment,
  ): TxMessage[] {
    const entry = this.#entries.get(hash);
    if (!entry) return this.#checkGone(hash, found, at);
    entry.checkedAt = at.monotonic;
    this.#entries.delete(hash);
    this.#entries.set(hash, entry);
    entry.misses = found ? 0 : entry.misses + 1;
    if (entry.misses < MISSES) return [];
    this.#remove(hash);
    this.#leave(hash, at);
    const { payload, life } = entry;
    return [this.#messages.dropped(payload, { now: at.now, life })];
  }

  #leave(hash: string, { monotonic }: Moment): void {
    this.#gone.delete(hash);
    this.#gone.set(hash, { leftAt: monotonic, checkedAt: monotonic });
    shrink(this.#gone, MAX_GONE);
  }

  #checkGone(
    hash: string,
    found: EvmTransaction | undefined,
    at: Moment,
  ): TxMessage[] {
    const dropped = this.#gone.get(hash);
    if (!dropped) return [];
    this.#gone.delete(hash);
    if (found && found.blockHash === undefined) {
      // The node holds this one, so its assumed successor is wrong.
      return this.#add(found, at, () => true);
    }
    if (at.monotonic - dropped.leftAt >= GONE_MS) return [];
    this.#gone.set(hash, { ...dropped, checkedAt: at.monotonic });
    return [];
  }

  #keep(payload: TxPayload, life: number, at: Moment): void {
    const { txId } = payload;
    this.#remove(txId);
    this.#gone.delete(txId);
    this.#lives.delete(txId);
    this.#lives.set(txId, life);
    shrink(this.#lives, MAX_LIVES);
    this.#entries.set(txId, {
      payload: asPending(payload),
      life,
      checkedAt: at.monotonic,
      misses: 0,
    });
    this.#places.getOrInsertComputed(placeOf(payload), () => new Set())
      .add(txId);
  }

  #remove(hash: string): void {
    const entry = this.#entries.get(hash);
    if (!entry) return;
    this.#entries.delete(hash);
    const place = placeOf(entry.payload);
    const hashes = this.#places.get(place);
    hashes?.delete(hash);
    if (hashes?.size === 0) this.#places.delete(place);
  }

  /** The other pending transactions of the same sender and nonce. */
  #rivalsOf(payload: TxPayload): Entry[] {
    if (payload.missing?.some((it) => it === "from" || it === "nonce")) {
      return [];
    }
    return [...this.#places.get(placeOf(payload)) ?? []]
      .filter((hash) => hash !== payload.txId)
      .map((hash) => this.#entries.get(hash)!);
  }

  #replace(rivals: readonly Entry[], by: string, at: Moment): TxMessage[] {
    return rivals.map(({ payload, life }) => {
      this.#remove(payload.txId);
      this.#leave(payload.txId, at);
      return this.#messages.replaced(payload, by, { now: at.now, life });
    });
  }
}

/** Drops the oldest. */
function shrink(
  keys: Map<string, unknown> | Set<string>,
  limit: number,
): void {
  const [first] = keys.keys();
  if (keys.size > limit && first !== undefined) keys.delete(first);
}

function placeOf({ from, nonce }: TxPayload): string {
  return `${from}:${nonce}`;
}

/** Nodes take a replacement only for a higher price. */
function offersMore(
  a: Pick<TxPayload, "gasPrice">,
  b: Pick<TxPayload, "gasPrice">,
): boolean {
  return BigInt(a.gasPrice) > BigInt(b.gasPrice);
}
