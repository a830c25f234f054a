import assert from "node:assert/strict";
import { Ringer } from "../../realtime/ringer.ts";
import type { Pacing } from "../../realtime/ringer.ts";
import { ManualClock, pass } from "../fakes/clock.ts";

function bench(pacing: Pacing) {
  const clock = new ManualClock();
  const state = { rings: 0, isFailing: false };
  const ringer = new Ringer(clock, pacing, () => {
    state.rings++;
    return Promise.resolve(!state.isFailing);
  });
  return {
    clock,
    state,
    ringer,
    after: async (ms: number) => {
      await pass(clock, ms);
      return state.rings;
    },
  };
}

Deno.test("a Ringer rings at once, then once in its interval for all that was announced", async () => {
  const { ringer, after, clock } = bench({ minIntervalMs: 100 });
  for (let i = 0; i < 50; i++) ringer.announce();
  assert.equal(await after(0), 1);
  assert.equal(await after(99), 1);
  assert.equal(await after(1), 2);
  assert.equal(await after(10_000), 2, "silent when nothing is announced");
  assert.equal(clock.pending, 0);
  ringer.announce();
  assert.equal(await after(0), 3, "at once again after a rest");
});

Deno.test("a Ringer that waits rings once for all that is announced meanwhile", async () => {
  const { ringer, after } = bench({ minIntervalMs: 100, waitMs: 70 });
  ringer.announce();
  assert.equal(await after(69), 0);
  ringer.announce();
  assert.equal(await after(1), 1);
  ringer.announce();
  assert.equal(await after(99), 1);
  assert.equal(await after(1), 2);
  assert.equal(await after(100), 2);
  ringer.announce();
  assert.equal(await after(69), 2);
  assert.equal(await after(1), 3);
});

Deno.test("a Ringer repeats a ring that failed, until one succeeds", async () => {
  const { ringer, after, state } = bench({ minIntervalMs: 10 });
  state.isFailing = true;
  ringer.announce();
  assert.equal(await after(35), 4);
  state.isFailing = false;
  assert.equal(await after(10), 5);
  assert.equal(await after(1_000), 5);
});

Deno.test("a Ringer that is disposed rings no more and keeps nothing", async () => {
  const { ringer, after, clock } = bench({ minIntervalMs: 10 });
  ringer.announce();
  ringer.announce();
  await after(0);
  ringer[Symbol.dispose]();
  ringer.announce();
  assert.equal(await after(1_000), 1);
  assert.equal(clock.pending, 0);
});
