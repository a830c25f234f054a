import assert from "node:assert/strict";
import { idSource } from "../../protocol/envelope.ts";
import { POLL_MS } from "../../realtime/repair.ts";
import { MAX_SUBSCRIPTIONS } from "../../realtime/subscribe.ts";
import { renewEpochs } from "../../store/continuity.ts";
import { UNBORN_EPOCH } from "../../store/event_log.ts";
import { FORGOTTEN_KEY, headKey } from "../../store/log_heads.ts";
import { pass } from "../fakes/clock.ts";
import { CALM } from "../fakes/kv.ts";
import { Bench, block, headOf, range, REPAIRED_MS } from "./hub_bench.ts";

Deno.test("a subscription begins at its position: live, last, after, and reports it first", async () => {
  const bench = new Bench();
  using hub = bench.instance();
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

Deno.test("what cannot be replayed is reported with its reason and exact numbers", async () => {
  const bench = new Bench();
  bench.retention = { events: 30, ms: 3_600_000 };
  using hub = bench.instance();
  // A row is taken as a whole: the last 30 of the first 100 and all of theirs.
  for (let i = 0; i < 10; i++) await bench.publish(hub, 10);
  await bench.publish(hub, 5);
  const { epoch } = await headOf(hub);
  using fresh = bench.instance();
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

Deno.test("a client that is ahead of this instance is believed once the log agrees", async () => {
  const bench = new Bench();
  bench.office.carry = () => {};
  using one = bench.instance();
  using two = bench.instance();
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
  using one = bench.instance();
  using two = bench.instance();
  const readers = [bench.client(one), bench.client(two)];
  for (const reader of readers) {
    await reader.follow({ channel: "blocks" });
    const { epoch, seq } = reader.answers[0].channels[0];
    assert.deepEqual([epoch, seq], [UNBORN_EPOCH, 0]);
  }
  // The first post is lost: the second belongs to a log that is not known yet.
  let posts = 0;
  bench.office.carry = (letter) => void (posts++ > 0 && letter.deliver());
  await bench.publish(one);
  await bench.publish(one);
  await pass(bench.clock, REPAIRED_MS);
  for (const { peer } of readers) assert.deepEqual(peer.seqs(), [1, 2]);
});

Deno.test("a log that ended is reported, and its successor read from its first event", async () => {
  const bench = new Bench();
  using one = bench.instance();
  using two = bench.instance();
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
  using hub = bench.instance();
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
  using hub = bench.instance();
  const reader = bench.client(hub);
  await reader.follow({ channel: "blocks" });
  const { epoch, seq } = reader.answers[0].channels[0];
  assert.deepEqual([epoch, seq], [UNBORN_EPOCH, 0]);
  await bench.publish(hub, 5);
  const start = { channel: "blocks", after: { epoch, seq } };
  using other = bench.instance();
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
    using third = bench.instance();
    if (count > 0) await bench.publish(third, count);
    using fourth = bench.instance();
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

Deno.test("a log that gets a new epoch under running instances is reported once, and continues", async () => {
  const bench = new Bench();
  using hub = bench.instance();
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
  using other = bench.instance();
  const back = bench.client(other);
  await back.follow({ channel: "blocks", after: before });
  const [answer] = back.answers[0].channels;
  assert.deepEqual(
    [answer.recovered, answer.epoch, answer.seq],
    [true, after.epoch, 5],
  );
  assert.deepEqual(back.peer.seqs(), [6]);
});

Deno.test("a client of a quiet channel receives no gap that is none", async () => {
  const bench = new Bench();
  bench.retention = { events: 100, ms: 1_000 };
  using hub = bench.instance();
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
  using hub = bench.instance();
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

Deno.test("aliases, unknown and forbidden channels are answered by name", async () => {
  const bench = new Bench();
  using hub = bench.instance();
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

Deno.test("one connection follows a bounded number of channels", async () => {
  const bench = new Bench();
  using hub = bench.instance();
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
  using hub = bench.instance({ weather: () => ({ ...CALM, afterMs: 10 }) });
  const reader = bench.client(hub);
  const following = reader.follow({ channel: "blocks" });
  reader.open = false;
  await pass(bench.clock, 20);
  await following;
  assert.deepEqual(reader.answers, []);
  assert.equal(hub.subscribers("blocks"), 0);
});

Deno.test("an unreadable store refuses the subscription, which can be retried", async () => {
  const bench = new Bench();
  let failing = true;
  using hub = bench.instance({
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
