import assert from "node:assert/strict";
import { systemClock } from "../../platform/clock.ts";
import { MemoryKv } from "./kv.ts";

const kinds: Record<string, () => Promise<[Deno.Kv, () => void]>> = {
  "Deno.Kv": async () => {
    const kv = await Deno.openKv(":memory:");
    return [kv, () => kv.close()];
  },
  "MemoryKv": () =>
    Promise.resolve([new MemoryKv(systemClock).connect(), () => {}]),
};

async function keysOf(
  kv: Deno.Kv,
  selector: Deno.KvListSelector,
  options: Deno.KvListOptions = {},
): Promise<unknown[]> {
  const keys: unknown[] = [];
  for await (const { key } of kv.list(selector, options)) keys.push(key.at(-1));
  return keys;
}

for (const [kind, open] of Object.entries(kinds)) {
  Deno.test(`${kind} commits all or nothing, by versionstamp`, async () => {
    const [kv, close] = await open();
    const absent = await kv.get(["a"]);
    assert.deepEqual([absent.value, absent.versionstamp], [null, null]);
    const first = await kv.atomic().check(absent).set(["a"], 1).commit();
    assert(first.ok);
    const again = await kv.atomic().check(absent).set(["a"], 2).set(["b"], 2)
      .commit();
    assert(!again.ok);
    const entries = await kv.getMany([["a"], ["b"]]);
    assert.deepEqual(entries.map(({ value }) => value), [1, null]);
    assert.equal(entries[0].versionstamp, first.versionstamp);
    const second = await kv.atomic().check(entries[0]).delete(["a"]).set(
      ["b"],
      3,
    ).commit();
    assert(second.ok && second.versionstamp > first.versionstamp);
    assert.equal((await kv.get(["a"])).value, null);
    await kv.atomic().sum(["n"], 2n).commit();
    await kv.atomic().sum(["n"], 3n).commit();
    assert.equal((await kv.get<Deno.KvU64>(["n"])).value!.value, 5n);
    close();
  });

  Deno.test(`${kind} lists in the order of keys, from either end, in batches`, async () => {
    const [kv, close] = await open();
    for (const seq of [10, 2, 1, 300, 9]) {
      await kv.atomic().set(["log", "x", seq], seq).commit();
    }
    await kv.atomic().set(["log", "y", 5], 5).set(["log", "xa", 4], 4)
      .set(["head"], 0).commit();
    const all = { prefix: ["log", "x"] };
    assert.deepEqual(await keysOf(kv, all), [1, 2, 9, 10, 300]);
    assert.deepEqual(await keysOf(kv, all, { batchSize: 2 }), [
      1,
      2,
      9,
      10,
      300,
    ]);
    assert.deepEqual(await keysOf(kv, all, { reverse: true, batchSize: 2 }), [
      300,
      10,
      9,
      2,
      1,
    ]);
    assert.deepEqual(await keysOf(kv, all, { limit: 3 }), [1, 2, 9]);
    const part = { start: ["log", "x", 2], end: ["log", "x", 10] };
    assert.deepEqual(await keysOf(kv, part), [2, 9]);
    assert.deepEqual(await keysOf(kv, part, { reverse: true, limit: 1 }), [9]);
    assert.deepEqual(await keysOf(kv, { prefix: ["log", "none"] }), []);
    close();
  });

  Deno.test(`${kind} refuses beyond its limits`, async () => {
    const [kv, close] = await open();
    const long = kv.atomic().set(["a"], new Uint8Array(65_537));
    await assert.rejects(long.commit(), TypeError);
    const checks = kv.atomic();
    for (let i = 0; i < 101; i++) {
      checks.check({ key: [`${i}`], versionstamp: null });
    }
    await assert.rejects(checks.commit(), TypeError);
    const mutations = kv.atomic();
    for (let i = 0; i < 1_001; i++) mutations.set([`${i}`], i);
    await assert.rejects(mutations.commit(), TypeError);
    const wide = kv.atomic();
    for (let i = 0; i < 100; i++) wide.set([`${i}${"k".repeat(900)}`], i);
    await assert.rejects(wide.commit(), TypeError);
    const keys = Array.from({ length: 11 }, (_, i) => [`${i}`]);
    await assert.rejects(kv.getMany(keys), TypeError);
    close();
  });
}
