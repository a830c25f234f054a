import assert from "node:assert/strict";
import { Refusal } from "../../protocol/refusals.ts";
import { AUTOMATIC } from "../../security/block_list.ts";
import {
  LOG_FLUSH_MS,
  MAX_COUNTED_REASONS,
  MAX_EVENT_TEXT_LENGTH,
  MAX_LATEST_EVENTS,
  MAX_WAITING_EVENTS,
  ORDER_LIFE_MS,
  SECURITY_EVENT_LIFE_MS,
  SecurityLog,
  type SecurityLogOptions,
} from "../../security/security_log.ts";
import { ManualClock } from "../fakes/clock.ts";
import { flaky } from "../fakes/security.ts";
import { until } from "../until.ts";
import { openStore } from "../../store/deno_kv.ts";
import { closeStore } from "../close_store.ts";

/** The logs of several instances over one store, with one clock. */
async function setup(
  options: Partial<SecurityLogOptions> = {},
  instances = 1,
) {
  const kv = await openStore(":memory:");
  const clock = new ManualClock();
  const store = flaky(kv);
  const logs = Array.from(
    { length: instances },
    () => new SecurityLog({ kv: store.kv, clock, ...options }),
  );
  const stored = async () =>
    (await Array.fromAsync(kv.list({ prefix: ["security", "ring"] }))).length;
  return {
    clock,
    store,
    stored,
    logs,
    log: logs[0]!,
    async [Symbol.asyncDispose]() {
      for (const log of logs) await log[Symbol.asyncDispose]();
      await closeStore(kv);
    },
  };
}

const failed = { kind: "auth_failed", reason: "TOKEN_EXPIRED" } as const;

Deno.test("an event is stored with all its fields, the latest first", async () => {
  await using s = await setup();
  const first = { ...failed, ip: "203.0.113.7", user: "alice", detail: "exp" };
  s.log.record(first);
  s.clock.advance(5);
  const second = { kind: "admin", reason: "unblock", by: "root" } as const;
  s.log.record(second);
  const at = s.clock.now();
  assert.deepEqual(await s.log.latest(), [
    { ...second, at, lastAt: at, count: 1 },
    { ...first, at: at - 5, lastAt: at - 5, count: 1 },
  ]);
});

Deno.test("noting waits for nothing: writing follows by itself", async () => {
  await using s = await setup();
  s.log.record(failed);
  assert.equal(s.store.operations, 0);
  assert.equal(await s.stored(), 0);
  s.clock.advance(LOG_FLUSH_MS);
  await s.log.flush();
  assert.equal(await s.stored(), 1);
  const { operations } = s.store;
  s.clock.advance(100 * LOG_FLUSH_MS);
  assert.equal(s.store.operations, operations);
});

Deno.test("the same thing again and again is one event with a count", async () => {
  await using s = await setup();
  const at = s.clock.now();
  for (let i = 0; i < 500; i++) s.log.record({ ...failed, ip: "203.0.113.7" });
  s.clock.advance(10);
  s.log.record({ ...failed, ip: "203.0.113.7" });
  s.log.record({ ...failed, ip: "203.0.113.8" });
  const events = await s.log.latest();
  assert.deepEqual(events.map(({ count }) => count), [1, 501]);
  assert.equal(events[1]!.at, at);
  assert.equal(events[1]!.lastAt, at + 10);
});

Deno.test("what operators do is noted each time", async () => {
  await using s = await setup();
  const action = { kind: "admin", reason: "block", by: "root" } as const;
  s.log.record(action);
  s.log.record(action);
  assert.equal((await s.log.latest()).length, 2);
});

Deno.test("no flood of events pushes out an operator's order, nor keeps one from being written", async () => {
  await using s = await setup({ maxEvents: 5 });
  const order = (detail: string) =>
    ({ kind: "admin", reason: "done", by: "root", detail }) as const;
  s.log.record(order("before"));
  await s.log.flush();
  s.store.isAway = true;
  for (let i = 0; i < 2 * MAX_WAITING_EVENTS; i++) {
    s.log.record({ ...failed, ip: `10.1.${i >> 8}.${i & 255}` });
  }
  s.log.record(order("during"));
  await s.log.flush();
  assert.equal(s.log.state, "degraded");
  s.store.isAway = false;
  await s.log.flush();
  s.log.record(order("after"));
  for (let i = 0; i < 100; i++) s.log.record({ ...failed, ip: `10.0.0.${i}` });
  const orders = await s.log.latest(10, { ordersOnly: true });
  assert.deepEqual(
    orders.map(({ detail }) => detail),
    ["after", "during", "before"],
  );
  assert.equal((await s.log.latest(1_000)).length, 3 + 5);
  assert.equal(s.log.dropped, MAX_WAITING_EVENTS, "events only");
});

Deno.test("orders are kept for a year, other events for a month, of every author", async () => {
  await using s = await setup();
  s.log.record({ kind: "blocked", reason: "loud", by: AUTOMATIC });
  s.log.record({ kind: "refused", reason: "FORBIDDEN", user: "mallory" });
  s.log.record({ kind: "refused", reason: "INVALID_PAYLOAD", by: "root" });
  assert.equal((await s.log.latest()).length, 3);
  s.clock.advance(SECURITY_EVENT_LIFE_MS);
  assert.deepEqual((await s.log.latest()).map(({ by }) => by), ["root"]);
  s.clock.advance(ORDER_LIFE_MS - SECURITY_EVENT_LIFE_MS);
  assert.deepEqual(await s.log.latest(), []);
});

Deno.test("what one IPv6 network does is one event, whatever address it uses", async () => {
  await using s = await setup();
  for (let i = 0; i < 1_000; i++) {
    s.log.record({ ...failed, ip: `2001:db8:1:2::${i.toString(16)}` });
  }
  s.log.record({ ...failed, ip: "2001:db8:1:3::1" });
  const order = { kind: "blocked", reason: "done", by: "root" } as const;
  s.log.record({ ...order, ip: "2001:db8:1:2::7" });
  const events = await s.log.latest();
  assert.deepEqual(
    events.map(({ ip, count }) => [ip, count]).sort(),
    [
      ["2001:db8:1:2::/64", 1_000],
      ["2001:db8:1:2::7", 1],
      ["2001:db8:1:3::/64", 1],
    ],
  );
});

Deno.test("counts per reason can be read at once, whatever happens to the log", async () => {
  await using s = await setup();
  s.store.isAway = true;
  for (let i = 0; i < 3; i++) s.log.record(failed);
  s.log.record({ kind: "rate_limited", reason: "messages" });
  assert.deepEqual(s.log.counts(), [
    { ...failed, count: 3 },
    { kind: "rate_limited", reason: "messages", count: 1 },
  ]);
  s.store.isAway = false;
});

Deno.test("reasons beyond the bound count as other", async () => {
  await using s = await setup();
  for (let i = 0; i < MAX_COUNTED_REASONS + 50; i++) {
    s.log.record({ kind: "violation", reason: `reason ${i}` });
  }
  const counts = s.log.counts();
  assert.equal(counts.length, MAX_COUNTED_REASONS + 1);
  assert.equal(counts.find(({ reason }) => reason === "other")?.count, 50);
});

Deno.test("the log is bounded: the oldest make room, across the ring's end", async () => {
  await using s = await setup({ maxEvents: 7 });
  for (let i = 0; i < 17; i++) {
    s.log.record({ ...failed, ip: `10.0.0.${i}` });
    await s.log.flush();
  }
  assert.equal(await s.stored(), 7);
  const ips = (await s.log.latest()).map(({ ip }) => ip);
  assert.deepEqual(ips, [16, 15, 14, 13, 12, 11, 10].map((i) => `10.0.0.${i}`));
  const three = (await s.log.latest(5)).map(({ ip }) => ip);
  assert.deepEqual(three, ips.slice(0, 5));
});

Deno.test("more events than the ring holds at one go leave the latest", async () => {
  await using s = await setup({ maxEvents: 5 });
  for (let i = 0; i < 120; i++) s.log.record({ ...failed, ip: `10.0.0.${i}` });
  const ips = (await s.log.latest()).map(({ ip }) => ip);
  assert.deepEqual(ips, [119, 118, 117, 116, 115].map((i) => `10.0.0.${i}`));
});

Deno.test("no more is read than the bound, and at least one", async () => {
  await using s = await setup();
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 600; i++) {
      s.log.record({ ...failed, ip: `10.${round}.${i >> 8}.${i & 255}` });
    }
    await s.log.flush();
  }
  assert.equal(await s.stored(), 1_200);
  assert.equal((await s.log.latest(Infinity)).length, MAX_LATEST_EVENTS);
  assert.equal((await s.log.latest(0)).length, 1);
});

Deno.test("events that are too old are not shown", async () => {
  await using s = await setup();
  s.log.record(failed);
  await s.log.flush();
  s.clock.advance(SECURITY_EVENT_LIFE_MS - 1);
  assert.equal((await s.log.latest()).length, 1);
  s.clock.advance(1);
  assert.deepEqual(await s.log.latest(), []);
});

Deno.test("instances that write at once lose nothing", async () => {
  await using s = await setup({}, 3);
  await Promise.all(s.logs.map(async (log, n) => {
    for (let i = 0; i < 30; i++) {
      log.record({ ...failed, ip: `10.0.${n}.${i}` });
      await log.flush();
    }
  }));
  for (const log of s.logs) await log.flush();
  const ips = new Set((await s.log.latest(1_000)).map(({ ip }) => ip));
  assert.equal(ips.size, 90);
});

Deno.test("while KV is away events wait, bounded, and are written when it is back", async () => {
  await using s = await setup();
  s.store.isAway = true;
  for (let i = 0; i < MAX_WAITING_EVENTS; i++) {
    s.log.record({ ...failed, ip: `10.0.${i >> 8}.${i & 255}` });
  }
  assert.equal(s.log.dropped, 0);
  s.log.record({ ...failed, ip: "203.0.113.7" });
  assert.equal(s.log.dropped, 1);
  s.log.record({ ...failed, ip: "10.0.0.0" });
  assert.equal(s.log.dropped, 1);
  await s.log.flush();
  assert.equal(s.log.state, "degraded");
  await assert.rejects(s.log.latest(), (error) => {
    assert(error instanceof Refusal);
    assert.equal(error.code, "STORE_UNAVAILABLE");
    return true;
  });
  s.store.isAway = false;
  s.clock.advance(LOG_FLUSH_MS);
  await until(() => s.log.state === "ok", "KV is back");
  assert.equal(await s.stored(), MAX_WAITING_EVENTS);
  const all = await s.log.latest(1_000);
  assert.equal(all.find(({ ip }) => ip === "10.0.0.0")?.count, 2);
});

Deno.test("texts are cut to their bound", async () => {
  await using s = await setup();
  const long = "x".repeat(MAX_EVENT_TEXT_LENGTH + 1);
  const texts = { reason: long, ip: long, user: long, by: long, detail: long };
  s.log.record({ kind: "admin", ...texts });
  const [event] = await s.log.latest();
  for (const key of Object.keys(texts) as (keyof typeof texts)[]) {
    assert.equal(event![key]!.length, MAX_EVENT_TEXT_LENGTH, key);
  }
});

Deno.test("what waits is written on the way out", async () => {
  await using s = await setup({}, 2);
  s.log.record(failed);
  await s.log[Symbol.asyncDispose]();
  assert.equal(await s.stored(), 1);
});
