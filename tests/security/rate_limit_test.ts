import assert from "node:assert/strict";
import fc from "fast-check";
import { Budget } from "../../security/budget.ts";
import { RateLimit, type RateLimitOptions } from "../../security/rate_limit.ts";
import { bucketOf } from "../../security/client_ip.ts";
import {
  MAX_NAMES_PER_GROUP,
  OVERFLOW_NAMES,
  SHARE_MS,
} from "../../store/stored_counter.ts";
import { ManualClock } from "../fakes/clock.ts";
import { flaky } from "../fakes/security.ts";
import { until } from "../until.ts";
import { openStore } from "../../store/deno_kv.ts";

const WINDOW = 60_000;
const START = Math.ceil(Date.UTC(2025, 7, 7, 10) / WINDOW) * WINDOW;

/** `instances` limits over one store, with one clock. */
async function setup(
  options: Partial<RateLimitOptions> = {},
  instances = 1,
) {
  const kv = await openStore(":memory:");
  const store = flaky(kv);
  const clock = new ManualClock(START);
  const limits = Array.from({ length: instances }, () =>
    new RateLimit({
      kv: store.kv,
      clock,
      name: "test",
      limit: 100,
      windowMs: WINDOW,
      ...options,
    }));
  return {
    kv,
    store,
    clock,
    limits,
    limit: limits[0]!,
    async [Symbol.asyncDispose]() {
      for (const limit of limits) await limit[Symbol.asyncDispose]();
      kv.close();
    },
  };
}

/** Takes until refused, at most `most` times. */
function drain(limit: RateLimit, bucket = "a", most = 1_000): number {
  for (let taken = 0; taken < most; taken++) {
    if (limit.take(bucket) > 0) return taken;
  }
  return most;
}

/** Takes all it can, folding whenever that is what it waits for. */
async function drainFolding(limit: RateLimit, bucket = "a"): Promise<number> {
  for (let taken = 0;;) {
    await limit.share();
    const now = drain(limit, bucket);
    if (now === 0) return taken;
    taken += now;
  }
}

/** Lets what was begun go on. */
function turn(): Promise<void> {
  return new Promise((done) => setTimeout(done, 0));
}

Deno.test("a window admits its limit, then says when to come back", async () => {
  await using all = await setup({ limit: 5 });
  const { limit, clock } = all;
  assert.equal(drain(limit), 5);
  const wait = limit.take("a");
  // All of the limit was taken at once: the first part of it is back a fifth
  // into the next window.
  assert.equal(wait, WINDOW + WINDOW / 5);
  clock.advance(wait - 1);
  assert(limit.take("a") > 0);
  clock.advance(1);
  assert.equal(limit.take("a"), 0);
  assert(limit.take("a") > 0);
});

Deno.test("waiting as long as answered is always enough, and never a millisecond too long", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 20 }),
      fc.array(
        fc.record({
          cost: fc.integer({ min: 1, max: 25 }),
          ms: fc.nat(40_000),
        }),
        { maxLength: 30 },
      ),
      async (most, steps) => {
        await using all = await setup({ limit: most, maxUnshared: most });
        for (const { cost, ms } of steps) {
          const wait = all.limit.take("a", cost);
          if (wait > 0) {
            all.clock.advance(wait - 1);
            const early = all.limit.take("a", cost);
            assert(early >= 1);
            all.clock.advance(1);
            assert.equal(all.limit.take("a", cost), 0);
          }
          all.clock.advance(ms);
        }
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("there is no double burst at the edge of a window", async () => {
  await using all = await setup({ limit: 10 });
  const { limit, clock } = all;
  clock.advance(WINDOW - 1);
  assert.equal(drain(limit), 10);
  clock.advance(1);
  assert.equal(drain(limit), 0);
  clock.advance(WINDOW / 2);
  assert.equal(drain(limit), 5);
});

Deno.test("callers have budgets of their own, and so have limits", async () => {
  await using all = await setup({ limit: 3 });
  const other = new RateLimit({
    kv: all.kv,
    clock: all.clock,
    name: "other",
    limit: 3,
    windowMs: WINDOW,
  });
  assert.equal(drain(all.limit, "a"), 3);
  assert.equal(drain(all.limit, "b"), 3);
  await all.limit.share();
  assert.equal(drain(other, "a"), 3);
  await other[Symbol.asyncDispose]();
});

Deno.test("what is refused costs nothing, and a large cost counts as the limit", async () => {
  await using all = await setup({ limit: 10 });
  assert.equal(all.limit.take("a", 8), 0);
  assert(all.limit.take("a", 3) > 0);
  assert.equal(all.limit.take("a", 2), 0);
  assert.equal(all.limit.take("b", 999), 0);
  assert(all.limit.take("b") > 0);
});

Deno.test("the numbers for the headers follow the budget", async () => {
  await using all = await setup({ limit: 10 });
  const { limit, clock } = all;
  assert.deepEqual(limit.peek("a"), { limit: 10, remaining: 10, resetMs: 0 });
  clock.advance(20_000);
  limit.take("a", 4);
  assert.deepEqual(limit.peek("a"), {
    limit: 10,
    remaining: 6,
    resetMs: 100_000,
  });
  clock.advance(70_000);
  assert.deepEqual(limit.peek("a"), {
    limit: 10,
    remaining: 8,
    resetMs: 30_000,
  });
  clock.advance(30_000);
  assert.deepEqual(limit.peek("a"), { limit: 10, remaining: 10, resetMs: 0 });
  assert.equal(limit.size, 0);
});

Deno.test("one instance asks the others before it admits more than its share", async () => {
  await using all = await setup({ limit: 100 });
  assert.equal(drain(all.limit), 25);
  assert.equal(all.limit.take("a"), 50);
  assert.equal(await drainFolding(all.limit), 75);
});

Deno.test("instances share a budget, through folding alone", async () => {
  await using all = await setup({ limit: 100 }, 2);
  const [one, two] = all.limits as [RateLimit, RateLimit];
  assert.equal(await drainFolding(one), 100);
  const extra = await drainFolding(two);
  assert(extra <= 25, `admitted ${extra}`);
  await one.share();
  assert.equal(drain(two), 0);
  assert.equal(two.peek("a").remaining, 0);
});

Deno.test("what was taken before the edge counts after it on every instance", async () => {
  await using all = await setup({ limit: 100 }, 2);
  const [one, two] = all.limits as [RateLimit, RateLimit];
  await drainFolding(one);
  all.clock.advance(WINDOW);
  const extra = await drainFolding(two);
  assert(extra <= 25, `admitted ${extra}`);
});

Deno.test("folding happens by itself, and costs nothing while nothing happens", async () => {
  await using all = await setup({ limit: 100 }, 2);
  const [one, two] = all.limits as [RateLimit, RateLimit];
  one.take("a", 20);
  two.take("a", 4);
  await two.share();
  assert.equal(two.peek("a").remaining, 76);
  all.clock.advance(SHARE_MS);
  await until(() => one.peek("a").remaining === 76, "the counts meet");
  const { operations } = all.store;
  all.clock.advance(10 * SHARE_MS);
  assert.equal(all.store.operations, operations);
});

Deno.test("callers who do little cost KV nothing", async () => {
  await using all = await setup({ limit: 1_000 });
  // Looking for what earlier windows left behind.
  all.clock.advance(SHARE_MS);
  const { operations } = all.store;
  for (let i = 0; i < 1_000; i++) all.limit.take(`caller ${i}`, 31);
  all.clock.advance(SHARE_MS);
  assert.equal(all.store.operations, operations);
  all.limit.take("caller 0", 1);
  all.clock.advance(SHARE_MS);
  assert.equal(all.store.operations, operations + 1);
});

Deno.test("while KV is away each instance counts by itself, and says so", async () => {
  await using all = await setup({ limit: 100 }, 2);
  const [one, two] = all.limits as [RateLimit, RateLimit];
  all.store.isAway = true;
  assert.equal(drain(one), 25);
  await one.share();
  assert.equal(one.state, "degraded");
  assert.equal(drain(one), 75);
  assert(one.take("a") > 50);
  all.store.isAway = false;
  all.clock.advance(SHARE_MS);
  await until(() => one.state === "ok", "KV is back");
  // What was counted meanwhile is shared now.
  assert((await drainFolding(two)) <= 25);
});

Deno.test("an idle limit notices by itself that KV is back", async () => {
  await using all = await setup({ limit: 100 });
  all.limit.take("a", 25);
  all.store.isAway = true;
  await all.limit.share();
  all.clock.advance(2 * WINDOW);
  await turn();
  assert.equal(all.limit.state, "degraded");
  all.store.isAway = false;
  all.clock.advance(SHARE_MS);
  await until(() => all.limit.state === "ok", "KV is back");
});

Deno.test("a KV that never answers stops no caller for longer than 2 s", async () => {
  await using all = await setup({ limit: 100 });
  all.store.isStuck = true;
  assert.equal(drain(all.limit), 25);
  all.clock.advance(2_000);
  assert.equal(all.limit.take("a"), 50);
  all.clock.advance(1);
  assert.equal(all.limit.state, "degraded");
  assert.equal(drain(all.limit), 75);
  all.store.isStuck = false;
  all.store.isAway = true;
  all.store.release();
  await until(() => all.store.operations > 0, "the fold fails");
});

Deno.test("beyond the bound on callers, newcomers share budgets, and none enters uncounted", async () => {
  await using all = await setup({ limit: 5, maxBuckets: 100 });
  const { limit } = all;
  for (let i = 0; i < 100; i++) assert.equal(limit.take(`old ${i}`), 0);
  assert.equal(limit.size, 100);
  let admitted = 0;
  for (let i = 0; i < 20_000; i++) {
    if (limit.take(`new ${i}`) === 0) admitted++;
  }
  assert.equal(admitted, OVERFLOW_NAMES * 5);
  assert.equal(limit.size, 100 + OVERFLOW_NAMES);
  // Those counted before keep their own budget.
  assert.equal(drain(limit, "old 7"), 4);
  all.clock.advance(2 * WINDOW);
  assert.equal(drain(limit, "new 7"), 5);
  assert.equal(limit.size, 1);
});

Deno.test("one IPv6 site does not use up the room of all callers", async () => {
  await using all = await setup({ limit: 5, maxBuckets: 2_000 });
  const { limit } = all;
  const bucket = (site: number, i: number) =>
    bucketOf(`2001:db8:${site}:${i.toString(16)}::1`);
  for (let i = 0; i < 60_000; i++) limit.take(bucket(1, i));
  assert.equal(limit.size, MAX_NAMES_PER_GROUP + 1);
  assert(limit.take(bucket(1, 60_001)) > 0, "the rest of it is one caller");
  assert.equal(drain(limit, bucket(2, 1)), 5);
  assert.equal(drain(limit, "203.0.113.7"), 5);
});

Deno.test("counters of past windows leave KV", async () => {
  await using all = await setup({ limit: 10 });
  const left = async () =>
    (await Array.fromAsync(all.kv.list({ prefix: ["rate"] }))).length;
  const tick = async () => {
    all.clock.advance(SHARE_MS);
    await turn();
  };
  for (let i = 0; i < 1_200; i++) all.limit.take(`caller ${i}`, 10);
  for (let i = 0; i < 5; i++) await all.limit.share();
  assert.equal(await left(), 1_200);
  all.clock.advance(WINDOW);
  for (let i = 0; i < 5; i++) await tick();
  assert.equal(await left(), 1_200);
  all.clock.advance(WINDOW);
  for (let i = 0; i < 100 && await left() > 0; i++) await tick();
  assert.equal(await left(), 0);
});

Deno.test("a clock set back opens nothing", async () => {
  await using all = await setup({ limit: 5 });
  let now = START + 10;
  const limit = new RateLimit({
    kv: all.kv,
    clock: {
      now: () => now,
      monotonic: () => all.clock.monotonic(),
      after: all.clock.after.bind(all.clock),
      soon: all.clock.soon.bind(all.clock),
    },
    name: "back",
    limit: 5,
    windowMs: WINDOW,
  });
  assert.equal(drain(limit), 5);
  now -= 5 * WINDOW;
  assert.equal(drain(limit), 0);
  await limit[Symbol.asyncDispose]();
});

Deno.test("a limit or window that is no number is refused", async () => {
  await using all = await setup();
  const { kv, clock } = all;
  const fine = { kv, clock, name: "wrong", limit: 1, windowMs: 1 };
  for (const wrong of [0, -1, 1.5, NaN, Infinity]) {
    const limit = () => new RateLimit({ ...fine, limit: wrong });
    assert.throws(limit, /"wrong" is not a whole number/);
    const windowMs = () => new RateLimit({ ...fine, windowMs: wrong });
    assert.throws(windowMs, /"wrong" is not 1 ms or longer/);
  }
});

Deno.test("two instances never admit more than their documented bound, whatever the schedule", async () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        take: fc.integer({ min: 1, max: 40 }),
        on: fc.nat(1),
      }),
    },
    { weight: 3, arbitrary: fc.record({ wait: fc.nat(30_000) }) },
    { weight: 2, arbitrary: fc.record({ fold: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ begin: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ turn: fc.nat(2) }) },
  );
  const limit = 40;
  const maxUnshared = 10;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 20, maxLength: 150 }),
      async (steps) => {
        await using all = await setup({ limit, maxUnshared }, 2);
        const admitted: number[] = [];
        for (const step of steps) {
          if ("take" in step) {
            // The bound is one while KV answers.
            const { on } = step;
            await until(() => all.limits[on]!.state === "ok", "KV answers");
            for (let i = 0; i < step.take; i++) {
              if (all.limits[step.on]!.take("a") === 0) {
                admitted.push(all.clock.now());
              }
            }
          } else if ("wait" in step) all.clock.advance(step.wait);
          else if ("fold" in step) await all.limits[step.fold]!.share();
          else if ("begin" in step) void all.limits[step.begin]!.share();
          else {
            for (let i = 0; i < step.turn; i++) {
              await turn();
            }
          }
        }
        assertBounds(admitted, limit, maxUnshared);
      },
    ),
    { numRuns: 150 },
  );
});

Deno.test("one instance by itself never exceeds the limit, whatever the schedule", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          take: fc.integer({ min: 1, max: 60 }),
          wait: fc.nat(30_000),
        }),
        { minLength: 10, maxLength: 100 },
      ),
      async (steps) => {
        await using all = await setup({ limit: 40, maxUnshared: 40 });
        const admitted: number[] = [];
        for (const { take, wait } of steps) {
          for (let i = 0; i < take; i++) {
            if (all.limit.take("a") === 0) admitted.push(all.clock.now());
          }
          all.clock.advance(wait);
        }
        assertBounds(admitted, 40, 0);
      },
    ),
    { numRuns: 100 },
  );
});

/** The bounds that {@link RateLimit} documents, for what two instances admitted. */
function assertBounds(
  admitted: readonly number[],
  limit: number,
  overshoot: number,
): void {
  const windows = Map.groupBy(admitted, (at) => Math.floor(at / WINDOW));
  for (const { length } of windows.values()) {
    assert(length <= limit + overshoot, `${length} in a window`);
  }
  admitted.forEach((from, i) => {
    for (let j = i; j < admitted.length; j++) {
      const span = admitted[j]! - from;
      if (span > WINDOW) break;
      const most = limit * (1 + span / WINDOW) + 2 * overshoot;
      assert(j - i + 1 <= most, `${j - i + 1} in ${span} ms`);
    }
  });
}

Deno.test("a connection's budget allows a burst, then its rate", () => {
  const clock = new ManualClock(START);
  const budget = new Budget({
    burst: 3,
    perSecond: 2,
    now: () => clock.now(),
  });
  assert.deepEqual([1, 2, 3].map(() => budget.take()), [0, 0, 0]);
  assert.equal(budget.take(), 500);
  clock.advance(499);
  assert.equal(budget.take(), 1);
  clock.advance(1);
  assert.equal(budget.take(), 0);
  assert.equal(budget.take(), 500);
  clock.advance(3_600_000);
  assert.equal(budget.take(3), 0);
  assert.equal(budget.take(99), 1_500);
});

Deno.test("a connection's budget never admits more than burst and rate together", () => {
  const step = fc.record({
    cost: fc.integer({ min: 1, max: 12 }),
    ms: fc.nat(3_000),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      let now = START;
      const budget = new Budget({ burst: 10, perSecond: 3, now: () => now });
      let spent = 0;
      for (const { cost, ms } of steps) {
        now += ms;
        if (budget.take(cost) === 0) spent += Math.min(cost, 10);
        assert(spent <= 10 + (now - START) * 0.003 + 1e-6);
      }
    }),
  );
});

Deno.test("a budget that admits nothing is refused", () => {
  const now = () => START;
  assert.throws(() => new Budget({ burst: 0, perSecond: 1, now }), RangeError);
  assert.throws(() => new Budget({ burst: 1, perSecond: 0, now }), RangeError);
  assert.throws(
    () => new Budget({ burst: NaN, perSecond: 1, now }),
    RangeError,
  );
});

Deno.test("what was used already is spent, and owed beyond what is left", async () => {
  await using at = await setup();
  const [limit] = at.limits;
  limit!.spend("a", 90);
  await limit!.share();
  assert.equal(limit!.peek("a").remaining, 10);
  assert.equal(limit!.take("a", 0), 0);
  limit!.spend("a", 60);
  await limit!.share();
  assert(limit!.take("a", 0) > 0, "something is owed");
  assert(limit!.take("a", 1) > 0);
  assert.equal(limit!.take("b", 1), 0, "by one caller alone");

  const clock = new ManualClock();
  const now = () => clock.monotonic();
  const budget = new Budget({ burst: 10, perSecond: 10, now });
  budget.spend(25);
  assert.equal(budget.take(0), 1_500);
  clock.advance(1_499);
  assert.equal(budget.take(0), 1);
  clock.advance(101);
  assert.equal(budget.take(1), 0);
});
