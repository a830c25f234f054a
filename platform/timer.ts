/**
 * Time as the guards need it; the server's clock fits.
 *
 * @module
 */

/** Reads the time and schedules work. */
export interface Timer {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /**
   * Runs `work` once.
   *
   * @param ms milliseconds from now.
   * @param work what to run; does not throw.
   * @returns a handle that cancels the work when disposed.
   */
  after(ms: number, work: () => void): Disposable;
}
