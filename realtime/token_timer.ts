/**
 * Ends a connection when its token does.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** How long before its end a token's holder is warned, in milliseconds. */
export const TOKEN_WARNING_MS = 60_000;
/**
 * Longest wait of one timer, in milliseconds: the end is an instant of the wall
 * clock, so one that was stepped is noticed after this time at most.
 */
export const MAX_TIMER_MS = 60_000;

/** What is called on the way to a token's end. */
export interface TokenWatcher {
  /** The token ends in `leftMs` milliseconds; called once for each token. */
  expiring?(leftMs: number): void;
  /** The token has ended. */
  expired(): void;
}

/** Watches one token at a time. */
export class TokenTimer implements Disposable {
  readonly #clock: Clock;
  readonly #watcher: TokenWatcher;
  #timer: Disposable | undefined;

  /** Watches nothing yet. */
  constructor(clock: Clock, watcher: TokenWatcher) {
    this.#clock = clock;
    this.#watcher = watcher;
  }

  /**
   * Watches another token instead of the one before.
   *
   * @param expiresAt its end in epoch milliseconds; `undefined` when it has
   * none.
   */
  watch(expiresAt: number | undefined): void {
    this.#timer?.[Symbol.dispose]();
    if (expiresAt !== undefined) this.#check(expiresAt, false);
  }

  /** Stops watching. */
  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #check(expiresAt: number, warned: boolean): void {
    const left = expiresAt - this.#clock.now();
    if (left <= 0) return this.#watcher.expired();
    const isDue = left <= TOKEN_WARNING_MS;
    if (isDue && !warned) this.#watcher.expiring?.(left);
    const wait = isDue ? left : left - TOKEN_WARNING_MS;
    this.#timer = this.#clock.after(Math.min(wait, MAX_TIMER_MS), () => {
      this.#check(expiresAt, isDue);
    });
  }
}
