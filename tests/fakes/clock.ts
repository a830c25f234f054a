/**
 * Doubles for what a test must hold still.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { systemClock } from "../../platform/clock.ts";
import type { Clock } from "../../platform/clock.ts";

/** A clock that moves only when a test moves it. */
export class ManualClock implements Clock {
  #now: number;
  /** What the wall clock was stepped by, in milliseconds. */
  #stepped = 0;
  #due: { at: number; work: () => void }[] = [];
  #turn: (() => void)[] = [];

  /** Starts at `now`, in epoch milliseconds. */
  constructor(now = Date.UTC(2025, 7, 7, 10)) {
    this.#now = now;
  }

  /** The time it was last moved or stepped to. */
  now(): number {
    return this.#now + this.#stepped;
  }

  /** How far it was moved, in milliseconds; steps do not count. */
  monotonic(): number {
    return this.#now;
  }

  /** Steps the wall clock, forward or back; nothing falls due by it. */
  stepWall(ms: number): void {
    this.#stepped += ms;
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

  /** Whether {@link turn} would run anything. */
  get isTurnOver(): boolean {
    return this.#turn.length === 0;
  }

  /** When, on the monotonic clock, the next kept work falls due; `Infinity` when none is kept. */
  get nextDue(): number {
    return this.#due.reduce((least, { at }) => Math.min(least, at), Infinity);
  }

  /** Work that is kept: a leak, when everything has ended. */
  get pending(): number {
    return this.#due.length + this.#turn.length;
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

/**
 * The machine's clocks, on which deadlines are far away: for tests of what a
 * deadline is not part of, on machines that are busy.
 */
export const patientClock: Clock = {
  ...systemClock,
  after: (ms, work) => systemClock.after(40 * ms, work),
};

/** Lets every promise that can go on do so. */
export function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/**
 * Moves `clock` forward with pauses for promises wherever something falls due,
 * so that work which waits for a promise begins at its time.
 *
 * @param clock moved `ms` in all.
 * @param settled lets everything go on that can; promises alone when absent.
 */
export async function pass(
  clock: ManualClock,
  ms: number,
  settled: () => Promise<void> = settle,
): Promise<void> {
  const end = clock.monotonic() + ms;
  for (;;) {
    await settled();
    if (!clock.isTurnOver) {
      clock.turn();
      continue;
    }
    const next = clock.nextDue;
    if (next > end) break;
    clock.advance(Math.max(0, next - clock.monotonic()));
  }
  clock.advance(end - clock.monotonic());
  await settled();
}

/**
 * Numbers that look random and are the same for the same seed.
 *
 * @returns a function whose results are uniform in [0, 1).
 */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
