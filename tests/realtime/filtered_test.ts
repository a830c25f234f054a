import assert from "node:assert/strict";
import fc from "fast-check";
import { PARTIAL_TAG } from "../../protocol/messages.ts";
import type { Tags } from "../../protocol/messages.ts";
import { matchesFilter } from "../../realtime/filter_index.ts";
import type { Filter } from "../../realtime/filter_index.ts";
import { FilterBudget } from "../../realtime/filter_budget.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { Outbox, PAGE_EVENTS } from "../../realtime/outbox.ts";
import { Pace, TICK_MS } from "../../realtime/pace.ts";
import { Progress, PROGRESS_MS } from "../../realtime/progress.ts";
import { HIGH_WATER_BYTES } from "../../realtime/sink.ts";
import { Stream } from "../../realtime/stream.ts";
import type { LogPage } from "../../store/event_log.ts";
import type { LoggedEntry } from "../../store/entry.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { entryOf } from "../fakes/entry.ts";
import { FakePeer } from "../fakes/peer.ts";

const CHANNEL = "transactions";

/** A log of transactions, its stream, and connections to it. */
function bench({ ringEvents = 1_024 } = {}) {
  const clock = new ManualClock();
  const stream = new Stream(CHANNEL, {
    logged: true,
    head: { epoch: "e", seq: 0 },
    envelope: () => ({ id: "frame", now: 0 }),
    ringEvents,
  });
  const log: LoggedEntry[] = [];
  const state = { oldest: 1, pages: 0, waitMs: 0 };
  const parts = {
    clock,
    pace: new Pace(clock),
    progress: new Progress(clock),
    filters: new FilterBudget(),
    envelope: () => ({ id: "frame", now: 0 }),
    readOldest: () => Promise.resolve(state.oldest),
    readPage: (_: string, after: number, upTo: number): Promise<LogPage> => {
      state.pages++;
      const from = Math.max(after + 1, state.oldest);
      const to = Math.min(upTo, from + PAGE_EVENTS - 1);
      return Promise.resolve({
        entries: log.slice(from - 1, to),
        unreadable: [],
      });
    },
  };
  return {
    clock,
    stream,
    log,
    state,
    parts,
    connect() {
      const peer = new FakePeer();
      let stalls = 0;
      const outbox = new Outbox(peer, JSON_CODEC, parts, {
        address: "10.0.0.1",
        stalled: () => void stalls++,
        charge: () => state.waitMs,
        read: () => {},
      });
      return { peer, outbox, stalls: () => stalls };
    },
    publish(tags: Tags, type = "TX_RECEIVED") {
      const seq = log.length + 1;
      const json = JSON.stringify({
        type,
        channel: CHANNEL,
        seq,
        epoch: "e",
        payload: { height: seq, blockId: `b${seq}` },
      });
      const entry = entryOf("e", seq, json, { channel: CHANNEL, type, tags });
      log.push(entry);
      stream.offer(entry);
    },
  };
}

const by = (...addresses: string[]): Filter => [{ address: addresses }];
const of = (...addresses: string[]): Tags => ({ address: addresses });

/** Lets reads of the log and ticks go on for a number of ticks. */
function settle(clock: ManualClock, ticks = 40): Promise<void> {
  return pass(clock, ticks * TICK_MS);
}

Deno.test("a filtered subscription receives what matches, each event with the position before it", () => {
  const { stream, publish, connect } = bench();
  const { peer, outbox } = connect();
  outbox.attach(stream, { epoch: "e", seq: 0 }, {
    as: "mine",
    filter: by("a"),
  });
  for (const address of ["b", "a", "b", "a"]) publish(of(address));
  stream.flush();
  publish(of("b"));
  stream.flush();
  publish(of("c", "a"));
  stream.flush();
  assert.deepEqual(
    peer.texts.map((text) => text.slice(0, 24)),
    [
      '{"prev":0,"sub":"mine","',
      '{"prev":2,"sub":"mine","',
      '{"prev":4,"sub":"mine","',
    ],
  );
  assert.deepEqual(peer.seqs(), [2, 4, 6]);
});

Deno.test("an event that may concern more than it names passes every filter, stored or live", () => {
  const { stream, publish, connect } = bench();
  publish({ ...of("b"), [PARTIAL_TAG]: [] });
  publish(of("b"));
  stream.flush();
  const { peer, outbox } = connect();
  const mine = { as: "mine", filter: by("a") };
  outbox.attach(stream, { epoch: "e", seq: 0 }, mine);
  publish({ ...of("b"), [PARTIAL_TAG]: [] });
  stream.flush();
  assert.deepEqual(peer.seqs(), [1, 3]);
});

Deno.test("several subscriptions of one channel keep apart, beside an unfiltered one", () => {
  const { stream, publish, connect } = bench();
  const { peer, outbox } = connect();
  const start = { epoch: "e", seq: 0 };
  outbox.attach(stream, start);
  outbox.attach(stream, start, { as: "one", filter: by("a") });
  outbox.attach(stream, start, { as: "two", filter: by("a", "b") });
  publish(of("a"));
  publish(of("b"));
  stream.flush();
  const seen = JSON.parse(`[${peer.texts.join()}]`) as {
    seq: number;
    sub?: string;
  }[];
  const seqsOf = (sub?: string) =>
    seen.filter((event) => event.sub === sub).map(({ seq }) => seq);
  assert.deepEqual(seqsOf(), [1, 2]);
  assert.deepEqual(seqsOf("one"), [1]);
  assert.deepEqual(seqsOf("two"), [1, 2]);
  assert.equal(stream.subscribers, 3);
  assert(outbox.detach("one"));
  assert(outbox.detach(CHANNEL));
  publish(of("a"));
  stream.flush();
  assert.equal(peer.texts.length, 6);
  outbox.close();
  assert.equal(stream.subscribers, 0);
});

Deno.test("events about the whole channel pass every filter", () => {
  const { stream, publish, connect } = bench();
  const { peer, outbox } = connect();
  outbox.attach(stream, { epoch: "e", seq: 0 }, { filter: by("nobody") });
  for (const type of ["CHAIN_RESET", "BLOCK_COMPLETE", "OF_A_LATER_VERSION"]) {
    publish({}, type);
  }
  publish({});
  stream.flush();
  assert.deepEqual(peer.seqs(), [1, 2, 3]);
});

Deno.test("progress reports the position of a quiet subscription, at most every PROGRESS_MS", () => {
  const { clock, stream, publish, connect } = bench();
  const { peer, outbox } = connect();
  const start = { epoch: "e", seq: 0 };
  outbox.attach(stream, start, { as: "quiet", filter: by("nobody") });
  outbox.attach(stream, start, { as: "busy", filter: by("a") });
  const progress = () =>
    peer.of("progress").map(({ payload }) =>
      payload.positions.map((
        it: { as: string; seq: number; block?: object },
      ) => [it.as, it.seq, it.block])
    );
  publish(of("a"));
  stream.flush();
  clock.advance(PROGRESS_MS - 1);
  assert.deepEqual(progress(), []);
  clock.advance(1);
  assert.deepEqual(progress(), [[["quiet", 1, undefined]]]);
  clock.advance(PROGRESS_MS);
  assert.equal(progress().length, 1, "nothing has moved");
  publish({}, "BLOCK_COMPLETE");
  publish(of("b"));
  stream.flush();
  clock.advance(PROGRESS_MS);
  assert.equal(progress().length, 1, "both had an event meanwhile");
  clock.advance(PROGRESS_MS);
  const block = { height: 2, blockId: "b2" };
  assert.deepEqual(progress()[1], [["quiet", 3, block], ["busy", 3, block]]);
  publish(of("b"));
  stream.flush();
  outbox.reportPositions();
  assert.deepEqual(progress()[2], [["quiet", 4, block], ["busy", 4, block]]);
  outbox.reportPositions();
  assert.equal(progress().length, 3);
});

Deno.test("a catch-up reads the log, is charged for it, and ends with a progress", async () => {
  const { clock, stream, state, publish, connect } = bench({ ringEvents: 16 });
  for (let i = 0; i < 2 * PAGE_EVENTS; i++) publish(of(i % 100 ? "b" : "a"));
  stream.flush();
  const { peer, outbox } = connect();
  state.waitMs = 5 * TICK_MS;
  outbox.attach(stream, { epoch: "e", seq: 0 }, { filter: by("a") });
  await settle(clock, 4);
  assert.equal(state.pages, 0, "not before the client has the budget");
  state.waitMs = 0;
  await settle(clock);
  assert.deepEqual(peer.seqs(), [1, 101, 201, 301, 401, 501]);
  const frames = peer.seen as unknown as { prev?: number; replay?: true }[];
  assert.deepEqual(
    frames.slice(0, 6).map(({ prev, replay }) => [prev, replay]),
    [0, 1, 101, 201, 301, 401].map((prev) => [prev, true]),
  );
  assert.deepEqual(peer.seen.at(-1)!.payload.positions[0].seq, 512);
  assert.equal(peer.seen.length, 7);
});

Deno.test("a position beyond retention is kept alive by progress", async () => {
  const { clock, stream, state, log, publish, connect } = bench({
    ringEvents: 8,
  });
  const { peer, outbox } = connect();
  outbox.attach(stream, { epoch: "e", seq: 0 }, { filter: by("a") });
  for (let i = 0; i < 100; i++) {
    publish(of("b"));
    stream.flush();
  }
  clock.advance(PROGRESS_MS);
  const [position] = peer.of("progress")[0]!.payload.positions;
  outbox.close();
  state.oldest = 100;
  publish(of("b"));
  publish(of("a"));
  stream.flush();
  const again = connect();
  again.outbox.attach(stream, position, { filter: by("a") });
  await settle(clock);
  assert.deepEqual(again.peer.seqs(), [log.length]);
  assert.deepEqual(again.peer.of("gap"), []);
});

Deno.test("a quiet subscription is notified of a new or shortened log", async () => {
  const { clock, stream, state, log, publish, connect } = bench({
    ringEvents: 4,
  });
  const { peer, outbox } = connect();
  const selection = { as: "mine", filter: by("a") };
  outbox.attach(stream, { epoch: "e", seq: 0 }, selection);
  publish(of("b"));
  stream.flush();
  // Retention has deleted what a leap passes.
  for (let i = 0; i < 8; i++) publish(of("b"));
  stream.resetTo({ epoch: "e", seq: log.length });
  state.oldest = 6;
  stream.flush();
  await settle(clock);
  stream.resetTo({ epoch: "f", seq: 2 });
  state.oldest = 3;
  stream.flush();
  await settle(clock);
  const json = `{"type":"TX_RECEIVED","seq":3,"epoch":"f"}`;
  const rest = { channel: CHANNEL, type: "TX_RECEIVED", tags: of("a") };
  stream.offer(entryOf("f", 3, json, rest));
  stream.flush();
  assert.deepEqual(
    peer.of("gap").map((
      { payload: { as, from, to, epoch, reason } },
    ) => [as, from, to, epoch, reason]),
    [
      ["mine", 2, 5, "e", "retention"],
      ["mine", 1, 2, "f", "epoch_changed"],
    ],
  );
  const last = peer.seen.at(-1) as unknown as { seq: number; prev: number };
  assert.deepEqual([last.seq, last.prev], [3, 2]);
});

type Step =
  | { publish: string[]; type: string }
  | { flush: number }
  | { edit: number; to: string[] }
  | { watch: number; add: string; back: number }
  | { stop: number; stopped: boolean }
  | { lose: number }
  | { reset: true }
  | { settle: true }
  | { progress: true };

const name = fc.constantFrom("a", "b", "c", "d");
const who = fc.nat(2);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      publish: fc.uniqueArray(name, { maxLength: 2 }),
      type: fc.constantFrom("TX_RECEIVED", "TX_RECEIVED", "BLOCK_COMPLETE"),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ flush: fc.integer({ min: 1, max: 9 }) }),
  },
  fc.record({ edit: who, to: fc.uniqueArray(name) }),
  fc.record({ watch: who, add: name, back: fc.nat(40) }),
  fc.record({ stop: who, stopped: fc.boolean() }),
  fc.record({ lose: who }),
  fc.record({ reset: fc.constant(true as const) }),
  { weight: 2, arbitrary: fc.record({ settle: fc.constant(true as const) }) },
  fc.record({ progress: fc.constant(true as const) }),
);

/** A client that checks every frame against what a plain look at the log gives. */
class Reader {
  filter: Filter = by("a", "b");
  position = { epoch: "e", seq: 0 };
  /** From where on the filter is in force. */
  from = 0;
  peer!: FakePeer;
  outbox!: Outbox;
  #read = 0;
  readonly missed: Promise<void>[] = [];

  constructor(readonly at: ReturnType<typeof bench>, readonly batch: boolean) {
    this.connect();
  }

  connect(): void {
    this.outbox?.close();
    Object.assign(this, this.at.connect());
    this.outbox.batch = this.batch;
    this.#read = 0;
    // The whole filter counts from where it resumes.
    this.from = 0;
    const selection = { as: "mine", filter: this.filter };
    this.outbox.attach(this.at.stream, this.position, selection);
  }

  /** Everything between two positions that the present filter lets through. */
  due(after: number, upTo: number): number[] {
    const from = Math.max(after, this.from);
    return this.at.log.slice(from, upTo).filter(({ type, tags }) =>
      type === "BLOCK_COMPLETE" || matchesFilter(this.filter, tags)
    ).map(({ seq }) => seq);
  }

  /** Reads what was sent; the chain of `prev` must hold. */
  read(): void {
    const frames = this.peer.seen;
    for (const frame of frames.slice(this.#read)) {
      if (frame.type === "progress") {
        const [position] = frame.payload.positions;
        assert.deepEqual(this.due(this.position.seq, position.seq), []);
        this.position = { epoch: position.epoch, seq: position.seq };
        continue;
      }
      const { seq, prev } = frame as unknown as { seq: number; prev?: number };
      if (prev === undefined) continue;
      assert.equal(prev, this.position.seq);
      assert.deepEqual(this.due(prev, seq), [seq]);
      this.position = { epoch: "e", seq };
    }
    this.#read = frames.length;
  }

  /** Changes the filter from a position on, as a `watch` does. */
  edit(filter: Filter): void {
    const subscription = this.outbox.get("mine")!;
    this.outbox.flush();
    const from = this.outbox.select(subscription, filter);
    this.read();
    assert.deepEqual(this.due(this.position.seq, from.seq), []);
    this.from = from.seq;
    this.filter = filter;
  }
}

Deno.test("filtered subscriptions receive what a plain look at the log gives, whatever happens", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      const at = bench({ ringEvents: 8 });
      const { stream, clock, publish } = at;
      const readers = [false, true, true].map((batch) => new Reader(at, batch));
      for (const each of steps) {
        if ("publish" in each) publish(of(...each.publish), each.type);
        else if ("flush" in each) stream.flush(each.flush);
        else if ("edit" in each) readers[each.edit]!.edit(by(...each.to));
        else if ("stop" in each) {
          const { peer } = readers[each.stop]!;
          peer.stopped = each.stopped;
          peer.bufferedAmount = each.stopped ? HIGH_WATER_BYTES : 0;
        } else if ("lose" in each) {
          readers[each.lose]!.read();
          readers[each.lose]!.connect();
        } else if ("reset" in each) {
          // A leap: what lies between is in the log alone.
          for (let i = 0; i < 3; i++) {
            const seq = at.log.length + 1;
            const json =
              `{"type":"TX_RECEIVED","channel":"${CHANNEL}","seq":${seq}}`;
            const type = "TX_RECEIVED";
            const tags = of("a");
            const rest = { channel: CHANNEL, type, tags };
            at.log.push(entryOf("e", seq, json, rest));
          }
          stream.resetTo({ epoch: "e", seq: at.log.length });
        } else if ("watch" in each) {
          const reader = readers[each.watch]!;
          reader.read();
          const after = Math.max(0, reader.position.seq - each.back);
          const subscription = reader.outbox.get("mine")!;
          let upTo = -1;
          const before = reader.peer.seen.length;
          reader.outbox.replay(
            subscription,
            by(each.add),
            { epoch: "e", seq: after },
            () => upTo = subscription.seq,
          );
          reader.peer.stopped = false;
          reader.peer.bufferedAmount = 0;
          await settle(clock, 6);
          const replayed = reader.peer.seen.slice(before)
            .filter((it) => it.type !== "progress" && !("prev" in it));
          assert(upTo >= after, "it ends");
          assert.deepEqual(
            replayed.map(({ seq, replay }) => [seq, replay]),
            at.log.slice(after, upTo)
              .filter(({ tags }) => matchesFilter(by(each.add), tags))
              .map(({ seq }) => [seq, true]),
          );
        } else if ("settle" in each) await settle(clock, 3);
        else for (const { outbox } of readers) outbox.progress();
        for (const reader of readers) reader.read();
      }
      for (const { peer } of readers) {
        peer.stopped = false;
        peer.bufferedAmount = 0;
      }
      do stream.flush(); while (stream.isDue);
      await settle(clock, 8);
      for (const reader of readers) {
        reader.read();
        const { seq } = reader.position;
        assert.deepEqual(reader.due(seq, at.log.length), [], "all arrived");
        reader.outbox.close();
      }
      assert.equal(stream.subscribers, 0);
    }),
    { numRuns: 300 },
  );
});
