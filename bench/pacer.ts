/**
 * When things are due, whatever became of those before: an open loop, so that
 * a server which stalls is charged for everyone it kept waiting.
 *
 * @module
 */

/** Decides what is due. */
export class Pacer {
  readonly #startAt: number;
  readonly #endAt: number;
  readonly #rate: number;
  #count = 0;

  /**
   * Begins at `startAt`.
   *
   * @param options `rate`: a second, 0 is never; `startAt`, `endAt`: epoch
   * milliseconds, the end excluded.
   */
  constructor(
    { rate, startAt, endAt }: { rate: number; startAt: number; endAt: number },
  ) {
    this.#rate = rate;
    this.#startAt = startAt;
    this.#endAt = endAt;
  }

  /** How many were due so far. */
  get count(): number {
    return this.#count;
  }

  /**
   * Takes what has become due, each once.
   *
   * @param now epoch milliseconds.
   * @returns the times for which they were due, oldest first, in whole
   * microseconds: so they survive being written and read.
   */
  *take(now: number): Generator<number> {
    for (;;) {
      const at = this.#startAt + this.#count * 1_000 / this.#rate;
      if (!(at <= now) || at >= this.#endAt) return;
      this.#count++;
      yield Number(at.toFixed(3));
    }
  }
}

/** Epoch milliseconds with fractions; the same for all processes of a machine. */
export function preciseNow(): number {
  return performance.timeOrigin + performance.now();
}
