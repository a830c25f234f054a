import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openStore } from "../../store/deno_kv.ts";
import { closeStore } from "../close_store.ts";
import { connectTwice, testStore } from "../contracts/store_contract.ts";
import { ManualClock } from "../fakes/clock.ts";
import { MemoryKv } from "../fakes/kv.ts";

testStore({
  name: "Deno KV in memory",
  async open() {
    const store = await openStore(":memory:");
    return {
      store,
      // Memory has one connection only.
      other: store,
      [Symbol.asyncDispose]: () => closeStore(store),
    };
  },
});

testStore({
  name: "Deno KV in a file",
  async open() {
    const directory = await Deno.makeTempDir();
    return await connectTwice(
      () => openStore(`${directory}/kv`),
      () => Deno.remove(directory, { recursive: true }),
    );
  },
});

const clock = new ManualClock();
testStore({
  name: "MemoryKv",
  open() {
    const kv = new MemoryKv(clock);
    return Promise.resolve({
      store: kv.connect(),
      other: kv.connect(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
  pass(ms) {
    clock.advance(ms);
    return Promise.resolve();
  },
});

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** Where code may know which store it is, and what is not served code. */
const APART = new Set(["store", "tests", "node_modules", "coverage", "dist"]);

async function* sourcesIn(directory: string): AsyncGenerator<string> {
  for await (const { name, isFile, isDirectory } of Deno.readDir(directory)) {
    const path = join(directory, name);
    if (isDirectory && !APART.has(name) && !name.startsWith(".")) {
      yield* sourcesIn(path);
    }
    if (isFile && /\.tsx?$/.test(name)) yield path;
  }
}

Deno.test("nothing above store/ names Deno.Kv", async () => {
  const found: string[] = [];
  let seen = 0;
  for await (const path of sourcesIn(ROOT)) {
    seen++;
    const text = await Deno.readTextFile(path);
    if (/\bDeno\.(Kv|openKv|Atomic)/.test(text)) found.push(path);
  }
  assert(seen > 50);
  assert.deepEqual(found, []);
});
