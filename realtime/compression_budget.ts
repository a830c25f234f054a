/**
 * How long one turn of the event loop may be held by compressing.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** Longest time that compressing may hold a turn, in milliseconds. */
export const TURN_MS = 2;
/** What compressing a text takes at most, besides its length, in milliseconds. */
const TEXT_MS = 0.15;
/**
 * Bytes compressed in a millisecond at least. Measured with events, hexadecimal
 * digits, base64 and zeros from 500 bytes to 160 KiB: 74 to 90 KiB of base64,
 * the slowest, and 130 KiB of events.
 */
const BYTES_PER_MS = 80 * 1024;
/** Longest text that one turn has time for, in bytes. */
export const MAX_TEXT_BYTES = (TURN_MS - TEXT_MS) * BYTES_PER_MS;

/** Counts what is compressed within one turn, whichever codec does it. */
export class CompressionBudget {
  readonly #clock: Pick<Clock, "monotonic" | "soon">;
  #spentMs = 0;
  #isCounting = false;

  /**
   * Nothing is spent.
   *
   * @param clock measures, and ends turns.
   */
  constructor(clock: Pick<Clock, "monotonic" | "soon">) {
    this.#clock = clock;
  }

  /**
   * Does `work` if the turn has time for it.
   *
   * @param bytes of the text that it compresses.
   * @returns what it returns; `undefined` when the turn has no time.
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
