/**
 * Bounds of the filter values that connections hold: each value takes memory
 * until its subscription ends.
 *
 * @module
 */

import { Holdings } from "../platform/holdings.ts";

/** Most filtered subscriptions of one connection. */
export const MAX_FILTERED_SUBSCRIPTIONS = 16;
/** Most filter values of one connection. */
export const MAX_CONNECTION_VALUES = 10_000;
/** Most filter values of all connections of one address. */
export const MAX_ADDRESS_VALUES = 100_000;
/** Most filter values of one instance: about 150 MB. */
export const MAX_INSTANCE_VALUES = 1_000_000;

/** The bounds; by default those of this module. */
export interface FilterBounds {
  /** Replaces {@link MAX_ADDRESS_VALUES}. */
  readonly address?: number;
  /** Replaces {@link MAX_INSTANCE_VALUES}. */
  readonly instance?: number;
}

/** Counts the filter values of one instance. */
export class FilterBudget {
  readonly #bounds: Required<FilterBounds>;
  readonly #addresses = new Holdings();

  /** Empty. */
  constructor(
    { address = MAX_ADDRESS_VALUES, instance = MAX_INSTANCE_VALUES }:
      FilterBounds = {},
  ) {
    this.#bounds = { address, instance };
  }

  /** Values held by all connections. */
  get total(): number {
    return this.#addresses.total;
  }

  /** Values held by the connections of one address. */
  of(address: string): number {
    return this.#addresses.of(address);
  }

  /**
   * Changes the number of values that an address holds.
   *
   * @param by the difference; a release, below 0, always succeeds.
   * @returns whether the result is within the bounds; `false`: nothing changed.
   */
  change(address: string, by: number): boolean {
    const held = this.of(address) + by;
    const total = this.total + by;
    const { address: each, instance } = this.#bounds;
    if (by > 0 && (held > each || total > instance)) return false;
    this.#addresses.add(address, by);
    return true;
  }
}

/** The filter values of one connection, by subscription. */
export class FilterShare {
  readonly #budget: FilterBudget;
  readonly #address: string;
  readonly #values = new Map<string, number>();
  #total = 0;

  /** Empty; its values count for `address` in `budget`. */
  constructor(budget: FilterBudget, address: string) {
    this.#budget = budget;
    this.#address = address;
  }

  /**
   * Sets the number of values that a subscription holds.
   *
   * @returns whether that is within the bounds of the connection, the address
   * and the instance; `false`: nothing changed.
   */
  set(name: string, values: number): boolean {
    const before = this.#values.get(name);
    if (
      before === undefined && this.#values.size >= MAX_FILTERED_SUBSCRIPTIONS
    ) return false;
    const by = values - (before ?? 0);
    if (by > 0 && this.#total + by > MAX_CONNECTION_VALUES) return false;
    if (!this.#budget.change(this.#address, by)) return false;
    this.#values.set(name, values);
    this.#total += by;
    return true;
  }

  /** Releases the values of a subscription. */
  delete(name: string): void {
    const held = this.#values.get(name);
    if (held === undefined) return;
    this.#values.delete(name);
    this.#total -= held;
    this.#budget.change(this.#address, -held);
  }

  /** Releases everything. */
  clear(): void {
    for (const name of this.#values.keys()) this.delete(name);
  }
}
