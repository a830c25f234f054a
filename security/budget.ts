/**
 * How fast one connection may talk.
 *
 * @module
 */

/** A budget's size. */
export interface BudgetOptions {
  /** How much may be spent at once, from a full budget; at least 1. */
  readonly burst: number;
  /** How much comes back in a second; above 0. */
  readonly perSecond: number;
  /** Reads the time, in epoch milliseconds. */
  readonly now: () => number;
}

/** A token bucket for one connection, kept in this isolate alone. */
export class Budget {
  readonly #burst: number;
  readonly #perMs: number;
  readonly #now: () => number;
  #left: number;
  #at: number;

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
    this.#perMs = perSecond / 1000;
    this.#now = now;
    this.#left = burst;
    this.#at = now();
  }

  /**
   * Spends from the budget; what is refused costs nothing.
   *
   * @param cost how much, above 0; more than the burst counts as the burst.
   * @returns 0 when admitted, else milliseconds until it will be.
   */
  take(cost = 1): number {
    const price = Math.min(cost, this.#burst);
    const now = this.#now();
    // A clock set back takes nothing away.
    const passed = Math.max(0, now - this.#at);
    this.#left = Math.min(this.#burst, this.#left + passed * this.#perMs);
    this.#at = now;
    if (this.#left < price) {
      return Math.max(1, Math.ceil((price - this.#left) / this.#perMs));
    }
    this.#left -= price;
    return 0;
  }
}
