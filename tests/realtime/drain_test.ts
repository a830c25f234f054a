import assert from "node:assert/strict";
import { idSource } from "../../protocol/envelope.ts";
import {
  CLOSE_MS,
  Drain,
  endAll,
  FINISH_MS,
  GRACE_MS,
  MAX_SPREAD_MS,
  MIN_SPREAD_MS,
  RETURNS_PER_SECOND,
  SETTLE_MS,
} from "../../realtime/drain.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { Sessions } from "../../realtime/sessions.ts";
import type { Connection } from "../../realtime/sessions.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import type { Fate } from "../fakes/kv.ts";

/** What a platform gives from the signal to the kill, in milliseconds. */
const KILLED_AFTER_MS = 4_000;

/** A connection that keeps what it received, and when. */
class FakeConnection implements Connection {
  readonly since = 0;
  readonly identity = {
    isAuthenticated: false,
    user: null,
    role: "anonymous",
  } as const;
  readonly client = undefined;
  readonly positions = [];
  readonly isRevoked = false;
  readonly #clock: ManualClock;
  #onEnd = () => {};
  retryInMs: number | undefined;
  closed: { at: number; code: string } | undefined;
  isBroken = false;

  constructor(readonly id: string, clock: ManualClock) {
    this.#clock = clock;
  }

  drain(retryInMs: number): void {
    if (this.isBroken) throw new Error("broken drain");
    this.retryInMs = retryInMs;
  }

  disconnect(code: string): void {
    if (this.isBroken) throw new Error("broken close");
    this.closed = { at: this.#clock.now(), code };
    this.#onEnd();
  }

  onEnd(listener: () => void): void {
    this.#onEnd = listener;
  }
}

function bench(
  { clients = 0, fate = CALM }: { clients?: number; fate?: Fate } = {},
) {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock).connect({ weather: () => fate });
  const retention = () => ({ events: 1_000, ms: 3_600_000 });
  const log = new StoredEventLog({
    store: kv,
    clock,
    nextId: idSource(),
    retention,
  });
  const sessions = new Sessions();
  const connections = Array.from({ length: clients }, (_, i) => {
    const connection = new FakeConnection(`c${i}`, clock);
    sessions.add(connection, { ip: "::1", bucket: "::1" });
    return connection;
  });
  let next = 0;
  const random = () => (next++ * 0.618034) % 1;
  const bugs: unknown[] = [];
  const report = (error: unknown) => void bugs.push(error);
  const drain = new Drain({ sessions, log, clock, report, random });
  return { clock, log, sessions, connections, drain, bugs };
}

/** How long `work` took by the clock, in milliseconds. */
async function took(clock: ManualClock, work: Promise<void>): Promise<number> {
  const began = clock.now();
  let ended: number | undefined;
  work.then(() => ended = clock.now());
  for (let i = 0; ended === undefined && i < 1_000; i++) await pass(clock, 10);
  return ended! - began;
}

Deno.test("an instance in service admits, and refuses from the moment it drains", async () => {
  const { clock, drain } = bench();
  drain.admit("connection");
  drain.admit("request");
  assert(!drain.isDraining);
  const done = drain.begin();
  assert(drain.isDraining);
  const refusal = { code: "DRAINING", retryAfterMs: MIN_SPREAD_MS };
  assert.throws(() => drain.admit("connection"), refusal);
  drain.admit("request");
  assert.equal(drain.begin(), done, "once");
  assert.equal(await took(clock, done), 0, "without clients it ends at once");
  drain.admit("request");
  const finished = drain.finish();
  assert.throws(() => drain.admit("request"), refusal);
  assert.equal(await took(clock, finished), FINISH_MS);
  assert.equal(clock.pending, 0);
});

Deno.test("clients receive the time to reconnect, are served a little longer, then closed", async () => {
  const { clock, drain, connections, sessions } = bench({ clients: 100 });
  const began = clock.now();
  const done = drain.begin();
  await pass(clock, 0);
  const waits = connections.map(({ retryInMs }) => retryInMs!);
  assert(Math.min(...waits) >= GRACE_MS, "not before the socket is closed");
  assert(Math.max(...waits) <= GRACE_MS + MIN_SPREAD_MS);
  assert(new Set(waits).size > 50, "each its own");
  assert.equal(connections[0]!.closed, undefined);
  const ms = await took(clock, done);
  assert.equal(ms, GRACE_MS + CLOSE_MS);
  for (const { closed } of connections) {
    assert.deepEqual(closed, { at: began + GRACE_MS, code: "DRAINING" });
  }
  assert.equal(sessions.size, 0);
});

Deno.test("a connection that cannot be notified or closed, or a broken log, spoils no other's end", async () => {
  const { clock, drain, connections, log, bugs } = bench({ clients: 3 });
  const [broken, ...others] = connections;
  broken!.isBroken = true;
  log.settled = () => Promise.reject(new Error("broken log"));
  assert.equal(await took(clock, drain.begin()), GRACE_MS + CLOSE_MS);
  for (const { retryInMs, closed } of others) {
    assert(retryInMs! >= GRACE_MS);
    assert.equal(closed?.code, "DRAINING");
  }
  assert.deepEqual(bugs.map(String), [
    "Error: broken drain",
    "Error: broken log",
    "Error: broken close",
  ]);
});

Deno.test("endAll() gives each part its time, whichever throws or rejects, and reports those", async () => {
  const clock = new ManualClock();
  const failures: string[] = [];
  const ends: string[] = [];
  const work = endAll({
    thrower: () => {
      throw new Error("at once");
    },
    rejecter: () => Promise.reject(new Error("soon")),
    nothing: () => undefined,
    slow: () =>
      new Promise<void>((resolve) => {
        clock.after(SETTLE_MS, () => {
          ends.push("slow");
          resolve();
        });
      }),
  }, (part, error) => failures.push(`${part}: ${error}`));
  await pass(clock, 0);
  assert.deepEqual(failures, [
    "thrower: Error: at once",
    "rejecter: Error: soon",
  ]);
  assert.equal(await took(clock, work), SETTLE_MS);
  assert.deepEqual(ends, ["slow"]);
});

for (
  const [clients, spreadMs] of [
    [RETURNS_PER_SECOND * 4, 4_000],
    [RETURNS_PER_SECOND * 60, MAX_SPREAD_MS],
  ] as const
) {
  Deno.test(`${clients} clients are spread over ${spreadMs} ms`, async () => {
    const { clock, drain, connections } = bench({ clients });
    const done = drain.begin();
    await pass(clock, 0);
    const waits = connections.map(({ retryInMs }) => retryInMs! - GRACE_MS);
    assert(Math.max(...waits) <= spreadMs);
    assert(Math.max(...waits) > spreadMs * 0.9);
    await took(clock, done);
  });
}

Deno.test("the commit in flight is finished before anyone is closed", async () => {
  const fate = { ...CALM, beforeMs: 200, afterMs: 200 };
  const { clock, drain, connections, log } = bench({ clients: 1, fate });
  const draft = {
    channel: "blocks",
    type: "NEW_BLOCK",
    payloadText: "{}",
    id: undefined,
    tags: {},
    keys: [],
  };
  let placedAt = 0;
  log.append([draft]).then(() => placedAt = clock.now());
  const ms = await took(clock, drain.begin());
  assert(placedAt > 0);
  assert(connections[0]!.closed!.at >= placedAt);
  assert(ms < KILLED_AFTER_MS);
});

Deno.test("a store that hangs does not hold the instance beyond its time", async () => {
  const fate = { ...CALM, end: "hung" as const };
  const { clock, drain, connections, log } = bench({ clients: 3, fate });
  log.append([{
    channel: "blocks",
    type: "NEW_BLOCK",
    payloadText: "{}",
    id: undefined,
    tags: {},
    keys: [],
  }]).catch(() => {});
  const ms = await took(clock, drain.begin());
  assert.equal(ms, GRACE_MS + SETTLE_MS + CLOSE_MS);
  assert(ms < KILLED_AFTER_MS);
  assert(connections.every(({ closed }) => closed?.code === "DRAINING"));
  await pass(clock, 10_000);
});
