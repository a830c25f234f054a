/**
 * A store in memory, whose weather a test makes: answers that come late,
 * never, or not although the commit took effect.
 *
 * @module
 */
import type { Clock } from "../../platform/clock.ts";
import { settle } from "./clock.ts";
import { pause } from "../../platform/pause.ts";
import { DENO_KV_LIMITS } from "../../store/deno_kv.ts";
import { StoreBusy } from "../../store/store.ts";
import type {
  Check,
  Commit,
  CommitResult,
  Found,
  Key,
  ListOptions,
  Present,
  Selector,
  SetOptions,
  Store,
  StoreLimits,
} from "../../store/store.ts";

/** What becomes of one operation. */
export interface Fate {
  /** Milliseconds before it takes effect. */
  readonly beforeMs: number;
  /** Milliseconds between its effect and the answer. */
  readonly afterMs: number;
  /**
   * `lost`: it took effect, but its answer is an error; `late`: it hangs, and
   * takes effect after the delay all the same.
   */
  readonly end: "ok" | "failed" | "lost" | "locked" | "hung" | "late";
}

/** Calm: everything works at once. */
export const CALM: Fate = { beforeMs: 0, afterMs: 0, end: "ok" };

/** Decides what becomes of each operation. */
export type Weather = (operation: "read" | "commit") => Fate;

/** A row that a commit wrote. */
export interface WrittenRow {
  /** Its key. */
  readonly key: Key;
  /** Its value. */
  readonly value: unknown;
}

/** What is stored under a key. */
export interface Row {
  /** Its key. */
  readonly key: Key;
  /** Its value. */
  readonly value: unknown;
  /** The commit that wrote it. */
  readonly versionstamp: string;
  /** When it expires, in epoch milliseconds. */
  readonly until: number;
}

/** One change of a commit. */
export interface Mutation {
  /** What it changes. */
  readonly key: Key;
  /** What is stored; the key is deleted when absent. */
  readonly value?: unknown;
  /** When it expires, in epoch milliseconds; never when absent. */
  readonly until?: number;
  /** What is added to a counter, in place of a value. */
  readonly sum?: bigint;
}

/** What {@link MemoryKv.copy} gives. */
export interface MemoryCopy {
  /** Everything stored. */
  readonly rows: ReadonlyMap<string, Row>;
  /** Commits until then. */
  readonly version: number;
}

/** Counters are modulo this. */
const COUNTER_MODULUS = 1n << 64n;

/** The database that connections share. */
export class MemoryKv {
  readonly #clock: Clock;
  readonly #rows = new Map<string, Row>();
  #index: string[] = [];
  #version = 0;
  #generation = 0;
  readonly #watchers = new Set<() => void>();
  /** Receives every commit that took effect. */
  onCommit: (rows: readonly WrittenRow[]) => void = () => {};

  /** Empty; `clock` is what `expireIn` counts by. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Opens a connection.
   *
   * @param options `clock`: what its waits are measured by (that of an
   * instance that has ended never wakes); `weather`: calm when absent.
   */
  connect(
    { clock = this.#clock, weather = () => CALM }: {
      clock?: Clock;
      weather?: Weather;
    } = {},
  ): Store {
    return new Connection(this, clock, this.#clock, weather);
  }

  /** What stands under a key, without any weather. */
  entry<T = unknown>(key: Key): Found<T> {
    const row = this.#rows.get(encoded(key));
    if (!row || row.until <= this.#clock.now()) {
      return { key: [...key], value: null, versionstamp: null };
    }
    const { value, versionstamp } = row;
    return { key: [...key], value: copied(value) as T, versionstamp };
  }

  /** Entries in order, `start` inclusive, `end` exclusive. */
  range(
    start: string,
    end: string,
    limit: number,
    reverse: boolean,
  ): Present<unknown>[] {
    const entries: Present<unknown>[] = [];
    const now = this.#clock.now();
    const from = this.#place(start);
    const to = this.#place(end);
    for (let i = 0; i < to - from && entries.length < limit; i++) {
      const name = this.#index[reverse ? to - 1 - i : from + i]!;
      const { key, value, versionstamp, until } = this.#rows.get(name)!;
      if (until <= now) continue;
      entries.push({ key: [...key], value: copied(value), versionstamp });
    }
    return entries;
  }

  /** Applies a commit, all or nothing. */
  apply(
    checks: readonly Check[],
    mutations: readonly Mutation[],
  ): CommitResult {
    for (const { key, versionstamp } of checks) {
      if (this.entry(key).versionstamp !== versionstamp) return { ok: false };
    }
    const versionstamp = (++this.#version).toString(16).padStart(20, "0");
    const written: WrittenRow[] = [];
    for (const { key, value, until = Infinity, sum } of mutations) {
      const name = encoded(key);
      if (sum !== undefined) {
        const before = this.entry<bigint>(key).value ?? 0n;
        const value = (before + sum) % COUNTER_MODULUS;
        this.#put(name, { key, value, versionstamp, until });
      } else if (value === undefined) this.#drop(name);
      else {
        this.#put(name, { key, value, versionstamp, until });
        written.push({ key, value });
      }
    }
    this.onCommit(written);
    for (const ring of this.#watchers) ring();
    return { ok: true, versionstamp };
  }

  /** Calls `ring` after every commit, until disposed. */
  watch(ring: () => void): Disposable {
    this.#watchers.add(ring);
    return { [Symbol.dispose]: () => void this.#watchers.delete(ring) };
  }

  /** Everything as it is now, to be put back by {@link restore}. */
  copy(): MemoryCopy {
    return { rows: new Map(this.#rows), version: this.#version };
  }

  /**
   * Puts a copy in the place of everything. What was on its way to the store
   * before never arrives.
   */
  restore({ rows, version }: MemoryCopy): void {
    this.#generation++;
    this.#rows.clear();
    this.#index = [];
    for (const [name, row] of rows) this.#put(name, row);
    this.#version = version;
  }

  /** How often it was restored. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Deletes what has expired, as a store does sooner or later.
   *
   * @returns the keys of it.
   */
  collect(): Key[] {
    const now = this.#clock.now();
    const gone: Key[] = [];
    for (const [name, { key, until }] of this.#rows) {
      if (until > now) continue;
      this.#drop(name);
      gone.push(key);
    }
    return gone;
  }

  /** Resolves when every promise that can go on did so. */
  settled(): Promise<void> {
    return settle();
  }

  /** Keys of a range, without any weather. */
  keys(prefix: Key): Key[] {
    const start = encoded(prefix);
    return this.range(start, start + "\uffff", Infinity, false)
      .map(({ key }) => key);
  }

  /** Changes one bit of what is stored under a key, as a disk may. */
  damage(key: Key, at: number): void {
    const name = encoded(key);
    const row = this.#rows.get(name);
    if (!row || !(row.value instanceof Uint8Array)) return;
    const value = row.value.slice();
    value[at % value.byteLength]! ^= 1 << (at % 8);
    this.#rows.set(name, { ...row, value });
  }

  #put(name: string, row: Row): void {
    if (!this.#rows.has(name)) this.#index.splice(this.#place(name), 0, name);
    this.#rows.set(name, row);
  }

  #drop(name: string): void {
    if (this.#rows.delete(name)) this.#index.splice(this.#place(name), 1);
  }

  /** Where `name` stands, or would. */
  #place(name: string): number {
    let low = 0;
    let high = this.#index.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#index[middle]! < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

class Connection implements Store {
  readonly limits = DENO_KV_LIMITS;
  readonly #kv: MemoryKv;
  readonly #clock: Clock;
  readonly #world: Clock;
  readonly #weather: Weather;

  constructor(kv: MemoryKv, clock: Clock, world: Clock, weather: Weather) {
    this.#kv = kv;
    this.#clock = clock;
    this.#world = world;
    this.#weather = weather;
  }

  get<Value>(key: Key): Promise<Found<Value>> {
    return this.run("read", () => this.#kv.entry<Value>(key));
  }

  async getMany<Value>(keys: readonly Key[]): Promise<Found<Value>[]> {
    atMost(keys.length, this.limits.getManyKeys, "keys");
    return await this.run(
      "read",
      () => keys.map((key) => this.#kv.entry<Value>(key)),
    );
  }

  async set(key: Key, value: unknown, options?: SetOptions): Promise<void> {
    await this.atomic().set(key, value, options).commit();
  }

  async *list<Value>(
    selector: Selector,
    { limit = Infinity, reverse = false, batchSize = 100 }: ListOptions = {},
  ): AsyncGenerator<Present<Value>> {
    let [start, end] = bounds(selector);
    for (let left = limit; left > 0;) {
      const size = Math.min(left, batchSize);
      const batch = await this.run(
        "read",
        () => this.#kv.range(start, end, size, reverse),
      );
      yield* batch as Present<Value>[];
      if (batch.length < size) return;
      left -= size;
      const last = encoded(batch.at(-1)!.key);
      if (reverse) end = last;
      else start = last + "\0";
    }
  }

  atomic(): Commit {
    return new Atomic(this, this.#kv, this.#world, this.limits);
  }

  watch<Value>(keys: readonly Key[]): ReadableStream<Found<Value>[]> {
    atMost(keys.length, this.limits.watchKeys, "keys");
    const states = () => keys.map((key) => this.#kv.entry<Value>(key));
    const stamps = (entries: readonly Found<Value>[]) =>
      entries.map(({ versionstamp }) => versionstamp).join();
    let seen: string | undefined;
    let ring = () => {};
    const watching = this.#kv.watch(() => ring());
    return new ReadableStream({
      async pull(controller) {
        for (;;) {
          const now = states();
          if (stamps(now) !== seen) {
            seen = stamps(now);
            controller.enqueue(now);
            return;
          }
          await new Promise<void>((resolve) => ring = resolve);
        }
      },
      cancel() {
        watching[Symbol.dispose]();
      },
    }, { highWaterMark: 0 });
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Lets the weather have its way with one operation. */
  run<T>(operation: "read" | "commit", effect: () => T): Promise<T> {
    const { generation } = this.#kv;
    return weathered(this.#weather(operation), {
      clock: this.#clock,
      late: (ms) =>
        void this.#world.after(ms, () => {
          if (this.#kv.generation === generation) effect();
        }),
      effect,
    });
  }
}

/**
 * Does to one operation what its fate wants.
 *
 * @param work `effect` is the operation, `late` does it after a number of
 * milliseconds, and waits are measured by `clock`.
 */
export async function weathered<T>(
  { beforeMs, afterMs, end }: Fate,
  { clock, late, effect }: {
    clock: Clock;
    late: (ms: number) => void;
    effect: () => T | Promise<T>;
  },
): Promise<T> {
  if (end === "late") {
    late(beforeMs);
    return await new Promise(() => {});
  }
  if (beforeMs > 0) await pause(clock, beforeMs);
  if (end === "hung") return await new Promise(() => {});
  if (end === "failed") throw new Error("KV is out of order");
  if (end === "locked") {
    throw new StoreBusy(new TypeError("database is locked"));
  }
  const result = await effect();
  if (afterMs > 0) await pause(clock, afterMs);
  if (end === "lost") throw new Error("Connection was reset");
  return result;
}

class Atomic implements Commit {
  readonly #connection: Connection;
  readonly #kv: MemoryKv;
  readonly #clock: Clock;
  readonly #limits: StoreLimits;
  readonly #checks: Check[] = [];
  readonly #mutations: Mutation[] = [];

  constructor(
    connection: Connection,
    kv: MemoryKv,
    clock: Clock,
    limits: StoreLimits,
  ) {
    this.#connection = connection;
    this.#kv = kv;
    this.#clock = clock;
    this.#limits = limits;
  }

  check(...checks: readonly Check[]): this {
    this.#checks.push(...checks);
    return this;
  }

  set(key: Key, value: unknown, { expireIn }: SetOptions = {}): this {
    const until = expireIn === undefined
      ? Infinity
      : this.#clock.now() + expireIn;
    this.#mutations.push({ key, value: copied(value), until });
    return this;
  }

  delete(key: Key): this {
    this.#mutations.push({ key });
    return this;
  }

  sum(key: Key, by: bigint): this {
    this.#mutations.push({ key, sum: by });
    return this;
  }

  // deno-lint-ignore require-await -- throws as a rejection, like the real one.
  async commit(): Promise<CommitResult> {
    const limits = this.#limits;
    atMost(this.#checks.length, limits.commitChecks, "checks");
    atMost(this.#mutations.length, limits.commitMutations, "mutations");
    const keys = [...this.#checks, ...this.#mutations]
      .map(({ key }) => encoded(key).length);
    const keyBytes = keys.reduce((sum, size) => sum + size, 0);
    atMost(keyBytes, limits.commitKeyBytes, "bytes of keys");
    for (const size of keys) atMost(size, limits.keyBytes, "bytes of a key");
    let bytes = keyBytes;
    for (const { value } of this.#mutations) {
      const size = sizeOf(value);
      atMost(size, limits.valueBytes, "bytes of a value");
      bytes += size;
    }
    atMost(bytes, limits.commitBytes, "bytes");
    return this.#connection.run(
      "commit",
      () => this.#kv.apply(this.#checks, this.#mutations),
    );
  }
}

function atMost(count: number, limit: number, what: string): void {
  if (count > limit) throw new TypeError(`Too many ${what} (max ${limit})`);
}

/** What is stored is not what its writer goes on changing. */
function copied(value: unknown): unknown {
  return value instanceof Uint8Array ? value : structuredClone(value);
}

function sizeOf(value: unknown): number {
  if (value instanceof Uint8Array) return value.byteLength;
  return value === undefined ? 0 : JSON.stringify(value).length;
}

function bounds(selector: Selector): [string, string] {
  const { prefix, start, end } = selector as {
    prefix?: Key;
    start?: Key;
    end?: Key;
  };
  const first = prefix === undefined ? "" : encoded(prefix);
  return [
    // The prefix itself is not among those that begin with it.
    start ? encoded(start) : first + "\0",
    end ? encoded(end) : first + "\uffff",
  ];
}

/** Text that sorts as keys do: strings before numbers, both in their order. */
function encoded(key: Key): string {
  return key.map((part) => {
    if (typeof part === "string") return `2${bytesOf(part)}\0`;
    if (Number.isSafeInteger(part) && part >= 0) {
      return `3${String(part).padStart(16, "0")}\0`;
    }
    throw new TypeError("MemoryKv knows strings and whole numbers only");
  }).join("");
}

/** One character for each byte of UTF-8, so that they compare as bytes do. */
function bytesOf(text: string): string {
  if (PLAIN.test(text)) return text;
  const bytes = new TextEncoder().encode(text);
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")
    .replaceAll("\0", "\0\xff");
}

// deno-lint-ignore no-control-regex -- of ASCII, only NUL has to be escaped.
const PLAIN = /^[\x01-\x7f]*$/;
