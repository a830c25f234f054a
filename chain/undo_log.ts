/**
 * How to undo steps that were only tried.
 *
 * @module
 */

/** Records the undo of each step while something is tried. */
export class UndoLog {
  #undo: (() => void)[] | undefined;

  /** Whether steps are only tried. */
  get isTrying(): boolean {
    return this.#undo !== undefined;
  }

  /** Steps since the try began; 0 outside one. */
  get steps(): number {
    return this.#undo?.length ?? 0;
  }

  /** Begins a try, unless one has begun. */
  begin(): void {
    this.#undo ??= [];
  }

  /** A step was made; outside a try it counts for good. */
  push(undo: () => void): void {
    this.#undo?.push(undo);
  }

  /** Undoes all steps of the try after the first `steps`. */
  undo(steps: number): void {
    const undo = this.#undo?.splice(steps) ?? [];
    const kept = this.#undo;
    this.#undo = undefined;
    for (const step of undo.reverse()) step();
    this.#undo = kept;
  }

  /** Undoes the try and ends it. */
  end(): void {
    this.undo(0);
    this.#undo = undefined;
  }
}
