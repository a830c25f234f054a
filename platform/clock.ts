/**
 * Time as a part, so that tests can hold it still.
 *
 * @module
 */
import { setImmediate } from "node:timers";

/** Reads the time and schedules work. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /**
   * Runs `work` once.
   *
   * @param ms milliseconds from now; even 0 means a later turn.
   * @param work what to run; must not throw.
   * @returns a handle that cancels the work when disposed.
   */
  after(ms: number, work: () => void): Disposable;
  /**
   * Runs `work` when the present turn of the event loop is over, before any
   * timer: what became due meanwhile is done together, and nobody waits.
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

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, work) {
    const timer = setTimeout(work, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
  soon(work) {
    if (due.push(work) === 1) setImmediate(runDue);
  },
};
