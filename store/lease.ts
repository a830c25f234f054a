/**
 * A lease: at most one of many instances holds it, and runs the source.
 *
 * @module
 */

/**
 * A continuous request for a lease. Work runs while the lease is held; when the
 * store is unreachable the work is stopped before another holder may start it.
 */
export interface Lease extends AsyncDisposable {
  /** Whether the lease is held now, so that the work may continue. */
  readonly held: boolean;
  /** Stops the work, waits for its end and releases the lease at once. */
  [Symbol.asyncDispose](): Promise<void>;
}
