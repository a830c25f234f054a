/**
 * What a page is about, read again whenever something happened to it.
 *
 * @module
 */
import { AnswerError } from "./answers.ts";

/** Shortest time between two readings, in milliseconds. */
export const REST_MS = 500;
/** Wait before a reading that failed is tried again, in milliseconds. */
export const RETRY_MS = 2_000;
/** Longest such wait; it doubles with each failure. */
export const MAX_RETRY_MS = 30_000;

/** How a {@link Subject} is read. */
export interface SubjectOptions<Value> {
  /** Asks for it. */
  readonly read: () => Promise<Value>;
  /** Called when it, or why there is none, changed. */
  readonly changed: () => void;
  /** Milliseconds of a monotonic clock; the page's own when absent. */
  readonly now?: () => number;
}

/** One reading at a time, and at most one that waits. */
export class Subject<Value> {
  readonly #options: SubjectOptions<Value>;
  #value: Value | undefined;
  #fault: string | undefined;
  #failures = 0;
  #readAt = -Infinity;
  #isReading = false;
  #isRung = false;
  #isEnded = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Reads nothing yet: {@link ring} does. */
  constructor(options: SubjectOptions<Value>) {
    this.#options = options;
  }

  /** As it was last read; absent before. */
  get value(): Value | undefined {
    return this.#value;
  }

  /** Why the last reading failed; absent when it did not. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Something happened to it: reads it, soon. */
  ring(): void {
    this.#isRung = true;
    this.#next();
  }

  /** Stops reading. */
  end(): void {
    this.#isEnded = true;
    clearTimeout(this.#timer);
  }

  #next(waitMs = 0): void {
    if (!this.#isRung || this.#isReading || this.#isEnded) return;
    clearTimeout(this.#timer);
    const rested = this.#now() - this.#readAt;
    const wait = Math.max(waitMs, REST_MS - rested);
    if (wait > 0) this.#timer = setTimeout(() => this.#next(), wait);
    else void this.#read();
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    this.#isRung = false;
    let waitMs = 0;
    try {
      this.#value = await this.#options.read();
      this.#fault = undefined;
      this.#failures = 0;
    } catch (error) {
      this.#fault = error instanceof Error ? error.message : String(error);
      this.#isRung = true;
      const known = error instanceof AnswerError ? error.retryAfterMs : 0;
      const grown = RETRY_MS * 2 ** this.#failures++;
      waitMs = Math.max(known ?? 0, Math.min(MAX_RETRY_MS, grown));
    }
    this.#readAt = this.#now();
    this.#isReading = false;
    if (this.#isEnded) return;
    this.#options.changed();
    this.#next(waitMs);
  }

  #now(): number {
    return this.#options.now?.() ?? performance.now();
  }
}
