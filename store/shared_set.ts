/**
 * A bounded set of entries that every isolate knows by heart: KV holds them,
 * each isolate keeps all of them in memory and answers from there.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import { isBusy } from "./store.ts";
import type { Clock } from "../platform/clock.ts";
import type { Key, Store } from "./store.ts";

/**
 * How often KV is asked for changes that no watch has rung for, in
 * milliseconds: a watch does not ring across processes on one file, and what
 * is kept here must reach everyone within a second.
 */
export const POLL_MS = 800;
/** When to try again after KV failed, in milliseconds. */
const RETRY_MS = 200;
/** Most entries of one commit. */
const WRITE_BATCH = 100;
/** More entries than these are not read anew for every single change. */
const LARGE = 500;
/** Least time between two readings of a large set, in milliseconds. */
const LARGE_GAP_MS = 200;

/** How a set is kept. */
export interface SharedSetOptions<Value> {
  /** Holds the truth; stays the caller's to close. */
  readonly kv: Store;
  /** Tells the time and paces the polls. */
  readonly clock: Clock;
  /** Sets this set apart from others in KV. */
  readonly name: string;
  /** Most entries kept. */
  readonly maxEntries: number;
  /** When an entry is over and forgotten, in epoch milliseconds. */
  readonly endOf: (value: Value) => number;
  /** How often KV is asked for changes, in milliseconds. */
  readonly pollMs?: number | undefined;
}

/** What became different in memory, here or by another isolate. */
export interface Change<Value> {
  /** Entries that are new or not what they were. */
  readonly put: readonly (readonly [key: string, value: Value])[];
  /** Entries that are gone. */
  readonly deleted: readonly (readonly [key: string, value: Value])[];
}

/**
 * Entries by key. A change holds here at once, and elsewhere within
 * milliseconds (by `kv.watch`) or one poll. What cannot be written now is
 * written when KV is back; what was known goes on holding meanwhile.
 */
export class SharedSet<Value> {
  readonly #kv: Store;
  readonly #clock: Clock;
  readonly #entryKey: Key;
  readonly #versionKey: Key;
  readonly #maxEntries: number;
  readonly #endOf: (value: Value) => number;
  readonly #pollMs: number;
  readonly #onChange: (change: Change<Value>) => void;
  #entries = new Map<string, Value>();
  /** What KV called the entries' states when they were last read. */
  #stamps = new Map<string, string>();
  /** Not in KV yet; `undefined` stands for a deletion. */
  readonly #pending = new Map<string, { readonly value: Value | undefined }>();
  /** What changed here while KV was being read. */
  readonly #meanwhile = new Map<string, Value | undefined>();
  #version: string | null | undefined;
  #loading: Promise<void> | undefined;
  #loadAgain = false;
  #loadedAt = -Infinity;
  #writing: Promise<void> | undefined;
  #reader: ReadableStreamDefaultReader<unknown> | undefined;
  #watching: Promise<void>;
  #isAway = false;
  #isDisposed = false;
  readonly #timers = new Map<string, Disposable>();

  /** Fulfilled once KV was read for the first time, or could not be. */
  readonly ready: Promise<void>;

  /**
   * Starts reading and watching.
   *
   * @param options where it is kept, and how much.
   * @param onChange told of every change in memory; must not throw.
   */
  constructor(
    options: SharedSetOptions<Value>,
    onChange: (change: Change<Value>) => void,
  ) {
    this.#kv = options.kv;
    this.#clock = options.clock;
    this.#entryKey = [options.name, "entry"];
    this.#versionKey = [options.name, "version"];
    this.#maxEntries = options.maxEntries;
    this.#endOf = options.endOf;
    this.#pollMs = options.pollMs ?? POLL_MS;
    this.#onChange = onChange;
    this.ready = this.#load();
    this.#watching = this.#watch();
    this.#later("poll", this.#pollMs, this.#poll);
  }

  /** `degraded` while KV is away or has not been told everything. */
  get state(): "ok" | "degraded" {
    return this.#isAway ? "degraded" : "ok";
  }

  /** How many entries are kept, those that are over included. */
  get size(): number {
    return this.#entries.size;
  }

  /** Whether there is room for another entry. */
  get isFull(): boolean {
    return this.#entries.size >= this.#maxEntries ||
      this.#pending.size >= this.#maxEntries;
  }

  /** The entry under `key`, unless it is over. */
  get(key: string): Value | undefined {
    const value = this.#entries.get(key);
    if (value === undefined || this.#endOf(value) <= this.#clock.now()) {
      return undefined;
    }
    return value;
  }

  /** All entries that are not over. */
  *values(): Generator<Value> {
    const now = this.#clock.now();
    for (const value of this.#entries.values()) {
      if (this.#endOf(value) > now) yield value;
    }
  }

  /**
   * Keeps `value`, here at once.
   *
   * @param key at most some 1,000 bytes.
   * @param value what structured cloning can copy, small.
   * @returns fulfilled when all isolates can know.
   * @throws {Refusal} `STORE_UNAVAILABLE` when it holds here only, for now.
   * @throws {RangeError} when there is no room; nothing was kept then.
   */
  put(key: string, value: Value): Promise<void> {
    if (!this.#entries.has(key) && this.isFull) this.#prune();
    if (!this.#entries.has(key) && this.isFull) {
      throw new RangeError(`No more than ${this.#maxEntries} entries are kept`);
    }
    return this.#set(key, value);
  }

  /**
   * Forgets what is under `key`, here at once.
   *
   * @returns fulfilled when all isolates can know.
   * @throws {Refusal} `STORE_UNAVAILABLE` when it holds here only, for now.
   */
  delete(key: string): Promise<void> {
    return this.#set(key, undefined);
  }

  /** Reads KV now if it has changed; never rejects. */
  async refresh(): Promise<void> {
    try {
      const { versionstamp } = await this.#kv.get(this.#versionKey);
      if (this.#pending.size === 0) this.#isAway = false;
      if (versionstamp !== this.#version) await this.#load();
    } catch {
      this.#isAway = true;
    }
  }

  /** Stops watching; what KV was not told is lost to the others. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    for (const timer of this.#timers.values()) timer[Symbol.dispose]();
    await this.#reader?.cancel().catch(() => {});
    await this.#watching;
    await this.#writing;
    await this.#polling;
    await this.#loading;
  }

  #polling: Promise<void> | undefined;

  #poll = (): void => {
    this.#later("poll", this.#pollMs, this.#poll);
    this.#prune();
    this.#polling ??= this.refresh().finally(() => this.#polling = undefined);
  };

  /** One timer per purpose: setting it again moves it. */
  #later(purpose: string, ms: number, work: () => void): void {
    this.#timers.get(purpose)?.[Symbol.dispose]();
    if (this.#isDisposed) return;
    this.#timers.set(purpose, this.#clock.after(ms, work));
  }

  #set(key: string, value: Value | undefined): Promise<void> {
    const before = this.#entries.get(key);
    if (value !== undefined) this.#entries.set(key, value);
    else this.#entries.delete(key);
    if (this.#loading) this.#meanwhile.set(key, value);
    const pending = { value };
    this.#pending.set(key, pending);
    if (value !== undefined) {
      this.#onChange({ put: [[key, value]], deleted: [] });
    } else if (before !== undefined) {
      this.#onChange({ put: [], deleted: [[key, before]] });
    }
    return this.#written(key, pending);
  }

  async #written(key: string, pending: unknown): Promise<void> {
    // Once with the writing under way, which may have begun too early, and
    // once more.
    for (let i = 0; i < 2 && this.#pending.get(key) === pending; i++) {
      await this.#write();
    }
    if (this.#pending.get(key) === pending) {
      throw new Refusal(
        "STORE_UNAVAILABLE",
        "Holds on this instance; the others follow when the store is back",
      );
    }
  }

  #write(): Promise<void> {
    this.#writing ??= this.#writePending()
      .finally(() => this.#writing = undefined);
    return this.#writing;
  }

  async #writePending(): Promise<void> {
    while (this.#pending.size > 0 && !this.#isDisposed) {
      const batch = [...this.#pending.entries().take(WRITE_BATCH)];
      if (!await this.#commit(batch)) {
        this.#isAway = true;
        this.#later("write", RETRY_MS, () => void this.#write());
        return;
      }
      for (const [key, pending] of batch) {
        if (this.#pending.get(key) === pending) this.#pending.delete(key);
      }
    }
    this.#isAway = false;
  }

  async #commit(
    batch: readonly [string, { readonly value: Value | undefined }][],
  ): Promise<boolean> {
    try {
      await retryWhileBusy({ clock: this.#clock, isBusy }, () => {
        const commit = this.#kv.atomic().sum(this.#versionKey, 1n);
        const now = this.#clock.now();
        for (const [key, { value }] of batch) {
          const expireIn = value === undefined ? 0 : this.#endOf(value) - now;
          if (value === undefined || expireIn <= 0) {
            commit.delete([...this.#entryKey, key]);
          } else commit.set([...this.#entryKey, key], value, { expireIn });
        }
        return commit.commit();
      });
      return true;
    } catch {
      return false;
    }
  }

  async #watch(): Promise<void> {
    try {
      const reader = this.#kv.watch([this.#versionKey]).getReader();
      this.#reader = reader;
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.#isDisposed) break;
        const versionstamp = value[0]!.versionstamp;
        if (versionstamp !== this.#version) this.#reload();
      }
    } catch {
      this.#isAway = true;
    }
    this.#reader = undefined;
    this.#later("watch", this.#pollMs, () => this.#watching = this.#watch());
  }

  /** Reads anew: at once when that is cheap, else no more often than bearable. */
  #reload(): void {
    const wait = this.#entries.size > LARGE
      ? this.#loadedAt + LARGE_GAP_MS - this.#clock.now()
      : 0;
    if (wait <= 0) void this.#load();
    else this.#later("load", wait, () => void this.#load());
  }

  #load(): Promise<void> {
    if (this.#loading) {
      this.#loadAgain = true;
      return this.#loading;
    }
    this.#meanwhile.clear();
    // It may be committed after KV was read and before the reading ends.
    for (const [key, { value }] of this.#pending) {
      this.#meanwhile.set(key, value);
    }
    this.#loading = this.#readAll().finally(() => {
      this.#loading = undefined;
      if (this.#loadAgain && !this.#isDisposed) {
        this.#loadAgain = false;
        this.#reload();
      }
    });
    return this.#loading;
  }

  async #readAll(): Promise<void> {
    const found = new Map<string, Value>();
    const stamps = new Map<string, string>();
    let version: string | null;
    try {
      version = (await this.#kv.get(this.#versionKey)).versionstamp;
      // Isolates that write at once may exceed the bound by what each had
      // room for; nothing that was accepted is left out for that.
      const all = this.#kv.list<Value>(
        { prefix: this.#entryKey },
        { limit: this.#maxEntries * 2, batchSize: 500 },
      );
      for await (const { key, value, versionstamp } of all) {
        found.set(String(key.at(-1)), value);
        stamps.set(String(key.at(-1)), versionstamp);
      }
    } catch {
      this.#isAway = true;
      return;
    }
    for (const [key, value] of this.#meanwhile) {
      if (value === undefined) found.delete(key);
      else found.set(key, value);
    }
    this.#version = version;
    this.#loadedAt = this.#clock.now();
    if (this.#pending.size === 0) this.#isAway = false;
    this.#replace(found, stamps);
  }

  #replace(found: Map<string, Value>, stamps: Map<string, string>): void {
    const before = this.#entries;
    const now = this.#clock.now();
    for (const [key, value] of found) {
      if (this.#endOf(value) <= now) found.delete(key);
    }
    const known = this.#stamps;
    this.#entries = found;
    this.#stamps = stamps;
    const put = [...found].filter(([key, value]) =>
      known.get(key) !== stamps.get(key) &&
      JSON.stringify(before.get(key)) !== JSON.stringify(value)
    );
    const deleted = [...before].filter(([key]) => !found.has(key));
    if (put.length || deleted.length) this.#onChange({ put, deleted });
  }

  #prune(): void {
    const now = this.#clock.now();
    const deleted = [...this.#entries].filter(([, value]) =>
      this.#endOf(value) <= now
    );
    for (const [key] of deleted) this.#entries.delete(key);
    if (deleted.length) this.#onChange({ put: [], deleted });
  }
}
