import assert from "node:assert/strict";
import type { Key, Store } from "../../store/store.ts";
import { StoredCounter } from "../../store/stored_counter.ts";
import type { StoredCounterOptions } from "../../store/stored_counter.ts";
import {
  COUNTER_MAX_UNSHARED,
  COUNTER_SHARE_MS,
  COUNTER_WINDOW_MS,
  testSharedCounter,
} from "../contracts/shared_counter_contract.ts";
import { openFlaky, runsOn, STORES } from "./stores.ts";

for (const [name, open] of Object.entries(STORES)) {
  testSharedCounter({
    name: `StoredCounter on ${name}`,
    ...runsOn(name),
    open: () =>
      openFlaky(open, (parts) =>
        new StoredCounter({
          ...parts,
          name: "test",
          windowMs: COUNTER_WINDOW_MS,
          maxUnshared: COUNTER_MAX_UNSHARED,
          shareMs: COUNTER_SHARE_MS,
        })),
  });
}

/** A counter whose names belong to the group before their slash. */
async function grouped(options: Partial<StoredCounterOptions>) {
  const opened = await STORES.MemoryKv!();
  const counter = new StoredCounter({
    kv: opened.connect(),
    clock: opened.clock,
    name: "test",
    windowMs: COUNTER_WINDOW_MS,
    maxUnshared: COUNTER_MAX_UNSHARED,
    groupOf: (name) => name.includes("/") ? name.split("/")[0] : undefined,
    ...options,
  });
  return { clock: opened.clock, counter };
}

Deno.test("StoredCounter gives one group a share of the names, and counts the rest of it together", async () => {
  const { counter, clock } = await grouped({
    maxNames: 100,
    maxNamesPerGroup: 10,
  });
  await using _counter = counter;
  for (let i = 0; i < 1_000; i++) counter.add(`site/${i}`, 1);
  assert.equal(counter.size, 11);
  assert.equal(counter.look("site/3").current, 1, "counted apart");
  assert.equal(counter.look("site/10").current, 990, "counted together");
  assert.equal(counter.look("site/never").current, 990);
  assert.equal(counter.look("other/3").current, 0);
  counter.add("other/3", 1);
  counter.add("3", 1);
  assert.equal(counter.look("other/3").current, 1);
  assert.equal(counter.look("3").current, 1);
  clock.advance(COUNTER_WINDOW_MS);
  assert.equal(counter.look("site/3").previous, 1);
  assert.equal(counter.look("site/500").previous, 990);
  assert.equal(counter.look("other/500").previous, 0);
});

Deno.test("StoredCounter keeps a group at its bound from crowding out others", async () => {
  const { counter } = await grouped({ maxNames: 100, maxNamesPerGroup: 10 });
  await using _counter = counter;
  for (let group = 0; group < 9; group++) {
    for (let i = 0; i < 50; i++) counter.add(`${group}/${i}`, 1);
  }
  assert.equal(counter.size, 99);
  counter.add("single", 1);
  assert.equal(counter.look("single").current, 1);
});

Deno.test("StoredCounter moves on while the wall clock stands still, within a tick", async () => {
  const { counter, clock } = await grouped({ shareMs: COUNTER_SHARE_MS });
  await using _counter = counter;
  const standStill = (ms: number) => {
    clock.stepWall(-ms);
    clock.advance(ms);
  };
  counter.look("a");
  counter.add("a", 1);
  standStill(COUNTER_SHARE_MS);
  assert.equal(counter.look("a").elapsedMs, COUNTER_SHARE_MS);
  standStill(COUNTER_WINDOW_MS);
  assert.equal(counter.look("a").current, 0);
});

Deno.test("StoredCounter lowers no count by what it reads back", async () => {
  const opened = await STORES.MemoryKv!();
  let isStale = false;
  const store = opened.connect();
  // A store that answers from before, as one that was restored does.
  const kv: Store = new Proxy(store, {
    get(target, name) {
      if (name === "getMany" && isStale) {
        return (keys: Key[]) =>
          Promise.resolve(
            keys.map((key) => ({ key, value: 1n, versionstamp: "0" })),
          );
      }
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  await using counter = new StoredCounter({
    kv,
    clock: opened.clock,
    name: "test",
    windowMs: COUNTER_WINDOW_MS,
    maxUnshared: COUNTER_MAX_UNSHARED,
  });
  counter.add("a", 5);
  await counter.share();
  isStale = true;
  counter.add("a", 2);
  await counter.share();
  assert.equal(counter.look("a").current, 7);
});
