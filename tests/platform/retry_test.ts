import assert from "node:assert/strict";
import { MAX_TRIES, retryWhileBusy } from "../../platform/retry.ts";
import { ManualClock, pass } from "../fakes/clock.ts";

const BUSY = new Error("busy");
const isBusy = (error: unknown) => error === BUSY;

/** Work that fails with each of `errors`, then succeeds. */
function failing(errors: readonly unknown[]): {
  work: () => Promise<string>;
  tries: () => number;
} {
  let tries = 0;
  return {
    work: () => {
      const error = errors[tries++];
      return error === undefined
        ? Promise.resolve("done")
        : Promise.reject(error);
    },
    tries: () => tries,
  };
}

Deno.test("retryWhileBusy() tries again, with waits that grow", async () => {
  const clock = new ManualClock();
  const { work, tries } = failing([BUSY, BUSY, BUSY]);
  const result = retryWhileBusy({ clock, isBusy, random: () => 0.5 }, work);
  const waits: number[] = [];
  while (tries() < 4) {
    await pass(clock, 0);
    if (tries() === 4) break;
    const ms = clock.nextDue - clock.monotonic();
    waits.push(ms);
    await pass(clock, ms);
  }
  assert.equal(await result, "done");
  assert.deepEqual(waits, [2, 4, 8]);
  assert.equal(clock.pending, 0);
});

Deno.test("retryWhileBusy() throws another error at once", async () => {
  const { work, tries } = failing([new Error("broken")]);
  const clock = new ManualClock();
  await assert.rejects(retryWhileBusy({ clock, isBusy }, work), /broken/);
  assert.equal(tries(), 1);
});

Deno.test("retryWhileBusy() gives up after its last try with what that threw", async () => {
  const clock = new ManualClock();
  const { work, tries } = failing(Array.from({ length: 99 }, () => BUSY));
  const ended = assert.rejects(retryWhileBusy({ clock, isBusy }, work), BUSY);
  await pass(clock, 60_000);
  await ended;
  assert.equal(tries(), MAX_TRIES);
});
