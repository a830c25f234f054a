/**
 * Timers by name, all ended by one call.
 *
 * @module
 */

/** Longest delay a timer can hold, in milliseconds. */
export const MAX_DELAY_MS = 2 ** 31 - 1;

/** Timers by name. */
export interface Timers {
  /** Runs `work` in `ms`; takes the place of an earlier one of that name. */
  after(name: string, ms: number, work: () => void): void;
  /** Whether one of that name is due. */
  isDue(name: string): boolean;
  /** Ends the one of that name. */
  stop(name: string): void;
  /** Ends all. */
  stopAll(): void;
}

/** Makes an empty table of timers. */
export function timerTable(): Timers {
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  const stop = (name: string) => {
    clearTimeout(timers.get(name));
    timers.delete(name);
  };
  return {
    after(name, ms, work) {
      stop(name);
      const fire = () => {
        timers.delete(name);
        work();
      };
      timers.set(name, setTimeout(fire, Math.min(ms, MAX_DELAY_MS)));
    },
    isDue: (name) => timers.has(name),
    stop,
    stopAll: () => timers.forEach((_, name) => stop(name)),
  };
}
