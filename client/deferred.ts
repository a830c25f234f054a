/**
 * Promises that other code settles: `Promise.withResolvers`, which Node 20
 * does not have.
 *
 * @module
 */

/** A promise with its two ends. */
export interface Deferred<T> {
  /** Settles as its ends are called. */
  readonly promise: Promise<T>;
  /** Fulfils it. */
  readonly resolve: (value: T | PromiseLike<T>) => void;
  /** Rejects it. */
  readonly reject: (reason: unknown) => void;
}

/** Makes a promise with its two ends, whose failure may be ignored. */
export function deferred<T = unknown>(): Deferred<T> {
  const made = {} as { -readonly [Key in keyof Deferred<T>]: Deferred<T>[Key] };
  made.promise = new Promise((resolve, reject) => {
    made.resolve = resolve;
    made.reject = reject;
  });
  made.promise.catch(() => {});
  return made;
}
