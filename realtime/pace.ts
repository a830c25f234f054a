/**
 * One timer for all outboxes that are behind.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** How often a full socket is checked again, in milliseconds. */
export const TICK_MS = 20;

/** A part that {@link Pace} drives. */
export interface Paced {
  /**
   * Continues, if possible.
   *
   * @returns whether it is still behind.
   */
  tick(): boolean;
}

/** Ticks outboxes that are behind until they have caught up. */
export class Pace implements Disposable {
  readonly #clock: Clock;
  readonly #waiting = new Set<Paced>();
  #timer: Disposable | undefined;

  /** Idle until the first outbox falls behind. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Number of outboxes that are behind. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Ticks `outbox` every {@link TICK_MS} until it has caught up. */
  add(outbox: Paced): void {
    this.#waiting.add(outbox);
    this.#timer ??= this.#clock.after(TICK_MS, () => this.#tick());
  }

  /** Stops ticking. */
  [Symbol.dispose](): void {
    this.#waiting.clear();
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #tick(): void {
    this.#timer = undefined;
    for (const outbox of this.#waiting) {
      if (!outbox.tick()) this.#waiting.delete(outbox);
    }
    if (this.#waiting.size > 0) {
      this.#timer ??= this.#clock.after(TICK_MS, () => this.#tick());
    }
  }
}
