/**
 * The bound of the time that compression may take in one turn of the event loop.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** Longest time that compression may take in one turn, in milliseconds. */
export const TURN_MS = 2;
/** Fixed cost of compressing a text, at most, in milliseconds. */
const TEXT_MS = 0.15;
/**
 * Lowest speed of compression, in bytes per millisecond. Measured with events,
 * hexadecimal digits, base64 and zeros from 500 bytes to 160 KiB: 74 to 90 KiB
 * of base64, the slowest, and 130 KiB of events.
 */
const BYTES_PER_MS = 80 * 1024;
/** Longest text that one turn has time for, in bytes. */
export const MAX_TEXT_BYTES = (TURN_MS - TEXT_MS) * BYTES_PER_MS;

/** Counts the compression time of one turn, over all codecs. */
export class CompressionBudget {
  readonly #clock: Pick<Clock, "monotonic" | "soon">;
  #spentMs = 0;
  #isCounting = false;

  /**
   * Starts with an unspent turn.
   *
   * @param clock measures, and ends turns.
   */
  constructor(clock: Pick<Clock, "monotonic" | "soon">) {
    this.#clock = clock;
  }

  /**
   * Runs `work` if the turn has time for it.
   *
   * @param bytes length of the text that it compresses.
   * @returns the result of `work`; `undefined` when the turn has no time left.
   */
  spend<Result>(bytes: number, work: () => Result): Result | undefined {
    const longestMs = TEXT_MS + bytes / BYTES_PER_MS;
    if (this.#spentMs + longestMs > TURN_MS) return undefined;
    if (!this.#isCounting) {
      this.#isCounting = true;
      this.#clock.soon(() => {
        this.#isCounting = false;
        this.#spentMs = 0;
      });
    }
    const began = this.#clock.monotonic();
    const result = work();
    this.#spentMs += this.#clock.monotonic() - began;
    return result;
  }
}
