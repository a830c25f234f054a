import assert from "node:assert/strict";
import { idSource } from "../../protocol/envelope.ts";
import { systemClock } from "../../platform/clock.ts";
import {
  Continuity,
  MARK_EVERY_MS,
  renewEpochs,
} from "../../store/continuity.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Draft, Head } from "../../store/event_log.ts";
import { witnessAt } from "../../store/open.ts";
import type { Store } from "../../store/store.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { NO_WITNESS } from "../../store/witness.ts";
import type { Testimony, Witness } from "../../store/witness.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";

const ALL = { after: 0, upTo: 1e9, limit: 1e6, maxBytes: 1e9 };

function draft(mark: number, id?: string): Draft {
  return {
    channel: "blocks",
    type: "NEW_BLOCK",
    payloadText: JSON.stringify({ mark }),
    id,
    tags: {},
    keys: [],
  };
}

/** What one run of the service does with a store in a file. */
async function run(
  path: string,
  work: (log: StoredEventLog, continuity: Continuity) => Promise<void>,
  { isKilled = false } = {},
): Promise<void> {
  await using store = await openStore(path);
  const nextId = idSource();
  const continuity = await Continuity.open({
    store,
    witness: witnessAt(path),
    clock: systemClock,
    nextId,
    report: (error) => assert.fail(String(error)),
  });
  const log = new StoredEventLog({
    store,
    clock: systemClock,
    nextId,
    retention: () => ({ events: 1_000, ms: 3_600_000 }),
    ...(isKilled ? {} : { continuity }),
  });
  await work(log, continuity);
  await log.settled();
}

async function append(log: StoredEventLog, count: number): Promise<Head> {
  for (let i = 0; i < count; i++) await log.append([draft(i)]);
  const [head] = await log.heads(["blocks"]);
  return head!;
}

async function inDirectory(
  work: (path: string, directory: string) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${directory}/data`);
    await work(`${directory}/data/kv`, directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function copyAll(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) {
    await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

Deno.test("a store that is opened again is the same, however its instance ended", async () => {
  await inDirectory(async (path) => {
    let head: Head | undefined;
    for (const isKilled of [false, true, true, false]) {
      await run(path, async (log, { wasRestored }) => {
        assert.equal(wasRestored, false);
        if (head) assert.deepEqual(await log.heads(["blocks"]), [head]);
        head = await append(log, 3);
      }, { isKilled });
    }
    assert.equal(head!.seq, 12);
  });
});

/** Ways in which a copy takes the place of a store. */
const RESTORES: Record<
  string,
  (data: string, copy: string) => Promise<void>
> = {
  "the store's files alone": async (data, copy) => {
    for await (const { name } of Deno.readDir(data)) {
      if (!name.endsWith(".witness")) await Deno.remove(`${data}/${name}`);
    }
    for await (const { name } of Deno.readDir(copy)) {
      if (name.endsWith(".witness")) continue;
      await Deno.copyFile(`${copy}/${name}`, `${data}/${name}`);
    }
  },
  "the whole folder, made new": async (data, copy) => {
    await Deno.remove(data, { recursive: true });
    await copyAll(copy, data);
  },
  "the store on a machine that never had one": async (data, copy) => {
    await Deno.remove(data, { recursive: true });
    await copyAll(copy, data);
    await Deno.remove(`${data}/kv.witness`);
  },
};

for (const [how, restore] of Object.entries(RESTORES)) {
  Deno.test(`a store restored from an older copy is another log: ${how}`, async () => {
    await inDirectory(async (path, directory) => {
      const [data, copy] = [`${directory}/data`, `${directory}/copy`];
      await run(path, async (log) => void await append(log, 10));
      await copyAll(data, copy);
      let lost: Head | undefined;
      await run(path, async (log) => {
        lost = await append(log, 10);
      });
      await restore(data, copy);
      await run(path, async (log, { wasRestored }) => {
        assert.equal(wasRestored, true);
        const head = await append(log, 15);
        assert.equal(head.seq, 25);
        assert.notEqual(head.epoch, lost!.epoch);
        assert.equal(await log.continues("blocks", lost!), false);
        // What the copy holds is as it was, and known by both names.
        const kept = { epoch: lost!.epoch, seq: 10 };
        assert.equal(await log.continues("blocks", kept), true);
        assert.equal(
          await log.continues("blocks", { ...kept, seq: 11 }),
          false,
        );
        const { entries } = await log.read("blocks", ALL);
        assert.equal(entries.length, 25);
        for (const { epoch, json, seq } of entries) {
          assert.equal(epoch, head.epoch);
          const frame = JSON.parse(json);
          assert.deepEqual([frame.epoch, frame.seq], [head.epoch, seq]);
        }
      });
      await run(path, async (_, { wasRestored }) => {
        assert.equal(wasRestored, false, "only once");
        await Promise.resolve();
      });
    });
  });
}

Deno.test("a store that is gone begins new logs, and no log goes on in it", async () => {
  await inDirectory(async (path, directory) => {
    let head: Head | undefined;
    await run(path, async (log) => {
      head = await append(log, 3);
    });
    for await (const { name } of Deno.readDir(`${directory}/data`)) {
      if (name !== "kv.witness") await Deno.remove(`${directory}/data/${name}`);
    }
    await run(path, async (log, { wasRestored }) => {
      assert.equal(wasRestored, true);
      assert.equal(await log.continues("blocks", head!), false);
      assert.notEqual((await append(log, 3)).epoch, head!.epoch);
    });
  });
});

Deno.test("a restored copy of a copy knows only what both hold", async () => {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock);
  const store = kv.connect();
  const log = logOn(store, clock);
  const first = await append(log, 4);
  await renewEpochs({ store, clock, nextId: idSource() });
  const second = await append(logOn(store, clock), 4);
  await renewEpochs({ store, clock, nextId: idSource() });
  const [third] = await logOn(store, clock).heads(["blocks"]);
  assert.equal(new Set([first.epoch, second.epoch, third!.epoch]).size, 3);
  for (
    const [epoch, seq, continues] of [
      [first.epoch, 4, true],
      [first.epoch, 5, false],
      [second.epoch, 8, true],
      [second.epoch, 9, false],
      [third!.epoch, 8, true],
    ] as const
  ) {
    assert.equal(await log.continues("blocks", { epoch, seq }), continues);
  }
});

function logOn(store: Store, clock: ManualClock): StoredEventLog {
  return new StoredEventLog({
    store,
    clock,
    nextId: idSource(),
    retention: () => ({ events: 1_000, ms: 3_600_000 }),
  });
}

Deno.test("an id used before the restore answers its event's present position", async () => {
  const clock = new ManualClock();
  const store = new MemoryKv(clock).connect();
  const nextId = idSource();
  const [before] = await logOn(store, clock).append([draft(1, "mine")]);
  await renewEpochs({ store, clock, nextId });
  const log = logOn(store, clock);
  const [again] = await log.append([draft(1, "mine")]);
  const [head] = await log.heads(["blocks"]);
  assert.notEqual(again!.epoch, before!.epoch);
  assert.deepEqual([again!.epoch, again!.seq], [head!.epoch, 1]);
});

/** A witness in memory. */
class FakeWitness implements Witness {
  testimony: Testimony | undefined;
  constructor(readonly clock: ManualClock) {}
  read(): Promise<Testimony | undefined> {
    return Promise.resolve(this.testimony);
  }
  name(): Promise<string> {
    return Promise.resolve("file");
  }
  write(stamp: string): Promise<void> {
    const writtenAt = this.clock.now();
    this.testimony = { stamp, file: "file", writtenAt };
    return Promise.resolve();
  }
}

Deno.test("instances that find a restored store together renew its epochs once", async () => {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock);
  const witness = new FakeWitness(clock);
  const head = await append(logOn(kv.connect(), clock), 3);
  witness.testimony = { stamp: "f", file: "file", writtenAt: clock.now() };
  let delay = 0;
  const opening = Array.from({ length: 4 }, () =>
    Continuity.open({
      store: kv.connect({
        weather: () => ({ ...CALM, beforeMs: delay++ % 5 }),
      }),
      witness,
      clock,
      nextId: idSource(),
      report: (error) => assert.fail(String(error)),
    }));
  await pass(clock, 1_000);
  const opened = await Promise.all(opening);
  assert(opened.some(({ wasRestored }) => wasRestored));
  const [found] = await logOn(kv.connect(), clock).heads(["blocks"]);
  assert.notEqual(found!.epoch, head.epoch);
  const log = logOn(kv.connect(), clock);
  assert.equal(await log.continues("blocks", head), true);
  const record = kv.entry<{ renewal?: string }>(["witness"]).value;
  assert.equal(record!.renewal, undefined, "the renewal is over");
});

Deno.test("a renewal that was cut short is gone on with at the next start", async () => {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock);
  const witness = new FakeWitness(clock);
  const head = await append(logOn(kv.connect(), clock), 3);
  witness.testimony = { stamp: "f", file: "file", writtenAt: clock.now() };
  let commits = 0;
  const failing = kv.connect({
    weather: (operation) =>
      operation === "commit" && ++commits === 2
        ? { ...CALM, end: "failed" }
        : CALM,
  });
  const options = {
    witness,
    clock,
    nextId: idSource(),
    report: () => {},
  };
  await assert.rejects(Continuity.open({ ...options, store: failing }));
  witness.testimony = undefined;
  await Continuity.open({ ...options, store: kv.connect() });
  const [found] = await logOn(kv.connect(), clock).heads(["blocks"]);
  assert.notEqual(found!.epoch, head.epoch);
});

Deno.test("how far the store came is marked at most once a second, and at the end", async () => {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock);
  const witness = new FakeWitness(clock);
  let marks = 0;
  const continuity = await Continuity.open({
    store: kv.connect(),
    witness,
    clock,
    nextId: idSource(),
    report: (error) => assert.fail(String(error)),
  });
  kv.onCommit = (rows) => {
    marks += rows.filter(({ key }) => key[0] === "witness").length;
  };
  for (let ms = 0; ms < 10_000; ms += 10) {
    continuity.note();
    await pass(clock, 10);
  }
  assert(marks >= 9 && marks <= 10_000 / MARK_EVERY_MS, `${marks}`);
  continuity.note();
  const before = marks;
  await continuity.settled();
  assert.equal(marks, before + 1);
  assert.equal(clock.pending, 0);
  const { versionstamp } = kv.entry(["witness"]);
  assert.equal(witness.testimony!.stamp, versionstamp);
});

Deno.test("a store without a place beside it is never found to be another", async () => {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock);
  for (let i = 0; i < 2; i++) {
    const { wasRestored } = await Continuity.open({
      store: kv.connect(),
      witness: NO_WITNESS,
      clock,
      nextId: idSource(),
      report: (error) => assert.fail(String(error)),
    });
    assert.equal(wasRestored, false);
  }
  for (
    const address of [undefined, "", ":memory:", "https://kv", "postgres://h/d"]
  ) {
    assert.equal(witnessAt(address), NO_WITNESS, `${address}`);
  }
});

Deno.test("a witness that cannot be read or written is reported, and the log goes on", async () => {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock);
  const errors: unknown[] = [];
  const broken = () => Promise.reject(new Error("no permission"));
  const { wasRestored } = await Continuity.open({
    store: kv.connect(),
    witness: { read: broken, name: broken, write: broken },
    clock,
    nextId: idSource(),
    report: (error) => errors.push(error),
  });
  assert.equal(wasRestored, false);
  assert.equal(errors.length, 2);
});
