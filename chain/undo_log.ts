/**
 * Undoes the steps of a trial.
 *
 * @module
 */

/** Records the undo of each step during a trial. */
export class UndoLog {
  #undo: (() => void)[] | undefined;

  /** Whether a trial is running. */
  get isTrying(): boolean {
    return this.#undo !== undefined;
  }

  /** Steps since the trial started; 0 outside one. */
  get steps(): number {
    return this.#undo?.length ?? 0;
  }

  /** Starts a trial, unless one is running. */
  begin(): void {
    this.#undo ??= [];
  }

  /** Records a step; outside a trial it is permanent. */
  push(undo: () => void): void {
    this.#undo?.push(undo);
  }

  /** Undoes all steps of the trial after the first `steps`. */
  undo(steps: number): void {
    const undo = this.#undo?.splice(steps) ?? [];
    const kept = this.#undo;
    this.#undo = undefined;
    for (const step of undo.reverse()) step();
    this.#undo = kept;
  }

  /** Undoes the trial and ends it. */
  end(): void {
    this.undo(0);
    this.#undo = undefined;
  }
}
