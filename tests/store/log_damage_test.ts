import assert from "node:assert/strict";
import { idSource } from "../../protocol/envelope.ts";
import { systemClock } from "../../platform/clock.ts";
import { openStore } from "../../store/deno_kv.ts";
import { UNBORN_EPOCH } from "../../store/event_log.ts";
import type { Draft, LogObserver, SeqRange } from "../../store/event_log.ts";
import { headKey } from "../../store/log_heads.ts";
import { PART_BYTES } from "../../store/rows.ts";
import { StoreDamaged } from "../../store/store.ts";
import type { Key, Store } from "../../store/store.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { ManualClock } from "../fakes/clock.ts";
import { MemoryKv } from "../fakes/kv.ts";

/** More than any test reads. */
const ALL = { after: 0, upTo: 1e9, limit: 1e6, maxBytes: 1e9 };

function logOn(store: Store, observer: LogObserver = {}): StoredEventLog {
  return new StoredEventLog({
    store,
    clock: systemClock,
    nextId: idSource(),
    retention: () => ({ events: 10_000, ms: 3_600_000 }),
    observer,
  });
}

function draft(mark: number | string, pad = "", keys: string[] = []): Draft {
  return {
    channel: "blocks",
    type: "NEW_BLOCK",
    payloadText: JSON.stringify({ mark, pad }),
    id: undefined,
    tags: {},
    keys,
  };
}

/** A log of rows of two events each, of which some are damaged. */
async function damaged(
  rows: number,
  damagedRows: readonly number[],
): Promise<{
  kv: MemoryKv;
  log: StoredEventLog;
  reported: SeqRange[];
}> {
  const kv = new MemoryKv(new ManualClock());
  const reported: SeqRange[] = [];
  const log = logOn(kv.connect(), {
    unreadable: (_channel, range) => reported.push(range),
  });
  for (let i = 0; i < rows; i++) {
    await log.append([draft(2 * i + 1), draft(2 * i + 2)]);
  }
  for (const row of damagedRows) {
    const key = ["log", "blocks", 2 * row, 0];
    const value = kv.entry<Uint8Array>(key).value!.slice();
    value[value.byteLength >> 1]! ^= 4;
    kv.apply([], [{ key, value }]);
  }
  return { kv, log, reported };
}

for (const newest of [false, true]) {
  const how = newest ? "from the end" : "from the start";
  Deno.test(`damaged rows are named and all others read, ${how}`, async () => {
    const { log, reported } = await damaged(6, [1, 3, 4]);
    for (let i = 0; i < 2; i++) {
      const { entries, unreadable } = await log.read("blocks", {
        ...ALL,
        newest,
      });
      assert.deepEqual(entries.map(({ seq }) => seq), [3, 4, 9, 10, 11, 12]);
      assert.deepEqual(unreadable, [
        { from: 1, to: 2 },
        { from: 5, to: 6 },
        { from: 7, to: 8 },
      ]);
    }
    assert.equal(reported.length, 3, "each is reported once");
    assert.equal(await log.oldest("blocks"), 3);
  });
}

Deno.test("a page that begins or ends within a damaged row names what it asked for", async () => {
  const { log } = await damaged(3, [2]);
  const range = (after: number, upTo: number) =>
    log.read("blocks", { ...ALL, after, upTo });
  assert.deepEqual(await range(3, 4), {
    entries: [],
    unreadable: [{ from: 4, to: 4 }],
  });
  assert.deepEqual((await range(2, 3)).unreadable, [{ from: 3, to: 3 }]);
  const { entries, unreadable } = await range(0, 3);
  assert.deepEqual(entries.map(({ seq }) => seq), [1, 2]);
  assert.deepEqual(unreadable, [{ from: 3, to: 3 }]);
});

Deno.test("a damaged head is concluded from the newest row", async () => {
  const { kv, log } = await damaged(3, []);
  const [head] = await log.heads(["blocks"]);
  const value = kv.entry<Uint8Array>(headKey("blocks")).value!.slice();
  value[9]! ^= 1;
  kv.apply([], [{ key: headKey("blocks"), value }]);
  assert.deepEqual(await log.heads(["blocks"]), [head]);
  const [place] = await logOn(kv.connect()).append([draft(7)]);
  assert.deepEqual([place!.epoch, place!.seq], [head!.epoch, 7]);
  assert.deepEqual((await log.read("blocks", ALL)).entries.length, 7);
});

Deno.test("a head and its newest row both damaged end the log; the next event begins another", async () => {
  const { kv, log } = await damaged(3, [3]);
  const [head] = await log.heads(["blocks"]);
  kv.apply([], [{ key: headKey("blocks"), value: new Uint8Array(9) }]);
  assert.equal((await log.heads(["blocks"]))[0]!.epoch, UNBORN_EPOCH);
  const other = logOn(kv.connect());
  const [place] = await other.append([draft(1)]);
  assert.equal(place!.seq, 1);
  assert.notEqual(place!.epoch, head!.epoch);
  assert.equal(await log.continues("blocks", head!), false);
  const first = { epoch: UNBORN_EPOCH, seq: 0 };
  assert.equal(await log.continues("blocks", first), false);
});

Deno.test("a damaged latest state is not answered", async () => {
  const kv = new MemoryKv(new ManualClock());
  const log = logOn(kv.connect());
  const long = "x".repeat(2 * PART_BYTES);
  await log.append([
    draft("a", "", ["block:a"]),
    draft("b", long, ["block:b"]),
  ]);
  for (const key of [["state", "block:a"], ["log", "blocks", 2, 1]]) {
    const value = kv.entry<Uint8Array>(key).value!.slice();
    value[100]! ^= 1;
    kv.apply([], [{ key, value }]);
  }
  assert.equal(await log.latest("block:a"), undefined);
  assert.equal(await log.latest("block:b"), undefined);
});

/** A store in which nothing can be listed across some keys. */
function torn(store: Store, isTorn: (key: Key) => boolean): Store {
  return new Proxy(store, {
    get(target, name) {
      if (name !== "list") {
        const value = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      }
      return async function* (...args: Parameters<Store["list"]>) {
        const [selector, options = {}] = args;
        const { batchSize = 100 } = options;
        let batch = [];
        for await (const entry of target.list(selector, options)) {
          if (isTorn(entry.key)) throw new StoreDamaged("malformed");
          batch.push(entry);
          if (batch.length < batchSize) continue;
          yield* batch;
          batch = [];
        }
        yield* batch;
      };
    },
  });
}

Deno.test("what cannot be listed across is skipped, and all around it read", async () => {
  const { kv } = await damaged(40, []);
  const isTorn = (key: Key) =>
    key[0] === "log" && key[2] as number >= 42 && key[2] as number <= 46;
  const log = logOn(torn(kv.connect(), isTorn));
  const seen: number[] = [];
  const lost: SeqRange[] = [];
  for (let after = 0; after < 80;) {
    const page = await log.read("blocks", {
      ...ALL,
      after,
      upTo: 80,
      limit: 7,
    });
    lost.push(...page.unreadable);
    seen.push(...page.entries.map(({ seq }) => seq));
    after = Math.max(seen.at(-1) ?? 0, lost.at(-1)?.to ?? 0);
  }
  const around = Array.from({ length: 80 }, (_, i) => i + 1)
    .filter((seq) => seq <= 40 || seq > 46);
  assert.deepEqual(seen, around);
  assert.deepEqual(lost, [{ from: 41, to: 46 }]);
  assert.equal(await log.oldest("blocks"), 1);
});

Deno.test("a log of which the beginning cannot be listed begins after it", async () => {
  const { kv } = await damaged(10, []);
  const log = logOn(
    torn(kv.connect(), (key) => key[0] === "log" && key[2] as number <= 6),
  );
  assert.equal(await log.oldest("blocks"), 7);
  const { entries, unreadable } = await log.read("blocks", ALL);
  assert.equal(entries[0]!.seq, 7);
  assert.deepEqual(unreadable, [{ from: 1, to: 6 }]);
});

Deno.test("a log of which nothing can be listed is unreadable, not awaited", async () => {
  const { kv } = await damaged(3, []);
  const log = logOn(torn(kv.connect(), (key) => key[0] === "log"));
  const page = await log.read("blocks", { ...ALL, upTo: 6 });
  assert.deepEqual(page, { entries: [], unreadable: [{ from: 1, to: 6 }] });
  assert.equal(await log.oldest("blocks"), 7);
});

Deno.test("no byte of a store's file, changed, makes the log deliver what was not written", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const path = `${directory}/kv`;
    const pad = "p".repeat(150);
    {
      await using store = await openStore(path);
      const log = logOn(store);
      for (let i = 0; i < 20; i++) {
        await log.append(
          Array.from({ length: 5 }, (_, j) => draft(5 * i + j + 1, pad)),
        );
      }
    }
    const file = await Deno.readFile(path);
    const text = new TextDecoder("latin1").decode(file);
    const found = [...text.matchAll(new RegExp(pad, "g"))];
    assert(found.length >= 100, `${found.length} events in the file`);
    let lost = 0;
    for (const number of [0, 17, 40, 63, 99]) {
      const bytes = file.slice();
      bytes[found[number]!.index + 50]! ^= 2;
      await Deno.writeFile(path, bytes);
      await using store = await openStore(path);
      const { entries, unreadable } = await logOn(store).read("blocks", {
        ...ALL,
        upTo: 100,
      });
      for (const { seq, json } of entries) {
        assert.deepEqual(JSON.parse(json).payload, { mark: seq, pad });
      }
      const missing = unreadable.reduce(
        (sum, { from, to }) => sum + to - from + 1,
        0,
      );
      assert.equal(entries.length + missing, 100);
      lost += missing;
    }
    assert(lost > 0, "the damage was where events are");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
