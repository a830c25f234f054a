/**
 * What every shared set keeps to, whatever it is made of.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Refusal } from "../../protocol/refusals.ts";
import type { Change, SharedSet } from "../../store/shared_set.ts";
import type { ManualClock } from "../fakes/clock.ts";
import { until } from "../until.ts";

/** An entry of the tests. */
export interface Item {
  /** Distinguishes it from others with its key. */
  readonly text: string;
  /** When it ends, in epoch milliseconds. */
  readonly until: number;
}

/** Most entries of the sets under test. */
export const MAX_ITEMS = 20;

/** Where several instances share one set. */
export interface SetStage extends AsyncDisposable {
  /** Time of all instances. */
  readonly clock: ManualClock;
  /** While `true`, no instance can reach what the set is kept in. */
  isAway: boolean;
  /** Lets one more instance take part, which holds {@link MAX_ITEMS} at most. */
  join(onChange?: (change: Change<Item>) => void): SharedSet<Item>;
}

/** One kind of set under the contract. */
export interface SetKind {
  /** Names the tests. */
  readonly name: string;
  /** How many random histories are tried; 40 when absent. */
  readonly runs?: number;
  /** Opens a place where the set is empty. */
  open(): Promise<SetStage>;
}

function contentOf(set: SharedSet<Item>): string[] {
  return [...set.values()].map(({ text }) => text).sort();
}

function isUnavailable(error: unknown): boolean {
  return error instanceof Refusal && error.code === "STORE_UNAVAILABLE";
}

/** Runs the contract on one kind of set. */
export function testSharedSet(kind: SetKind): void {
  const test = (
    name: string,
    body: (
      stage: SetStage,
      item: (text: string, lifeMs?: number) => Item,
    ) => Promise<void>,
  ) => {
    Deno.test(`${kind.name} ${name}`, async () => {
      await using stage = await kind.open();
      const item = (text: string, lifeMs = 3_600_000): Item => ({
        text,
        until: stage.clock.now() + lifeMs,
      });
      await body(stage, item);
    });
  };

  test(
    "holds a change here at once and elsewhere soon, and reports it",
    async (stage, item) => {
      await using one = stage.join();
      const changes: string[] = [];
      await using two = stage.join(({ put, deleted }) => {
        for (const [key, { text }] of put) changes.push(`+${key} ${text}`);
        for (const [key, { text }] of deleted) changes.push(`-${key} ${text}`);
      });
      await Promise.all([one.ready, two.ready]);
      const putting = one.put("a", item("first"));
      assert.equal(one.get("a")?.text, "first");
      await putting;
      const { clock } = stage;
      await until(
        () => two.get("a")?.text === "first",
        "the other knows",
        clock,
      );
      await one.put("a", item("second"));
      await until(() => two.get("a")?.text === "second", "and again", clock);
      await two.delete("a");
      assert.equal(two.get("a"), undefined);
      await until(() => one.get("a") === undefined, "and back", clock);
      assert.deepEqual(changes, ["+a first", "+a second", "-a second"]);
      assert.equal(one.state, "ok");
      assert.equal(one.size, 0);
    },
  );

  test(
    "gives those who join later what was kept before",
    async (stage, item) => {
      await using one = stage.join();
      await one.put("a", item("a"));
      await one.put("b", item("b"));
      await using late = stage.join();
      await late.ready;
      assert.deepEqual(contentOf(late), ["a", "b"]);
    },
  );

  test("forgets what has ended, without being asked", async (stage, item) => {
    const changes: string[] = [];
    await using one = stage.join(({ deleted }) => {
      changes.push(...deleted.map(([key]) => key));
    });
    await one.ready;
    await one.put("a", item("short", 500));
    await one.put("b", item("long"));
    stage.clock.advance(500);
    assert.equal(one.get("a"), undefined);
    assert.deepEqual(contentOf(one), ["long"]);
    await until(() => one.size === 1, "it is dropped", stage.clock);
    assert.deepEqual(changes, ["a"]);
  });

  test(
    "refuses what it has no room for, and keeps what it has",
    async (stage, item) => {
      await using one = stage.join();
      await one.ready;
      for (let i = 0; i < MAX_ITEMS; i++) {
        assert.equal(one.isFull, false);
        await one.put(`${i}`, item(`${i}`, i === 0 ? 500 : undefined));
      }
      assert.equal(one.isFull, true);
      assert.throws(() => void one.put("more", item("more")), RangeError);
      assert.equal(one.get("more"), undefined);
      await one.put("1", item("again"));
      assert.equal(one.size, MAX_ITEMS);
      stage.clock.advance(500);
      await one.put("more", item("more"));
      assert.equal(one.get("more")?.text, "more");
      assert.equal(one.get("0"), undefined, "it had ended");
    },
  );

  test(
    "holds on without the store, and writes when it is back",
    async (stage, item) => {
      await using one = stage.join();
      await using two = stage.join();
      await one.put("kept", item("kept"));
      const { clock } = stage;
      await until(() => two.size === 1, "the other knows", clock);
      stage.isAway = true;
      await assert.rejects(one.put("new", item("new")), isUnavailable);
      await assert.rejects(one.delete("kept"), isUnavailable);
      assert.deepEqual(contentOf(one), ["new"]);
      assert.equal(one.state, "degraded");
      await until(() => two.state === "degraded", "the other notices", clock);
      assert.deepEqual(contentOf(two), ["kept"]);
      stage.isAway = false;
      await until(
        () => contentOf(two).join() === "new" && one.state === "ok",
        "the other knows",
        clock,
      );
      await until(() => two.state === "ok", "it is back for both", clock);
      assert.deepEqual(contentOf(one), ["new"]);
    },
  );

  Deno.test(`${kind.name} becomes the same everywhere, whatever happened`, async () => {
    const step = fc.record({
      who: fc.nat(2),
      what: fc.constantFrom("put", "put", "delete", "away", "back", "pass"),
      key: fc.constantFrom("a", "b", "c"),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 15 }),
        async (steps) => {
          await using stage = await kind.open();
          const { clock } = stage;
          const sets = [0, 1, 2].map(() => stage.join());
          const writes: Promise<unknown>[] = [];
          for (const [i, { who, what, key }] of steps.entries()) {
            const set = sets[who]!;
            const end = clock.now() + 3_600_000;
            if (what === "away") stage.isAway = true;
            else if (what === "back") stage.isAway = false;
            else if (what === "pass") clock.advance(300);
            else if (what === "delete") writes.push(set.delete(key));
            else writes.push(set.put(key, { text: `${key}${i}`, until: end }));
            if (what === "pass") await Promise.allSettled(writes);
          }
          stage.isAway = false;
          await Promise.allSettled(writes);
          await until(
            () => sets.every(({ state }) => state === "ok"),
            "all are written",
            clock,
          );
          const fresh = stage.join();
          await fresh.ready;
          await until(
            () =>
              sets.every((set) =>
                contentOf(set).join() === contentOf(fresh).join()
              ),
            "all are the same",
            clock,
          );
          for (const set of [...sets, fresh]) {
            await set[Symbol.asyncDispose]();
          }
          assert.equal(clock.pending, 0);
        },
      ),
      { numRuns: kind.runs ?? 40 },
    );
  });
}
