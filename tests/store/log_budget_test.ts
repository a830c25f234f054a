import assert from "node:assert/strict";
import { idSource } from "../../protocol/envelope.ts";
import { UNBORN_EPOCH } from "../../store/event_log.ts";
import type { Draft } from "../../store/event_log.ts";
import { FORGET_IDLE_MS } from "../../store/log_budget.ts";
import { ROW_OVERHEAD_BYTES } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import type { StoredEventLogOptions } from "../../store/stored_event_log.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { MemoryKv } from "../fakes/kv.ts";

const ALL = { after: 0, upTo: 1e9, limit: 1e6, maxBytes: 1e9 };
const MAX_BYTES = 1_000_000;

function bench(options: Partial<StoredEventLogOptions> = {}) {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock);
  const store = kv.connect();
  const evicted: [string, number][] = [];
  const log = new StoredEventLog({
    store,
    clock,
    nextId: idSource(),
    retention: () => ({ events: 1e6, ms: 1e9 }),
    maxBytes: MAX_BYTES,
    observer: {
      evicted: (channel, bytes) => evicted.push([channel, bytes]),
      failed: (error) => assert.fail(String(error)),
    },
    ...options,
  });
  const append = async (
    channel: string,
    count: number,
    length = 1_000,
    isForgotten = false,
  ) => {
    for (let i = 0; i < count; i++) {
      clock.advance(1);
      const appended = log.append([draft(channel, length)]);
      if (isForgotten) await pass(clock, 200);
      await appended;
      await log.settled();
    }
  };
  return { clock, kv, store, log, evicted, append };
}

function draft(channel: string, length: number): Draft {
  return {
    channel,
    type: "ROOM_MESSAGE",
    payloadText: JSON.stringify({ event: "e", data: "x".repeat(length) }),
    id: undefined,
    tags: {},
    keys: [],
  };
}

async function bytesIn(store: Store): Promise<number> {
  let bytes = 0;
  for await (const { value } of store.list<Uint8Array>({ prefix: ["log"] })) {
    bytes += value.byteLength + ROW_OVERHEAD_BYTES;
  }
  return bytes;
}

Deno.test("the bytes of the whole log stay within their bound, however many rooms there are", async () => {
  const { store, append, evicted } = bench();
  let most = 0;
  for (let i = 0; i < 60; i++) {
    await append(`room:r${i}`, 40);
    most = Math.max(most, await bytesIn(store));
  }
  assert(evicted.length > 0);
  // What may be added before all is counted again.
  assert(most <= MAX_BYTES * (1 + 1 / 32), `${most}`);
  assert(most > MAX_BYTES * 0.9, "as much is kept as may be");
});

Deno.test("rooms that were idle longest lose their events first, channels last", async () => {
  const { log, append, evicted } = bench();
  await append("blocks", 200);
  await append("room:old", 200);
  await append("room:new", 200);
  await append("room:old", 1);
  await append("room:newest", 240);
  const kept = async (channel: string) =>
    (await log.read(channel, ALL)).entries.length;
  assert.equal(await kept("blocks"), 200);
  assert(await kept("room:new") < 200, "it was idle longest");
  assert.equal(await kept("room:old"), 201);
  assert.equal(await kept("room:newest"), 240);
  assert.deepEqual([...new Set(evicted.map(([name]) => name))], ["room:new"]);
  // Numbers go on, and what is gone is known to be.
  const [head] = await log.heads(["room:new"]);
  assert.equal(head!.seq, 200);
  assert.equal(await log.oldest("room:new"), 200 - await kept("room:new") + 1);
});

Deno.test("where there are no rooms, the largest channel loses its oldest events", async () => {
  const { store, log, append } = bench();
  await append("alerts", 50);
  await append("blocks", 1_500);
  assert(await bytesIn(store) <= MAX_BYTES * (1 + 1 / 32));
  assert.equal((await log.read("alerts", ALL)).entries.length, 50);
  const { entries } = await log.read("blocks", ALL);
  assert.equal(entries.at(-1)!.seq, 1_500);
  assert(entries.length > 500, `${entries.length}`);
});

Deno.test("events of several parts go as a whole", async () => {
  const { store, log, append } = bench();
  await append("room:big", 12, 200_000);
  assert(await bytesIn(store) <= MAX_BYTES + 200_000);
  const { entries, unreadable } = await log.read("room:big", ALL);
  assert.deepEqual(unreadable, []);
  assert.equal(entries.at(-1)!.seq, 12);
  assert.equal(entries.length, 12 - await log.oldest("room:big") + 1);
});

Deno.test("of too many rooms the idlest are forgotten, and their positions with them", async () => {
  const { clock, kv, log, append } = bench({ maxHeads: 20, maxBytes: 100_000 });
  await append("blocks", 1);
  for (let i = 0; i < 50; i++) await append(`room:r${i}`, 1, 2_000);
  const start = { epoch: UNBORN_EPOCH, seq: 0 };
  assert.equal(await log.continues("room:r0", start), true, "not idle yet");
  clock.advance(FORGET_IDLE_MS);
  await append("room:r49", 1, 2_000);
  const names = Array.from({ length: 50 }, (_, i) => `room:r${i}`);
  const heads = await log.heads(names);
  const alive = heads.filter(({ epoch }) => epoch !== UNBORN_EPOCH).length;
  assert(alive <= 21, `${alive}`);
  assert.equal(heads.at(-1)!.seq, 2, "the newest is kept");
  assert.equal(heads[0]!.epoch, UNBORN_EPOCH);
  assert.equal((await log.heads(["blocks"]))[0]!.seq, 1);
  assert.equal(await log.continues("room:r0", start), false);
  await append("room:r0", 1, 10, true);
  assert.equal(await log.continues("room:r0", start), false);
  assert.deepEqual(kv.entry(["log", "room:r1", 1, 0]).value, null);
});
