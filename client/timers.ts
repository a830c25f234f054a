/**
 * Timers by name, all ended by one call, and durations that a changed clock
 * does not falsify.
 *
 * @module
 */

/** Longest delay a timer can hold, in milliseconds. */
export const MAX_DELAY_MS = 2e9;

/** What holds timers, by name. */
export interface Timed {
  /** Those that are due. */
  readonly timers: Map<string, ReturnType<typeof setTimeout>>;
}

/** Runs `work` in `ms`; takes the place of an earlier timer of that name. */
export function after(
  { timers }: Timed,
  name: string,
  ms: number,
  work: () => void,
): void {
  clearTimeout(timers.get(name));
  const fire = () => {
    timers.delete(name);
    work();
  };
  timers.set(name, setTimeout(fire, Math.min(ms, MAX_DELAY_MS)));
}

/** Ends a timer; all of them without a name. */
export function stop({ timers }: Timed, name?: string): void {
  for (const each of name ? [name] : timers.keys()) {
    clearTimeout(timers.get(each));
    timers.delete(each);
  }
}

/** Milliseconds on a clock that is never set; only differences mean anything. */
export function monotonic(): number {
  return performance.now();
}

/**
 * Starts to measure. The monotonic clock may stand still while the machine
 * sleeps, the wall clock may be set back: the longer of both counts.
 *
 * @returns reads the milliseconds since.
 */
export function stopwatch(): () => number {
  const wall = Date.now();
  const mono = monotonic();
  return () => Math.max(Date.now() - wall, monotonic() - mono);
}

/** Waits, at most until the signal. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
