/**
 * What every shared counter keeps to, whatever it is made of.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { SharedCounter } from "../../store/shared_counter.ts";
import type { ManualClock } from "../fakes/clock.ts";
import { until } from "../until.ts";

/** Length of the windows under test, in milliseconds. */
export const COUNTER_WINDOW_MS = 60_000;
/** How often counts are shared without being asked, in milliseconds. */
export const COUNTER_SHARE_MS = 250;
/** How much of a count may stay unshared. */
export const COUNTER_MAX_UNSHARED = 10;

/** Where several instances count together. */
export interface CounterStage extends AsyncDisposable {
  /** Time of all instances; a window has just begun. */
  readonly clock: ManualClock;
  /** While `true`, no instance can reach what the counts are kept in. */
  isAway: boolean;
  /** Lets one more instance count. */
  join(): SharedCounter;
}

/** One kind of counter under the contract. */
export interface CounterKind {
  /** Names the tests. */
  readonly name: string;
  /** How many random histories are tried; 25 when absent. */
  readonly runs?: number;
  /** Opens a place where nothing was counted. */
  open(): Promise<CounterStage>;
}

/** Runs the contract on one kind of counter. */
export function testSharedCounter(kind: CounterKind): void {
  const test = (
    name: string,
    body: (stage: CounterStage) => Promise<void>,
  ) => {
    Deno.test(`${kind.name} ${name}`, async () => {
      await using stage = await kind.open();
      await body(stage);
    });
  };

  test("counts at once, each name apart", async (stage) => {
    await using one = stage.join();
    const nothing = { current: 0, unshared: 0, previous: 0, elapsedMs: 0 };
    assert.deepEqual(one.look("a"), nothing);
    assert.equal(one.size, 0);
    one.add("a", 2);
    one.add("a", 1);
    one.add("b", 1);
    assert.deepEqual(one.look("a"), { ...nothing, current: 3, unshared: 3 });
    assert.equal(one.look("b").current, 1);
    assert.equal(one.look("c").current, 0);
    assert.equal(one.size, 2);
  });

  test("adds up what all instances counted, once they have shared", async (stage) => {
    await using one = stage.join();
    await using two = stage.join();
    one.add("a", COUNTER_MAX_UNSHARED);
    two.add("a", 3);
    await one.share();
    await two.share();
    assert.deepEqual(
      two.look("a"),
      {
        current: COUNTER_MAX_UNSHARED + 3,
        unshared: 0,
        previous: 0,
        elapsedMs: 0,
      },
    );
    one.add("a", COUNTER_MAX_UNSHARED);
    await one.share();
    assert.equal(one.look("a").current, 2 * COUNTER_MAX_UNSHARED + 3);
  });

  test("shares by itself", async (stage) => {
    await using one = stage.join();
    await using two = stage.join();
    one.add("a", 4);
    two.add("a", 3);
    stage.clock.advance(COUNTER_SHARE_MS);
    // Whichever shares last reads what the other has shared.
    const known = () => [one, two].some((it) => it.look("a").current === 7);
    await until(known, "one of them knows of the other");
  });

  test("moves from window to window, one of which it remembers", async (stage) => {
    const { clock } = stage;
    await using one = stage.join();
    one.add("a", 5);
    clock.advance(COUNTER_WINDOW_MS - 1);
    assert.equal(one.look("a").current, 5);
    assert.equal(one.look("a").elapsedMs, COUNTER_WINDOW_MS - 1);
    clock.advance(1);
    one.add("a", 2);
    const { current, previous, elapsedMs } = one.look("a");
    assert.deepEqual([current, previous, elapsedMs], [2, 5, 0]);
    clock.advance(COUNTER_WINDOW_MS);
    assert.equal(one.look("a").previous, 2);
    clock.advance(COUNTER_WINDOW_MS);
    assert.equal(one.look("a").previous, 0);
    assert.equal(one.size, 0);
  });

  test("learns of the window before from the others", async (stage) => {
    await using one = stage.join();
    one.add("a", COUNTER_MAX_UNSHARED);
    await one.share();
    stage.clock.advance(COUNTER_WINDOW_MS);
    await using two = stage.join();
    two.add("a", COUNTER_MAX_UNSHARED);
    await two.share();
    assert.equal(two.look("a").previous, COUNTER_MAX_UNSHARED);
  });

  for (const stepMs of [3_600_000, -3_600_000, 30_000, -30_000, -60_000]) {
    test(`has windows of the same length when the wall clock steps by ${stepMs} ms`, async (stage) => {
      const { clock } = stage;
      await using one = stage.join();
      clock.advance(20_000);
      one.add("a", 3);
      clock.stepWall(stepMs);
      assert.equal(one.look("a").current, 3);
      assert.equal(one.look("a").elapsedMs, 20_000);
      clock.advance(COUNTER_WINDOW_MS - 20_000 - 1);
      assert.equal(one.look("a").current, 3);
      clock.advance(1);
      one.add("b", 1);
      assert.equal(one.look("a").current, 0);
      assert.equal(one.look("a").previous, 3);
      clock.advance(2 * COUNTER_WINDOW_MS);
      assert.equal(one.look("a").previous, 0, "nothing lasts longer");
    });
  }

  test("goes on alone without the store, and shares when it is back", async (stage) => {
    await using one = stage.join();
    await using two = stage.join();
    stage.isAway = true;
    one.add("a", COUNTER_MAX_UNSHARED);
    await one.share();
    assert.equal(one.state, "degraded");
    assert.equal(one.look("a").current, COUNTER_MAX_UNSHARED);
    stage.isAway = false;
    await until(() => one.state === "ok", "it is back", stage.clock);
    assert.equal(one.look("a").unshared, 0);
    two.add("a", COUNTER_MAX_UNSHARED);
    await two.share();
    assert.equal(two.look("a").current, 2 * COUNTER_MAX_UNSHARED);
  });

  Deno.test(`${kind.name} loses nothing and counts nothing twice, whatever happens`, async () => {
    const step = fc.record({
      who: fc.nat(2),
      what: fc.constantFrom("add", "add", "share", "away", "back", "turn"),
      amount: fc.integer({ min: 1, max: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 25 }),
        async (steps) => {
          await using stage = await kind.open();
          const counters = [0, 1, 2].map(() => stage.join());
          let all = 0;
          for (const { who, what, amount } of steps) {
            const counter = counters[who]!;
            if (what === "away") stage.isAway = true;
            else if (what === "back") stage.isAway = false;
            else if (what === "turn") await new Promise((t) => setTimeout(t));
            else if (what === "share") void counter.share();
            else {
              counter.add("a", amount);
              all += amount;
            }
            for (const each of counters) {
              const { current, unshared } = each.look("a");
              assert(unshared <= current && current <= all);
            }
          }
          stage.isAway = false;
          // Enough for everything to be due.
          for (const counter of counters) {
            counter.add("a", COUNTER_MAX_UNSHARED);
            all += COUNTER_MAX_UNSHARED;
          }
          for (const counter of [...counters, ...counters]) {
            await counter.share();
          }
          for (const counter of counters) {
            counter.add("a", COUNTER_MAX_UNSHARED);
            await counter.share();
            all += COUNTER_MAX_UNSHARED;
            assert.equal(counter.look("a").current, all);
          }
          for (const counter of counters) {
            await counter[Symbol.asyncDispose]();
          }
        },
      ),
      { numRuns: kind.runs ?? 25 },
    );
  });
}
