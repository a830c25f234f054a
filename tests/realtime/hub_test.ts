import assert from "node:assert/strict";
import { channelNamed } from "../../protocol/channels.ts";
import { decodePublications } from "../../protocol/decode.ts";
import type { Publication } from "../../protocol/decode.ts";
import { idSource } from "../../protocol/envelope.ts";
import type { Located as Subscription } from "../../realtime/block_cursor.ts";
import type { Principal } from "../../security/principal.ts";
import { Hub } from "../../realtime/hub.ts";
import type { Hint } from "../../realtime/link.ts";
import { SLICE_CURSORS } from "../../realtime/delivery.ts";
import { MAX_REST_MS, POLL_MS } from "../../realtime/repair.ts";
import {
  MAX_STREAMS,
  MAX_STREAMS_PER_ADDRESS,
  STREAM_IDLE_MS,
} from "../../realtime/streams.ts";
import { Refusal } from "../../protocol/refusals.ts";
import type { HubObserver } from "../../realtime/hub_observer.ts";
import { UNBORN_EPOCH } from "../../store/event_log.ts";
import { renewEpochs } from "../../store/continuity.ts";
import { FORGOTTEN_KEY, headKey } from "../../store/log_heads.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import type { Head } from "../../store/event_log.ts";
import { Outbox } from "../../realtime/outbox.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { MAX_SUBSCRIPTIONS, subscribe } from "../../realtime/subscribe.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import type { Fate, Weather } from "../fakes/kv.ts";
import { PostOffice } from "../fakes/link.ts";
import type { Letter } from "../fakes/link.ts";
import { FakePeer } from "../fakes/peer.ts";

const blocks = channelNamed("blocks")!;
const metrics = channelNamed("metrics")!;

/** Events reach a client this soon although the link lost them. */
const REPAIRED_MS = 50;

function block(mark: number | string, id?: string): readonly Publication[] {
  return decodePublications(
    JSON.stringify({
      type: "NEW_BLOCK",
      ...(id ? { id } : {}),
      payload: {
        blockId: `${mark}`,
        height: 1,
        timestamp: "2025-01-01T00:00:00Z",
      },
    }),
    1e6,
  );
}

function update(): readonly Publication[] {
  return decodePublications(
    JSON.stringify({
      type: "METRICS_UPDATE",
      payload: { timestamp: "2025-01-01T00:00:00Z" },
    }),
    1e6,
  );
}

const anybody: Principal = {
  identity: { isAuthenticated: false, user: null, role: "anonymous" },
  isRevoked: () => false,
  mayRead: ({ name }) => name !== "room:secret",
  mayPublish: () => true,
};

/** A world of isolates with nothing between them but what a test allows. */
class Bench {
  readonly clock = new ManualClock();
  readonly kv = new MemoryKv(this.clock);
  readonly office = new PostOffice();
  retention = { events: 10_000, ms: 3_600_000 };

  isolate(
    { weather, observer }: { weather?: Weather; observer?: HubObserver } = {},
  ): Hub {
    const { clock } = this;
    const nextId = idSource();
    const kv = this.kv.connect(weather ? { weather } : {});
    const log = new StoredEventLog({
      store: kv,
      clock,
      nextId,
      retention: () => this.retention,
    });
    const links = [this.office.join()];
    return new Hub({
      log,
      links,
      clock,
      nextId,
      ...(observer ? { observer } : {}),
    });
  }

  client(hub: Hub): Reader {
    return new Reader(this, hub);
  }

  async publish(hub: Hub, count = 1): Promise<void> {
    const many = Array.from({ length: count }, (_, i) => block(i)).flat();
    const published = hub.publish(many);
    await pass(this.clock, 0);
    await published;
    await pass(this.clock, 0);
  }
}

async function headOf(hub: Hub): Promise<Head> {
  const [head] = await hub.heads(["blocks"]);
  return head!;
}

/** A client without a session. */
class Reader {
  readonly peer = new FakePeer();
  readonly outbox: Outbox;
  // deno-lint-ignore no-explicit-any -- tests look wherever they like.
  readonly answers: any[] = [];
  // deno-lint-ignore no-explicit-any -- tests look wherever they like.
  readonly gaps: any[] = [];
  open = true;
  readonly #bench: Bench;
  readonly #hub: Hub;

  constructor(bench: Bench, hub: Hub, address = "10.0.0.1") {
    this.#bench = bench;
    this.#hub = hub;
    this.outbox = new Outbox(this.peer, JSON_CODEC, hub.outboxParts, {
      address,
      stalled: () => {},
      charge: () => 0,
      read: () => {},
    });
  }

  async follow(...subscriptions: Subscription[]): Promise<void> {
    const followed = subscribe(subscriptions, {
      hub: this.#hub,
      outbox: this.outbox,
      principal: anybody,
      isOpen: () => this.open,
      subscribing: () => {},
      answer: (payload) => this.answers.push(payload),
      reportGap: (payload) => this.gaps.push(payload),
    });
    followed.catch(() => {});
    await pass(this.#bench.clock, 0);
    await followed;
    await pass(this.#bench.clock, 0);
  }
}

const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

Deno.test("what is published on one isolate is read on another", async () => {
  const bench = new Bench();
  using one = bench.isolate();
  using two = bench.isolate();
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
    using one = bench.isolate();
    using two = bench.isolate({
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

Deno.test("what is lost while something else is repaired is repaired next, as soon", async () => {
  const bench = new Bench();
  bench.office.notices = false;
  using one = bench.isolate();
  using two = bench.isolate({ weather: () => ({ ...CALM, afterMs: 15 }) });
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
    using one = bench.isolate();
    using two = bench.isolate();
    const reader = bench.client(two);
    await reader.follow({ channel: "blocks" });
    bench.office.carry = () => {};
    await bench.publish(one);
    bench.office.carry = (letter) => letter.deliver();
    // Something else is heard of the same sender.
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
  using one = bench.isolate();
  using two = bench.isolate({ weather: () => slow.shift() ?? CALM });
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
  using one = bench.isolate();
  using two = bench.isolate({
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
    using one = bench.isolate();
    using two = bench.isolate();
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
  using one = bench.isolate();
  using two = bench.isolate({ weather: () => fates.shift() ?? CALM });
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
  using one = bench.isolate();
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
  using hub = bench.isolate({
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

Deno.test("an id published again, on another isolate, is delivered once", async () => {
  const bench = new Bench();
  using one = bench.isolate();
  using two = bench.isolate();
  const reader = bench.client(one);
  await reader.follow({ channel: "blocks" });
  const first = one.publish(block("a", "mine"));
  await pass(bench.clock, 0);
  const again = two.publish(block("a", "mine"));
  await pass(bench.clock, 0);
  assert.deepEqual(await again, await first);
  assert.deepEqual(reader.peer.seqs(), [1]);
});

Deno.test("a subscription begins where it says: live, last, after, and says so first", async () => {
  const bench = new Bench();
  using hub = bench.isolate();
  await bench.publish(hub, 10);
  const { epoch } = await headOf(hub);
  for (
    const [rest, seq] of [
      [{}, 10],
      [{ last: 0 }, 10],
      [{ last: 4 }, 6],
      [{ last: 99 }, 0],
      [{ after: { epoch, seq: 7 } }, 7],
      [{ after: { epoch, seq: 10 } }, 10],
      [{ after: { epoch, seq: 0 } }, 0],
      [{ after: { epoch: UNBORN_EPOCH, seq: 0 } }, 0],
    ] as const
  ) {
    const reader = bench.client(hub);
    await reader.follow({ channel: "blocks", ...rest });
    assert.deepEqual(reader.answers, [{
      channels: [{ channel: "blocks", epoch, seq, recovered: true }],
      rejected: [],
    }]);
    assert.deepEqual(reader.peer.seqs(), seq < 10 ? range(seq + 1, 10) : []);
    reader.outbox.close();
  }
});

Deno.test("what cannot be had is told with its reason and exact numbers", async () => {
  const bench = new Bench();
  bench.retention = { events: 30, ms: 3_600_000 };
  using hub = bench.isolate();
  // A row is taken as a whole: the last 30 of the first 100 and all of theirs.
  for (let i = 0; i < 10; i++) await bench.publish(hub, 10);
  await bench.publish(hub, 5);
  const { epoch } = await headOf(hub);
  using fresh = bench.isolate();
  for (
    const [after, reason, seq, from, to] of [
      [{ epoch, seq: 20 }, "retention", 70, 21, 70],
      [{ epoch, seq: 69 }, "retention", 70, 70, 70],
      [{ epoch: "older", seq: 20 }, "epoch_changed", 70, 1, 70],
      [{ epoch, seq: 110 }, "position_unknown", 105, 106, 110],
    ] as const
  ) {
    const reader = bench.client(fresh);
    await reader.follow({ channel: "blocks", after });
    assert.deepEqual(reader.answers[0].channels, [
      { channel: "blocks", epoch, seq, recovered: false, reason },
    ]);
    assert.deepEqual(reader.gaps, [
      { channel: "blocks", from, to, epoch, reason },
    ]);
    assert.deepEqual(reader.peer.seqs(), seq < 105 ? range(71, 105) : []);
    reader.outbox.close();
  }
  const edge = bench.client(fresh);
  await edge.follow({ channel: "blocks", after: { epoch, seq: 70 } });
  assert.equal(edge.answers[0].channels[0].recovered, true);
});

Deno.test("a client that is ahead of this isolate is believed once the log agrees", async () => {
  const bench = new Bench();
  bench.office.carry = () => {};
  using one = bench.isolate();
  using two = bench.isolate();
  await bench.client(two).follow({ channel: "blocks" });
  await bench.publish(one, 5);
  const { epoch } = await headOf(one);
  const reader = bench.client(two);
  await reader.follow({ channel: "blocks", after: { epoch, seq: 4 } });
  assert.equal(reader.answers[0].channels[0].recovered, true);
  assert.deepEqual(reader.peer.seqs(), [5]);
});

Deno.test("a subscriber of an unborn channel sees its birth from the first event", async () => {
  const bench = new Bench();
  using one = bench.isolate();
  using two = bench.isolate();
  const readers = [bench.client(one), bench.client(two)];
  for (const reader of readers) {
    await reader.follow({ channel: "blocks" });
    const { epoch, seq } = reader.answers[0].channels[0];
    assert.deepEqual([epoch, seq], [UNBORN_EPOCH, 0]);
  }
  // The first post is lost: the second belongs to a log not heard of yet.
  let posts = 0;
  bench.office.carry = (letter) => void (posts++ > 0 && letter.deliver());
  await bench.publish(one);
  await bench.publish(one);
  await pass(bench.clock, REPAIRED_MS);
  for (const { peer } of readers) assert.deepEqual(peer.seqs(), [1, 2]);
});

Deno.test("a log that ended is reported, and its successor read from its first event", async () => {
  const bench = new Bench();
  using one = bench.isolate();
  using two = bench.isolate();
  const reader = bench.client(two);
  await reader.follow({ channel: "blocks" });
  await bench.publish(one, 5);
  bench.kv.apply([], [{ key: ["head", "blocks"] }]);
  await pass(bench.clock, 2 * POLL_MS);
  assert.equal(reader.peer.of("gap").length, 1);
  assert.equal(reader.peer.of("gap")[0]!.payload.reason, "epoch_changed");
  const published = one.publish(block("new"));
  await pass(bench.clock, 200);
  await published;
  assert.deepEqual(reader.peer.seqs(), [1, 2, 3, 4, 5, 1]);
});

Deno.test("a log that ended but left rows behind loses nothing of the next", async () => {
  const bench = new Bench();
  using hub = bench.isolate();
  const reader = bench.client(hub);
  await reader.follow({ channel: "blocks" });
  await bench.publish(hub, 5);
  bench.kv.apply([], [{ key: ["log", "blocks", 1, 0] }]);
  bench.kv.apply([], [{ key: ["head", "blocks"] }]);
  await pass(bench.clock, 2 * POLL_MS);
  const published = hub.publish(block("new"));
  await pass(bench.clock, 200);
  await published;
  assert.deepEqual(reader.peer.seqs(), [1, 2, 3, 4, 5, 1]);
});

Deno.test("a position before the first event names no later log of the room", async () => {
  const bench = new Bench();
  using hub = bench.isolate();
  const reader = bench.client(hub);
  await reader.follow({ channel: "blocks" });
  const { epoch, seq } = reader.answers[0].channels[0];
  assert.deepEqual([epoch, seq], [UNBORN_EPOCH, 0]);
  await bench.publish(hub, 5);
  const start = { channel: "blocks", after: { epoch, seq } };
  using other = bench.isolate();
  const early = bench.client(other);
  await early.follow(start);
  assert.equal(early.answers[0].channels[0].recovered, true);
  assert.deepEqual(early.peer.seqs(), [1, 2, 3, 4, 5]);

  // The log is forgotten, and another begins under the name.
  bench.kv.apply([], [
    { key: headKey("blocks") },
    { key: FORGOTTEN_KEY, value: 1 },
  ]);
  await pass(bench.clock, 2 * POLL_MS);
  for (const count of [0, 3]) {
    using third = bench.isolate();
    if (count > 0) await bench.publish(third, count);
    using fourth = bench.isolate();
    const late = bench.client(fourth);
    await late.follow(start);
    const [answer] = late.answers[0].channels;
    assert.deepEqual(
      [answer.recovered, answer.reason],
      [false, "epoch_changed"],
    );
    assert.equal(late.gaps.length, 1);
    await pass(bench.clock, 100);
    assert.deepEqual(late.peer.seqs(), [1, 2, 3].slice(0, count));
  }
});

Deno.test("a log that gets a new epoch under running instances is reported once, and goes on", async () => {
  const bench = new Bench();
  using hub = bench.isolate();
  const reader = bench.client(hub);
  await reader.follow({ channel: "blocks" });
  await bench.publish(hub, 5);
  const before = await headOf(hub);
  await renewEpochs({
    store: bench.kv.connect(),
    clock: bench.clock,
    nextId: idSource(),
  });
  // Its stream is of the old log still, and reads what is of the new one.
  const late = bench.client(hub);
  await late.follow({ channel: "blocks", last: 5 });
  await pass(bench.clock, 2 * POLL_MS);
  const after = await headOf(hub);
  assert.notEqual(after.epoch, before.epoch);
  const [gap, ...others] = reader.peer.of("gap");
  assert.deepEqual([gap!.payload.reason, others], ["epoch_changed", []]);
  const published = hub.publish(block("new"));
  await pass(bench.clock, 200);
  await published;
  assert.deepEqual(reader.peer.seqs(), [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(late.peer.seqs().slice(-6), [1, 2, 3, 4, 5, 6]);
  using other = bench.isolate();
  const back = bench.client(other);
  await back.follow({ channel: "blocks", after: before });
  const [answer] = back.answers[0].channels;
  assert.deepEqual(
    [answer.recovered, answer.epoch, answer.seq],
    [true, after.epoch, 5],
  );
  assert.deepEqual(back.peer.seqs(), [6]);
});

Deno.test("a client of a quiet channel is told of no gap that is none", async () => {
  const bench = new Bench();
  bench.retention = { events: 100, ms: 1_000 };
  using hub = bench.isolate();
  const reader = bench.client(hub);
  await reader.follow({ channel: "blocks" });
  await bench.publish(hub, 3);
  const { epoch, seq } = await headOf(hub);
  await pass(bench.clock, 10_000);
  assert.deepEqual(reader.peer.of("gap"), []);
  const back = bench.client(hub);
  await back.follow({ channel: "blocks", after: { epoch, seq } });
  assert.equal(back.answers[0].channels[0].recovered, true);
  await bench.publish(hub);
  assert.deepEqual(reader.peer.seqs(), [1, 2, 3, 4]);
  assert.deepEqual(back.peer.seqs(), [4]);
});

Deno.test("subscribing again moves the cursor, or leaves it where it was", async () => {
  const bench = new Bench();
  using hub = bench.isolate();
  const reader = bench.client(hub);
  await reader.follow({ channel: "blocks" });
  await bench.publish(hub, 4);
  await reader.follow({ channel: "blocks" });
  assert.equal(reader.answers[1].channels[0].seq, 4);
  await reader.follow({ channel: "blocks", last: 2 });
  assert.deepEqual(reader.peer.seqs(), [1, 2, 3, 4, 3, 4]);
  await bench.publish(hub);
  assert.deepEqual(reader.peer.seqs().slice(6), [5]);
  assert.equal(hub.subscribers("blocks"), 1);
});

Deno.test("aliases, strangers and the forbidden are answered by name", async () => {
  const bench = new Bench();
  using hub = bench.isolate();
  const reader = bench.client(hub);
  await reader.follow(
    { channel: "validator_updates" },
    { channel: "validators" },
    { channel: "nonsense" },
    { channel: "room:secret" },
    { channel: "metrics", after: { epoch: "x", seq: 5 } },
  );
  const [{ channels, rejected }] = reader.answers;
  assert.deepEqual(rejected, [
    { channel: "nonsense", code: "UNKNOWN_CHANNEL" },
    { channel: "room:secret", code: "FORBIDDEN" },
  ]);
  assert.deepEqual(channels, [
    {
      channel: "validators",
      epoch: UNBORN_EPOCH,
      seq: 0,
      recovered: true,
    },
    {
      channel: "metrics",
      epoch: null,
      seq: null,
      recovered: false,
      reason: "no_retention",
    },
  ]);
});

Deno.test("one connection follows so many channels and no more", async () => {
  const bench = new Bench();
  using hub = bench.isolate();
  const reader = bench.client(hub);
  const rooms = range(1, MAX_SUBSCRIPTIONS).map((i) => ({
    channel: `room:${i}`,
  }));
  await reader.follow(...rooms);
  assert.deepEqual(reader.answers[0].rejected, []);
  await reader.follow({ channel: "blocks" }, { channel: "room:1" });
  assert.deepEqual(reader.answers[1].rejected, [
    { channel: "blocks", code: "TOO_MANY_SUBSCRIPTIONS" },
  ]);
  assert.equal(reader.answers[1].channels.length, 1);
  reader.outbox.detach("room:2");
  await reader.follow({ channel: "blocks" });
  assert.deepEqual(reader.answers[2].rejected, []);
});

Deno.test("a client that leaves while its channels are opened leaves no cursor", async () => {
  const bench = new Bench();
  using hub = bench.isolate({ weather: () => ({ ...CALM, afterMs: 10 }) });
  const reader = bench.client(hub);
  const following = reader.follow({ channel: "blocks" });
  reader.open = false;
  await pass(bench.clock, 20);
  await following;
  assert.deepEqual(reader.answers, []);
  assert.equal(hub.subscribers("blocks"), 0);
});

Deno.test("a store that cannot be read refuses the subscription and can be asked again", async () => {
  const bench = new Bench();
  let failing = true;
  using hub = bench.isolate({
    weather: () => failing ? { ...CALM, end: "failed" } : CALM,
  });
  const reader = bench.client(hub);
  await assert.rejects(reader.follow({ channel: "blocks" }), {
    code: "STORE_UNAVAILABLE",
  });
  failing = false;
  await reader.follow({ channel: "blocks" });
  assert.equal(reader.answers.length, 1);
});

for (const channel of [blocks, metrics]) {
  Deno.test(`${channel.name} is forgotten when idle, and can be opened again`, async () => {
    const bench = new Bench();
    using hub = bench.isolate();
    const reader = bench.client(hub);
    await reader.follow({ channel: channel.name });
    const stream = await hub.open(channel);
    await pass(bench.clock, 2 * STREAM_IDLE_MS);
    assert(hub.holds(stream), "someone follows it");
    reader.outbox.close();
    await pass(bench.clock, STREAM_IDLE_MS + 2 * POLL_MS);
    assert(!hub.holds(stream));
    assert.deepEqual([...hub.channels], []);
    // It once never came back: give it a time.
    const again = await hub.open(channel);
    assert(hub.holds(again));
  });
}

Deno.test("a channel without retention is live only", async () => {
  const bench = new Bench();
  using one = bench.isolate();
  using two = bench.isolate();
  const readers = [bench.client(one), bench.client(two)];
  for (const reader of readers) await reader.follow({ channel: "metrics" });
  const published = one.publish(update());
  await pass(bench.clock, 0);
  const [accepted] = await published;
  assert.deepEqual(Object.keys(accepted!).sort(), ["channel", "id"]);
  for (const { peer } of readers) {
    assert.equal(peer.texts.length, 1);
    assert.deepEqual(peer.seqs(), []);
  }
});

Deno.test("an isolate follows so many channels, forgets the idle for new ones, and refuses beyond", async () => {
  const bench = new Bench();
  using hub = bench.isolate();
  const open = (i: number) => hub.open(channelNamed(`room:${i}`)!);
  const cursor = {
    seq: 0,
    epoch: "0",
    replayUntil: 0,
    behind: false,
    advance: () => {},
  };
  const streams = await Promise.all(range(1, MAX_STREAMS).map(open));
  for (const { cursors } of streams) cursors.add(cursor);
  const refused = { code: "TOO_MANY_SUBSCRIPTIONS" };
  await assert.rejects(async () => await open(0), refused);
  const fixed = await hub.open(channelNamed("dag")!);
  assert(hub.holds(fixed), "a fixed channel is never refused");
  streams[4]!.cursors.delete(cursor);
  await pass(bench.clock, POLL_MS);
  await open(0);
  assert(!hub.holds(streams[4]!));
});

Deno.test("one address opens so many rooms, and takes none from others", async () => {
  const bench = new Bench();
  using hub = bench.isolate();
  const open = (name: string, address: string) =>
    hub.open(channelNamed(name)!, address);
  const own = range(1, MAX_STREAMS_PER_ADDRESS).map((i) => `room:${i}`);
  const streams = await Promise.all(own.map((name) => open(name, "a")));
  const cursor = {
    seq: 0,
    epoch: "0",
    replayUntil: 0,
    behind: false,
    advance: () => {},
  };
  for (const { cursors } of streams) cursors.add(cursor);
  const refused = await open("room:more", "a").catch((error) => error);
  assert.equal(refused.code, "TOO_MANY_SUBSCRIPTIONS");
  assert.equal(refused.kind.http, 503);
  assert(refused.retryAfterMs > 0);
  assert.equal(new Refusal("TOO_MANY_SUBSCRIPTIONS").kind.http, 400);
  await open("dag", "a");
  await open("room:1", "a");
  await open("room:other", "b");

  // A command gets what there is room for.
  const reader = new Reader(bench, hub, "a");
  await reader.follow(
    ...["blocks", "room:none", "room:2"].map((channel) => ({ channel })),
  );
  const [answer] = reader.answers;
  assert.deepEqual(
    answer.channels.map(({ channel }: { channel: string }) => channel),
    ["blocks", "room:2"],
  );
  assert.deepEqual(answer.rejected, [{
    channel: "room:none",
    code: "TOO_MANY_SUBSCRIPTIONS",
    retryAfterMs: refused.retryAfterMs,
  }]);

  // What is closed leaves its share.
  streams[4]!.cursors.delete(cursor);
  await pass(bench.clock, POLL_MS);
  await open("room:more", "a");
  await assert.rejects(() => open("room:most", "a"), {
    code: "TOO_MANY_SUBSCRIPTIONS",
  });
});

Deno.test("many addresses together leave space for one that comes later", async () => {
  const bench = new Bench();
  const full: [number, string | undefined][] = [];
  using hub = bench.isolate({
    observer: { roomsFull: (used, address) => full.push([used, address]) },
  });
  const open = (name: string, address: string) =>
    hub.open(channelNamed(name)!, address).then(({ cursors }) => {
      cursors.add({
        seq: 0,
        epoch: "0",
        replayUntil: 0,
        behind: false,
        advance: () => {},
      });
    });
  /** Opens rooms for an address until it is refused. */
  const fill = async (address: string) => {
    for (let i = 0;; i++) {
      try {
        await open(`room:${address}-${i}`, address);
      } catch {
        return i;
      }
    }
  };
  const taken: number[] = [];
  for (const i of range(1, 40)) taken.push(await fill(`a${i}`));
  assert.equal(taken[0], MAX_STREAMS_PER_ADDRESS);
  const used = taken.reduce((a, b) => a + b);
  assert(used < MAX_STREAMS, `${used} rooms`);
  // Who asked for little finds space, whatever the others hold.
  for (const i of range(1, 5)) await open(`room:newcomer-${i}`, "newcomer");
  assert.deepEqual(full, [[MAX_STREAMS_PER_ADDRESS, "a1"]]);
});

Deno.test("channels that are opened at once count before they are open", async () => {
  const bench = new Bench();
  using hub = bench.isolate();
  const opened = await Promise.allSettled(
    range(0, MAX_STREAMS).map((i) => hub.open(channelNamed(`room:${i}`)!)),
  );
  const refused = opened.filter(({ status }) => status === "rejected");
  assert.equal(refused.length, 1);
});

Deno.test("two who read the same page of the log share the reading", async () => {
  const bench = new Bench();
  let reads = 0;
  using writer = bench.isolate();
  await bench.publish(writer, 50);
  using hub = bench.isolate({
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

Deno.test("a hub that is disposed asks and tells nothing any more", async () => {
  const bench = new Bench();
  const hub = bench.isolate();
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
    const outbox = new Outbox(peer, JSON_CODEC, hub.outboxParts, {
      address: "10.0.0.1",
      stalled: () => {},
      charge: () => 0,
      read: () => {},
    });
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
