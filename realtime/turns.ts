/**
 * A queue for work that needs much memory while it runs.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";

/** When to retry after the queue was full, in milliseconds. */
const RETRY_MS = 1_000;

/** Bounds of running and waiting work. */
export interface TurnsOptions {
  /** Most work that runs at once, at least 1. */
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

/** Runs a bounded amount of work at once; the rest waits in order of arrival. */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #waiting: Waiting[] = [];
  #running = 0;

  /** Idle. */
  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /**
   * Runs `work` when its turn is reached.
   *
   * @param caller whose share of the queue it uses.
   * @throws {Refusal} `STORE_UNAVAILABLE` when the queue is full; errors of
   * `work`.
   */
  async run<T>(caller: string, work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.atOnce) this.#running++;
    else await this.#wait(caller);
    try {
      return await work();
    } finally {
      // A turn is passed on directly, so that new work cannot overtake.
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
