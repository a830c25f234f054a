import assert from "node:assert/strict";
import { Deadline, TimedOut, within } from "../../platform/deadline.ts";
import { ManualClock } from "../fakes/clock.ts";

/** Never settles. */
const never = new Promise<never>(() => {});

Deno.test("within() gives what the work gives, and leaves no timer", async () => {
  const clock = new ManualClock();
  assert.equal(await within(clock, 50, "Work", Promise.resolve(7)), 7);
  await assert.rejects(
    within(clock, 50, "Work", Promise.reject(new Error("own"))),
    /own/,
  );
  assert.equal(clock.pending, 0);
});

Deno.test("within() throws TimedOut at the deadline, not before, and names the work", async () => {
  const clock = new ManualClock();
  const errors: unknown[] = [];
  const ended = within(clock, 50, "The store", never)
    .catch((error) => errors.push(error));
  clock.advance(49);
  assert.equal(clock.pending, 1);
  assert.equal(errors.length, 0);
  clock.advance(1);
  await ended;
  const [error] = errors;
  assert(error instanceof TimedOut);
  assert.equal(error.name, "TimedOut");
  assert.equal(error.message, "The store did not answer within 50 ms");
  assert.equal(clock.pending, 0);
});

Deno.test("a failure after the deadline is ignored", async () => {
  const clock = new ManualClock();
  const { promise, reject } = Promise.withResolvers<void>();
  const ended = assert.rejects(within(clock, 5, "Work", promise), TimedOut);
  clock.advance(5);
  await ended;
  // An unhandled rejection would fail this test.
  reject(new Error("late"));
  await new Promise((turn) => setTimeout(turn, 0));
});

Deno.test("one Deadline bounds several promises together", async () => {
  const clock = new ManualClock();
  using deadline = new Deadline(clock, 100, "Both");
  clock.advance(60);
  assert.equal(await deadline.race(Promise.resolve(1)), 1);
  const second = assert.rejects(deadline.race(never), TimedOut);
  clock.advance(40);
  await second;
  await assert.rejects(deadline.race(never), TimedOut);
});

Deno.test("a signal ends the wait with its reason, also one that is aborted already", async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const reason = new Error("stopped");
  const waiting = within(clock, 50, "Work", never, stop.signal);
  stop.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(within(clock, 50, "Work", never, stop.signal), reason);
  assert.equal(clock.pending, 0);
});
