import assert from "node:assert/strict";
import { OPEN_TIMEOUT_MS, OPEN_TRIES, openStore } from "../../store/deno_kv.ts";
import { ManualClock, pass } from "../fakes/clock.ts";

const kv = (closed: string[], name: string) =>
  ({ close: () => void closed.push(name) }) as unknown as Deno.Kv;

Deno.test("openStore() tries again when another isolate holds the file", async () => {
  const clock = new ManualClock();
  const store = kv([], "store");
  let tries = 0;
  const opening = openStore("log.db", {
    clock,
    open: (path) => {
      assert.equal(path, "log.db");
      if (++tries < 3) return Promise.reject(new Error("database is locked"));
      return Promise.resolve(store);
    },
  });
  await pass(clock, OPEN_TIMEOUT_MS);
  assert.equal(await opening, store);
  assert.equal(tries, 3);
});

Deno.test("openStore() gives a silent try up, and closes what comes of it later", async () => {
  const clock = new ManualClock();
  const closed: string[] = [];
  const { promise: silent, resolve } = Promise.withResolvers<Deno.Kv>();
  const answers = [silent, Promise.resolve(kv(closed, "second"))];
  const opening = openStore(undefined, { clock, open: () => answers.shift()! });
  await pass(clock, 2 * OPEN_TIMEOUT_MS);
  (await opening).close();
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
