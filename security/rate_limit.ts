/**
 * How much one caller may do in a window of time, on all instances together.
 *
 * Counting is local and immediate; see `store/shared_counter.ts` for how
 * instances share counts. The window slides: the previous window counts with
 * the part of it that the last `windowMs` still cover.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { SharedCounter } from "../store/shared_counter.ts";
import { StoredCounter } from "../store/stored_counter.ts";
import type { Store } from "../store/store.ts";
import { groupOf } from "./client_ip.ts";

/** Least amount that one instance may admit before counts are shared. */
const MIN_UNSHARED = 10;
/** Part of the limit that one instance may admit before counts are shared. */
const UNSHARED_PART = 4;
/** When to retry after that: about the time of one read of the store. */
const SHARE_RETRY_MS = 50;

/** What a limit is made of. */
export interface RateLimitOptions {
  /** Holds the shared counts; stays the caller's to close. */
  readonly kv: Store;
  /** Names windows and paces the sharing. */
  readonly clock: Clock;
  /** Sets this budget apart from others in the store: `connections`, `messages`. */
  readonly name: string;
  /** How much a caller may do in a window; a whole number from 1. */
  readonly limit: number;
  /** Length of the window, in milliseconds. */
  readonly windowMs: number;
  /**
   * How much one instance may admit for a caller before it has asked the
   * others; a quarter of the limit (at least 10) when omitted.
   */
  readonly maxUnshared?: number;
  /** Most callers counted apart. */
  readonly maxBuckets?: number;
}

/** A caller's budget, as the `RateLimit` headers give it. */
export interface RateLimitNumbers {
  /** How much a window allows. */
  readonly limit: number;
  /** How much is left now. */
  readonly remaining: number;
  /** Milliseconds until all of it is back, if nothing more is taken. */
  readonly resetMs: number;
}

/**
 * A sliding-window limit per caller, shared by all instances.
 *
 * With one instance, any span of `d` milliseconds (`d` up to `windowMs`) admits
 * at most `limit * (1 + d / windowMs)`: the whole limit at once, never twice
 * at an edge. Each further instance may add at most `maxUnshared` per fixed
 * window, so `n` instances overshoot by at most `(n - 1) * maxUnshared` in a
 * fixed window and twice that in a span that lies over two. While the store is
 * away each instance grants the whole limit by itself.
 */
export class RateLimit implements AsyncDisposable {
  readonly #counter: SharedCounter;
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #maxUnshared: number;

  /**
   * Starts counting.
   *
   * @param options size of the budget, and where it is shared.
   * @throws {RangeError} when the limit or the window is not a whole number
   * from 1.
   */
  constructor(options: RateLimitOptions) {
    const { kv, clock, name, limit, windowMs } = options;
    if (!(Number.isSafeInteger(limit) && limit >= 1)) {
      throw new RangeError(`Limit "${name}" is not a whole number from 1`);
    }
    if (!(Number.isSafeInteger(windowMs) && windowMs >= 1)) {
      throw new RangeError(`Window of limit "${name}" is not 1 ms or longer`);
    }
    this.#limit = limit;
    this.#windowMs = windowMs;
    this.#maxUnshared = Math.min(
      limit,
      options.maxUnshared ??
        Math.max(MIN_UNSHARED, Math.ceil(limit / UNSHARED_PART)),
    );
    this.#counter = new StoredCounter({
      kv,
      clock,
      name,
      windowMs,
      maxUnshared: this.#maxUnshared,
      maxNames: options.maxBuckets,
      groupOf,
    });
  }

  /**
   * `degraded` while the store is away: then each instance counts for itself.
   */
  get state(): "ok" | "degraded" {
    return this.#counter.state;
  }

  /** How many callers are counted apart at present. */
  get size(): number {
    return this.#counter.size;
  }

  /**
   * Spends from a caller's budget, at once; what is refused costs nothing.
   *
   * @param bucket who: an address as `bucketOf` gives it.
   * @param cost how much, more than the limit counts as the limit; 0 asks
   * whether anything is owed.
   * @returns 0 when admitted, else milliseconds until a retry makes sense.
   */
  take(bucket: string, cost = 1): number {
    const price = Math.min(cost, this.#limit);
    const { current, unshared, previous, elapsedMs } = this.#counter.look(
      bucket,
    );
    const room = this.#limit - price - current;
    // In whole numbers, so that no caller waits a millisecond too long.
    if (room * this.#windowMs < previous * (this.#windowMs - elapsedMs)) {
      return this.#waitMs(current, previous, price, elapsedMs);
    }
    const isTooMuch = unshared > 0 && unshared + price > this.#maxUnshared;
    if (isTooMuch && this.state === "ok") {
      void this.#counter.share();
      return SHARE_RETRY_MS;
    }
    this.#counter.add(bucket, price);
    return 0;
  }

  /**
   * Spends what a caller has used already, although it may be more than is
   * left: then nothing is admitted until the window has moved on.
   *
   * @param bucket who, as for {@link take}.
   * @param cost how much, from 0; more than the limit counts as the limit.
   */
  spend(bucket: string, cost: number): void {
    this.#counter.add(bucket, Math.min(cost, this.#limit));
  }

  /**
   * How much a caller has left, for the `RateLimit` headers.
   *
   * @param bucket who, as for {@link take}.
   */
  peek(bucket: string): RateLimitNumbers {
    const { current, previous, elapsedMs } = this.#counter.look(bucket);
    const weighted = current + previous * (1 - elapsedMs / this.#windowMs);
    const left = this.#windowMs - elapsedMs;
    return {
      limit: this.#limit,
      remaining: Math.max(0, Math.floor(this.#limit - weighted)),
      resetMs: Math.ceil(
        current > 0 ? left + this.#windowMs : previous > 0 ? left : 0,
      ),
    };
  }

  /** Shares the counts now. Happens by itself; never rejects. */
  share(): Promise<void> {
    return this.#counter.share();
  }

  /** Stops counting, after a last round so that the others know. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#counter[Symbol.asyncDispose]();
  }

  #waitMs(
    current: number,
    previous: number,
    price: number,
    elapsedMs: number,
  ): number {
    const windowMs = this.#windowMs;
    const room = this.#limit - price;
    // Room appears as the window before fades; else as this one does, once it
    // has become the one before.
    const ms = room >= current
      ? windowMs - Math.floor((room - current) * windowMs / previous) -
        elapsedMs
      : windowMs +
        Math.max(0, windowMs - Math.floor(room * windowMs / current)) -
        elapsedMs;
    return Math.max(1, Math.ceil(ms));
  }
}
