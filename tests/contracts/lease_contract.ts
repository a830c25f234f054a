/**
 * What every lease keeps to, whatever it is made of.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Lease } from "../../store/lease.ts";
import type { ManualClock } from "../fakes/clock.ts";

/** What runs while a lease is held. */
export type Work = (signal: AbortSignal) => Promise<void>;

/** One who wants the lease. */
export interface Seat {
  /** Its request. */
  readonly lease: Lease;
  /** While `true`, it cannot reach what the lease is kept in. */
  cut: boolean;
}

/** Where several want one lease. */
export interface Stage extends AsyncDisposable {
  /** Lets one more want it. */
  join(holder: string, work: Work): Seat;
  /** Moves the monotonic clocks on; whatever becomes due on the way is done. */
  pass(ms: number): Promise<void>;
  /** Lets what was begun go on. */
  settle(): Promise<void>;
  /** All wall clocks. */
  readonly clock: Pick<ManualClock, "stepWall">;
}

/** One kind of lease under the contract. */
export interface LeaseKind {
  /** Names the tests. */
  readonly name: string;
  /** How many random histories are tried; 40 when absent. */
  readonly runs?: number;
  /** Milliseconds without a renewal after which another may take over. */
  readonly ttlMs: number;
  /** Opens a place where the lease is free. */
  open(): Promise<Stage>;
}

/** Work that records its runs, and checks that no two run at once. */
class Watched {
  readonly running = new Set<string>();
  readonly begun: string[] = [];
  most = 0;

  /** Runs until it is aborted. */
  work(name: string): Work {
    return async (signal) => {
      this.begin(name);
      if (!signal.aborted) {
        await new Promise((resolve) =>
          signal.addEventListener("abort", resolve, { once: true })
        );
      }
      this.running.delete(name);
    };
  }

  begin(name: string): void {
    this.running.add(name);
    this.begun.push(name);
    this.most = Math.max(this.most, this.running.size);
  }
}

/** Runs the contract on one kind of lease. */
export function testLease(kind: LeaseKind): void {
  const { ttlMs } = kind;
  const test = (
    name: string,
    body: (
      stage: Stage,
      watched: Watched,
      join: (name: string) => Seat,
    ) => Promise<void>,
  ) => {
    Deno.test(`${kind.name} ${name}`, async () => {
      await using stage = await kind.open();
      const watched = new Watched();
      const join = (name: string) => stage.join(name, watched.work(name));
      await body(stage, watched, join);
    });
  };

  test(
    "has one holder among several, which keeps it",
    async (stage, watched, join) => {
      const seats = ["a", "b", "c"].map(join);
      await stage.settle();
      assert.equal(watched.running.size, 1);
      await stage.pass(ttlMs * 4);
      assert.equal(
        watched.begun.length,
        1,
        "the first holder is never relieved",
      );
      assert.equal(seats.filter(({ lease }) => lease.held).length, 1);
      assert.equal(watched.most, 1);
      for (const { lease } of seats) await lease[Symbol.asyncDispose]();
      assert.equal(watched.running.size, 0);
      assert(seats.every(({ lease }) => !lease.held));
    },
  );

  test(
    "is handed over by its disposal, before its time is over",
    async (stage, watched, join) => {
      const first = join("first");
      await stage.settle();
      await using _second = join("second").lease;
      await stage.settle();
      assert.deepEqual([...watched.running], ["first"]);
      await first.lease[Symbol.asyncDispose]();
      await stage.pass(ttlMs / 5);
      assert.deepEqual([...watched.running], ["second"]);
    },
  );

  for (const stepMs of [0, 3_600_000, -3_600_000]) {
    test(
      `passes on after its holder died when its time is over, wall clocks stepped by ${stepMs} ms`,
      async (stage, watched, join) => {
        stage.clock.stepWall(stepMs);
        const dead = join("dead");
        await stage.settle();
        assert(dead.lease.held);
        dead.cut = true;
        await dead.lease[Symbol.asyncDispose]();
        stage.clock.stepWall(-stepMs);
        await using heir = join("heir").lease;
        await stage.pass(ttlMs - 1);
        assert.equal(heir.held, false);
        await stage.pass(ttlMs / 5 + 1);
        assert.equal(heir.held, true);
        assert.deepEqual([...watched.running], ["heir"]);
      },
    );
  }

  test(
    "stops a holder that is cut off before another starts",
    async (stage, watched, join) => {
      const first = join("first");
      await using _first = first.lease;
      await stage.settle();
      await using second = join("second").lease;
      await stage.settle();
      first.cut = true;
      await stage.pass(ttlMs * 0.8);
      assert.equal(first.lease.held, false);
      assert.equal(watched.running.size, 0, "none runs while it is unknown");
      await stage.pass(ttlMs * 0.5);
      assert.deepEqual([...watched.running], ["second"]);
      first.cut = false;
      await stage.pass(ttlMs * 2);
      assert.deepEqual([...watched.running], ["second"]);
      assert(second.held);
      assert.deepEqual(watched.begun, ["first", "second"]);
      assert.equal(watched.most, 1);
    },
  );

  test(
    "rides out what lasts for less than its time",
    async (stage, watched, join) => {
      const only = join("only");
      await using _only = only.lease;
      await stage.settle();
      only.cut = true;
      await stage.pass(ttlMs * 0.5);
      only.cut = false;
      await stage.pass(ttlMs * 3);
      assert(only.lease.held);
      assert.equal(watched.begun.length, 1);
    },
  );

  test(
    "waits for work that ends slowly, before it begins again or is handed on",
    async (stage, watched, join) => {
      const ends: (() => void)[] = [];
      const slow = stage.join("slow", async (signal) => {
        watched.begin("slow");
        await new Promise<void>((resolve) => {
          signal.addEventListener("abort", () => ends.push(resolve));
        });
        watched.running.delete("slow");
      });
      await stage.settle();
      await using _second = join("second").lease;
      slow.cut = true;
      await stage.pass(ttlMs * 0.8);
      slow.cut = false;
      await stage.pass(ttlMs * 3);
      assert.deepEqual(watched.begun, ["slow"], "it still ends");
      ends.shift()!();
      await stage.pass(ttlMs);
      assert.deepEqual(watched.begun, ["slow", "slow"]);

      const disposed = slow.lease[Symbol.asyncDispose]();
      await stage.pass(ttlMs * 0.4);
      assert.deepEqual(watched.begun, ["slow", "slow"], "not handed on yet");
      ends.shift()!();
      await disposed;
      await stage.pass(ttlMs);
      assert.deepEqual(watched.begun, ["slow", "slow", "second"]);
      assert.equal(watched.most, 1);
    },
  );

  Deno.test(`${kind.name} is never held twice, whichever instance is cut off, dies or joins, whatever the wall clocks do`, async () => {
    const step = fc.record({
      who: fc.nat(2),
      what: fc.constantFrom("cut", "mend", "leave", "join", "step"),
      afterMs: fc.integer({ min: 1, max: 6_000 }),
      stepMs: fc.integer({ min: -4_000_000, max: 4_000_000 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 12 }),
        async (steps) => {
          await using stage = await kind.open();
          const watched = new Watched();
          const seats: (Seat | undefined)[] = [];
          for (const { who, what, afterMs, stepMs } of steps) {
            const seat = seats[who];
            if (what === "cut" && seat) seat.cut = true;
            else if (what === "mend" && seat) seat.cut = false;
            else if (what === "step") stage.clock.stepWall(stepMs);
            else if (what === "leave") {
              await seat?.lease[Symbol.asyncDispose]();
              seats[who] = undefined;
            } else if (what === "join") {
              seats[who] ??= stage.join(`${who}`, watched.work(`${who}`));
            }
            await stage.pass(afterMs);
            assert(watched.most <= 1);
          }
          for (const seat of seats) if (seat) seat.cut = false;
          await stage.pass(ttlMs * 2);
          const isWanted = seats.some((seat) => seat !== undefined);
          assert.equal(watched.running.size, isWanted ? 1 : 0);
          for (const seat of seats) await seat?.lease[Symbol.asyncDispose]();
          assert.equal(watched.running.size, 0);
        },
      ),
      { numRuns: kind.runs ?? 40 },
    );
  });
}
