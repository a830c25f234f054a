/**
 * A line for work that needs much memory while it runs.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";

/** When to try again after the line was full, in milliseconds. */
const RETRY_MS = 1_000;

/** How much runs and waits. */
export interface TurnsOptions {
  /** Most work that runs at once, from 1. */
  readonly atOnce: number;
  /** Most work that waits. */
  readonly waiting: number;
}

/** Runs so much work at once; the rest waits in the order of arrival. */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /** Nothing runs yet. */
  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /**
   * Runs `work` when it is its turn.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE` when too much waits; what `work`
   * throws.
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const { atOnce, waiting } = this.#options;
    if (this.#running < atOnce) this.#running++;
    else if (this.#waiting.length < waiting) {
      await new Promise<void>((begin) => this.#waiting.push(begin));
    } else {
      throw new Refusal(
        "STORE_UNAVAILABLE",
        "Too many pages are asked for at once; try again",
        { retryAfterMs: RETRY_MS },
      );
    }
    try {
      return await work();
    } finally {
      // A turn is handed on, so that none who comes now overtakes.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }
}
