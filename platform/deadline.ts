/**
 * A bound on how long a promise may take.
 *
 * @module
 */
import type { Clock } from "./clock.ts";

/** Work did not settle in time; it may still take effect. */
export class TimedOut extends Error {
  /** Distinguishes a missed deadline from other errors. */
  override readonly name = "TimedOut";

  /**
   * Names what did not answer.
   *
   * @param what subject of the sentence, such as `The store`.
   * @param ms the time it had, in milliseconds.
   */
  constructor(what: string, ms: number) {
    super(`${what} did not answer within ${ms} ms`);
  }
}

/**
 * One period in which several promises have to settle. Dispose it when the
 * work is done, or its timer stays.
 */
export class Deadline implements Disposable {
  readonly #late: Promise<never>;
  readonly #timer: Disposable;

  /**
   * Begins the period.
   *
   * @param clock measures it.
   * @param ms its length, in milliseconds.
   * @param what names what is waited for, in the error.
   * @param signal ends the period at once, with the signal's reason.
   */
  constructor(
    clock: Pick<Clock, "after">,
    ms: number,
    what: string,
    signal?: AbortSignal,
  ) {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    this.#late = promise;
    const abort = () => reject(signal!.reason);
    const timer = clock.after(ms, () => reject(new TimedOut(what, ms)));
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
    this.#timer = {
      [Symbol.dispose]: () => {
        timer[Symbol.dispose]();
        signal?.removeEventListener("abort", abort);
      },
    };
  }

  /**
   * Waits for `work`, at most until the period ends.
   *
   * @throws {TimedOut} when the period ends first; `work` continues in
   * the background and its late failure is ignored.
   */
  race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#late]);
  }

  /** Ends the period without an error. */
  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }
}

/**
 * Waits for one promise, for at most `ms`.
 *
 * @param clock measures the wait.
 * @param ms in milliseconds.
 * @param what names what is waited for, in the error.
 * @param work what to wait for.
 * @param signal ends the wait at once, with the signal's reason.
 * @throws {TimedOut} when it did not settle in time.
 */
export async function within<T>(
  clock: Pick<Clock, "after">,
  ms: number,
  what: string,
  work: Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  using deadline = new Deadline(clock, ms, what, signal);
  return await deadline.race(work);
}
