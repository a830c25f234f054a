/**
 * What every store keeps to, whatever it is made of.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { systemClock } from "../../platform/clock.ts";
import { pause } from "../../platform/pause.ts";
import { isBusy } from "../../store/store.ts";
import type {
  Found,
  Key,
  ListOptions,
  Selector,
  Store,
} from "../../store/store.ts";
import { closeStore } from "../close_store.ts";

/** One kind of store under the contract. */
export interface StoreKind {
  /** Names the tests. */
  readonly name: string;
  /**
   * Opens an empty store.
   *
   * @returns `store`, `other`: a second connection to the same data.
   */
  open(): Promise<Connections>;
  /** Moves time on until what expires within `ms` is expired; waits when absent. */
  pass?(ms: number): Promise<void>;
}

/** Two connections to one place. */
export interface Connections extends AsyncDisposable {
  /** One. */
  readonly store: Store;
  /** The other. */
  readonly other: Store;
}

/**
 * Connects twice.
 *
 * @param open connects.
 * @param remove clears the place up, once both are closed.
 */
export async function connectTwice(
  open: () => Promise<Store>,
  remove: () => PromiseLike<void>,
): Promise<Connections> {
  const [store, other] = [await open(), await open()];
  return {
    store,
    other,
    async [Symbol.asyncDispose]() {
      await closeStore(store);
      await closeStore(other);
      await remove();
    },
  };
}

const wait = (ms: number) => pause(systemClock, ms);

async function keysOf(
  store: Store,
  selector: Selector,
  options?: ListOptions,
): Promise<unknown[]> {
  const keys: unknown[] = [];
  for await (const { key } of store.list(selector, options)) {
    keys.push(key.at(-1));
  }
  return keys;
}

/** Retries while the store reports that another writer was faster. */
async function persistent<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isBusy(error)) throw error;
      await new Promise((turn) => setTimeout(turn, 1));
    }
  }
}

/** The same store; its writes wait for those of others at the same file. */
function patient(store: Store): Store {
  return new Proxy(store, {
    get(target, name) {
      if (name === "set") {
        return (...args: Parameters<Store["set"]>) =>
          persistent(() => target.set(...args));
      }
      if (name === "atomic") {
        return () => {
          const commit = target.atomic();
          const once = commit.commit.bind(commit);
          return Object.assign(commit, { commit: () => persistent(once) });
        };
      }
      const member = Reflect.get(target, name, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

/** Runs the contract on one kind of store. */
export function testStore(kind: StoreKind): void {
  const test = (
    name: string,
    body: (store: Store, other: Store) => Promise<void>,
  ) => {
    Deno.test(`${kind.name} ${name}`, async () => {
      await using opened = await kind.open();
      await body(patient(opened.store), patient(opened.other));
    });
  };

  test("commits all or nothing, by versionstamp", async (store, other) => {
    const absent = await store.get(["a"]);
    assert.deepEqual([absent.value, absent.versionstamp], [null, null]);
    const first = await store.atomic().check(absent).set(["a"], 1).commit();
    assert(first.ok);
    const again = await other.atomic().check(absent).set(["a"], 2)
      .set(["b"], 2).sum(["n"], 1n).delete(["a"]).commit();
    assert.deepEqual(again, { ok: false });
    const [a, b, n] = await store.getMany([["a"], ["b"], ["n"]]);
    assert.deepEqual([a!.value, b!.value, n!.value], [1, null, null]);
    assert.deepEqual([...a!.key], ["a"]);
    assert.equal(a!.versionstamp, first.versionstamp);
    const second = await other.atomic().check(a!, b!).delete(["a"])
      .set(["b"], 3).commit();
    assert(second.ok && second.versionstamp > first.versionstamp);
    assert.equal((await store.get(["a"])).value, null);
    assert.equal((await store.get(["b"])).versionstamp, second.versionstamp);
  });

  test("tells a key deleted and written again from what it was", async (store) => {
    await store.set(["a"], 1);
    const before = await store.get(["a"]);
    await store.atomic().delete(["a"]).commit();
    await store.set(["a"], 1);
    const { ok } = await store.atomic().check(before).set(["a"], 2).commit();
    assert.equal(ok, false);
  });

  test("lets the last mutation of a key in a commit win", async (store) => {
    await store.atomic().set(["a"], 1).set(["a"], 2).set(["b"], 1)
      .delete(["b"]).commit();
    assert.equal((await store.get(["a"])).value, 2);
    assert.equal((await store.get(["b"])).value, null);
  });

  test(
    "gives a check of one key to one of those who race for it",
    async (store, other) => {
      const absent = await store.get(["a"]);
      const racers = Array.from({ length: 10 }, (_, i) => {
        const connection = i % 2 ? store : other;
        return persistent(() =>
          connection.atomic().check(absent).set(["a"], i).commit()
        );
      });
      const winners = (await Promise.all(racers)).flatMap(({ ok }, i) =>
        ok ? [i] : []
      );
      assert.equal(winners.length, 1);
      assert.equal((await store.get(["a"])).value, winners[0]);
    },
  );

  test(
    "counts without losing any, from every connection",
    async (store, other) => {
      assert.equal((await store.get(["n"])).value, null);
      await Promise.all(
        Array.from(
          { length: 20 },
          (_, i) =>
            persistent(() =>
              (i % 2 ? store : other).atomic().sum(["n"], 3n).commit()
            ),
        ),
      );
      assert.equal((await store.get<bigint>(["n"])).value, 60n);
      assert.equal((await store.getMany<bigint>([["n"]]))[0]!.value, 60n);
      const listed = await Array.fromAsync(store.list<bigint>({ prefix: [] }));
      assert.deepEqual(
        listed.map(({ value }) => value),
        [60n],
      );
      await store.atomic().sum(["n"], 2n ** 64n - 1n).commit();
      assert.equal((await store.get<bigint>(["n"])).value, 59n, "modulo 2^64");
    },
  );

  test("gives back the plain data and the bytes that were written", async (store) => {
    const values = [
      "text with ünïcode \u0000 and 😀",
      0,
      -1.5,
      2 ** 53 - 1,
      true,
      false,
      [],
      {},
      { a: [1, "b", null, { c: false }] },
      new Uint8Array(),
      new Uint8Array([0, 1, 255, 128]),
    ];
    for (const [i, value] of values.entries()) await store.set(["v", i], value);
    const listed = await Array.fromAsync(store.list({ prefix: ["v"] }));
    assert.deepEqual(listed.map(({ value }) => value), values);
    for (const [i, value] of values.entries()) {
      assert.deepEqual((await store.get(["v", i])).value, value);
    }
  });

  test("lists in the order of keys, from either end, in batches", async (store) => {
    for (const seq of [10, 2, 1, 300, 9]) {
      await store.set(["log", "x", seq], seq);
    }
    await store.atomic().set(["log", "y", 5], 5).set(["log", "xa", 4], 4)
      .set(["log", "x"], 0).set(["head"], 0).commit();
    const all = { prefix: ["log", "x"] };
    const order = [1, 2, 9, 10, 300];
    assert.deepEqual(await keysOf(store, all), order);
    assert.deepEqual(await keysOf(store, all, { batchSize: 2 }), order);
    assert.deepEqual(
      await keysOf(store, all, { reverse: true, batchSize: 2 }),
      order.toReversed(),
    );
    assert.deepEqual(await keysOf(store, all, { limit: 3 }), [1, 2, 9]);
    const part = { start: ["log", "x", 2], end: ["log", "x", 10] };
    assert.deepEqual(await keysOf(store, part), [2, 9]);
    assert.deepEqual(
      await keysOf(store, part, { reverse: true, limit: 1 }),
      [9],
    );
    const from = { ...all, start: ["log", "x", 9] };
    assert.deepEqual(await keysOf(store, from), [9, 10, 300]);
    const before = { ...all, end: ["log", "x", 9] };
    assert.deepEqual(await keysOf(store, before), [1, 2]);
    assert.deepEqual(await keysOf(store, { prefix: ["log", "none"] }), []);
  });

  test("sorts keys part by part, whatever stands in them", async (store) => {
    const part = fc.oneof(
      fc.constantFrom(
        "",
        "a",
        "aa",
        "a\u0000",
        "a\u0001",
        "é",
        "z",
        "\uffee",
        "😀",
      ),
      fc.nat({ max: 1_000 }),
    );
    const keys = fc.uniqueArray(
      fc.array(part, { minLength: 1, maxLength: 3 }),
      {
        selector: (key) => JSON.stringify(key),
        maxLength: 20,
      },
    );
    let round = 0;
    await fc.assert(
      fc.asyncProperty(keys, async (some) => {
        const prefix = ["sorted", round++];
        const commit = store.atomic();
        for (const key of some) commit.set([...prefix, ...key], 1);
        await commit.commit();
        const listed = await Array.fromAsync(
          store.list({ prefix }),
          ({ key }) => key.slice(2),
        );
        assert.deepEqual(listed, some.toSorted(compared));
      }),
      { numRuns: 50 },
    );
  });

  test("refuses what is beyond its limits, and takes what is at them", async (store) => {
    const { limits } = store;
    const refused = async (work: Promise<unknown>, what: string) => {
      await assert.rejects(work, TypeError, what);
    };
    await store.set(["v"], new Uint8Array(limits.valueBytes));
    await refused(
      store.set(["v"], new Uint8Array(limits.valueBytes + 1)),
      "value",
    );
    const checks = (count: number) => {
      const commit = store.atomic().set(["c"], 1);
      for (let i = 0; i < count; i++) {
        commit.check({ key: ["k", i], versionstamp: null });
      }
      return commit.commit();
    };
    assert((await checks(limits.commitChecks)).ok);
    await refused(checks(limits.commitChecks + 1), "checks");
    const mutations = (count: number) => {
      const commit = store.atomic();
      for (let i = 0; i < count; i++) commit.set(["m", i], i);
      return commit.commit();
    };
    assert((await mutations(limits.commitMutations)).ok);
    await refused(mutations(limits.commitMutations + 1), "mutations");
    const wide = store.atomic();
    for (let i = 0; i < 100; i++) wide.set([`${i}${"k".repeat(900)}`], i);
    await refused(wide.commit(), "key bytes");
    await refused(store.set(["k".repeat(limits.keyBytes + 1)], 1), "key");
    const large = store.atomic();
    const count = Math.ceil(limits.commitBytes / limits.valueBytes) + 1;
    for (let i = 0; i < count; i++) {
      large.set(["l", i], new Uint8Array(limits.valueBytes));
    }
    await refused(large.commit(), "commit");
    const keys = (count: number) =>
      Array.from({ length: count }, (_, i): Key => ["g", i]);
    const found = await store.getMany(keys(limits.getManyKeys));
    assert.equal(found.length, limits.getManyKeys);
    await refused(store.getMany(keys(limits.getManyKeys + 1)), "getMany");
    assert.equal((await store.get(["l", 0])).value, null, "nothing was done");
  });

  test("keeps what expires at least until then, and what does not", async (store) => {
    await store.set(["a"], 1, { expireIn: 60_000 });
    await store.atomic().set(["b"], 2, { expireIn: 60_000 }).commit();
    await store.set(["c"], 3, { expireIn: 100 });
    await store.set(["d"], 4);
    assert.equal((await store.get(["a"])).value, 1);
    await (kind.pass ?? wait)(200);
    assert.equal((await store.get(["a"])).value, 1);
    assert.equal((await store.get(["b"])).value, 2);
    assert.equal((await store.get(["d"])).value, 4);
    // A write without an end takes the end away.
    await store.set(["c"], 5);
    await (kind.pass ?? wait)(200);
    assert.equal((await store.get(["c"])).value, 5);
  });

  test(
    "rings a watch with the newest state, until it is cancelled",
    async (store, other) => {
      await store.set(["w", 1], "before");
      const reader = store.watch<string>([["w", 1], ["w", 2]]).getReader();
      const states = async (): Promise<(string | null)[]> => {
        const { value } = await reader.read();
        return value!.map(({ value }: Found<string>) => value);
      };
      assert.deepEqual(await states(), ["before", null]);
      const next = states();
      await other.atomic().set(["w", 1], "after").set(["w", 2], "new").commit();
      await other.set(["elsewhere"], 1);
      assert.deepEqual(await next, ["after", "new"]);
      const { versionstamp } = await store.get(["w", 2]);
      const last = reader.read();
      await other.atomic().delete(["w", 1]).sum(["w", 3], 1n).commit();
      const { value } = await last;
      assert.deepEqual(value!.map(({ value }) => value), [null, "new"]);
      assert.equal(value![1]!.versionstamp, versionstamp);
      await reader.cancel();
    },
  );

  test("shows counters to a watch", async (store) => {
    await store.atomic().sum(["n"], 7n).commit();
    const reader = store.watch<bigint>([["n"]]).getReader();
    assert.equal((await reader.read()).value![0]!.value, 7n);
    await reader.cancel();
  });

  test("may be closed again", async (store) => {
    await store.close();
    await store.close();
  });
}

function compared(a: Key, b: Key): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    if (x === y) continue;
    if (typeof x !== typeof y) return typeof x === "string" ? -1 : 1;
    if (typeof x === "number") return x - (y as number);
    return comparedBytes(x, y as string);
  }
  return a.length - b.length;
}

function comparedBytes(x: string, y: string): number {
  const [a, b] = [x, y].map((text) => new TextEncoder().encode(text));
  for (let i = 0; i < a!.length && i < b!.length; i++) {
    if (a![i] !== b![i]) return a![i]! - b![i]!;
  }
  return a!.length - b!.length;
}
