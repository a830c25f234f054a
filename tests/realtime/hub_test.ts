import assert from "node:assert/strict";
import { idSource } from "../../protocol/envelope.ts";
import { SLICE_CURSORS } from "../../realtime/delivery.ts";
import { Hub } from "../../realtime/hub.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import type { Hint } from "../../realtime/link.ts";
import { Outbox } from "../../realtime/outbox.ts";
import { MAX_REST_MS, POLL_MS } from "../../realtime/repair.ts";
import { RING_EVENTS } from "../../realtime/stream.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { ManualClock, pass, settle } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import type { Fate } from "../fakes/kv.ts";
import type { Letter } from "../fakes/link.ts";
import { FakePeer, FREE } from "../fakes/peer.ts";
import {
  Bench,
  block,
  blocks,
  metrics,
  range,
  REPAIRED_MS,
  update,
} from "./hub_bench.ts";

Deno.test("what is published on one instance is read on another", async () => {
  const bench = new Bench();
  using one = bench.instance();
  using two = bench.instance();
  const [near, far] = [bench.client(one), bench.client(two)];
  await near.follow({ channel: "blocks" });
  await far.follow({ channel: "blocks" });
  await bench.publish(one, 3);
  await bench.publish(two, 2);
  for (const { peer } of [near, far]) {
    assert.deepEqual(peer.seqs(), range(1, 5));
  }
});

for (
  const [name, carry] of Object.entries({
    "loses every other post": () => {
      let number = 0;
      return (letter: Letter) => void (++number % 2 && letter.deliver());
    },
    "delivers twice": () => (letter: Letter) => {
      letter.deliver();
      letter.deliver();
    },
    "delivers in pairs, the later first": () => {
      let kept: Letter | undefined;
      return (letter: Letter) => {
        if (!kept) return void (kept = letter);
        letter.deliver();
        kept.deliver();
        kept = undefined;
      };
    },
  })
) {
  Deno.test(`a link that ${name} is made good within ${REPAIRED_MS} ms`, async () => {
    const bench = new Bench();
    bench.office.notices = false;
    bench.office.carry = carry();
    let repaired = 0;
    using one = bench.instance();
    using two = bench.instance({
      observer: { repaired: (_, events) => repaired += events },
    });
    const reader = bench.client(two);
    await reader.follow({ channel: "blocks" });
    for (let i = 0; i < 9; i++) await bench.publish(one);
    await pass(bench.clock, REPAIRED_MS);
    assert.deepEqual(reader.peer.seqs(), range(1, 9));
    if (name === "delivers twice") assert.equal(repaired, 0);
    if (name.startsWith("loses")) assert(repaired > 0);
  });
}

Deno.test("a burst waits for its delivery, and no client reads it from the log", async () => {
  const bench = new Bench();
  let pages = 0;
  using hub = bench.instance();
  const read = hub.outboxParts.readPage;
  hub.outboxParts.readPage = (...range) => (pages++, read(...range));
  const reader = bench.client(hub);
  await reader.follow({ channel: "blocks" });
  const each = RING_EVENTS / 5;
  let accepted = 0;
  const burst = Array.from({ length: 8 }, async (_, i) => {
    const blocks = Array.from(
      { length: Math.floor(each) },
      (_, k) => block(`${i}.${k}`),
    );
    await hub.publish(blocks.flat());
    accepted++;
  });
  // The turn of the event loop does not end, so nothing is delivered.
  for (let i = 0; i < 50; i++) await settle();
  assert.equal(accepted, 3, "more than half of the memory waits for delivery");
  await pass(bench.clock, 0);
  await Promise.all(burst);
  await pass(bench.clock, 0);
  assert.deepEqual(reader.peer.seqs(), range(1, 8 * Math.floor(each)));
  assert.equal(pages, 0);
});

Deno.test("what is lost while something else is repaired is repaired next, as soon", async () => {
  const bench = new Bench();
  bench.office.notices = false;
  using one = bench.instance();
  using two = bench.instance({ weather: () => ({ ...CALM, afterMs: 15 }) });
  const reader = bench.client(two);
  const following = reader.follow({ channel: "blocks" });
  await pass(bench.clock, 50);
  await following;
  let posts = 0;
  bench.office.carry = (letter) => void (posts++ % 2 && letter.deliver());
  await bench.publish(one);
  await bench.publish(one);
  await pass(bench.clock, 15);
  await bench.publish(one);
  await bench.publish(one);
  await pass(bench.clock, 2 * REPAIRED_MS);
  assert.deepEqual(reader.peer.seqs(), range(1, 4));
});

Deno.test("a post that is lost with nothing after it is noticed by number, or else by the poll", async () => {
  for (const notices of [true, false]) {
    const bench = new Bench();
    bench.office.notices = notices;
    using one = bench.instance();
    using two = bench.instance();
    const reader = bench.client(two);
    await reader.follow({ channel: "blocks" });
    bench.office.carry = () => {};
    await bench.publish(one);
    bench.office.carry = (letter) => letter.deliver();
    // The same sender reports something else.
    const other = one.publish(update());
    await pass(bench.clock, notices ? REPAIRED_MS : POLL_MS);
    await other;
    await pass(bench.clock, 1);
    assert.deepEqual(reader.peer.seqs(), [1]);
  }
});

Deno.test("a stream that is opened while events are committed misses none", async () => {
  const bench = new Bench();
  const slow: Fate[] = [{ ...CALM, afterMs: 20 }];
  using one = bench.instance();
  using two = bench.instance({ weather: () => slow.shift() ?? CALM });
  await bench.publish(one, 3);
  const reader = bench.client(two);
  const following = reader.follow({ channel: "blocks", last: 1 });
  await bench.publish(one, 2);
  await pass(bench.clock, 20);
  await following;
  assert.equal(reader.answers[0].channels[0].seq, 4);
  assert.deepEqual(reader.peer.seqs(), [5]);
});

Deno.test("a repair that fails is tried again, and so is the poll", async () => {
  const bench = new Bench();
  bench.office.carry = () => {};
  let failing = false;
  const failures: unknown[] = [];
  using one = bench.instance();
  using two = bench.instance({
    weather: () => failing ? { ...CALM, end: "failed" } : CALM,
    observer: { failed: (error) => failures.push(error) },
  });
  const reader = bench.client(two);
  await reader.follow({ channel: "blocks" });
  failing = true;
  await bench.publish(one);
  await pass(bench.clock, 5 * POLL_MS);
  assert(failures.length > 0);
  failing = false;
  await pass(bench.clock, 2 * POLL_MS);
  assert.deepEqual(reader.peer.seqs(), [1]);
});

for (const stepMs of [-3_600_000, -60_000, 60_000, 3_600_000]) {
  Deno.test(`a wall clock stepped by ${stepMs} ms delays no delivery`, async () => {
    const bench = new Bench();
    bench.office.carry = () => {};
    using one = bench.instance();
    using two = bench.instance();
    const reader = bench.client(two);
    await reader.follow({ channel: "blocks" });
    await pass(bench.clock, POLL_MS / 2);
    bench.clock.stepWall(stepMs);
    await bench.publish(one);
    await pass(bench.clock, POLL_MS);
    assert.deepEqual(reader.peer.seqs(), [1]);
    bench.office.carry = (letter) => letter.deliver();
    await bench.publish(one);
    await pass(bench.clock, REPAIRED_MS);
    assert.deepEqual(reader.peer.seqs(), [1, 2]);
  });
}

Deno.test("the poll rests after a slow answer, but not for long", async () => {
  const bench = new Bench();
  bench.office.carry = () => {};
  const fates: Fate[] = [];
  using one = bench.instance();
  using two = bench.instance({ weather: () => fates.shift() ?? CALM });
  const reader = bench.client(two);
  await reader.follow({ channel: "blocks" });
  fates.push({ ...CALM, end: "hung" });
  await pass(bench.clock, POLL_MS);
  await bench.publish(one);
  await pass(bench.clock, 3_000 + MAX_REST_MS + 1);
  assert.deepEqual(reader.peer.seqs(), [1]);
});

Deno.test("a ring is followed soon, however slow the log, and checks never overlap", async () => {
  const bench = new Bench();
  bench.office.carry = () => {};
  const slowMs = 100;
  let reading = 0;
  let most = 0;
  let isSlow = false;
  using one = bench.instance();
  const { clock } = bench;
  const log = new StoredEventLog({
    store: bench.kv.connect({
      weather: () => isSlow ? { ...CALM, afterMs: slowMs } : CALM,
    }),
    clock,
    nextId: idSource(),
    retention: () => bench.retention,
  });
  const { heads } = log;
  log.heads = async (channels) => {
    most = Math.max(most, ++reading);
    try {
      return await heads.call(log, channels);
    } finally {
      reading--;
    }
  };
  let ring = () => {};
  const bell = {
    publish: () => {},
    receive: (listener: (hint: Hint) => void) => {
      ring = () => listener({ events: [], incomplete: true });
    },
    [Symbol.dispose]: () => {},
  };
  using two = new Hub({ log, links: [bell], clock, nextId: idSource() });
  const reader = bench.client(two);
  await reader.follow({ channel: "blocks" });
  isSlow = true;
  for (let i = 1; i <= 10; i++) {
    await bench.publish(one);
    for (let rings = 0; rings < 5; rings++) ring();
    await pass(clock, 8 * slowMs);
    assert.deepEqual(reader.peer.seqs(), range(1, i), `after ${i} rings`);
  }
  assert(most <= 2, `${most} reads of heads at once: a check and a repair`);
});

Deno.test("nothing is delivered that the store refused", async () => {
  const bench = new Bench();
  let failing = true;
  using hub = bench.instance({
    weather: (operation) =>
      failing && operation === "commit" ? { ...CALM, end: "failed" } : CALM,
  });
  const reader = bench.client(hub);
  await reader.follow({ channel: "blocks" });
  let code: string | undefined;
  hub.publish(block(1)).catch((error) => code = error.code);
  await pass(bench.clock, 5_000);
  assert.equal(code, "STORE_UNAVAILABLE");
  assert.deepEqual(reader.peer.texts, []);
  failing = false;
  await bench.publish(hub);
  assert.deepEqual(reader.peer.seqs(), [1]);
});

Deno.test("an id published again, on another instance, is delivered once", async () => {
  const bench = new Bench();
  using one = bench.instance();
  using two = bench.instance();
  const reader = bench.client(one);
  await reader.follow({ channel: "blocks" });
  const first = one.publish(block("a", "mine"));
  await pass(bench.clock, 0);
  const again = two.publish(block("a", "mine"));
  await pass(bench.clock, 0);
  assert.deepEqual(await again, await first);
  assert.deepEqual(reader.peer.seqs(), [1]);
});

Deno.test("two who read the same page of the log share the reading", async () => {
  const bench = new Bench();
  let reads = 0;
  using writer = bench.instance();
  await bench.publish(writer, 50);
  using hub = bench.instance({
    weather: (operation) => {
      if (operation === "read") reads++;
      return { ...CALM, afterMs: 5 };
    },
  });
  const readers = range(1, 20).map(() => bench.client(hub));
  const following = readers.map((reader) =>
    reader.follow({ channel: "blocks", last: 50 })
  );
  await pass(bench.clock, 100);
  await Promise.all(following);
  for (const { peer } of readers) assert.deepEqual(peer.seqs(), range(1, 50));
  assert(reads < 50, `${reads}`);
});

Deno.test("a hub that is disposed asks and reports nothing any more", async () => {
  const bench = new Bench();
  const hub = bench.instance();
  const reader = bench.client(hub);
  await reader.follow({ channel: "blocks" });
  hub[Symbol.dispose]();
  await pass(bench.clock, POLL_MS);
  assert.equal(bench.clock.pending, 0);
});

/** A clock whose turns are ended one by one. */
class SteppedClock extends ManualClock {
  readonly #soon: (() => void)[] = [];

  override soon(work: () => void): void {
    this.#soon.push(work);
  }

  /** Ends one turn. */
  step(): void {
    for (const work of this.#soon.splice(0)) work();
  }
}

Deno.test("a huge channel is served in slices, and lets a small one pass", async () => {
  const clock = new SteppedClock();
  const seen: [number, number][] = [];
  const nextId = idSource();
  const kv = new MemoryKv(clock).connect({});
  const log = new StoredEventLog({
    store: kv,
    clock,
    nextId,
    retention: () => ({ events: 10, ms: 1_000 }),
  });
  using hub = new Hub({
    log,
    links: [],
    clock,
    nextId,
    observer: {
      delivered: (events, deliveries) => void seen.push([events, deliveries]),
    },
  });
  const huge = await hub.open(metrics);
  const small = await hub.open(blocks);
  const follower = (stream: typeof huge) => {
    const peer = new FakePeer();
    const outbox = new Outbox(peer, JSON_CODEC, hub.outboxParts, FREE);
    outbox.attach(stream, stream);
    return peer;
  };
  const size = 2 * SLICE_CURSORS + 1;
  const many = Array.from({ length: size }, () => follower(huge));
  const few = follower(small);
  const served = () => many.filter(({ texts }) => texts.length > 0).length;

  await hub.publish(update());
  await hub.publish(block(1));
  clock.step();
  assert.equal(served(), SLICE_CURSORS);
  assert.equal(few.texts.length, 0, "its turn comes");
  assert.deepEqual(seen, [], "not all have it");
  clock.step();
  assert.equal(few.texts.length, 1);
  assert.equal(served(), 2 * SLICE_CURSORS - 1);
  assert.deepEqual(seen, [[1, 1]]);
  clock.step();
  assert.equal(served(), size);
  assert.deepEqual(seen, [[1, 1], [1, size]]);
  for (const { texts } of many) assert.equal(texts.length, 1);
});
