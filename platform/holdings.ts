/**
 * What callers hold.
 *
 * @module
 */

/**
 * Counts what each caller holds, and all together. A caller who holds nothing
 * takes no memory.
 */
export class Holdings {
  readonly #byName = new Map<string, number>();
  #total = 0;

  /** What all hold together. */
  get total(): number {
    return this.#total;
  }

  /** What one caller holds. */
  of(name: string): number {
    return this.#byName.get(name) ?? 0;
  }

  /**
   * Changes what a caller holds.
   *
   * @param amount the change; negative for a release.
   */
  add(name: string, amount: number): void {
    this.#total += amount;
    const own = this.of(name) + amount;
    if (own === 0) this.#byName.delete(name);
    else this.#byName.set(name, own);
  }
}
