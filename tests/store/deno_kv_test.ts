import assert from "node:assert/strict";
import { OPEN_TIMEOUT_MS, OPEN_TRIES, openStore } from "../../store/deno_kv.ts";
import { CALL_DEADLINE_MS, isBusy } from "../../store/store.ts";
import type { Store } from "../../store/store.ts";
import { ManualClock, pass } from "../fakes/clock.ts";

const kv = (closed: string[], name: string) =>
  ({ close: () => void closed.push(name) }) as unknown as Deno.Kv;

Deno.test("openStore() tries again when another instance holds the file", async () => {
  const clock = new ManualClock();
  const closed: string[] = [];
  let tries = 0;
  const opening = openStore("log.db", {
    clock,
    open: (path) => {
      assert.equal(path, "log.db");
      if (++tries < 3) return Promise.reject(new Error("database is locked"));
      return Promise.resolve(kv(closed, "store"));
    },
  });
  await pass(clock, OPEN_TIMEOUT_MS);
  await (await opening).close();
  assert.deepEqual(closed, ["store"]);
  assert.equal(tries, 3);
});

Deno.test("openStore() gives a silent try up, and closes what comes of it later", async () => {
  const clock = new ManualClock();
  const closed: string[] = [];
  const { promise: silent, resolve } = Promise.withResolvers<Deno.Kv>();
  const answers = [silent, Promise.resolve(kv(closed, "second"))];
  const opening = openStore(undefined, { clock, open: () => answers.shift()! });
  await pass(clock, 2 * OPEN_TIMEOUT_MS);
  await (await opening).close();
  assert.deepEqual(closed, ["second"]);
  resolve(kv(closed, "first"));
  await pass(clock, 0);
  assert.deepEqual(closed, ["second", "first"]);
});

Deno.test("openStore() fails in the end, with the reason", async () => {
  const clock = new ManualClock();
  let tries = 0;
  const opening = openStore("/nowhere/log.db", {
    clock,
    open: () => {
      tries++;
      return Promise.reject(new Error("unable to open database file"));
    },
  });
  const failed = assert.rejects(opening, /unable to open/);
  await pass(clock, OPEN_TRIES * OPEN_TIMEOUT_MS);
  await failed;
  assert.equal(tries, OPEN_TRIES);
});

/** Every call of a store that can fail, each on its own. */
const CALLS: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
  "get()": (store) => store.get(["a"]),
  "getMany()": (store) => store.getMany([["a"]]),
  "set()": (store) => store.set(["a"], 1),
  "list()": (store) => Array.fromAsync(store.list({ prefix: ["a"] })),
  "commit()": (store) => store.atomic().sum(["a"], 1n).commit(),
};

/** A Deno KV whose every call ends as `answer` does. */
function kvThat(answer: () => Promise<never>): Deno.Kv {
  const operation = { sum: () => operation, commit: answer };
  return {
    get: answer,
    getMany: answer,
    set: answer,
    list: () => ({ next: answer }),
    atomic: () => operation,
    close: () => {},
  } as unknown as Deno.Kv;
}

for (const [name, call] of Object.entries(CALLS)) {
  Deno.test(`a store's ${name} gives up a call without an answer in time`, async () => {
    const clock = new ManualClock();
    const silent = kvThat(() => new Promise(() => {}));
    const open = () => Promise.resolve(silent);
    const store = await openStore(":memory:", { clock, open });
    let isOver = false;
    const failed = assert.rejects(call(store).finally(() => isOver = true), {
      name: "TimedOut",
      message: `The store did not answer within ${CALL_DEADLINE_MS} ms`,
    });
    await pass(clock, CALL_DEADLINE_MS - 1);
    assert.equal(isOver, false);
    await pass(clock, 1);
    await failed;
    assert.equal(clock.pending, 0);
  });

  Deno.test(`a store's ${name} distinguishes a locked file from other errors`, async () => {
    for (const message of ["database is locked", "disk I/O error"]) {
      const broken = kvThat(() => Promise.reject(new TypeError(message)));
      const open = () => Promise.resolve(broken);
      const store = await openStore(":memory:", { open });
      const error = await call(store).then(() => {}, (error) => error);
      assert(error instanceof Error && error.message === message);
      assert.equal(isBusy(error), message.includes("locked"));
    }
  });
}
