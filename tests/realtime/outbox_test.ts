import assert from "node:assert/strict";
import { UNBORN_EPOCH } from "../../store/event_log.ts";
import {
  MAX_REPLY_BACKLOG_BYTES,
  Outbox,
  PAGE_EVENTS,
  READ_RETRY_MS,
  STALL_MS,
} from "../../realtime/outbox.ts";
import type { LogPage, SeqRange } from "../../store/event_log.ts";
import { entryOf } from "../fakes/entry.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { HIGH_WATER_BYTES } from "../../realtime/sink.ts";
import { FilterBudget } from "../../realtime/filter_budget.ts";
import { Progress } from "../../realtime/progress.ts";
import { Pace, TICK_MS } from "../../realtime/pace.ts";
import { RING_EVENTS, Stream } from "../../realtime/stream.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { FakePeer } from "../fakes/peer.ts";

/** A stream at `seq` over a log that keeps events from `oldest` on. */
function bench({ seq = 0, epoch = "e", oldest = 1 } = {}) {
  const clock = new ManualClock();
  const pace = new Pace(clock);
  const peer = new FakePeer();
  const stream = new Stream("blocks", {
    logged: true,
    head: { epoch, seq },
    envelope: () => ({ id: "frame", now: 0 }),
  });
  const log = {
    oldest,
    failing: false,
    reads: 0,
    pad: "",
    epoch,
    unreadable: [] as SeqRange[],
  };
  const text = (seq: number) =>
    JSON.stringify({
      type: "NEW_BLOCK",
      channel: "blocks",
      seq,
      epoch: log.epoch,
      pad: log.pad,
    });
  let stalls = 0;
  const parts = {
    clock,
    pace,
    progress: new Progress(clock),
    filters: new FilterBudget(),
    envelope: () => ({ id: "frame", now: 0 }),
    readPage: (_: string, after: number, upTo: number): Promise<LogPage> => {
      log.reads++;
      if (log.failing) return Promise.reject(new Error("KV is away"));
      const from = Math.max(after + 1, log.oldest);
      const count = Math.max(0, Math.min(PAGE_EVENTS, upTo - from + 1));
      const isReadable = (seq: number) =>
        !log.unreadable.some((lost) => seq >= lost.from && seq <= lost.to);
      return Promise.resolve({
        entries: Array.from({ length: count }, (_, i) => from + i)
          .filter(isReadable)
          .map((seq) => entryOf(log.epoch, seq, text(seq))),
        unreadable: log.unreadable.filter(({ to }) => to > after),
      });
    },
    readOldest: () => Promise.resolve(log.oldest),
  };
  const account = { waitMs: 0, read: [] as number[] };
  const outbox = new Outbox(peer, JSON_CODEC, parts, {
    address: "10.0.0.1",
    stalled: () => void stalls++,
    charge: () => account.waitMs,
    read: (length) => void account.read.push(length),
  });
  const publish = (count: number) => {
    for (let i = 0; i < count; i++) {
      const next = stream.seq + 1;
      stream.offer(entryOf(log.epoch, next, text(next)));
    }
    while (stream.isDue) stream.flush();
  };
  return {
    clock,
    pace,
    peer,
    stream,
    log,
    account,
    text,
    outbox,
    publish,
    stalls: () => stalls,
  };
}

/** A reply that carries a name. */
const echo = (payload: string) => ({
  type: "TEST" as const,
  payload,
  id: "reply",
  now: 0,
});

const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

for (const batch of [false, true]) {
  const how = batch ? "joined" : "one by one";

  Deno.test(`live events come in order, ${how}`, () => {
    const { outbox, stream, publish, peer } = bench();
    outbox.batch = batch;
    outbox.attach(stream, { epoch: "e", seq: 0 });
    publish(3);
    publish(1);
    assert.deepEqual(peer.seqs(), [1, 2, 3, 4]);
    assert.equal(peer.texts.length, batch ? 2 : 4);
    assert(peer.seen.every(({ replay }) => replay === undefined));
  });

  Deno.test(`a resume comes from memory, marked as replay, then live, ${how}`, () => {
    const { outbox, stream, publish, peer, log } = bench();
    outbox.batch = batch;
    publish(5);
    outbox.attach(stream, { epoch: "e", seq: 2 });
    publish(2);
    assert.deepEqual(peer.seqs(), range(3, 7));
    assert.deepEqual(
      peer.seen.map(({ replay }) => replay ?? false),
      [true, true, true, false, false],
    );
    assert.equal(log.reads, 0);
  });

  Deno.test(`a resume from further back comes from the log in pages, then live, ${how}`, async () => {
    const { outbox, stream, publish, peer, log, clock, pace } = bench({
      seq: 1_000,
    });
    outbox.batch = batch;
    outbox.attach(stream, { epoch: "e", seq: 10 });
    publish(3);
    await pass(clock, TICK_MS);
    publish(2);
    assert.deepEqual(peer.seqs(), range(11, 1_005));
    assert.equal(log.reads, Math.ceil(990 / PAGE_EVENTS));
    for (const { seq, replay } of peer.seen) {
      assert.equal(replay ?? false, seq! <= 1_000);
    }
    await pass(clock, TICK_MS);
    assert.equal(pace.size, 0);
    assert.equal(clock.pending, 0, "nothing ticks for those who keep up");
  });

  Deno.test(`what retention removed is reported once, exactly, ${how}`, async () => {
    const { outbox, stream, publish, peer, clock } = bench({
      seq: 100,
      oldest: 41,
    });
    outbox.batch = batch;
    outbox.attach(stream, { epoch: "e", seq: 10 });
    publish(1);
    await pass(clock, TICK_MS);
    assert.deepEqual(peer.of("gap").map(({ payload }) => payload), [
      { channel: "blocks", from: 11, to: 40, epoch: "e", reason: "retention" },
    ]);
    assert.equal(peer.seen[0]!.type, "gap", "before what follows it");
    assert.deepEqual(peer.seqs(), range(41, 101));
  });

  Deno.test(`a full socket is fed no further, and goes on when it drains, ${how}`, async () => {
    const { outbox, stream, publish, peer, clock, pace, log } = bench();
    outbox.batch = batch;
    log.pad = "x".repeat(1_000);
    outbox.attach(stream, { epoch: "e", seq: 0 });
    peer.bufferedAmount = HIGH_WATER_BYTES - 1;
    publish(1);
    assert.deepEqual(peer.seqs(), [1], "below the mark it takes");
    peer.bufferedAmount = HIGH_WATER_BYTES;
    publish(500);
    await pass(clock, 10 * TICK_MS);
    assert.deepEqual(peer.seqs(), [1], "at the mark it does not");
    assert.equal(pace.size, 1);
    peer.bufferedAmount = HIGH_WATER_BYTES / 2 + 1;
    await pass(clock, TICK_MS);
    assert.deepEqual(peer.seqs(), [1], "it waits until half is gone");
    peer.bufferedAmount = HIGH_WATER_BYTES / 2;
    peer.stopped = true;
    await pass(clock, TICK_MS);
    assert(peer.bufferedAmount >= HIGH_WATER_BYTES);
    assert(peer.bufferedAmount < 2 * HIGH_WATER_BYTES, "bounded");
    peer.stopped = false;
    peer.bufferedAmount = 0;
    await pass(clock, TICK_MS);
    assert.deepEqual(peer.seqs(), range(1, 501));
    publish(1);
    assert.deepEqual(peer.seqs(), range(1, 502), "live again");
  });

  Deno.test(`a client that falls out of memory gets the rest from the log, ${how}`, async () => {
    const { outbox, stream, publish, peer, clock, log } = bench();
    outbox.batch = batch;
    outbox.attach(stream, { epoch: "e", seq: 0 });
    peer.bufferedAmount = HIGH_WATER_BYTES;
    publish(3_000);
    assert(stream.first > 1_000);
    log.oldest = 501;
    peer.bufferedAmount = 0;
    await pass(clock, TICK_MS);
    assert.deepEqual(peer.seqs(), range(501, 3_000));
    assert.equal(peer.of("gap")[0]!.payload.to, 500);
    assert(peer.seen.every(({ replay }) => replay === undefined));
  });
}

for (
  const [name, buffered] of Object.entries({
    "full": HIGH_WATER_BYTES,
    "read a little and then no more": HIGH_WATER_BYTES / 2 + 1,
  })
) {
  Deno.test(`a client whose socket stays ${name} is found too slow in time`, async () => {
    const { outbox, stream, publish, peer, clock, stalls, pace } = bench();
    outbox.attach(stream, { epoch: "e", seq: 0 });
    peer.bufferedAmount = HIGH_WATER_BYTES;
    publish(1);
    await pass(clock, TICK_MS);
    peer.bufferedAmount = buffered;
    const rest = buffered < HIGH_WATER_BYTES ? TICK_MS : -TICK_MS;
    await pass(clock, STALL_MS + rest - TICK_MS);
    assert.equal(stalls(), 0);
    await pass(clock, 2 * TICK_MS);
    assert.equal(stalls(), 1);
    assert.equal(stream.cursors.size, 0, "dropped from its streams at once");
    assert.equal(outbox.size, 0);
    assert.equal(pace.size, 0);
    assert.equal(clock.pending, 0);
    publish(1);
    assert.deepEqual(peer.texts, []);
  });
}

for (const stepMs of [-3_600_000, 3_600_000]) {
  Deno.test(`a wall clock stepped by ${stepMs} ms makes no client too slow, and spares none`, async () => {
    const { outbox, stream, publish, peer, clock, stalls } = bench();
    outbox.attach(stream, { epoch: "e", seq: 0 });
    peer.bufferedAmount = HIGH_WATER_BYTES;
    publish(1);
    await pass(clock, TICK_MS);
    clock.stepWall(stepMs);
    await pass(clock, STALL_MS - 2 * TICK_MS);
    assert.equal(stalls(), 0);
    await pass(clock, 2 * TICK_MS);
    assert.equal(stalls(), 1);
  });
}

Deno.test("a client that reads slowly but reads is not found too slow", async () => {
  const { outbox, stream, publish, peer, clock, stalls } = bench();
  outbox.attach(stream, { epoch: "e", seq: 0 });
  peer.bufferedAmount = 2 * HIGH_WATER_BYTES;
  publish(1);
  for (let i = 0; i < 5; i++) {
    await pass(clock, STALL_MS - TICK_MS);
    peer.bufferedAmount -= 1;
    await pass(clock, TICK_MS);
  }
  assert.equal(stalls(), 0);
});

Deno.test("a log that cannot be read makes no client too slow, and is asked again", async () => {
  const { outbox, stream, peer, clock, stalls, log } = bench({ seq: 10 });
  log.failing = true;
  outbox.attach(stream, { epoch: "e", seq: 0 });
  await pass(clock, 2 * STALL_MS);
  assert.equal(stalls(), 0);
  assert(log.reads > 10 && log.reads <= 2 * STALL_MS / READ_RETRY_MS + 2);
  log.failing = false;
  await pass(clock, READ_RETRY_MS + TICK_MS);
  assert.deepEqual(peer.seqs(), range(1, 10));
});

Deno.test("a new epoch is reported, then its events are sent from the oldest kept", async () => {
  const { outbox, stream, publish, peer, clock, log } = bench({ seq: 50 });
  outbox.attach(stream, { epoch: "e", seq: 50 });
  log.epoch = "f";
  log.oldest = 4;
  stream.resetTo({ epoch: "f", seq: 6 });
  publish(1);
  await pass(clock, TICK_MS);
  assert.deepEqual(peer.of("gap").map(({ payload }) => payload), [
    { channel: "blocks", from: 1, to: 3, epoch: "f", reason: "epoch_changed" },
  ]);
  assert.deepEqual(peer.seqs(), [4, 5, 6, 7]);
  assert(peer.seen.slice(1).every(({ epoch }) => epoch === "f"));
});

Deno.test("a subscriber of an unborn channel misses nothing, though no link reported the birth", async () => {
  const { outbox, stream, peer, clock, log } = bench({ epoch: UNBORN_EPOCH });
  outbox.attach(stream, { epoch: UNBORN_EPOCH, seq: 0 });
  log.epoch = "e";
  stream.resetTo({ epoch: "e", seq: 3 });
  stream.flush();
  await pass(clock, TICK_MS);
  assert.deepEqual(peer.seqs(), [1, 2, 3]);
  assert.deepEqual(peer.of("gap"), []);
});

Deno.test("attaching again moves the cursor, even while the log is being read", async () => {
  const { outbox, stream, peer, clock, publish } = bench({ seq: 600 });
  outbox.attach(stream, { epoch: "e", seq: 0 });
  outbox.attach(stream, { epoch: "e", seq: 590 });
  publish(1);
  await pass(clock, TICK_MS);
  assert.deepEqual(peer.seqs(), range(591, 601));
  assert.equal(stream.cursors.size, 1);
  outbox.attach(stream, { epoch: "e", seq: 599 });
  assert.deepEqual(peer.seqs().slice(-2), [600, 601]);
});

Deno.test("detaching or closing while the log is being read ends it", async () => {
  const { outbox, stream, peer, clock, pace } = bench({ seq: 600 });
  outbox.attach(stream, { epoch: "e", seq: 0 });
  assert(outbox.detach("blocks"));
  assert(!outbox.detach("blocks"));
  await pass(clock, TICK_MS);
  outbox.attach(stream, { epoch: "e", seq: 0 });
  outbox.close();
  await pass(clock, TICK_MS);
  assert.deepEqual(peer.texts, []);
  assert.equal(pace.size, 0);
});

Deno.test("an outbox that is closed attaches nothing: no cursor is left behind", () => {
  const { outbox, stream } = bench();
  outbox.close();
  outbox.attach(stream, { epoch: "e", seq: 0 });
  assert.equal(stream.cursors.size, 0);
  assert.equal(outbox.size, 0);
});

Deno.test("replies alone may fill a socket up to their bound, then its client is too slow", () => {
  const { outbox, peer, stalls, stream } = bench();
  outbox.attach(stream, { epoch: "e", seq: 0 });
  peer.bufferedAmount = MAX_REPLY_BACKLOG_BYTES;
  outbox.reply(echo("x"));
  assert.deepEqual([peer.texts.length, stalls()], [1, 0]);
  peer.bufferedAmount++;
  outbox.reply(echo("x"));
  assert.deepEqual([peer.texts.length, stalls()], [1, 1]);
  outbox.reply(echo("x"));
  assert.equal(stalls(), 1, "once");
  assert.equal(stream.cursors.size, 0);
});

Deno.test("joined replies keep their order, also among events", () => {
  const { outbox, peer, stream, publish, clock } = bench();
  outbox.batch = true;
  outbox.attach(stream, { epoch: "e", seq: 0 });
  outbox.reply(echo("a"));
  outbox.reply(echo("b"));
  assert.equal(peer.texts.length, 0, "until the turn is over");
  publish(1);
  outbox.reply(echo("c"));
  clock.turn();
  assert.deepEqual(
    peer.seen.map(({ type, payload }) => payload ?? type),
    ["a", "b", "NEW_BLOCK", "c"],
  );
  outbox.reply(echo("d"));
  outbox.batch = false;
  outbox.reply(echo("e"));
  assert.deepEqual(peer.seen.slice(4).map(({ payload }) => payload), [
    "d",
    "e",
  ]);
});

Deno.test("several channels that are behind are served in turn", async () => {
  const { outbox, stream, peer, clock } = bench({ seq: 2_000 });
  const other = new Stream("dag", {
    logged: true,
    head: { epoch: "e", seq: 2_000 },
    envelope: () => ({ id: "frame", now: 0 }),
  });
  outbox.attach(stream, { epoch: "e", seq: 0 });
  outbox.attach(other, { epoch: "e", seq: 0 });
  await pass(clock, TICK_MS);
  assert.equal(peer.seqs().length, 4_000);
  assert.deepEqual(
    [...outbox.positions()].map(({ seq, lag }) => [seq, lag]),
    [[2_000, 0], [2_000, 0]],
  );
  const seqs = peer.seqs();
  assert(seqs.lastIndexOf(1) < seqs.indexOf(2_000), "neither waits for all");
});

Deno.test("what cannot be read is a gap of its own, and the rest comes", async () => {
  const { outbox, stream, peer, log, clock } = bench({ seq: 20, oldest: 3 });
  log.unreadable = [{ from: 5, to: 6 }, { from: 10, to: 10 }, {
    from: 19,
    to: 20,
  }];
  outbox.attach(stream, { epoch: "e", seq: 0 });
  await pass(clock, TICK_MS);
  const gaps = peer.of("gap").map(({ payload: { from, to, reason } }) => [
    from,
    to,
    reason,
  ]);
  assert.deepEqual(gaps, [
    [1, 2, "retention"],
    [5, 6, "unreadable"],
    [10, 10, "unreadable"],
    [19, 20, "unreadable"],
  ]);
  assert.deepEqual(
    peer.seqs(),
    range(3, 18).filter((seq) => ![5, 6, 10].includes(seq)),
  );
});

Deno.test("a page of another log than the stream's is not sent", async () => {
  const { outbox, stream, peer, log, clock } = bench({ seq: 5 });
  log.epoch = "f";
  outbox.attach(stream, { epoch: "e", seq: 0 });
  await pass(clock, 3 * READ_RETRY_MS);
  assert.deepEqual(peer.seqs(), []);
  stream.resetTo({ epoch: "f", seq: 5 });
  await pass(clock, 2 * READ_RETRY_MS);
  assert.equal(peer.of("gap").length, 1);
  assert.deepEqual(peer.seqs(), range(1, 5));
});

Deno.test("a page of the log is paid for, and read once it can be", async () => {
  const { outbox, stream, publish, peer, account, text, clock, log } = bench();
  publish(RING_EVENTS + PAGE_EVENTS);
  account.waitMs = 5 * TICK_MS;
  outbox.attach(stream, { epoch: log.epoch, seq: 0 });
  await pass(clock, 4 * TICK_MS);
  assert.equal(log.reads, 0, "it waits");
  account.waitMs = 0;
  await pass(clock, 4 * TICK_MS);
  assert.equal(peer.seqs().length, stream.seq);
  assert.equal(account.read.length, log.reads);
  const lengths = range(1, PAGE_EVENTS).map((seq) => text(seq).length);
  assert.equal(account.read[0], lengths.reduce((sum, each) => sum + each, 0));
});
