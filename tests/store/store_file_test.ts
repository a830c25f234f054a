import assert from "node:assert/strict";
import { idSource } from "../../protocol/envelope.ts";
import { openStore } from "../../store/deno_kv.ts";
import { openStoreAt } from "../../store/open.ts";
import {
  FILE_CHECK_MS,
  FLOOR_BYTES,
  guarded,
  journalOf,
  StoreFile,
} from "../../store/store_file.ts";
import type { Disk } from "../../store/store_file.ts";
import type { Store } from "../../store/store.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { WriteProbe } from "../../store/write_probe.ts";
import { systemClock } from "../../platform/clock.ts";
import { connectTwice, testStore } from "../contracts/store_contract.ts";
import { ManualClock } from "../fakes/clock.ts";

/** A folder of the tests, gone when disposed. */
async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir();
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

/** A real store in a real file, on a disk that a test fills. */
async function setup() {
  const directory = await folder();
  const path = `${directory.path}/kv`;
  const clock = new ManualClock();
  const disk: { now: Disk | undefined } = {
    now: { size: 2 ** 40, free: 2 ** 39 },
  };
  const file = await StoreFile.open(path, {
    clock,
    disk: () => disk.now,
  });
  const store = guarded(await openStore(path), file);
  return {
    path,
    clock,
    disk,
    store,
    /** Lets the next call look at the file. */
    later: () => clock.advance(FILE_CHECK_MS),
    async [Symbol.asyncDispose]() {
      await store.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Every way to write. */
const WRITES: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
  "set()": (store) => store.set(["a"], 2),
  "commit()": (store) => store.atomic().set(["a"], 2).commit(),
};

testStore({
  name: "a store in a guarded file",
  async open() {
    const directory = await folder();
    return await connectTwice(
      () => openStoreAt(`${directory.path}/kv`, { clock: systemClock }),
      () => directory[Symbol.asyncDispose](),
    );
  },
});

Deno.test("a place that cannot hold a store is refused with the reason", async () => {
  await using directory = await folder();
  const { path } = directory;
  await Deno.writeTextFile(`${path}/text`, "SQLite? No, a shopping list.");
  await Deno.writeTextFile(`${path}/short`, "SQL");
  const clock = new ManualClock();
  const places: Readonly<Record<string, string>> = {
    [`${path}/missing/kv`]: "its folder does not exist",
    [path]: "it is a folder",
    [`${path}/text`]: "the file there is not a database",
    [`${path}/short`]: "the file there is not a database",
    [`${path}/text/kv`]: "its folder is not a folder",
  };
  for (const [place, reason] of Object.entries(places)) {
    await assert.rejects(openStoreAt(place, { clock }), {
      name: "PlaceError",
      message: `${place}: ${reason}`,
    });
  }
  assert.equal(
    await Deno.readTextFile(`${path}/text`),
    "SQLite? No, a shopping list.",
  );
});

Deno.test("a full disk is refused before the store is opened", async () => {
  await using directory = await folder();
  const full = { size: 2 ** 40, free: FLOOR_BYTES - 1 };
  const opening = StoreFile.open(`${directory.path}/kv`, {
    clock: new ManualClock(),
    disk: () => full,
  });
  await assert.rejects(opening, {
    name: "PlaceError",
    message:
      /: the disk of the store has room for 64\.0 MiB beside its journal, and 64\.0 MiB/,
  });
});

for (const [name, write] of Object.entries(WRITES)) {
  Deno.test(`a guarded store's ${name} is refused below the floor of free space, and goes on when there is room`, async () => {
    await using all = await setup();
    const { store, disk, later } = all;
    await store.set(["a"], 1);
    for (
      const full of [
        { size: 2 ** 40, free: FLOOR_BYTES - 1 },
        { size: 8 * 2 ** 20, free: 2 ** 20 - 1 },
      ]
    ) {
      disk.now = full;
      later();
      await assert.rejects(write(store), { name: "StoreUnusable" });
      assert.equal((await store.get(["a"])).value, 1, "it can be read");
    }
    for (
      const roomy of [
        { size: 2 ** 40, free: FLOOR_BYTES },
        { size: 8 * 2 ** 20, free: 2 ** 20 },
        undefined,
      ]
    ) {
      const journal = (await Deno.stat(journalOf(all.path))).size;
      if (roomy) roomy.free += journal;
      disk.now = roomy;
      await write(store);
      later();
    }
    assert.equal((await store.get(["a"])).value, 2);
  });

  Deno.test(`a guarded store's ${name} is refused while its file is elsewhere`, async () => {
    await using all = await setup();
    const { store, path, later } = all;
    await store.set(["a"], 1);
    later();
    await Deno.rename(path, `${path}.moved`);
    await assert.rejects(write(store), {
      name: "StoreUnusable",
      message: /was moved or deleted/,
    });
    await Deno.writeTextFile(path, "");
    later();
    await assert.rejects(write(store), {
      name: "StoreUnusable",
      message: /was replaced/,
    });
    assert.equal((await store.get(["a"])).value, 1, "it can be read");
    await Deno.rename(`${path}.moved`, path);
    later();
    await write(store);
    assert.equal((await store.get(["a"])).value, 2, "it is the file again");
  });
}

Deno.test("a store whose file was cut off takes nothing any more", async () => {
  await using all = await setup();
  const { store, path, later } = all;
  await store.set(["a"], 1);
  later();
  await store.set(["a"], 2);
  await Deno.truncate(path, 1_000);
  later();
  await assert.rejects(store.set(["a"], 3), {
    name: "StoreUnusable",
    message: /was cut off/,
  });
});

Deno.test("a deleted store takes no event, and its publisher knows at once", async () => {
  await using all = await setup();
  const { store, path, clock, later } = all;
  const nextId = idSource();
  const retention = () => ({ events: 100, ms: 3_600_000 });
  const log = new StoredEventLog({ store, clock, nextId, retention });
  const draft = (id: string) => ({
    channel: "blocks",
    type: "NEW_BLOCK",
    payloadText: "{}",
    id,
    keys: [],
    tags: {},
  });
  assert.equal((await log.append([draft("one")]))[0]!.seq, 1);
  await log.settled();
  await Deno.remove(path);
  later();
  // The clock stands still: nothing is waited for.
  await assert.rejects(log.append([draft("two")]), {
    name: "Refusal",
    code: "STORE_UNAVAILABLE",
  });
  assert.equal((await log.heads(["blocks"]))[0]!.seq, 1, "history stays");
});

Deno.test("a look at the file counts for a while", async () => {
  await using directory = await folder();
  const clock = new ManualClock();
  let looks = 0;
  const file = await StoreFile.open(`${directory.path}/kv`, {
    clock,
    disk: () => {
      looks++;
      return undefined;
    },
  });
  assert.equal(looks, 1);
  file.check();
  assert.equal(looks, 1);
  clock.advance(FILE_CHECK_MS);
  file.check();
  file.check();
  assert.equal(looks, 2);
});

Deno.test("the real disk is looked at", async () => {
  await using directory = await folder();
  const store = await openStoreAt(`${directory.path}/kv`, {
    clock: new ManualClock(),
  });
  await store.set(["a"], 1);
  await store.close();
});

Deno.test("WriteProbe writes once for all who ask, and knows when it cannot", async () => {
  await using all = await setup();
  const { store, disk, clock } = all;
  const probe = new WriteProbe(store, clock);
  await Promise.all([probe.run(), probe.run()]);
  const { versionstamp } = await store.get(["probe"]);
  await probe.run();
  assert.equal((await store.get(["probe"])).versionstamp, versionstamp);
  disk.now = { size: 2 ** 40, free: 0 };
  await probe.run();
  clock.advance(1_000);
  await assert.rejects(probe.run(), { name: "StoreUnusable" });
  await assert.rejects(probe.run(), { name: "StoreUnusable" });
  disk.now = undefined;
  clock.advance(1_000);
  await probe.run();
  assert.notEqual((await store.get(["probe"])).versionstamp, versionstamp);
});
