/**
 * One holder among many instances: which of them runs the source.
 *
 * @module
 */

/**
 * A standing request to hold what is leased. While it is held, some work runs;
 * when the store cannot be reached the work is stopped before another holder
 * may start it.
 */
export interface Lease extends AsyncDisposable {
  /** Whether the lease is held, and the work may go on, at this moment. */
  readonly held: boolean;
  /** Stops the work, waits for its end and lets the next holder in at once. */
  [Symbol.asyncDispose](): Promise<void>;
}
