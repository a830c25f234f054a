/**
 * Counts by name in windows of time, replicated between all instances.
 *
 * @module
 */

/** What happened under one name, as far as this instance knows. */
export interface Tally {
  /** In the present window, on all instances. */
  readonly current: number;
  /** The part of `current` that the other instances may not know yet. */
  readonly unshared: number;
  /** In the window before, on all instances. */
  readonly previous: number;
  /** Milliseconds since the present window began: 0 to below its length. */
  readonly elapsedMs: number;
}

/**
 * Counts what happens under names. Counting is local and immediate; what was
 * counted is added to the store, and the others' counts are read back, on an
 * interval and on request.
 */
export interface SharedCounter extends AsyncDisposable {
  /** `degraded` while the store is away: counts are this instance's own then. */
  readonly state: "ok" | "degraded";
  /** How many names are counted apart in the present window. */
  readonly size: number;
  /** Reads the counts of a name, at once. */
  look(name: string): Tally;
  /**
   * Counts, at once, in the window of the latest {@link look}.
   *
   * @param name what it is counted under.
   * @param amount a whole number from 1.
   */
  add(name: string, amount: number): void;
  /**
   * Shares now what is due. Happens by itself; never rejects.
   *
   * @returns fulfilled when this is done or has failed.
   */
  share(): Promise<void>;
}
