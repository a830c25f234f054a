/**
 * Paces the notifications of one instance to the others.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** How a {@link Ringer} is paced. */
export interface Pacing {
  /** Shortest time between two rings, in milliseconds. */
  readonly minIntervalMs: number;
  /** How long a ring waits for more to announce, in milliseconds; 0 if absent. */
  readonly waitMs?: number;
}

/** Rings once for all announcements since the last ring. */
export class Ringer implements Disposable {
  readonly #clock: Clock;
  readonly #minIntervalMs: number;
  readonly #waitMs: number;
  readonly #ring: () => Promise<boolean>;
  #resting: Disposable | undefined;
  #isRinging = false;
  #again = false;
  #open = true;

  /**
   * Silent until something is announced.
   *
   * @param ring notifies the others; resolves to whether it succeeded, and must
   * not reject. A failed ring is repeated after the interval.
   */
  constructor(
    clock: Clock,
    { minIntervalMs, waitMs = 0 }: Pacing,
    ring: () => Promise<boolean>,
  ) {
    this.#clock = clock;
    this.#minIntervalMs = minIntervalMs;
    this.#waitMs = waitMs;
    this.#ring = ring;
  }

  /** Rings as soon as the interval allows. */
  announce(): void {
    if (!this.#open) return;
    const busy = this.#isRinging || this.#resting !== undefined;
    if (!busy && this.#waitMs === 0) {
      void this.#now();
      return;
    }
    this.#again = true;
    if (!busy) this.#rest(this.#waitMs);
  }

  /** Stops ringing. */
  [Symbol.dispose](): void {
    this.#open = false;
    this.#resting?.[Symbol.dispose]();
  }

  async #now(): Promise<void> {
    this.#isRinging = true;
    this.#again = false;
    if (!await this.#ring()) this.#again = true;
    this.#isRinging = false;
    if (this.#open) this.#rest(this.#minIntervalMs);
  }

  #rest(ms: number): void {
    this.#resting = this.#clock.after(ms, () => {
      this.#resting = undefined;
      if (this.#again) void this.#now();
    });
  }
}
