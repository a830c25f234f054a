import assert from "node:assert/strict";
import { StoredSet } from "../../store/stored_set.ts";
import { MAX_ITEMS, testSharedSet } from "../contracts/shared_set_contract.ts";
import type { Item } from "../contracts/shared_set_contract.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import type { Weather } from "../fakes/kv.ts";
import { until } from "../until.ts";
import { openFlaky, runsOn, STORES } from "./stores.ts";

for (const [name, open] of Object.entries(STORES)) {
  testSharedSet({
    name: `StoredSet on ${name}`,
    ...runsOn(name),
    open: () =>
      openFlaky(
        open,
        (parts, onChange: () => void = () => {}) =>
          new StoredSet<Item>({
            ...parts,
            name: "item",
            maxEntries: MAX_ITEMS,
            endOf: ({ until }) => until,
          }, onChange),
      ),
  });
}

Deno.test("StoredSet keeps what was put before a read that does not know it yet", async () => {
  const clock = new ManualClock();
  const world = new MemoryKv(clock);
  const calm = { ...CALM };
  let isSlow = false;
  // Writes take effect late, and reads are long on their way back.
  const weather: Weather = (operation) =>
    !isSlow
      ? calm
      : operation === "commit"
      ? { ...CALM, beforeMs: 150 }
      : { ...CALM, afterMs: 100 };
  const options = {
    clock,
    name: "item",
    maxEntries: MAX_ITEMS,
    endOf: ({ until }: Item) => until,
  };
  const item = (text: string) => ({ text, until: clock.now() + 3_600_000 });
  await using one = new StoredSet<Item>({
    ...options,
    kv: world.connect({ weather }),
  }, () => {});
  await using two = new StoredSet<Item>({
    ...options,
    kv: world.connect(),
  }, () => {});
  await Promise.all([one.ready, two.ready]);
  isSlow = true;
  const putting = one.put("a", item("a"));
  await pass(clock, 10);
  // It rings: the read begins now, and sees the store as it is without "a".
  await two.put("b", item("b"));
  for (let ms = 0; ms < 500; ms += 10) {
    await pass(clock, 10);
    assert.equal(one.get("a")?.text, "a", `after ${ms} ms`);
  }
  await putting;
  isSlow = false;
  await until(() => two.get("a") !== undefined, "the other knows", clock);
  assert.equal(one.get("b")?.text, "b");
});
