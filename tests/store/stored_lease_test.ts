import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { openStore } from "../../store/deno_kv.ts";
import { LEASE_TTL_MS, StoredLease } from "../../store/stored_lease.ts";
import type { StoredLeaseOptions } from "../../store/stored_lease.ts";
import { StoreBusy } from "../../store/store.ts";
import type { Key, Store } from "../../store/store.ts";
import { testLease } from "../contracts/lease_contract.ts";
import type { Seat, Stage, Work } from "../contracts/lease_contract.ts";
import { ManualClock } from "../fakes/clock.ts";
import { MemoryKv } from "../fakes/kv.ts";
import { openTogether, versions } from "./databases.ts";
import { runsOn } from "./stores.ts";

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

/** A store whose calls are counted, and which can be cut off. */
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

const stores: Readonly<Record<string, (clock: ManualClock) => Promise<Store>>> =
  {
    "Deno KV": () => openStore(":memory:"),
    "MemoryKv": (clock) => Promise.resolve(new MemoryKv(clock).connect()),
    ...Object.fromEntries(
      versions.map(({ name }) => [
        `PostgreSQL ${name}`,
        async () => (await openTogether(name, 1))[0]!,
      ]),
    ),
  };

for (const [name, openOne] of Object.entries(stores)) {
  testLease({
    name: `StoredLease on ${name}`,
    ...runsOn(name),
    ttlMs: LEASE_TTL_MS,
    async open(): Promise<Stage> {
      const clock = new ManualClock();
      const kv = await openOne(clock);
      return {
        clock,
        settle,
        pass: (ms) => pass(clock, ms),
        join(holder: string, work: Work): Seat {
          const line = new Line(kv);
          const lease = new StoredLease({
            kv: line.kv,
            clock,
            name: "source",
            holder,
            work,
          });
          return {
            lease,
            get cut() {
              return line.cut;
            },
            set cut(cut) {
              line.cut = cut;
            },
          };
        },
        [Symbol.asyncDispose]: () => kv.close(),
      };
    },
  });
}

/** A lease that runs until it is aborted, and what it reports. */
function hold(kv: Store, clock: ManualClock, work?: Work) {
  const line = new Line(kv);
  const faults: unknown[] = [];
  const begun: string[] = [];
  const options: StoredLeaseOptions = {
    kv: line.kv,
    clock,
    name: "source",
    work: work ?? ((signal) => {
      begun.push("work");
      return new Promise((resolve) =>
        signal.addEventListener("abort", () => resolve())
      );
    }),
    report: (error) => faults.push(error),
    random: () => 0.5,
  };
  return { line, faults, begun, lease: new StoredLease(options) };
}

Deno.test("StoredLease leaves nothing in the store when it is disposed", async () => {
  await using kv = await openStore(":memory:");
  const { lease } = hold(kv, new ManualClock());
  await settle();
  assert((await kv.get(["lease", "source"])).value);
  await lease[Symbol.asyncDispose]();
  assert.equal((await kv.get(["lease", "source"])).value, null);
});

Deno.test("StoredLease looks again soon, and in silence, after a file was locked for a moment", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const { lease, line, faults, begun } = hold(kv, clock);
  await using _lease = lease;
  await settle();
  const { versionstamp } = await kv.get(["lease", "source"]);

  line.cut = true;
  await pass(clock, LEASE_TTL_MS / 5);
  line.cut = false;
  clock.advance(LEASE_TTL_MS / 5 * 0.25 * 0.5);
  await settle();

  const renewed = await kv.get(["lease", "source"]);
  assert(renewed.versionstamp! > versionstamp!, "it is renewed");
  assert.ok(lease.held);
  assert.deepEqual(begun, ["work"]);
  assert.deepEqual(faults, []);
});

Deno.test("StoredLease reports a store that stays away, now and again", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const { lease, line, faults } = hold(kv, clock);
  await using _lease = lease;
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

Deno.test("StoredLease survives a closed store and a work that fails", async () => {
  const kv = await openStore(":memory:");
  const clock = new ManualClock();
  const work = () => Promise.reject(new Error("broken work"));
  const { lease, faults } = hold(kv, clock, work);
  await settle();
  assert.match(String(faults[0]), /broken work/);
  assert.equal(lease.held, false);

  await kv.close();
  await pass(clock, LEASE_TTL_MS);
  await lease[Symbol.asyncDispose]();
  assert.ok(faults.length > 1);
});
