/**
 * A bound that callers share: what one of them may hold, and all together.
 *
 * @module
 */

import { Holdings } from "./holdings.ts";

/** How much may be held, in whatever is counted. */
export interface SharesBounds {
  /** By one caller. */
  readonly each: number;
  /** By all together. */
  readonly all: number;
}

/** Which bound is reached: a caller's own, or that of all. */
export type Excess = "each" | "all";

/**
 * Counts what callers hold. Once half of what all may hold is taken, the rest
 * is for callers who hold nothing: many requests of one caller do not block the
 * first of another.
 */
export class Shares {
  readonly #bounds: SharesBounds;
  readonly #holdings = new Holdings();

  /** Nothing is held yet. */
  constructor(bounds: SharesBounds) {
    this.#bounds = bounds;
  }

  /** What all hold together. */
  get held(): number {
    return this.#holdings.total;
  }

  /**
   * Whether a caller must not hold more.
   *
   * @param name whose share it takes.
   * @param amount how much more, from 0.
   * @returns nothing when there is room.
   */
  excess(name: string, amount: number): Excess | undefined {
    const { each, all } = this.#bounds;
    const own = this.#holdings.of(name);
    if (own + amount > each) return "each";
    const most = own > 0 ? all / 2 : all;
    return this.held + amount > most ? "all" : undefined;
  }

  /**
   * Counts what a caller holds from now on, whether there is room or not.
   *
   * @param amount the change; negative for a release.
   */
  hold(name: string, amount: number): void {
    this.#holdings.add(name, amount);
  }
}
