/**
 * Doubles for what a test must hold still.
 *
 * @module
 */
import type { Clock } from "../realtime/clock.ts";

/** A clock that moves only when told to. */
export class ManualClock implements Clock {
  #now: number;
  #due: { at: number; work: () => void }[] = [];
  #turn: (() => void)[] = [];

  /** Starts at `now`, in epoch milliseconds. */
  constructor(now = Date.UTC(2025, 7, 7, 10)) {
    this.#now = now;
  }

  /** The time it was last moved to. */
  now(): number {
    return this.#now;
  }

  /** Keeps `work` until the clock is moved past `ms` from now. */
  after(ms: number, work: () => void): Disposable {
    const entry = { at: this.#now + ms, work };
    this.#due.push(entry);
    return {
      [Symbol.dispose]: () => {
        this.#due = this.#due.filter((other) => other !== entry);
      },
    };
  }

  /** Keeps `work` until the next {@link turn} or {@link advance}. */
  soon(work: () => void): void {
    this.#turn.push(work);
  }

  /** Ends the turn: runs what was due at its end, and what that made due. */
  turn(): void {
    while (this.#turn.length) this.#turn.shift()!();
  }

  /** Moves `ms` forward, running whatever falls due, in order, on the way. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      this.turn();
      const next = this.#due.filter(({ at }) => at <= end)
        .sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#due = this.#due.filter((entry) => entry !== next);
      this.#now = Math.max(this.#now, next.at);
      next.work();
    }
    this.#now = end;
  }
}
