import assert from "node:assert/strict";
import { pause } from "../../platform/pause.ts";
import { ManualClock, settle } from "../fakes/clock.ts";

Deno.test("pause() resolves when its time is over, not before", async () => {
  const clock = new ManualClock();
  let isOver = false;
  const waiting = pause(clock, 50).then(() => isOver = true);
  clock.advance(49);
  await settle();
  assert.equal(isOver, false);
  clock.advance(1);
  await waiting;
  assert.equal(clock.pending, 0);
});

Deno.test("pause() resolves at once when its signal aborts, and leaves no timer", async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const waiting = pause(clock, 50, stop.signal);
  assert.equal(clock.pending, 1);
  stop.abort();
  await waiting;
  await pause(clock, 50, stop.signal);
  assert.equal(clock.pending, 0);
});
