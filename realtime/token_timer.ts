/**
 * Ends a connection when its token expires.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** Time between `token_expiring` and the expiry of a token, in milliseconds. */
export const TOKEN_WARNING_MS = 60_000;
/**
 * Longest wait of one timer, in milliseconds. The expiry is an instant of the
 * wall clock, so a step of that clock is noticed after this time at most.
 */
export const MAX_TIMER_MS = 60_000;

/** Called before and at a token's expiry. */
export interface TokenWatcher {
  /** The token expires in `leftMs` milliseconds; called once for each token. */
  expiring?(leftMs: number): void;
  /** The token has expired. */
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
   * Watches another token instead of the current one.
   *
   * @param expiresAt its expiry in epoch milliseconds; `undefined` when it never
   * expires.
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
