import assert from "node:assert/strict";
import fc from "fast-check";
import { setImmediate } from "node:timers";
import { Lease, LEASE_TTL_MS } from "../../store/lease.ts";
import type { LeaseOptions } from "../../store/lease.ts";
import { ManualClock } from "../fakes/clock.ts";
import { openStore } from "../../store/deno_kv.ts";
import { StoreBusy } from "../../store/store.ts";
import type { Key, Store } from "../../store/store.ts";

/** Calls to a store that have not been answered. */
let unanswered = 0;

/** Lets the store answer whatever was asked of it, and what follows from it. */
async function settle(): Promise<void> {
  for (let quiet = 0; quiet < 3; quiet = unanswered ? 0 : quiet + 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Moves time in steps short enough for every look in between to be answered. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 500) {
    clock.advance(Math.min(500, left));
    await settle();
  }
}

async function answered<Result>(call: Promise<Result>): Promise<Result> {
  unanswered++;
  try {
    return await call;
  } finally {
    unanswered--;
  }
}

/** Leases of work that says when it runs, and that no two run at once. */
function stage(kv: Store, clock: ManualClock) {
  const running = new Set<string>();
  const begun: string[] = [];
  let most = 0;
  const work = (name: string) => async (signal: AbortSignal) => {
    running.add(name);
    begun.push(name);
    most = Math.max(most, running.size);
    if (!signal.aborted) {
      await new Promise((resolve) =>
        signal.addEventListener("abort", resolve, { once: true })
      );
    }
    running.delete(name);
  };
  return {
    running,
    begun,
    most: () => most,
    hold: (name: string, options: Partial<LeaseOptions> = {}) =>
      new Lease({
        kv: new Line(kv).kv,
        clock,
        name: "source",
        work: work(name),
        ...options,
      }),
  };
}

/** A real store whose calls are counted, and which can be cut off. */
class Line {
  cut = false;
  readonly kv: Store;

  constructor(store: Store) {
    this.kv = new Proxy(store, {
      get: (target, property) => {
        if (property === "get") {
          return (key: Key) => {
            this.#check();
            return answered(target.get(key));
          };
        }
        if (property !== "atomic") throw new Error(String(property));
        return () => {
          this.#check();
          const operation = target.atomic();
          const commit = operation.commit.bind(operation);
          operation.commit = () => answered(commit());
          return operation;
        };
      },
    });
  }

  #check(): void {
    if (this.cut) throw new StoreBusy("database is locked");
  }
}

Deno.test("Lease has one holder among several, which keeps it", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const { running, most, begun, hold } = stage(kv, clock);
  const leases = ["a", "b", "c"].map((holder) => hold(holder, { holder }));

  await settle();
  assert.equal(running.size, 1);
  await pass(clock, LEASE_TTL_MS * 4);

  assert.equal(begun.length, 1, "the first holder was never relieved");
  assert.equal(leases.filter(({ held }) => held).length, 1);
  assert.equal(most(), 1);
  for (const lease of leases) await lease[Symbol.asyncDispose]();
  assert.equal(running.size, 0);
});

Deno.test("Lease is handed over by its disposal, before its time is over", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const { running, hold } = stage(kv, clock);
  const first = hold("first");
  await settle();
  await using _second = hold("second");
  await settle();
  assert.deepEqual([...running], ["first"]);

  await first[Symbol.asyncDispose]();
  assert.equal((await kv.get(["lease", "source"])).value, null);
  await pass(clock, LEASE_TTL_MS / 5);

  assert.deepEqual([...running], ["second"]);
});

Deno.test("Lease passes on after its holder died, not before its time is over", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const { running, hold } = stage(kv, clock);
  await kv.set(["lease", "source"], {
    holder: "dead",
    until: clock.now() + LEASE_TTL_MS,
  });
  await using _lease = hold("heir");

  await pass(clock, LEASE_TTL_MS - 1);
  assert.equal(running.size, 0);
  await pass(clock, LEASE_TTL_MS / 5);

  assert.deepEqual([...running], ["heir"]);
});

Deno.test("Lease stops a holder that cannot reach the store before another starts", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const { running, most, begun, hold } = stage(kv, clock);
  const line = new Line(kv);
  await using first = hold("first", { kv: line.kv });
  await settle();
  await using second = hold("second");
  await settle();

  line.cut = true;
  await pass(clock, LEASE_TTL_MS * 0.8);
  assert.equal(first.held, false);
  assert.equal(running.size, 0, "nobody runs while it cannot be known");
  await pass(clock, LEASE_TTL_MS * 0.4);
  assert.deepEqual([...running], ["second"]);
  line.cut = false;
  await pass(clock, LEASE_TTL_MS * 2);

  assert.deepEqual([...running], ["second"]);
  assert.ok(second.held);
  assert.equal(most(), 1);
  assert.deepEqual(begun, ["first", "second"]);
});

Deno.test("Lease looks again soon, and in silence, after a file was locked for a moment", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const { begun, hold } = stage(kv, clock);
  const line = new Line(kv);
  const faults: unknown[] = [];
  await using lease = hold("only", {
    kv: line.kv,
    report: (error) => faults.push(error),
    random: () => 0.5,
  });
  await settle();

  line.cut = true;
  await pass(clock, LEASE_TTL_MS / 5);
  line.cut = false;
  const wait = LEASE_TTL_MS / 5 * 0.25 * 0.5;
  clock.advance(wait);
  await settle();

  const { value } = await kv.get<{ until: number }>(["lease", "source"]);
  assert.equal(value!.until, clock.now() + LEASE_TTL_MS, "it is renewed");
  assert.ok(lease.held);
  assert.deepEqual(begun, ["only"]);
  assert.deepEqual(faults, []);
});

Deno.test("Lease reports a store that stays away, now and again", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const { hold } = stage(kv, clock);
  const line = new Line(kv);
  const faults: unknown[] = [];
  await using _lease = hold("only", {
    kv: line.kv,
    report: (error) => faults.push(error),
    random: () => 0.5,
  });
  await settle();

  for (let i = 0; i < 3; i++) {
    line.cut = true;
    await pass(clock, LEASE_TTL_MS * 0.8);
    line.cut = false;
    await pass(clock, LEASE_TTL_MS);
  }
  assert.deepEqual(faults, [], "it was back each time");
  line.cut = true;
  await pass(clock, LEASE_TTL_MS * 1.2);
  assert.equal(faults.length, 1);
  assert.match(
    String(faults[0]),
    /^Error: Cannot see for \d+ ms who holds "source", still trying: StoreBusy: database is locked$/,
  );
  await pass(clock, LEASE_TTL_MS * 4);
  assert.ok(faults.length >= 4 && faults.length <= 6, `${faults.length}`);
  line.cut = false;
});

Deno.test("Lease rides out a store that fails for less than its time", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const { begun, hold } = stage(kv, clock);
  const line = new Line(kv);
  await using lease = hold("only", { kv: line.kv });
  await settle();

  line.cut = true;
  await pass(clock, LEASE_TTL_MS * 0.5);
  line.cut = false;
  await pass(clock, LEASE_TTL_MS * 3);

  assert.ok(lease.held);
  assert.equal(begun.length, 1);
});

Deno.test("Lease waits for work that ends slowly, before it is begun or handed on", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const { running, begun, most, hold } = stage(kv, clock);
  const line = new Line(kv);
  const ends: (() => void)[] = [];
  const slow = async (signal: AbortSignal) => {
    running.add("slow");
    begun.push("slow");
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => ends.push(resolve));
    });
    running.delete("slow");
  };
  const first = hold("slow", { kv: line.kv, work: slow });
  await settle();
  await using _second = hold("second");
  line.cut = true;
  await pass(clock, LEASE_TTL_MS * 0.8);
  line.cut = false;
  await pass(clock, LEASE_TTL_MS * 3);
  assert.deepEqual(begun, ["slow"], "it still ends");
  ends.shift()!();
  await pass(clock, LEASE_TTL_MS);
  assert.deepEqual(begun, ["slow", "slow"]);

  const disposed = first[Symbol.asyncDispose]();
  await pass(clock, LEASE_TTL_MS * 0.4);
  assert.deepEqual(begun, ["slow", "slow"], "it is not handed on yet");
  ends.shift()!();
  await disposed;
  await pass(clock, LEASE_TTL_MS);

  assert.deepEqual(begun, ["slow", "slow", "second"]);
  assert.equal(most(), 1);
});

Deno.test("Lease survives a closed store and a work that fails", async () => {
  const kv = await openStore(":memory:");
  const clock = new ManualClock();
  const faults: unknown[] = [];
  const lease = stage(kv, clock).hold("broken", {
    work: () => Promise.reject(new Error("broken work")),
    report: (error) => faults.push(error),
  });
  await settle();
  assert.match(String(faults[0]), /broken work/);
  assert.equal(lease.held, false);

  kv.close();
  await pass(clock, LEASE_TTL_MS);
  await lease[Symbol.asyncDispose]();
  assert.ok(faults.length > 1);
});

Deno.test("Lease is never held twice, whoever is cut off, dies or comes, whenever", async () => {
  const step = fc.record({
    who: fc.nat(2),
    what: fc.constantFrom("cut", "mend", "die", "come"),
    afterMs: fc.integer({ min: 1, max: 6_000 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 12 }),
      async (steps) => {
        await using kv = await openStore(":memory:");
        const clock = new ManualClock();
        const { most, running, hold } = stage(kv, clock);
        const seats = [0, 1, 2].map((index) => ({
          name: String(index),
          line: new Line(kv),
          lease: undefined as Lease | undefined,
        }));
        for (const { who, what, afterMs } of steps) {
          const seat = seats[who]!;
          if (what === "cut") seat.line.cut = true;
          else if (what === "mend") seat.line.cut = false;
          else if (what === "die") {
            await seat.lease?.[Symbol.asyncDispose]();
            seat.lease = undefined;
          } else {
            seat.lease ??= hold(seat.name, { kv: seat.line.kv });
          }
          await pass(clock, afterMs);
          assert.ok(most() <= 1);
        }
        for (const seat of seats) seat.line.cut = false;
        await pass(clock, LEASE_TTL_MS * 2);
        const present = seats.some(({ lease }) => lease !== undefined);
        assert.equal(running.size, present ? 1 : 0, "somebody holds it again");
        for (const { lease } of seats) await lease?.[Symbol.asyncDispose]();
        assert.equal(running.size, 0);
      },
    ),
    { numRuns: 40 },
  );
});
