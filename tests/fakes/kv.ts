/**
 * A Deno.Kv in memory, as far as the log uses one, whose weather a test makes:
 * answers that come late, never, or not although the commit took effect.
 *
 * @module
 */
import type { Clock } from "../../platform/clock.ts";

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
  readonly key: Deno.KvKey;
  /** Its value. */
  readonly value: unknown;
}

interface Row {
  readonly key: Deno.KvKey;
  readonly value: unknown;
  readonly versionstamp: string;
  readonly until: number;
}

interface Mutation {
  readonly key: Deno.KvKey;
  readonly value?: unknown;
  readonly until?: number;
  readonly sum?: bigint;
}

/** The database that connections share. */
export class MemoryKv {
  readonly #clock: Clock;
  readonly #rows = new Map<string, Row>();
  #index: string[] = [];
  #version = 0;
  /** Hears of every commit that took effect. */
  onCommit: (rows: readonly WrittenRow[]) => void = () => {};

  /** Empty; `clock` is what `expireIn` counts by. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * A connection, to be used as a `Deno.Kv`.
   *
   * @param options `clock`: what its waits are measured by (that of an isolate
   * that has ended never wakes); `weather`: calm when absent.
   */
  connect(
    { clock = this.#clock, weather = () => CALM }: {
      clock?: Clock;
      weather?: Weather;
    } = {},
  ): Deno.Kv {
    return new Connection(
      this,
      clock,
      this.#clock,
      weather,
    ) as unknown as Deno.Kv;
  }

  /** The entry of a key, without any weather. */
  entry<T = unknown>(key: Deno.KvKey): Deno.KvEntryMaybe<T> {
    const row = this.#rows.get(encoded(key));
    if (!row || row.until <= this.#clock.now()) {
      return { key: [...key], value: null, versionstamp: null };
    }
    const { value, versionstamp } = row;
    return { key: [...key], value: value as T, versionstamp };
  }

  /** Entries in order, `start` inclusive, `end` exclusive. */
  range(
    start: string,
    end: string,
    limit: number,
    reverse: boolean,
  ): Deno.KvEntry<unknown>[] {
    const found: Deno.KvEntry<unknown>[] = [];
    const now = this.#clock.now();
    const from = this.#place(start);
    const to = this.#place(end);
    for (let i = 0; i < to - from && found.length < limit; i++) {
      const name = this.#index[reverse ? to - 1 - i : from + i]!;
      const { key, value, versionstamp, until } = this.#rows.get(name)!;
      if (until > now) found.push({ key: [...key], value, versionstamp });
    }
    return found;
  }

  /** Applies a commit, all or nothing. */
  apply(
    checks: readonly Deno.AtomicCheck[],
    mutations: readonly Mutation[],
  ): Deno.KvCommitResult | Deno.KvCommitError {
    for (const { key, versionstamp } of checks) {
      if (this.entry(key).versionstamp !== versionstamp) return { ok: false };
    }
    const versionstamp = (++this.#version).toString(16).padStart(20, "0");
    const written: WrittenRow[] = [];
    for (const { key, value, until, sum } of mutations) {
      const name = encoded(key);
      if (sum !== undefined) {
        const before = this.entry<Deno.KvU64>(key).value?.value ?? 0n;
        this.#put(name, {
          key,
          value: new Deno.KvU64(before + sum),
          versionstamp,
          until: Infinity,
        });
      } else if (value === undefined) this.#drop(name);
      else {
        this.#put(name, {
          key,
          value,
          versionstamp,
          until: until ?? Infinity,
        });
        written.push({ key, value });
      }
    }
    this.onCommit(written);
    return { ok: true, versionstamp };
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

class Connection {
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

  get(key: Deno.KvKey): Promise<Deno.KvEntryMaybe<unknown>> {
    return this.run("read", () => this.#kv.entry(key));
  }

  async getMany(
    keys: readonly Deno.KvKey[],
  ): Promise<Deno.KvEntryMaybe<unknown>[]> {
    if (keys.length > 10) throw new TypeError("Too many ranges (max 10)");
    return await this.run("read", () => keys.map((key) => this.#kv.entry(key)));
  }

  async *list(
    selector: Deno.KvListSelector,
    { limit = Infinity, reverse = false, batchSize = 100 }: Deno.KvListOptions =
      {},
  ): AsyncIterableIterator<Deno.KvEntry<unknown>> {
    if (batchSize > 500) throw new TypeError("Too many entries (max 500)");
    let [start, end] = bounds(selector);
    for (let left = limit; left > 0;) {
      const size = Math.min(left, batchSize);
      const batch = await this.run(
        "read",
        () => this.#kv.range(start, end, size, reverse),
      );
      yield* batch;
      if (batch.length < size) return;
      left -= size;
      const last = encoded(batch.at(-1)!.key);
      if (reverse) end = last;
      else start = last + "\0";
    }
  }

  atomic(): Atomic {
    return new Atomic(this, this.#kv, this.#world);
  }

  /** There is nothing to let go of. */
  close(): void {}

  /** Lets the weather have its way with one operation. */
  async run<T>(operation: "read" | "commit", effect: () => T): Promise<T> {
    const { beforeMs, afterMs, end } = this.#weather(operation);
    if (end === "late") {
      this.#world.after(beforeMs, () => void effect());
      return await new Promise(() => {});
    }
    if (beforeMs > 0) await this.#pass(beforeMs);
    if (end === "hung") return await new Promise(() => {});
    if (end === "failed") throw new Error("KV is out of order");
    if (end === "locked") throw new TypeError("database is locked");
    const result = effect();
    if (afterMs > 0) await this.#pass(afterMs);
    if (end === "lost") throw new Error("Connection was reset");
    return result;
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(ms, resolve));
  }
}

class Atomic {
  readonly #connection: Connection;
  readonly #kv: MemoryKv;
  readonly #clock: Clock;
  readonly #checks: Deno.AtomicCheck[] = [];
  readonly #mutations: Mutation[] = [];

  constructor(connection: Connection, kv: MemoryKv, clock: Clock) {
    this.#connection = connection;
    this.#kv = kv;
    this.#clock = clock;
  }

  check(...checks: Deno.AtomicCheck[]): this {
    this.#checks.push(...checks);
    return this;
  }

  set(
    key: Deno.KvKey,
    value: unknown,
    { expireIn }: { expireIn?: number } = {},
  ): this {
    this.#mutations.push({
      key,
      value,
      ...(expireIn === undefined
        ? {}
        : { until: this.#clock.now() + expireIn }),
    });
    return this;
  }

  delete(key: Deno.KvKey): this {
    this.#mutations.push({ key });
    return this;
  }

  sum(key: Deno.KvKey, sum: bigint): this {
    this.#mutations.push({ key, sum });
    return this;
  }

  // deno-lint-ignore require-await -- throws as a rejection, like the real one.
  async commit(): Promise<Deno.KvCommitResult | Deno.KvCommitError> {
    if (this.#checks.length > 100) {
      throw new TypeError("Too many checks (max 100)");
    }
    if (this.#mutations.length > 1_000) {
      throw new TypeError("Too many mutations (max 1000)");
    }
    const keys = [...this.#checks, ...this.#mutations];
    const size = keys.reduce((sum, { key }) => sum + encoded(key).length, 0);
    if (size > 81_920) {
      throw new TypeError("Total key size too large (max 81920 bytes)");
    }
    for (const { value } of this.#mutations) {
      if (value instanceof Uint8Array && value.byteLength > 65_536) {
        throw new TypeError("Value too large (max 65536 bytes)");
      }
    }
    return this.#connection.run(
      "commit",
      () => this.#kv.apply(this.#checks, this.#mutations),
    );
  }
}

function bounds(selector: Deno.KvListSelector): [string, string] {
  if ("prefix" in selector) {
    const prefix = encoded(selector.prefix);
    const { start, end } = selector as { start?: Deno.KvKey; end?: Deno.KvKey };
    return [
      start ? encoded(start) : prefix,
      end ? encoded(end) : prefix + "\uffff",
    ];
  }
  return [encoded(selector.start), encoded(selector.end)];
}

/** Text that sorts as keys do: strings before numbers, both in their order. */
function encoded(key: Deno.KvKey): string {
  return key.map((part) => {
    if (typeof part === "string") return `2${part}\0`;
    if (typeof part === "number") return `3${String(part).padStart(16, "0")}\0`;
    throw new TypeError("MemoryKv knows strings and numbers only");
  }).join("");
}
