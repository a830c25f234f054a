/**
 * A real store for worlds whose time a test makes: everything is read from it
 * and written to it, and a mirror in memory holds the expected content.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Clock } from "../../platform/clock.ts";
import { RelayedCommit } from "../../store/relayed_commit.ts";
import type {
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
import { settle } from "./clock.ts";
import { CALM, MemoryKv, weathered } from "./kv.ts";
import type { Mutation, Weather } from "./kv.ts";

/** Most keys deleted in one commit. */
const DELETIONS = 100;

/** The mirror, and what its connections do to the real store. */
export class MirroredKv extends MemoryKv {
  readonly #stores: readonly Store[];
  readonly #world: Clock;
  readonly #calls = new Set<Promise<unknown>>();
  /** Commits, one after the other: the mirror has them in the same order. */
  #last: Promise<unknown> = Promise.resolve();
  #expired: Key[] = [];
  #connected = 0;

  /**
   * Mirrors a store.
   *
   * @param stores connections to one store that is empty.
   * @param world time by which things expire.
   */
  constructor(stores: readonly Store[], world: Clock) {
    super(world);
    this.#stores = stores;
    this.#world = world;
  }

  override connect(
    { clock = this.#world, weather = () => CALM }: {
      clock?: Clock;
      weather?: Weather;
    } = {},
  ): Store {
    const real = this.#stores[this.#connected++ % this.#stores.length]!;
    return new MirroredStore(this, real, {
      late: (ms, effect) => void this.#world.after(ms, effect),
      until: (ms) => this.#world.now() + ms,
      clock,
      weather,
    });
  }

  override collect(): Key[] {
    const gone = super.collect();
    this.#expired.push(...gone);
    return gone;
  }

  /** Also what the real store has to do is done. */
  override async settled(): Promise<void> {
    for (;;) {
      await settle();
      if (this.#calls.size === 0) return;
      await Promise.allSettled(this.#calls);
    }
  }

  /** Reads once nothing stands in the real store that has expired. */
  read<T>(ask: () => Promise<T>): Promise<T> {
    this.collect();
    if (this.#expired.length > 0) this.#next(() => this.#bury());
    const ready = this.#expired.length > 0 ? this.#last : Promise.resolve();
    return this.#called(ready.then(ask));
  }

  /** Commits to the real store, then to the mirror. */
  write(
    commit: Commit,
    mutations: readonly Mutation[],
  ): Promise<CommitResult> {
    return this.#next(async () => {
      this.collect();
      await this.#bury();
      const result = await commit.commit();
      if (result.ok) this.apply([], mutations);
      return result;
    });
  }

  /** Both hold the same. */
  async verify(): Promise<void> {
    await this.read(() => Promise.resolve());
    const rows = await Array.fromAsync(this.#stores[0]!.list({ prefix: [] }));
    const stored = rows.map(({ key, value }) => ({ key: [...key], value }));
    const mirrored = this.keys([]).map((key) => ({
      key: [...key],
      value: this.entry(key).value,
    }));
    assert.deepEqual(stored, mirrored);
  }

  async #bury(): Promise<void> {
    while (this.#expired.length > 0) {
      const keys = this.#expired.splice(0, DELETIONS)
        .filter((key) => this.entry(key).versionstamp === null);
      const commit = this.#stores[0]!.atomic();
      for (const key of keys) commit.delete(key);
      if (keys.length > 0) await commit.commit();
    }
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return this.#called(done);
  }

  #called<T>(call: Promise<T>): Promise<T> {
    this.#calls.add(call);
    call.catch(() => {}).finally(() => this.#calls.delete(call));
    return call;
  }
}

/** One instance's connection. */
class MirroredStore implements Store {
  readonly limits: StoreLimits;
  readonly #kv: MirroredKv;
  readonly #real: Store;
  readonly #parts: {
    late: (ms: number, effect: () => void) => void;
    until: (ms: number) => number;
    clock: Clock;
    weather: Weather;
  };

  constructor(kv: MirroredKv, real: Store, parts: {
    late: (ms: number, effect: () => void) => void;
    until: (ms: number) => number;
    clock: Clock;
    weather: Weather;
  }) {
    this.#kv = kv;
    this.#real = real;
    this.#parts = parts;
    this.limits = real.limits;
  }

  async get<Value>(key: Key): Promise<Found<Value>> {
    return (await this.getMany<Value>([key]))[0]!;
  }

  getMany<Value>(keys: readonly Key[]): Promise<Found<Value>[]> {
    return this.#run(
      "read",
      () => this.#kv.read(() => this.#real.getMany<Value>(keys)),
    );
  }

  async set(key: Key, value: unknown, options?: SetOptions): Promise<void> {
    await this.atomic().set(key, value, options).commit();
  }

  async *list<Value>(
    selector: Selector,
    options?: ListOptions,
  ): AsyncGenerator<Present<Value>> {
    yield* await this.#run(
      "read",
      () =>
        this.#kv.read(() =>
          Array.fromAsync(this.#real.list<Value>(selector, options))
        ),
    );
  }

  atomic(): Commit {
    const commit = this.#real.atomic();
    const mutations: Mutation[] = [];
    return new RelayedCommit({
      check: (...checks) => commit.check(...checks),
      // The simulated world decides when it expires, not the machine.
      set: (key, value, { expireIn } = {}) => {
        commit.set(key, value);
        const until = expireIn === undefined
          ? Infinity
          : this.#parts.until(expireIn);
        mutations.push({ key, value, until });
      },
      delete: (key) => {
        commit.delete(key);
        mutations.push({ key });
      },
      sum: (key, by) => {
        commit.sum(key, by);
        mutations.push({ key, sum: by });
      },
    }, () => this.#run("commit", () => this.#kv.write(commit, mutations)));
  }

  watch<Value>(keys: readonly Key[]): ReadableStream<Found<Value>[]> {
    return this.#real.watch(keys);
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  #run<T>(
    operation: "read" | "commit",
    effect: () => Promise<T>,
  ): Promise<T> {
    const { clock, weather, late } = this.#parts;
    return weathered(weather(operation), {
      clock,
      late: (ms) => late(ms, () => void effect().catch(() => {})),
      effect,
    });
  }
}
