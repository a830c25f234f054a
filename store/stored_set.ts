/**
 * The {@link SharedSet} on any store: one row per entry, and a counter of
 * changes that the instances watch and poll.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { Change, SharedSet } from "./shared_set.ts";
import { isBusy } from "./store.ts";
import type { Key, Store } from "./store.ts";

/**
 * Interval of polls for changes that the watch did not report, in milliseconds:
 * a watch does not cross processes on one file, and every change must reach all
 * instances within a second.
 */
export const POLL_MS = 800;
/** When to retry after the store failed, in milliseconds. */
const RETRY_MS = 200;
/** Most entries of one commit. */
const WRITE_BATCH = 100;
/** Most entries of a set that is read again after every change. */
const LARGE = 500;
/** Shortest time between two reads of a larger set, in milliseconds. */
const LARGE_GAP_MS = 200;

/** Options of a set. */
export interface StoredSetOptions<Value> {
  /** Holds the entries; closed by the caller. */
  readonly kv: Store;
  /** Decides which entries have expired, and paces the polls. */
  readonly clock: Clock;
  /** Distinguishes this set from others in the store. */
  readonly name: string;
  /** Most entries stored. */
  readonly maxEntries: number;
  /** When an entry expires and may be deleted, in epoch milliseconds. */
  readonly endOf: (value: Value) => number;
  /** Interval of polls for changes, in milliseconds. */
  readonly pollMs?: number | undefined;
}

/** A change reaches other instances within milliseconds by a watch, or by a poll. */
export class StoredSet<Value> implements SharedSet<Value> {
  readonly #kv: Store;
  readonly #clock: Clock;
  readonly #entryKey: Key;
  readonly #versionKey: Key;
  readonly #maxEntries: number;
  readonly #endOf: (value: Value) => number;
  readonly #pollMs: number;
  readonly #onChange: (change: Change<Value>) => void;
  #entries = new Map<string, Value>();
  /** The entries' versionstamps at the last read. */
  #stamps = new Map<string, string>();
  /** Changes not in the store yet; `undefined` marks a deletion. */
  readonly #pending = new Map<string, { readonly value: Value | undefined }>();
  /** Keys changed here while the store was being read. */
  readonly #meanwhile = new Map<string, Value | undefined>();
  #version: string | null | undefined;
  #loading: Promise<void> | undefined;
  #loadAgain = false;
  #loadedAt = -Infinity;
  #writing: Promise<void> | undefined;
  #reader: ReadableStreamDefaultReader<unknown> | undefined;
  #watching: Promise<void>;
  #polling: Promise<void> | undefined;
  #isAway = false;
  #isDisposed = false;
  readonly #timers = new Map<string, Disposable>();

  /** Fulfilled once the first read of the store has succeeded or failed. */
  readonly ready: Promise<void>;

  /**
   * Starts reading and watching.
   *
   * @param options its store and bounds.
   * @param onChange receives every change in memory; must not throw.
   */
  constructor(
    options: StoredSetOptions<Value>,
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

  /** `degraded` while the store is unreachable or does not have every change yet. */
  get state(): "ok" | "degraded" {
    return this.#isAway ? "degraded" : "ok";
  }

  /** Number of entries, expired ones included. */
  get size(): number {
    return this.#entries.size;
  }

  /** Whether the bound of entries is reached. */
  get isFull(): boolean {
    return this.#entries.size >= this.#maxEntries ||
      this.#pending.size >= this.#maxEntries;
  }

  /** The entry of `key`, unless it has expired. */
  get(key: string): Value | undefined {
    const value = this.#entries.get(key);
    if (value === undefined || this.#endOf(value) <= this.#clock.now()) {
      return undefined;
    }
    return value;
  }

  /** All entries that have not expired. */
  *values(): Generator<Value> {
    const now = this.#clock.now();
    for (const value of this.#entries.values()) {
      if (this.#endOf(value) > now) yield value;
    }
  }

  /** Stores `value`, in this instance at once; see {@link SharedSet.put}. */
  put(key: string, value: Value): Promise<void> {
    if (!this.#entries.has(key) && this.isFull) this.#prune();
    if (!this.#entries.has(key) && this.isFull) {
      throw new RangeError(`No more than ${this.#maxEntries} entries are kept`);
    }
    return this.#set(key, value);
  }

  /** Deletes the entry of `key`, in this instance at once; see {@link SharedSet.delete}. */
  delete(key: string): Promise<void> {
    return this.#set(key, undefined);
  }

  /** Reads the store now if it has changed; never rejects. */
  async refresh(): Promise<void> {
    try {
      const { versionstamp } = await this.#kv.get(this.#versionKey);
      if (this.#pending.size === 0) this.#isAway = false;
      if (versionstamp !== this.#version) await this.#load();
    } catch {
      this.#isAway = true;
    }
  }

  /** Stops watching; changes that are not in the store yet are lost. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    for (const timer of this.#timers.values()) timer[Symbol.dispose]();
    await this.#reader?.cancel().catch(() => {});
    await this.#watching;
    await this.#writing;
    await this.#polling;
    await this.#loading;
  }

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
    // The running round may have started too early: wait for it and one more.
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

  /** Reads again: at once for a small set, else after {@link LARGE_GAP_MS}. */
  #reload(): void {
    const wait = this.#entries.size > LARGE
      ? this.#loadedAt + LARGE_GAP_MS - this.#clock.monotonic()
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
    // It may be committed after the store was read and before the read ends.
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
      // Concurrent writes of several instances may exceed the bound; accepted
      // entries are kept nevertheless.
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
    // A change made here may be older than the entry read: another instance may
    // have written the same key since. The next poll reads again.
    this.#version = this.#meanwhile.size > 0 ? undefined : version;
    this.#loadedAt = this.#clock.monotonic();
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
