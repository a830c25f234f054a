/**
 * Time as a dependency, so that tests can stop it and set it back.
 *
 * @module
 */
import { setImmediate } from "node:timers";

/**
 * Two clocks and one timer. Use {@link Clock.now} for instants that people,
 * other machines or the store read; use {@link Clock.monotonic} for every
 * duration, since the wall clock may be stepped in either direction.
 */
export interface Clock {
  /** The wall clock: milliseconds since the Unix epoch; may step. */
  now(): number;
  /**
   * Milliseconds since an arbitrary instant of this process, with a fraction;
   * never decreases. Not comparable with other processes.
   */
  monotonic(): number;
  /**
   * Runs `work` once, after a duration of the monotonic clock.
   *
   * @param ms milliseconds from now; even 0 means a later turn.
   * @param work what to run; must not throw.
   * @returns a handle that cancels the work when disposed.
   */
  after(ms: number, work: () => void): Disposable;
  /**
   * Runs `work` when the present turn of the event loop is over, before any
   * timer, so that work of one turn is done together without a delay.
   *
   * @param work what to run; must not throw.
   */
  soon(work: () => void): void;
}

/** What is to run when the present turn is over. */
let due: (() => void)[] = [];

/** One call of the runtime for all: each costs more than most of the work. */
function runDue(): void {
  const works = due;
  due = [];
  for (const work of works) work();
}

/** The machine's own clocks. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, work) {
    const timer = setTimeout(work, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
  soon(work) {
    if (due.push(work) === 1) setImmediate(runDue);
  },
};
