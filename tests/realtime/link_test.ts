import assert from "node:assert/strict";
import { systemClock } from "../../platform/clock.ts";
import { BroadcastLink, MAX_SENDERS } from "../../realtime/broadcast_link.ts";
import { DoorbellLink, REWATCH_MS } from "../../realtime/doorbell_link.ts";
import type { Hint } from "../../realtime/link.ts";
import { LocalLink, STALE_BELL_MS } from "../../realtime/local_link.ts";
import type { LocalLinkOptions } from "../../realtime/local_link.ts";
import { until } from "../until.ts";
import { ManualClock, settle } from "../fakes/clock.ts";
import { PostOffice } from "../fakes/link.ts";
import { event, testLink } from "../contracts/link_contract.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Store } from "../../store/store.ts";
import { closeStore } from "../close_store.ts";

let names = 0;
const uniqueName = () => `test-${++names}`;
const sleep = (ms: number) =>
  new Promise<void>((resolve) => setTimeout(resolve, ms));

testLink("BroadcastLink", () => {
  const name = uniqueName();
  return Promise.resolve({
    carriesEvents: true,
    join: () => Promise.resolve(new BroadcastLink(name, uniqueName())),
    [Symbol.asyncDispose]: () => sleep(0),
  });
});

/** A store in memory, for what watches it. */
async function openWatched(): Promise<AsyncDisposable & { store: Store }> {
  const store = await openStore(":memory:");
  return { store, [Symbol.asyncDispose]: () => closeStore(store) };
}

testLink("DoorbellLink", async () => {
  const kv = await openStore(":memory:");
  return {
    carriesEvents: false,
    join: async () => {
      const { store, looked } = watched(kv);
      const link = new DoorbellLink(store, {
        clock: systemClock,
        minIntervalMs: 1,
      });
      await looked;
      return link;
    },
    [Symbol.asyncDispose]: async () => {
      await sleep(5);
      await closeStore(kv);
    },
  };
});

testLink("LocalLink", async () => {
  const directory = await Deno.makeTempDir();
  return {
    carriesEvents: false,
    join: async () => {
      const link = localLink(`${directory}/bells`);
      await link.ready;
      return link;
    },
    [Symbol.asyncDispose]: async () => {
      await sleep(5);
      await Deno.remove(directory, { recursive: true });
    },
  };
});

/** A store that reports when the first value of its first watch was read. */
function watched(kv: Store): { store: Store; looked: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = new TransformStream({
    transform(value, controller) {
      controller.enqueue(value);
      // Promises go first: it is read by then.
      settle().then(resolve);
    },
  });
  const store = new Proxy(kv, {
    get(target, name: keyof Store) {
      if (name === "watch") {
        return (...given: Parameters<Store["watch"]>) =>
          target.watch(...given).pipeThrough(look);
      }
      const value = target[name];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { store, looked: promise };
}

function localLink(
  directory: string,
  options: Partial<LocalLinkOptions> = {},
): LocalLink {
  const from = uniqueName();
  return new LocalLink({ directory, from, clock: systemClock, ...options });
}

testLink("the simulation's link", () => {
  const office = new PostOffice();
  return Promise.resolve({
    carriesEvents: true,
    join: () => Promise.resolve(office.join()),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

/** Receives what a test posts as another instance would. */
class Listener implements Disposable {
  readonly hints: Hint[] = [];
  readonly #name = uniqueName();
  readonly #link = new BroadcastLink(this.#name, "here");
  readonly channel = new BroadcastChannel(this.#name);

  constructor() {
    this.#link.receive((hint) => this.hints.push(hint));
  }

  [Symbol.dispose](): void {
    this.channel.close();
    this.#link[Symbol.dispose]();
  }
}

Deno.test("BroadcastLink notices a lost post by the next one's number", async () => {
  using listener = new Listener();
  const { hints, channel } = listener;
  for (const number of [1, 2, 4, 5, 5, 4]) {
    channel.postMessage({ from: "there", number, events: [] });
  }
  await until(() => hints.length === 6, "all posts");
  assert.deepEqual(
    hints.map(({ incomplete }) => incomplete),
    [false, false, true, false, true, true],
  );
});

Deno.test("BroadcastLink requests a comparison when the first post of a sender is not number 1", async () => {
  using listener = new Listener();
  const { hints, channel } = listener;
  channel.postMessage({ from: "there", number: 7, events: [] });
  await until(() => hints.length > 0, "the post");
  assert.deepEqual(hints, [{ events: [], incomplete: true }]);
});

Deno.test("BroadcastLink ignores what is no post of ours", async () => {
  using listener = new Listener();
  const { hints, channel } = listener;
  const post = { from: "there", number: 1 };
  for (
    const garbage of [
      undefined,
      null,
      1,
      "text",
      [],
      {},
      { ...post },
      { ...post, events: "no" },
      { ...post, events: [null] },
      { ...post, events: [{ channel: "blocks" }] },
      { ...post, events: [{ channel: 1, text: "" }] },
      { ...post, events: [{ channel: "blocks", text: "", seq: 1.5 }] },
      { ...post, events: [{ channel: "blocks", text: "", seq: -1 }] },
      { ...post, events: [{ channel: "blocks", text: "", epoch: 5 }] },
      { from: 1, number: 1, events: [] },
      { from: "there", number: "1", events: [] },
      { from: "there", number: NaN, events: [] },
    ]
  ) channel.postMessage(garbage);
  // Posts keep their order: what is ignored came before this one.
  channel.postMessage({ ...post, events: [event(1)] });
  await until(() => hints.length > 0, "the post");
  assert.deepEqual(hints, [{ events: [event(1)], incomplete: false }]);
});

Deno.test("BroadcastLink remembers a bounded number of senders", async () => {
  using listener = new Listener();
  const { hints, channel } = listener;
  for (let i = 0; i <= MAX_SENDERS; i++) {
    channel.postMessage({ from: `there${i}`, number: 1, events: [] });
    // The backlog of a channel holds 256 posts.
    if (i % 100 === 99) {
      await until(() => hints.length === i + 1, "the posts so far");
    }
  }
  await until(() => hints.length === MAX_SENDERS + 1, "a post of each");
  // The first was forgotten: its next looks as if something were lost.
  channel.postMessage({ from: "there1", number: 2, events: [] });
  channel.postMessage({ from: "there0", number: 2, events: [] });
  await until(() => hints.length === MAX_SENDERS + 3, "two more");
  assert.deepEqual(
    hints.slice(-2).map(({ incomplete }) => incomplete),
    [false, true],
  );
});

Deno.test("DoorbellLink rings a key in the store, once for all that is published meanwhile", async () => {
  await using opened = await openWatched();
  const { store } = opened;
  const clock = new ManualClock();
  using link = new DoorbellLink(store, { clock, minIntervalMs: 100 });
  const rings = async () => (await store.get<bigint>(["bell"])).value ?? 0n;
  for (let i = 0; i < 50; i++) link.publish([]);
  await until(async () => await rings() === 1n, "the first ring");
  await until(async () => await rings() === 2n, "the second ring", clock);
});

Deno.test("DoorbellLink rings again when KV failed, and watches again when the watch ended", async () => {
  const clock = new ManualClock();
  let failing = true;
  let watches = 0;
  let commits = 0;
  const kv = {
    atomic: () => ({
      sum: () => ({
        commit: () => {
          commits++;
          if (failing) return Promise.reject(new Error("KV is away"));
          return Promise.resolve({ ok: true, versionstamp: "1" });
        },
      }),
    }),
    watch: () => {
      watches++;
      return new ReadableStream({
        start: (controller) => controller.close(),
      });
    },
  } as unknown as Store;
  using link = new DoorbellLink(kv, { clock, minIntervalMs: 10 });
  link.publish([]);
  await settle();
  assert.deepEqual([commits, watches], [1, 1]);
  failing = false;
  clock.advance(10);
  await settle();
  assert.equal(commits, 2);
  clock.advance(REWATCH_MS);
  await settle();
  assert.equal(watches, 2);
});

Deno.test("DoorbellLink counts its silence by the monotonic clock", async () => {
  await using opened = await openWatched();
  const clock = new ManualClock();
  const { store, looked } = watched(opened.store);
  using link = new DoorbellLink(store, { clock, minIntervalMs: 100 });
  await looked;
  clock.advance(5_000);
  for (const stepMs of [-3_600_000, 7_200_000]) {
    clock.stepWall(stepMs);
    assert.equal(link.silentMs, 5_000);
  }
});

Deno.test("DoorbellLink keeps nothing once disposed", async () => {
  const clock = new ManualClock();
  await using opened = await openWatched();
  const { store } = opened;
  const link = new DoorbellLink(store, { clock, minIntervalMs: 10 });
  const rings = async () => (await store.get<bigint>(["bell"])).value;
  link.publish([]);
  await until(async () => await rings() === 1n, "the first ring");
  await until(() => clock.pending > 0, "a pause before the next");
  link[Symbol.dispose]();
  link.publish([]);
  assert.equal(clock.pending, 0);
  // A ring would be committed before this.
  await store.set(["after"], 1);
  assert.deepEqual([await rings(), clock.pending], [1n, 0]);
});

Deno.test("LocalLink rings for instances that no faster link reaches, and only then", async () => {
  const root = await Deno.makeTempDir();
  const directory = `${root}/bells`;
  try {
    const posted: string[] = [];
    using sibling = localLink(directory, { from: "sibling" });
    await sibling.ready;
    using one = localLink(directory, {
      from: "one",
      isReachable: (from) => from === "sibling",
      observer: { posted: (link) => void posted.push(link) },
    });
    await one.ready;
    const hints: Hint[] = [];
    sibling.receive((hint) => hints.push(hint));
    one.publish([]);
    using other = localLink(directory, { from: "other" });
    await other.ready;
    await until(() => posted.length === 1, "a ring for the newcomer");
    await until(() => hints.length > 0, "the ring at the sibling");
    one.publish([]);
    await until(() => posted.length === 2, "a ring for the one out of reach");
    using alone = localLink(`${root}/alone`, {
      observer: { posted: () => void posted.push("alone") },
    });
    await alone.ready;
    alone.publish([]);
    one.publish([]);
    await until(() => posted.length === 3, "another ring");
    assert.deepEqual(posted, ["local", "local", "local"]);
  } finally {
    await sleep(5);
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("LocalLink removes bells of dead instances, and makes its own again when it was removed", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/dead`, "");
    const longAgo = new Date(Date.now() - STALE_BELL_MS - 1_000);
    await Deno.utime(`${directory}/dead`, longAgo, longAgo);
    using one = localLink(directory);
    using two = localLink(directory, { from: "two" });
    await one.ready;
    await two.ready;
    const names = [...Deno.readDirSync(directory)].map(({ name }) => name);
    assert(!names.includes("dead"), `${names}`);
    const hints: Hint[] = [];
    one.receive((hint) => hints.push(hint));
    await Deno.remove(`${directory}/two`);
    two.publish([]);
    const exists = () =>
      Deno.stat(`${directory}/two`).then(() => true, () => false);
    await until(exists, "its bell made again");
    const before = hints.length;
    await until(() => {
      two.publish([]);
      return hints.length > before;
    }, "a ring of the bell made again");
  } finally {
    await sleep(5);
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("LocalLink continues without its folder, and reports the failure", async () => {
  const clock = new ManualClock();
  const failed: string[] = [];
  using link = localLink("/proc/no/such/place", {
    clock,
    observer: { linkFailed: (name) => void failed.push(name) },
  });
  await link.ready;
  link.publish([]);
  assert.deepEqual(failed, ["local"]);
  assert.equal(clock.pending, 1, "it will try again");
});
