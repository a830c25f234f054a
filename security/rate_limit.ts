/**
 * How much one caller may do in a window of time, on all isolates together.
 *
 * Counting is local and answers at once. Every so often what was counted is
 * added to shared counters in KV (`sum`, so writers never collide) and the
 * others' counts are read back. The window slides: the window before weighs
 * in with the part of it that the last `windowMs` still cover.
 *
 * @module
 */
import { retryWhileBusy } from "../platform/retry.ts";
import { isBusy } from "../store/store.ts";
import type { Clock } from "../platform/clock.ts";
import type { KeyPart, Store } from "../store/store.ts";

/** How often counts are folded into KV, in milliseconds. */
export const FOLD_MS = 250;
/** Most callers counted apart in one window; see {@link OVERFLOW_BUCKETS}. */
export const MAX_BUCKETS = 50_000;
/** How many buckets all callers beyond {@link MAX_BUCKETS} share. */
export const OVERFLOW_BUCKETS = 256;
/** Least amount that one isolate may admit before it has asked the others. */
const MIN_UNFOLDED = 10;
/** Which part of the limit one isolate may admit before it has asked the others. */
const UNFOLDED_SHARE = 4;
/** When to come back after that: about the time of one question to KV. */
const FOLD_RETRY_MS = 50;
/** A fold that takes longer counts as KV being away, in milliseconds. */
const FOLD_TIMEOUT_MS = 2_000;
/** Most counters of one fold: two reads each, one mutation of a commit's 1,000. */
const MAX_FOLD = 500;
/** Keys of one `getMany`, as KV allows. */
const KEYS_PER_READ = 10;
/** Most outdated counters removed at a time. */
const SWEEP_BATCH = 500;
/** Most outdated counters removed per window by one isolate. */
const MAX_SWEEP = 100_000;

/** What a limit is made of. */
export interface RateLimitOptions {
  /** Holds the shared counters; stays the caller's to close. */
  readonly kv: Store;
  /** Tells the time and paces the folding. */
  readonly clock: Clock;
  /** Sets this budget apart from others in KV: `connections`, `messages`. */
  readonly name: string;
  /** How much a caller may do in a window; a whole number from 1. */
  readonly limit: number;
  /** Length of the window, in milliseconds. */
  readonly windowMs: number;
  /** How often counts are folded into KV, in milliseconds. */
  readonly foldMs?: number;
  /**
   * How much one isolate may admit for a caller before it has asked the
   * others; a quarter of the limit (at least 10) when omitted.
   */
  readonly maxUnfolded?: number;
  /** Most callers counted apart. */
  readonly maxBuckets?: number;
}

/** A caller's budget, as the `RateLimit` headers tell it. */
export interface RateLimitNumbers {
  /** How much a window allows. */
  readonly limit: number;
  /** How much is left now. */
  readonly remaining: number;
  /** Milliseconds until all of it is back, if nothing more is taken. */
  readonly resetMs: number;
}

/** What one caller did in one window. */
interface Count {
  /** What KV holds, our own folded share included, as last read. */
  known: number;
  /** On its way to KV. */
  folding: number;
  /** Not yet on its way. */
  unfolded: number;
}

/** One fixed window: the sliding one lies over two of them. */
class Window {
  readonly start: number;
  readonly counts = new Map<string, Count>();
  readonly dirty = new Set<string>();
  before: Window | undefined;

  constructor(start: number, before?: Window) {
    this.start = start;
    this.before = before;
  }

  total(bucket: string): number {
    const count = this.counts.get(bucket);
    return count ? count.known + count.folding + count.unfolded : 0;
  }

  count(bucket: string): Count {
    let count = this.counts.get(bucket);
    if (!count) {
      count = { known: 0, folding: 0, unfolded: 0 };
      this.counts.set(bucket, count);
    }
    return count;
  }
}

/** One counter on its way to KV. */
interface Folding {
  readonly window: Window;
  readonly bucket: string;
  readonly count: Count;
}

/**
 * A sliding-window limit per caller, shared by all isolates.
 *
 * With one isolate, any span of `d` milliseconds (`d` up to `windowMs`) admits
 * at most `limit * (1 + d / windowMs)`: the whole limit at once, never twice
 * at an edge. Each further isolate may add at most `maxUnfolded` per fixed
 * window, so `n` isolates overshoot by at most `(n - 1) * maxUnfolded` in a
 * fixed window and twice that in a span that lies over two. While KV is away
 * each isolate grants the whole limit by itself.
 */
export class RateLimit {
  readonly #kv: Store;
  readonly #clock: Clock;
  readonly #key: KeyPart[];
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #foldMs: number;
  readonly #maxUnfolded: number;
  readonly #maxBuckets: number;
  #window: Window;
  #folding: Promise<void> | undefined;
  #foldingSince = 0;
  #sweeping: Promise<void> | undefined;
  #sweptBefore = 0;
  #isAway = false;
  #isDisposed = false;
  #timer: Disposable;

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
    this.#kv = kv;
    this.#clock = clock;
    this.#key = ["rate", name];
    this.#limit = limit;
    this.#windowMs = windowMs;
    this.#foldMs = options.foldMs ?? FOLD_MS;
    this.#maxUnfolded = Math.min(
      limit,
      options.maxUnfolded ??
        Math.max(MIN_UNFOLDED, Math.ceil(limit / UNFOLDED_SHARE)),
    );
    this.#maxBuckets = options.maxBuckets ?? MAX_BUCKETS;
    const start = this.#startOf(clock.now());
    this.#window = new Window(start, new Window(start - windowMs));
    this.#timer = clock.after(this.#foldMs, this.#tick);
  }

  /**
   * `degraded` while KV is away: then each isolate counts for itself alone.
   */
  get state(): "ok" | "degraded" {
    const isStuck = this.#folding !== undefined &&
      this.#clock.now() - this.#foldingSince > FOLD_TIMEOUT_MS;
    return this.#isAway || isStuck ? "degraded" : "ok";
  }

  /**
   * Spends from a caller's budget, at once; what is refused costs nothing.
   *
   * @param bucket who: an address as `bucketOf` gives it.
   * @param cost how much, from 1; more than the limit counts as the limit.
   * @returns 0 when admitted, else milliseconds until a retry makes sense.
   */
  take(bucket: string, cost = 1): number {
    const price = Math.min(cost, this.#limit);
    const { window, key, before, used, elapsed } = this.#look(bucket);
    const room = this.#limit - price - used;
    // In whole numbers, so that nobody waits a millisecond too long.
    if (room * this.#windowMs < before * (this.#windowMs - elapsed)) {
      return this.#waitMs(used, before, price, elapsed);
    }
    const held = window.counts.get(key);
    const unasked = held ? held.folding + held.unfolded : 0;
    if (
      unasked > 0 && unasked + price > this.#maxUnfolded && this.state === "ok"
    ) {
      this.#startFold();
      return FOLD_RETRY_MS;
    }
    const count = window.count(key);
    count.unfolded += price;
    // Callers who do little never cost KV anything; the bound holds for them
    // because what is not folded is bounded.
    if (count.unfolded * 8 >= this.#maxUnfolded) window.dirty.add(key);
    if (count.unfolded * 2 >= this.#maxUnfolded && !this.#isAway) {
      this.#startFold();
    }
    return 0;
  }

  /**
   * How much a caller has left, for the `RateLimit` headers.
   *
   * @param bucket who, as for {@link take}.
   */
  peek(bucket: string): RateLimitNumbers {
    const { before, used, elapsed } = this.#look(bucket);
    const weighted = used + before * (1 - elapsed / this.#windowMs);
    const left = this.#windowMs - elapsed;
    return {
      limit: this.#limit,
      remaining: Math.max(0, Math.floor(this.#limit - weighted)),
      resetMs: used > 0 ? left + this.#windowMs : before > 0 ? left : 0,
    };
  }

  /** How many callers are counted apart at present. */
  get size(): number {
    return this.#window.counts.size;
  }

  /**
   * Folds what was counted into KV and reads what the others counted. Done by
   * itself on an interval; never rejects.
   */
  async fold(): Promise<void> {
    await this.#folding;
    this.#startFold();
    await this.#folding;
  }

  /** Stops counting, after a last fold so that the others know. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    this.#timer[Symbol.dispose]();
    await this.fold();
    await this.#sweeping;
  }

  #tick = (): void => {
    this.#timer = this.#clock.after(this.#foldMs, this.#tick);
    this.#roll();
    this.#startFold();
    this.#startSweep();
  };

  #startOf(now: number): number {
    return now - now % this.#windowMs;
  }

  /**
   * Moves to the present window; a clock set back stays in the one begun.
   *
   * @returns the present time.
   */
  #roll(): number {
    const now = this.#clock.now();
    const last = this.#window;
    if (now - last.start < this.#windowMs) return now;
    const start = this.#startOf(now);
    last.before = undefined;
    const isNext = start - last.start === this.#windowMs;
    this.#window = new Window(
      start,
      isNext ? last : new Window(start - this.#windowMs),
    );
    return now;
  }

  #look(bucket: string): {
    window: Window;
    key: string;
    before: number;
    used: number;
    elapsed: number;
  } {
    const now = this.#roll();
    const window = this.#window;
    const key = this.#keyOf(bucket);
    return {
      window,
      key,
      before: window.before?.total(bucket) ?? 0,
      used: window.total(key),
      elapsed: Math.max(0, now - window.start),
    };
  }

  /**
   * Beyond the bound on buckets, newcomers share a few: they may refuse each
   * other, but nobody gets in uncounted.
   */
  #keyOf(bucket: string): string {
    const { counts } = this.#window;
    if (counts.has(bucket) || counts.size < this.#maxBuckets) return bucket;
    let hash = 0;
    for (let i = 0; i < bucket.length; i++) {
      hash = (Math.imul(hash, 31) + bucket.charCodeAt(i)) >>> 0;
    }
    return `overflow-${hash % OVERFLOW_BUCKETS}`;
  }

  #waitMs(
    used: number,
    before: number,
    price: number,
    elapsed: number,
  ): number {
    const windowMs = this.#windowMs;
    const room = this.#limit - price;
    // Room appears as the window before fades; else as this one does, once it
    // has become the one before.
    const ms = room >= used
      ? windowMs - Math.floor((room - used) * windowMs / before) - elapsed
      : windowMs + Math.max(0, windowMs - Math.floor(room * windowMs / used)) -
        elapsed;
    return Math.max(1, ms);
  }

  #startFold(): void {
    if (this.#folding) return;
    const batch = this.#batch();
    if (batch.length === 0 && !this.#isAway) return;
    this.#foldingSince = this.#clock.now();
    const work = batch.length > 0 ? this.#foldBatch(batch) : this.#probe();
    this.#folding = work.finally(() => {
      this.#folding = undefined;
      // A flood during the fold waits for no interval.
      if (!this.#isAway && !this.#isDisposed && this.#isPressed()) {
        this.#startFold();
      }
    });
  }

  #isPressed(): boolean {
    const { dirty, counts } = this.#window;
    for (const bucket of dirty) {
      if (counts.get(bucket)!.unfolded * 2 >= this.#maxUnfolded) return true;
    }
    return false;
  }

  #batch(): Folding[] {
    const batch: Folding[] = [];
    for (const window of [this.#window, this.#window.before]) {
      for (const bucket of window?.dirty ?? []) {
        if (batch.length === MAX_FOLD) return batch;
        const count = window!.counts.get(bucket)!;
        window!.dirty.delete(bucket);
        count.folding = count.unfolded;
        count.unfolded = 0;
        batch.push({ window: window!, bucket, count });
      }
    }
    return batch;
  }

  async #foldBatch(batch: readonly Folding[]): Promise<void> {
    try {
      await retryWhileBusy({ clock: this.#clock, isBusy }, () => {
        const commit = this.#kv.atomic();
        for (const { window, bucket, count } of batch) {
          const key = [...this.#key, window.start, bucket];
          commit.sum(key, BigInt(count.folding));
        }
        return commit.commit();
      });
    } catch {
      for (const { window, bucket, count } of batch) {
        count.unfolded += count.folding;
        count.folding = 0;
        window.dirty.add(bucket);
      }
      this.#isAway = true;
      return;
    }
    try {
      await this.#readBack(batch);
      this.#isAway = false;
    } catch {
      this.#isAway = true;
      for (const { count } of batch) {
        count.known += count.folding;
        count.folding = 0;
      }
    }
  }

  async #readBack(batch: readonly Folding[]): Promise<void> {
    const wanted = batch.flatMap(({ window, bucket }) =>
      [window, window.before].flatMap((of) => of ? [{ of, bucket }] : [])
    );
    const reads: Promise<number[]>[] = [];
    for (let i = 0; i < wanted.length; i += KEYS_PER_READ) {
      const part = wanted.slice(i, i + KEYS_PER_READ);
      reads.push(this.#read(part.map(({ of, bucket }) => [of.start, bucket])));
    }
    const values = (await Promise.all(reads)).flat();
    for (const { count } of batch) {
      // What was on its way is part of what was read.
      count.known += count.folding;
      count.folding = 0;
    }
    wanted.forEach(({ of, bucket }, i) => {
      const value = values[i]!;
      if (value === 0) return;
      if (!of.counts.has(bucket) && of.counts.size >= this.#maxBuckets) return;
      const count = of.count(bucket);
      count.known = Math.max(count.known, value);
    });
  }

  async #read(keys: readonly KeyPart[][]): Promise<number[]> {
    const found = await this.#kv.getMany<bigint>(
      keys.map((key) => [...this.#key, ...key]),
    );
    return found.map(({ value }) => Number(value ?? 0n));
  }

  /** Finds out whether KV is back when there is nothing to tell it. */
  async #probe(): Promise<void> {
    try {
      await this.#kv.get(this.#key);
      this.#isAway = false;
    } catch {
      this.#isAway = true;
    }
  }

  /** Counters cannot be given an end in KV, so old ones are removed by hand. */
  #startSweep(): void {
    const end = this.#window.start - this.#windowMs;
    if (this.#sweeping || this.#sweptBefore >= end) return;
    this.#sweptBefore = end;
    this.#sweeping = this.#sweep(end)
      // Whatever stays is removed after the next window.
      .catch(() => {})
      .finally(() => this.#sweeping = undefined);
  }

  async #sweep(end: number): Promise<void> {
    for (let swept = 0; swept < MAX_SWEEP; swept += SWEEP_BATCH) {
      const old = await Array.fromAsync(
        this.#kv.list(
          { prefix: this.#key, end: [...this.#key, end] },
          { limit: SWEEP_BATCH, batchSize: SWEEP_BATCH },
        ),
      );
      if (old.length === 0) return;
      const commit = this.#kv.atomic();
      for (const { key } of old) commit.delete(key);
      await commit.commit();
      if (old.length < SWEEP_BATCH) return;
    }
  }
}
