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
  /** Most work of one caller that waits. */
  readonly waitingEach: number;
}

/** Work that waits. */
interface Waiting {
  readonly caller: string;
  readonly begin: () => void;
}

/** Runs so much work at once; the rest waits in the order of arrival. */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #waiting: Waiting[] = [];
  #running = 0;

  /** Nothing runs yet. */
  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /**
   * Runs `work` when it is its turn.
   *
   * @param caller whose share of the line it takes.
   * @throws {Refusal} `STORE_UNAVAILABLE` when too much waits; what `work`
   * throws.
   */
  async run<T>(caller: string, work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.atOnce) this.#running++;
    else await this.#wait(caller);
    try {
      return await work();
    } finally {
      // A turn is handed on, so that none that begins now overtakes.
      const next = this.#waiting.shift();
      if (next) next.begin();
      else this.#running--;
    }
  }

  async #wait(caller: string): Promise<void> {
    const { waiting, waitingEach } = this.#options;
    const own = this.#waiting.filter((it) => it.caller === caller).length;
    if (this.#waiting.length >= waiting || own >= waitingEach) {
      throw new Refusal(
        "STORE_UNAVAILABLE",
        "Too many pages are asked for at once; try again",
        { retryAfterMs: RETRY_MS },
      );
    }
    await new Promise<void>((begin) => this.#waiting.push({ caller, begin }));
  }
}
