/**
 * How fast one connection may send.
 *
 * @module
 */

/** A budget's size. */
export interface BudgetOptions {
  /** How much may be spent at once, from a full budget; at least 1. */
  readonly burst: number;
  /** How much is given back in a second; above 0. */
  readonly perSecond: number;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

/** A token bucket for one connection, kept in this instance alone. */
export class Budget {
  readonly #burst: number;
  readonly #msEach: number;
  readonly #now: () => number;
  /** When it will be full, on the clock. */
  #fullAt: number;

  /**
   * Starts full.
   *
   * @param options its size.
   * @throws {RangeError} when nothing could ever be taken.
   */
  constructor({ burst, perSecond, now }: BudgetOptions) {
    if (!(burst >= 1 && perSecond > 0)) {
      throw new RangeError("A budget needs a burst of at least 1 and a rate");
    }
    this.#burst = burst;
    this.#msEach = 1000 / perSecond;
    this.#now = now;
    this.#fullAt = now();
  }

  /**
   * Spends from the budget; what is refused costs nothing.
   *
   * @param cost how much, above 0; more than the burst counts as the burst.
   * @returns 0 when admitted, else milliseconds until it will be.
   */
  take(cost = 1): number {
    const now = this.#now();
    const wholeMs = this.#burst * this.#msEach;
    const owedMs = Math.max(0, this.#fullAt - now);
    const afterMs = owedMs + Math.min(cost, this.#burst) * this.#msEach;
    if (afterMs > wholeMs) return Math.ceil(afterMs - wholeMs);
    this.#fullAt = now + afterMs;
    return 0;
  }

  /**
   * Spends what was used already, although it may be more than is left: then
   * nothing is admitted until it is made up for.
   *
   * @param cost how much, from 0.
   */
  spend(cost: number): void {
    const now = this.#now();
    this.#fullAt = Math.max(this.#fullAt, now) + cost * this.#msEach;
  }
}
