import assert from "node:assert/strict";
import { systemClock } from "../../platform/clock.ts";
import type { Clock } from "../../platform/clock.ts";
import { ManualClock } from "../fakes/clock.ts";

Deno.test("systemClock.monotonic() never goes back, and has fractions", () => {
  const seen = Array.from({ length: 1_000 }, () => systemClock.monotonic());
  assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
  assert(seen.some((ms) => !Number.isInteger(ms)));
});

Deno.test("systemClock.now() is the wall clock", () => {
  const before = Date.now();
  const now = systemClock.now();
  assert(before <= now && now <= Date.now());
});

/** What both clocks promise; `run` lets time pass until `done`. */
const CLOCKS: Readonly<
  Record<string, () => [Clock, (done: Promise<void>) => Promise<void>]>
> = {
  systemClock: () => [systemClock, (done) => done],
  ManualClock: () => {
    const clock = new ManualClock();
    return [clock, async (done) => {
      clock.advance(100);
      await done;
    }];
  },
};

for (const [name, open] of Object.entries(CLOCKS)) {
  Deno.test(`${name}.after() runs work in the order in which it is due, once`, async () => {
    const [clock, run] = open();
    const order: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    clock.after(30, () => {
      order.push("30");
      resolve();
    });
    clock.after(1, () => order.push("1"));
    clock.after(0, () => order.push("0"));
    assert.deepEqual(order, [], "even 0 means a later turn");
    await run(promise);
    assert.deepEqual(order.toSorted(), ["0", "1", "30"]);
    assert.equal(order.at(-1), "30");
  });

  Deno.test(`${name}.after() runs nothing that was disposed`, async () => {
    const [clock, run] = open();
    let ran = false;
    clock.after(1, () => ran = true)[Symbol.dispose]();
    const { promise, resolve } = Promise.withResolvers<void>();
    clock.after(20, resolve);
    await run(promise);
    assert.equal(ran, false);
  });

  Deno.test(`${name}.soon() runs all of a turn together, before any timer`, async () => {
    const [clock, run] = open();
    const order: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    // Far enough away that a busy machine does not find it due already.
    clock.after(90, () => {
      order.push("timer");
      resolve();
    });
    clock.soon(() => order.push("a"));
    clock.soon(() => order.push("b"));
    assert.deepEqual(order, []);
    await run(promise);
    assert.deepEqual(order, ["a", "b", "timer"]);
  });
}

Deno.test("ManualClock.stepWall() moves the wall clock alone", () => {
  const clock = new ManualClock(1_000);
  let ran = 0;
  clock.after(50, () => ran++);
  clock.stepWall(3_600_000);
  assert.deepEqual(
    [clock.now(), clock.monotonic(), ran],
    [3_601_000, 1_000, 0],
  );
  clock.stepWall(-7_200_000);
  clock.advance(50);
  assert.deepEqual(
    [clock.now(), clock.monotonic(), ran],
    [-3_598_950, 1_050, 1],
  );
});
