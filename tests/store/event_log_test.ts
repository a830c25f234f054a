import assert from "node:assert/strict";
import {
  MAX_WAITING_BYTES,
  MAX_WAITING_EVENTS,
} from "../../store/commit_queue.ts";
import fc from "fast-check";
import { idSource } from "../../protocol/envelope.ts";
import { systemClock } from "../../platform/clock.ts";
import { PART_BYTES, ROW_EVENTS } from "../../store/rows.ts";
import type { Clock } from "../../platform/clock.ts";
import { COMMIT_BYTES, COMMIT_CHANNELS } from "../../store/commit_size.ts";
import type { Draft, EventLog, StreamPosition } from "../../store/event_log.ts";
import { ID_MEMORY_MS } from "../../store/id_memory.ts";
import { TRIM_EVERY } from "../../store/log_retention.ts";
import {
  COMMIT_DEADLINE_MS,
  LAST_LOOK_MS,
  READY_MS,
} from "../../store/log_writer.ts";
import {
  READ_DEADLINE_MS,
  StoredEventLog,
} from "../../store/stored_event_log.ts";
import type { StoredEventLogOptions } from "../../store/stored_event_log.ts";
import type { LoggedEntry } from "../../store/entry.ts";
import { draft, marks } from "../contracts/event_log_contract.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import type { Fate } from "../fakes/kv.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Store } from "../../store/store.ts";

/** More than any test reads. */
const ALL = { after: 0, upTo: 1e9, limit: 1e6, maxBytes: 1e9 };

function logOn(
  kv: Store,
  options: Partial<StoredEventLogOptions> = {},
): EventLog {
  return new StoredEventLog({
    store: kv,
    clock: systemClock,
    nextId: idSource(),
    retention: () => ({ events: 1_000, ms: 3_600_000 }),
    ...options,
  });
}

Deno.test("Log.append() commits together what arrives together, of all channels", async () => {
  await using kv = await openStore(":memory:");
  const sizes: number[] = [];
  const log = logOn(kv, {
    observer: { committed: (events) => sizes.push(events) },
  });
  await Promise.all(
    Array.from(
      { length: 60 },
      (_, i) => log.append([draft(i, { channel: `room:${i % 3}` })]),
    ),
  );
  assert.deepEqual(sizes, [60]);
});

Deno.test("Log.append() takes as many channels as a commit checks, and refuses one more", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const drafts = Array.from(
    { length: COMMIT_CHANNELS },
    (_, i) => draft(i, { channel: `room:${i}` }),
  );
  assert.equal((await log.append(drafts)).length, COMMIT_CHANNELS);
  assert.throws(
    () => log.append([...drafts, draft(0)]),
    { code: "MESSAGE_TOO_LARGE" },
  );
  // Apart, they go in two commits.
  await Promise.all([
    ...drafts.map((one) => log.append([one])),
    log.append([draft(0)]),
  ]);
  assert.deepEqual(await marks(log), [0]);
});

Deno.test("Log.append() accepts nothing that KV would refuse for its size", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const long = "\u4e16".repeat(250);
  const one = (i: number, pad: number) => {
    const lasting = `block:${i}${long}`;
    return draft(i, {
      channel: `room:${"r".repeat(60)}`,
      id: `${pad}-${i}-${"i".repeat(115)}`,
      keys: [lasting, `block:${i}`],
      payloadText: JSON.stringify({ mark: i, lasting, pad: "x".repeat(pad) }),
    });
  };
  // A log that never commits tells how much would be taken.
  const clock = new ManualClock();
  const hung: Fate = { ...CALM, end: "hung" };
  const hanging = new MemoryKv(clock).connect({ weather: () => hung });
  for (const pad of [0, 500, 3_000, 20_000]) {
    const probe = logOn(hanging, { clock });
    let drafts: Draft[] = [];
    for (let count = 1;; count++) {
      const more = Array.from({ length: count }, (_, i) => one(i, pad));
      try {
        probe.append(more).catch(() => {});
      } catch {
        break;
      }
      drafts = more;
    }
    assert(drafts.length > 10, `${drafts.length}`);
    assert.equal((await log.append(drafts)).length, drafts.length);
  }
});

Deno.test("Log.append() distinguishes one id of two publishers in one commit", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const of = (subject: string, payloadText: string) =>
    log.append([
      draft(0, {
        id: "1",
        payloadText,
        publisher: { subject, maxRooms: Infinity },
      }),
    ]);
  const answers = await Promise.all([
    log.append([draft(0)]),
    of("alice", '"A"'),
    of("bob", '"B"'),
  ]);
  assert.deepEqual(answers.flat().map(({ seq }) => seq), [1, 2, 3]);
});

Deno.test("Log.append() counts the keys of all that go in one commit", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  // Each alone is small; together their keys are more than a commit takes.
  const positions = await Promise.all(
    Array.from({ length: 300 }, (_, i) =>
      log.append([
        draft(i, {
          channel: `room:${"r".repeat(59)}`,
          id: `${i}-${"i".repeat(120)}`,
          publisher: { subject: "p".repeat(200), maxRooms: Infinity },
        }),
      ])),
  );
  assert.equal(positions.flat().length, 300);
});

Deno.test("Log.append() refuses beyond the bytes of a commit and takes what is just below", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const text = (length: number) =>
    draft(0, { payloadText: `"${"x".repeat(length)}"` });
  assert.throws(() => log.append([text(COMMIT_BYTES)]), {
    code: "MESSAGE_TOO_LARGE",
  });
  const [place] = await log.append([text(COMMIT_BYTES - 5_000)]);
  assert.equal(place!.seq, 1);
  const { entries: [event] } = await log.read("blocks", ALL);
  assert.equal(JSON.parse(event!.json).payload.length, COMMIT_BYTES - 5_000);
});

Deno.test("Log.append() refuses what would wait beyond its bounds, by number and by bytes", async () => {
  const clock = new ManualClock();
  const fate: Fate = { beforeMs: 0, afterMs: 0, end: "hung" };
  const kv = new MemoryKv(clock).connect({ weather: () => fate });
  const log = logOn(kv, { clock });
  const outcomes: Promise<unknown>[] = [];
  const of = (subject: string, changes: Partial<Draft> = {}) =>
    draft(0, { publisher: { subject, maxRooms: 1 }, ...changes });
  const add = (drafts: Draft[]) =>
    outcomes.push(log.append(drafts).catch((e) => e));
  const refuses = (drafts: Draft[]) =>
    assert.throws(() => log.append(drafts), {
      code: "STORE_UNAVAILABLE",
      retryAfterMs: COMMIT_DEADLINE_MS,
    });
  const fill = (subject: string, events: number) => {
    const many = Array.from({ length: 100 }, () => of(subject));
    for (let i = 0; i < events; i += 100) add(many);
  };
  // One publisher gets no more than half, and the others the rest.
  fill("a", MAX_WAITING_EVENTS / 2);
  refuses([of("a")]);
  fill("b", 100);
  refuses([of("b")]);
  for (let i = 100; i < MAX_WAITING_EVENTS / 2; i += 100) fill(`${i}`, 100);
  refuses([of("c")]);
  // All that wait are refused in the end, and room is made again.
  for (let i = 0; i < 60; i++) await pass(clock, COMMIT_DEADLINE_MS);
  add([of("a")]);
  for (let i = 0; i < 600; i++) await pass(clock, COMMIT_DEADLINE_MS);
  for (const outcome of await Promise.all(outcomes)) {
    assert.equal((outcome as { code: string }).code, "STORE_UNAVAILABLE");
  }
  const large = { payloadText: `"${"x".repeat(600_000)}"` };
  let taken = 0;
  assert.throws(() => {
    for (;; taken++) log.append([of("a", large)]).catch(() => {});
  }, { code: "STORE_UNAVAILABLE" });
  assert(taken * 600_000 < MAX_WAITING_BYTES / 2);
  assert((taken + 2) * 610_000 > MAX_WAITING_BYTES / 2);
  // It is in the way of none but itself.
  log.append([of("b", large)]).catch(() => {});
  for (let i = 0; i < 200; i++) await pass(clock, COMMIT_DEADLINE_MS);
  await log.settled();
});

Deno.test("two Logs on one file lose nothing to its lock", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await using one = await openStore(`${directory}/kv`);
    await using two = await openStore(`${directory}/kv`);
    const logs = [logOn(one), logOn(two)];
    await Promise.all(
      Array.from(
        { length: 100 },
        (_, i) => logs[i % 2]!.append([draft(i)]),
      ),
    );
    assert.equal(new Set(await marks(logs[0]!)).size, 100);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

const alice = { subject: "alice", maxRooms: Infinity };
const bob = { subject: "bob", maxRooms: Infinity };

for (
  const [how, append] of Object.entries({
    "later": async (log: EventLog) => {
      await log.append([draft("A", { id: "1", publisher: alice })]);
      await log.append([draft("x"), draft("B", { id: "1", publisher: alice })]);
    },
    "in one batch": (log: EventLog) =>
      log.append([draft("A", { id: "1" }), draft("B", { id: "1" })]),
    "in one commit": (log: EventLog) =>
      Promise.all([
        log.append([draft("A", { id: "1" })]),
        log.append([draft("x"), draft("B", { id: "1" })]),
      ]),
    "by another Log": async (log: EventLog, other: EventLog) => {
      await log.append([draft("A", { id: "1" })]);
      await other.append([draft("B", { id: "1", type: "NEW_BLOCK" })]);
    },
  } as Record<string, (log: EventLog, other: EventLog) => Promise<unknown>>)
) {
  Deno.test(`other content under a used id is refused ${how}, and nothing else is`, async () => {
    await using kv = await openStore(":memory:");
    const [log, other] = [logOn(kv), logOn(kv)];
    await assert.rejects(async () => await append(log, other), {
      code: "ID_CONFLICT",
    });
    const [last] = await log.append([draft("last")]);
    const kept = how === "in one batch" ? [] : ["A"];
    assert.deepEqual(await marks(log), [...kept, "last"]);
    assert.equal(last!.seq, kept.length + 1);
  });
}

Deno.test("a publisher may begin a bounded number of rooms, and use those it began", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const publisher = { subject: "alice", maxRooms: 3 };
  const to = (room: number) =>
    log.append([draft(room, { channel: `room:${room}`, publisher })]);
  await to(1);
  const outcomes = await Promise.allSettled([to(2), to(3), to(4), to(1)]);
  assert.deepEqual(
    outcomes.map((one) => one.status === "rejected" ? one.reason.code : "ok"),
    ["ok", "ok", "TOO_MANY_ROOMS", "ok"],
  );
  await assert.rejects(async () => await to(5), { code: "TOO_MANY_ROOMS" });
  await to(3);
  await log.append([draft(9, { publisher })]);
  await log.append([draft(4, { channel: "room:4", publisher: bob })]);
  await to(4);
});

Deno.test("an id is forgotten after its time, not before", async () => {
  await using kv = await openStore(":memory:");
  const clock = new ManualClock();
  const log = logOn(kv, { clock });
  const append = () => log.append([draft(1, { id: "same" })]);
  const [first] = await append();
  clock.advance(ID_MEMORY_MS - 1);
  assert.deepEqual((await append())[0], first);
  clock.advance(1);
  assert.equal((await append())[0]!.seq, 2);
});

Deno.test("long events come back whole, whatever their length and script", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const filler = ["x", "ü", "世", "🦕"];
  let seq = 0;
  for (
    const [length, kind] of [
      [PART_BYTES - 200, 0],
      [PART_BYTES, 0],
      [PART_BYTES / 2, 1],
      [100_000, 2],
      [128 * 1024, 3],
      [512 * 1024, 0],
    ] as const
  ) {
    const payloadText = JSON.stringify({ mark: filler[kind]!.repeat(length) });
    await log.append([draft(0, { payloadText })]);
    const range = { after: seq++, upTo: seq, limit: 1, maxBytes: 0 };
    const { entries: [event] } = await log.read("blocks", range);
    assert.equal(
      JSON.stringify(JSON.parse(event!.json).payload),
      payloadText,
    );
  }
  const { entries: newest } = await log.read("blocks", {
    ...ALL,
    limit: 3,
    newest: true,
  });
  assert.deepEqual(newest.map(({ seq }) => seq), [4, 5, 6]);
});

Deno.test("an event whose text fills its parts exactly is whole", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const [probe] = await log.append([draft(0, { payloadText: '""' })]);
  assert.equal(probe!.seq, 1);
  const row = await kv.get<Uint8Array>(["log", "blocks", 1, 0]);
  const around = row.value!.byteLength;
  for (const parts of [1, 2]) {
    const payloadText = `"${"x".repeat(parts * PART_BYTES - around)}"`;
    const [place] = await log.append([draft(0, { payloadText })]);
    const { seq } = place!;
    const range = { after: seq - 1, upTo: seq, limit: 1, maxBytes: 0 };
    const { entries: [event] } = await log.read("blocks", range);
    assert.equal(
      JSON.parse(event!.json).payload.length,
      payloadText.length - 2,
    );
    const last = await kv.get<Uint8Array>(["log", "blocks", seq, parts]);
    assert.equal(last.value?.byteLength, 0);
  }
});

Deno.test("an event of which retention has taken a part is gone, not cut", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const payloadText = JSON.stringify({ mark: "x".repeat(3 * PART_BYTES) });
  await log.append([draft(1, { payloadText }), draft(2)]);
  for (const part of [0, 3]) {
    await kv.atomic().delete(["log", "blocks", 1, part]).commit();
    for (const newest of [false, true]) {
      const { entries: page } = await log.read("blocks", { ...ALL, newest });
      assert.deepEqual(page.map(({ seq }) => seq), [2]);
    }
    await kv.set(["log", "blocks", 1, part], new Uint8Array(PART_BYTES));
  }
});

Deno.test("Log.read() bounds a page by number and by bytes, from either end", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  await log.append(Array.from({ length: 20 }, (_, i) => draft(i)));
  const seqs = async (range: Partial<Parameters<EventLog["read"]>[1]>) =>
    (await log.read("blocks", { ...ALL, ...range })).entries.map(({ seq }) =>
      seq
    );
  assert.deepEqual(await seqs({ after: 3, upTo: 6 }), [4, 5, 6]);
  assert.deepEqual(await seqs({ after: 3, limit: 2 }), [4, 5]);
  assert.deepEqual(await seqs({ limit: 2, newest: true }), [19, 20]);
  assert.deepEqual(await seqs({ maxBytes: 0 }), [1], "never less than one");
  assert.deepEqual(await seqs({ maxBytes: 0, newest: true }), [20]);
  assert.deepEqual(await seqs({ maxBytes: 200 }), [1, 2]);
  assert.deepEqual(await seqs({ after: 6, upTo: 6 }), []);
  assert.deepEqual(await seqs({ limit: 0 }), []);
});

Deno.test("a commit that conflicts twice still finds the place of its events", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 4 })), {
        maxLength: 12,
      }),
      async (turns) => {
        await using kv = await openStore(":memory:");
        const logs = [logOn(kv), logOn(kv), logOn(kv)];
        let count = 0;
        await Promise.all(
          turns.map(([i, size]) =>
            logs[i]!.append(Array.from({ length: size }, () => draft(count++)))
          ),
        );
        assert.equal(new Set(await marks(logs[0]!)).size, count);
      },
    ),
    { numRuns: 25 },
  );
});

/** A KV whose fates are dealt in turn, and a log on it. */
function faulty(
  fates: Partial<Record<"read" | "commit", Partial<Fate>[]>>,
): {
  kv: MemoryKv;
  clock: ManualClock;
  log: EventLog;
  delivered: LoggedEntry[];
} {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock);
  const dealt = {
    read: [...fates.read ?? []],
    commit: [...fates.commit ?? []],
  };
  const weather = (operation: "read" | "commit") => ({
    ...CALM,
    ...dealt[operation].shift(),
  });
  const log = logOn(kv.connect({ weather }), { clock });
  const delivered: LoggedEntry[] = [];
  log.onCommit((events) => delivered.push(...events));
  return { kv, clock, log, delivered };
}

/** The result of an append, or its refusal, once time has passed. */
async function outcome(
  clock: Clock & ManualClock,
  work: Promise<unknown>,
): Promise<unknown> {
  let result: unknown;
  work.then((value) => result = value, (error) => result = error);
  for (let ms = 0; result === undefined && ms < 20_000; ms += 10) {
    await pass(clock, 10);
  }
  return result;
}

Deno.test("Log.append() does not wait for ever for a receiver of its commits", async () => {
  const { clock, log, delivered } = faulty({});
  log.onCommit(
    (events) => void delivered.push(...events),
    () => new Promise(() => {}),
  );
  const appended = log.append([draft(1)]);
  await pass(clock, READY_MS - 1);
  assert.equal(delivered.length, 0);
  await pass(clock, 1);
  await appended;
  assert.equal(delivered.length, 1);
});

for (
  const [name, commit] of Object.entries({
    "that fails": [{ end: "failed" }],
    "whose answer is lost": [{ end: "lost" }],
    "whose file is locked": Array.from(
      { length: 8 },
      () => ({ end: "locked" }),
    ),
    "that hangs, then works": [{ end: "failed" }, { end: "lost" }],
    "that takes its time": [{ beforeMs: 900, afterMs: 900 }],
  } as Record<string, Partial<Fate>[]>)
) {
  Deno.test(`a commit ${name} stores and delivers once`, async () => {
    const { clock, log, delivered } = faulty({ commit });
    const drafts = [draft(1), draft(2, { channel: "dag" })];
    const places = await outcome(clock, log.append(drafts));
    assert.deepEqual(
      (places as { seq: number }[]).map(({ seq }) => seq),
      [1, 1],
    );
    assert.equal(delivered.length, 2);
    assert.deepEqual(await marks(log), [1]);
    await log.append([draft(3)]);
    assert.deepEqual(await marks(log), [1, 3]);
  });
}

Deno.test("a commit whose answer is lost is found although its events are trimmed", async () => {
  const { kv, clock, log, delivered } = faulty({ commit: [{ end: "lost" }] });
  const stop = kv.onCommit = (rows) => {
    if (rows.length === 0) return;
    kv.onCommit = () => {};
    kv.apply([], [{ key: ["log", "blocks", 1, 0] }]);
  };
  assert(stop);
  const places = await outcome(clock, log.append([draft(1)]));
  assert.equal((places as { seq: number }[])[0]!.seq, 1);
  assert.equal(delivered.length, 1);
  assert.equal((await log.heads(["blocks"]))[0]!.seq, 1);
});

Deno.test("a store that fails for good refuses, delivers nothing, and works again later", async () => {
  const end = "failed" as const;
  const { clock, log, delivered } = faulty({
    commit: Array.from({ length: 10_000 }, () => ({ end })),
  });
  const began = clock.now();
  const refusal = await outcome(clock, log.append([draft(1)]));
  assert.equal((refusal as { code: string }).code, "STORE_UNAVAILABLE");
  assert(clock.now() - began <= COMMIT_DEADLINE_MS + LAST_LOOK_MS + 20);
  assert.deepEqual(delivered, []);
  assert.deepEqual(await marks(log), []);
});

Deno.test("a commit whose answer is later than the time is found by a last look", async () => {
  const { clock, log, delivered } = faulty({
    commit: [{ beforeMs: 100, afterMs: 10 * COMMIT_DEADLINE_MS }],
  });
  const places = await outcome(clock, log.append([draft(1)]));
  assert.equal((places as { seq: number }[])[0]!.seq, 1);
  assert.equal(delivered.length, 1);
});

Deno.test("a commit that hangs is refused in time, and its id finds it when it took effect after all", async () => {
  const { clock, log, delivered } = faulty({
    commit: [{ beforeMs: 10_000, end: "late" }],
  });
  const named = draft(1, { id: "mine" });
  const refusal = await outcome(clock, log.append([named]));
  assert.equal((refusal as { code: string }).code, "STORE_UNAVAILABLE");
  assert.deepEqual(delivered, []);
  await pass(clock, 10_000);
  const places = await outcome(clock, log.append([named]));
  assert.equal((places as { seq: number }[])[0]!.seq, 1);
  assert.deepEqual(await marks(log), [1]);
});

Deno.test("a read that hangs fails in time", async () => {
  const hung = { end: "hung" as const };
  const { clock, log } = faulty({
    read: Array.from({ length: 9 }, () => hung),
  });
  for (
    const read of [
      () => log.heads(["blocks"]),
      () => log.oldest("blocks"),
      () => log.read("blocks", ALL),
      () => log.latest("block:1"),
    ]
  ) {
    const began = clock.now();
    const error = await outcome(clock, read());
    assert.match(String(error), /did not answer/);
    assert(clock.now() - began <= READ_DEADLINE_MS + 10);
  }
  assert.equal(clock.pending, 0);
});

Deno.test("retention by count keeps the newest and takes the rest, beside the hot path", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv, { retention: () => ({ events: 30, ms: 3_600_000 }) });
  for (let i = 0; i < 7; i++) {
    const count = TRIM_EVERY / 2;
    await log.append(Array.from({ length: count }, (_, j) => draft(j)));
  }
  await log.settled();
  const wanted = TRIM_EVERY * 3 - 30 + 1;
  const oldest = await log.oldest("blocks");
  // Rows go as a whole.
  assert(oldest <= wanted && oldest > wanted - ROW_EVENTS, `${oldest}`);
  const { entries: page } = await log.read("blocks", ALL);
  assert.equal(page.at(0)!.seq, oldest);
  assert.equal(page.at(-1)!.seq, TRIM_EVERY * 3.5);
});

Deno.test("retention by count holds after the first numbers below it", async () => {
  await using kv = await openStore(":memory:");
  const events = 3 * TRIM_EVERY;
  const log = logOn(kv, { retention: () => ({ events, ms: 3_600_000 }) });
  const rows = async () => {
    let count = 0;
    for await (const _ of kv.list({ prefix: ["log"] })) count++;
    return count;
  };
  for (let i = 0; i < 8; i++) {
    await log.append(Array.from({ length: TRIM_EVERY }, (_, j) => draft(j)));
    await log.settled();
    const oldest = await log.oldest("blocks");
    const seq = (i + 1) * TRIM_EVERY;
    assert.equal(oldest, Math.max(1, seq - events + 1), `at ${seq}`);
    assert(await rows() <= events / ROW_EVENTS, `${await rows()} rows`);
  }
});

Deno.test("retention by age ends events, never the numbering", async () => {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock).connect();
  const log = logOn(kv, {
    clock,
    retention: () => ({ events: 100, ms: 1_000 }),
  });
  const appended = async (one: Draft) =>
    await outcome(clock, log.append([one])) as StreamPosition[];
  const [old] = await appended(draft(1));
  clock.advance(1_000);
  assert.deepEqual((await log.read("blocks", ALL)).entries, []);
  assert.equal(await log.oldest("blocks"), 2);
  clock.advance(365 * 24 * 3_600_000);
  const [head] = await log.heads(["blocks"]);
  assert.deepEqual(head, { epoch: old!.epoch, seq: 1 });
  const [next] = await appended(draft(2));
  assert.deepEqual([next!.epoch, next!.seq], [old!.epoch, 2]);
});

Deno.test("a new log shows nothing of the old one, though its rows were left", async () => {
  await using kv = await openStore(":memory:");
  await logOn(kv).append(Array.from({ length: 20 }, (_, i) => draft(i)));
  await kv.atomic().delete(["head", "blocks"]).commit();
  const log = logOn(kv);
  assert.equal(await log.oldest("blocks"), 1, "nothing is numbered yet");
  await log.append([draft("new")]);
  assert.deepEqual(await marks(log), ["new"]);
});

Deno.test("clearing what an old log left takes nothing of what another Log just began", async () => {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock);
  await logOn(kv.connect(), { clock }).append([draft("old")]);
  kv.apply([], [{ key: ["head", "blocks"] }]);
  // The slow one reads that there is no head, then is overtaken.
  const fates: Fate[] = [CALM, { ...CALM, beforeMs: 50 }];
  const slow = logOn(
    kv.connect({ weather: () => fates.shift() ?? CALM }),
    { clock },
  );
  const waiting = slow.append([draft("slow")]);
  await pass(clock, 1);
  await logOn(kv.connect(), { clock }).append([draft("fast")]);
  await outcome(clock, waiting);
  assert.deepEqual(await marks(slow), ["fast", "slow"]);
});

Deno.test("Log.latest() knows the newest event by every key, on any Log, after a restart", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const block = (mark: string, keys: string[], pad = "") =>
    draft(mark, { keys, payloadText: JSON.stringify({ mark, pad }) });
  const found = async (key: string) => {
    const text = await logOn(kv).latest(key);
    return text && JSON.parse(text).payload.mark;
  };
  await log.append([block("a", ["block:a", "block:100"])]);
  assert.equal(await found("block:100"), "a");
  // A reorg puts another block at the height; the old one keeps its name.
  await log.append([block("b", ["block:b", "block:100"])]);
  assert.equal(await found("block:100"), "b");
  assert.equal(await found("block:a"), "a");
  assert.equal(await found("block:none"), undefined);
  const long = "x".repeat(2 * PART_BYTES);
  await log.append([block("c", ["block:c", "block:101"], long)]);
  assert.equal(
    await found("block:101"),
    "c",
    "too long for a state of its own",
  );
  await kv.atomic().delete(["log", "blocks", 3, 0]).commit();
  assert.equal(await found("block:c"), undefined, "gone with its event");
});

Deno.test("Log.latest() ends when a thing's two names are the same", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  await log.append([draft("a", { keys: ["block:7", "block:7"] })]);
  assert.equal(JSON.parse((await log.latest("block:7"))!).payload.mark, "a");
});

Deno.test("a Log goes on where an earlier one stopped", async () => {
  const directory = await Deno.makeTempDir();
  try {
    let epoch: string;
    {
      await using kv = await openStore(`${directory}/kv`);
      epoch = (await logOn(kv).append([draft(1), draft(2)]))[0]!.epoch;
    }
    await using kv = await openStore(`${directory}/kv`);
    const [place] = await logOn(kv).append([draft(3)]);
    assert.deepEqual([place!.epoch, place!.seq], [epoch, 3]);
    assert.deepEqual(await marks(logOn(kv)), [1, 2, 3]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
