/**
 * The {@link SharedCounter} that every store carries: one counter a name and
 * window, written by `sum`, so that writers never collide.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import type { SharedCounter, Tally } from "./shared_counter.ts";
import { isBusy } from "./store.ts";
import type { Key, Store } from "./store.ts";

/** How often counts are shared, in milliseconds. */
export const SHARE_MS = 250;
/** Most names counted apart in one window; see {@link OVERFLOW_NAMES}. */
export const MAX_NAMES = 50_000;
/** Most names of one group counted apart in one window. */
export const MAX_NAMES_PER_GROUP = 1_024;
/** How many names all those beyond {@link MAX_NAMES} share. */
export const OVERFLOW_NAMES = 256;
/** A round of sharing that takes longer means the store is away, in milliseconds. */
const SHARE_TIMEOUT_MS = 2_000;
/** Most counters of one round: two reads each, one mutation of a commit. */
const MAX_BATCH = 500;
/** Most outdated counters removed at a time. */
const SWEEP_BATCH = 500;
/** Most outdated counters removed per window by one instance. */
const MAX_SWEEP = 100_000;
/** A count is shared when it is this part of what may stay unshared. */
const DUE_PART = 8;
/** A count is shared at once when it is this part of what may stay unshared. */
const URGENT_PART = 2;

/** What a counter is made of. */
export interface StoredCounterOptions {
  /** Holds the counts; stays the caller's to close. */
  readonly kv: Store;
  /** Names windows and paces the sharing. */
  readonly clock: Clock;
  /** Sets these counts apart from others in the store. */
  readonly name: string;
  /** Length of a window, in milliseconds; a whole number from 1. */
  readonly windowMs: number;
  /**
   * How much of a name's count may stay unshared. Counts below an eighth of
   * it cost the store nothing.
   */
  readonly maxUnshared: number;
  /** How often counts are shared, in milliseconds. */
  readonly shareMs?: number | undefined;
  /** Most names counted apart. */
  readonly maxNames?: number | undefined;
  /** Most names of one group counted apart. */
  readonly maxNamesPerGroup?: number | undefined;
  /**
   * Which group a name belongs to, if any: names beyond the group's bound are
   * counted together, under the group's own name.
   */
  readonly groupOf?: ((name: string) => string | undefined) | undefined;
}

/** The count of one name in one window. */
interface Count {
  /** What the store holds, our own part included, as last read. */
  known: number;
  /** Being written to the store. */
  sharing: number;
  /** Not yet being written. */
  unshared: number;
}

class Window {
  /** Its name in the store: when it began, in epoch milliseconds. */
  readonly start: number;
  /** When it ends, on the monotonic clock. */
  readonly endsAt: number;
  readonly counts = new Map<string, Count>();
  /** Names counted apart, by group. */
  readonly groups = new Map<string, number>();
  /** Whether some names are counted with their group. */
  hasFullGroup = false;
  readonly due = new Set<string>();
  before: Window | undefined;

  constructor(start: number, endsAt: number, before?: Window) {
    this.start = start;
    this.endsAt = endsAt;
    this.before = before;
  }

  count(name: string): Count {
    let count = this.counts.get(name);
    if (!count) {
      count = { known: 0, sharing: 0, unshared: 0 };
      this.counts.set(name, count);
    }
    return count;
  }
}

/** One count that is being written to the store. */
interface Shared {
  readonly window: Window;
  readonly name: string;
  readonly count: Count;
}

/**
 * Counts in windows that begin at multiples of their length by the wall clock,
 * so that all instances name them alike, and that last by the monotonic clock,
 * so that a stepped wall clock changes no window's length. After a step back
 * a window may find the counts of an earlier one under its name; its count is
 * too high then, for one window.
 */
export class StoredCounter implements SharedCounter {
  readonly #kv: Store;
  readonly #clock: Clock;
  readonly #key: Key;
  readonly #windowMs: number;
  readonly #shareMs: number;
  readonly #maxUnshared: number;
  readonly #maxNames: number;
  readonly #maxNamesPerGroup: number;
  readonly #groupOf: (name: string) => string | undefined;
  /** What both clocks showed when the monotonic one was last read. */
  readonly #reading = { wall: NaN, monotonic: 0 };
  #window: Window;
  #sharing: Promise<void> | undefined;
  /** A round requested during the current one. */
  #another: Promise<void> | undefined;
  #sharingSince = 0;
  #sweeping: Promise<void> | undefined;
  #sweptFor: number | undefined;
  #isAway = false;
  #isDisposed = false;
  #timer: Disposable;

  /** Starts counting. */
  constructor(options: StoredCounterOptions) {
    this.#kv = options.kv;
    this.#clock = options.clock;
    this.#key = ["rate", options.name];
    this.#windowMs = options.windowMs;
    this.#shareMs = options.shareMs ?? SHARE_MS;
    this.#maxUnshared = options.maxUnshared;
    this.#maxNames = options.maxNames ?? MAX_NAMES;
    this.#maxNamesPerGroup = options.maxNamesPerGroup ?? MAX_NAMES_PER_GROUP;
    this.#groupOf = options.groupOf ?? (() => undefined);
    this.#window = this.#present();
    this.#window.before = this.#earlier(this.#window);
    this.#timer = this.#clock.after(this.#shareMs, this.#tick);
  }

  /** `degraded` while the store is away: counts are this instance's own then. */
  get state(): "ok" | "degraded" {
    const isStuck = this.#sharing !== undefined &&
      this.#clock.monotonic() - this.#sharingSince > SHARE_TIMEOUT_MS;
    return this.#isAway || isStuck ? "degraded" : "ok";
  }

  /** How many names are counted apart in the present window. */
  get size(): number {
    return this.#window.counts.size;
  }

  /** Reads the counts of a name, at once. */
  look(name: string): Tally {
    const elapsedMs = this.#roll();
    const window = this.#window;
    const count = window.counts.get(name) ??
      window.counts.get(this.#placeOf(name));
    const unshared = count ? count.sharing + count.unshared : 0;
    return {
      current: count ? count.known + unshared : 0,
      unshared,
      previous: this.#previous(name),
      elapsedMs,
    };
  }

  /** Counts, at once; see {@link SharedCounter.add}. */
  add(name: string, amount: number): void {
    const window = this.#window;
    let count = window.counts.get(name);
    if (!count) {
      const group = this.#groupOf(name);
      const place = this.#placeOf(name);
      if (place === group) window.hasFullGroup = true;
      else if (place === name && group !== undefined) {
        window.groups.set(group, (window.groups.get(group) ?? 0) + 1);
      }
      name = place;
      count = window.count(name);
    }
    count.unshared += amount;
    // Names under which little happens cost the store nothing; the bound on
    // what is unshared holds for them as well.
    if (count.unshared * DUE_PART >= this.#maxUnshared) window.due.add(name);
    if (this.#isUrgent(count) && !this.#isAway) this.#startSharing();
  }

  /** Shares now what is due; see {@link SharedCounter.share}. */
  share(): Promise<void> {
    // One further round serves all requests made during a round.
    this.#another ??= (this.#sharing ?? Promise.resolve()).then(() => {
      this.#another = undefined;
      this.#startSharing();
      return this.#sharing;
    });
    return this.#another;
  }

  /** Stops counting, after a last round that shares the remaining counts. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    this.#timer[Symbol.dispose]();
    await this.share();
    await this.#sweeping;
  }

  #tick = (): void => {
    this.#timer = this.#clock.after(this.#shareMs, this.#tick);
    this.#reading.wall = NaN;
    this.#roll();
    this.#startSharing();
    this.#startSweep();
  };

  #present(): Window {
    const now = this.#clock.now();
    const elapsed = now % this.#windowMs;
    const left = this.#windowMs - elapsed;
    return new Window(now - elapsed, this.#clock.monotonic() + left);
  }

  /** The empty window before another. */
  #earlier({ start, endsAt }: Window): Window {
    return new Window(start - this.#windowMs, endsAt - this.#windowMs);
  }

  /**
   * The monotonic clock, read once per millisecond of the wall clock, which
   * costs half as much to read. A wall clock that stands still or is set back
   * to the same millisecond makes the answer at most one tick old.
   */
  #monotonic(): number {
    const wall = this.#clock.now();
    if (wall !== this.#reading.wall) {
      this.#reading.wall = wall;
      this.#reading.monotonic = this.#clock.monotonic();
    }
    return this.#reading.monotonic;
  }

  /**
   * Begins the present window when the one before is over.
   *
   * @returns milliseconds since it began.
   */
  #roll(): number {
    const now = this.#monotonic();
    const last = this.#window;
    if (now >= last.endsAt) {
      last.before = undefined;
      this.#window = this.#present();
      const isNext = now - last.endsAt < this.#windowMs;
      this.#window.before = isNext ? last : this.#earlier(this.#window);
    }
    const left = this.#window.endsAt - now;
    return Math.max(0, Math.floor(this.#windowMs - left));
  }

  #previous(name: string): number {
    const { before } = this.#window;
    if (before === undefined || before.counts.size === 0) return 0;
    let count = before.counts.get(name);
    if (!count && before.hasFullGroup) {
      const group = this.#groupOf(name);
      if (group !== undefined) count = before.counts.get(group);
    }
    return count ? count.known + count.sharing + count.unshared : 0;
  }

  /**
   * What a name is counted under. Beyond the bounds, names share one: they may
   * refuse each other, but nothing stays uncounted.
   */
  #placeOf(name: string): string {
    const { counts, groups } = this.#window;
    if (counts.has(name)) return name;
    const group = this.#groupOf(name);
    if (group !== undefined) {
      const size = groups.get(group) ?? 0;
      if (size >= this.#maxNamesPerGroup) return group;
    }
    if (counts.size < this.#maxNames) return name;
    let hash = 0;
    for (let i = 0; i < name.length; i++) {
      hash = (Math.imul(hash, 31) + name.charCodeAt(i)) >>> 0;
    }
    return `overflow-${hash % OVERFLOW_NAMES}`;
  }

  #isUrgent({ unshared }: Count): boolean {
    return unshared * URGENT_PART >= this.#maxUnshared;
  }

  #startSharing(): void {
    if (this.#sharing) return;
    const batch = this.#batch();
    if (batch.length === 0 && !this.#isAway) return;
    this.#sharingSince = this.#clock.monotonic();
    const work = batch.length > 0 ? this.#shareBatch(batch) : this.#probe();
    this.#sharing = work.finally(() => {
      this.#sharing = undefined;
      // A flood during the round is shared without waiting for the interval.
      if (!this.#isAway && !this.#isDisposed && this.#isPressed()) {
        this.#startSharing();
      }
    });
  }

  #isPressed(): boolean {
    const { due, counts } = this.#window;
    for (const name of due) if (this.#isUrgent(counts.get(name)!)) return true;
    return false;
  }

  #batch(): Shared[] {
    const batch: Shared[] = [];
    for (const window of [this.#window, this.#window.before]) {
      for (const name of window?.due ?? []) {
        if (batch.length === MAX_BATCH) return batch;
        const count = window!.counts.get(name)!;
        window!.due.delete(name);
        count.sharing = count.unshared;
        count.unshared = 0;
        batch.push({ window: window!, name, count });
      }
    }
    return batch;
  }

  async #shareBatch(batch: readonly Shared[]): Promise<void> {
    try {
      await retryWhileBusy({ clock: this.#clock, isBusy }, () => {
        const commit = this.#kv.atomic();
        for (const { window, name, count } of batch) {
          const key = [...this.#key, window.start, name];
          commit.sum(key, BigInt(count.sharing));
        }
        return commit.commit();
      });
    } catch {
      for (const { window, name, count } of batch) {
        count.unshared += count.sharing;
        count.sharing = 0;
        window.due.add(name);
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
        count.known += count.sharing;
        count.sharing = 0;
      }
    }
  }

  async #readBack(batch: readonly Shared[]): Promise<void> {
    const wanted = batch.flatMap(({ window, name }) =>
      [window, window.before].flatMap((of) => of ? [{ of, name }] : [])
    );
    const most = this.#kv.limits.getManyKeys;
    const reads: Promise<number[]>[] = [];
    for (let i = 0; i < wanted.length; i += most) {
      const part = wanted.slice(i, i + most);
      const keys = part.map(({ of, name }) => [...this.#key, of.start, name]);
      reads.push(this.#read(keys));
    }
    const values = (await Promise.all(reads)).flat();
    for (const { count } of batch) {
      // The value that was read includes what was being written.
      count.known += count.sharing;
      count.sharing = 0;
    }
    wanted.forEach(({ of, name }, i) => {
      const value = values[i]!;
      if (value === 0) return;
      if (!of.counts.has(name) && of.counts.size >= this.#maxNames) return;
      const count = of.count(name);
      count.known = Math.max(count.known, value);
    });
  }

  async #read(keys: readonly Key[]): Promise<number[]> {
    const found = await this.#kv.getMany<bigint>(keys);
    return found.map(({ value }) => Number(value ?? 0n));
  }

  /** Finds out whether the store is back when there is nothing to share. */
  async #probe(): Promise<void> {
    try {
      await this.#kv.get(this.#key);
      this.#isAway = false;
    } catch {
      this.#isAway = true;
    }
  }

  /** Counters cannot expire in the store, so old ones are removed here. */
  #startSweep(): void {
    const { start } = this.#window;
    if (this.#sweeping || this.#sweptFor === start) return;
    this.#sweptFor = start;
    this.#sweeping = this.#sweep(start - this.#windowMs)
      // What stays is removed after the next window.
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
