/**
 * Clients that share one socket, before the real service: each a tab, as far as
 * locks and messages between tabs are concerned.
 */
import assert from "node:assert/strict";
import { connect } from "../../client/client.ts";
import type { Client, Options } from "../../client/client.ts";
import { MAX_TABS } from "../../client/hub.ts";
import { listen, openTestService, tokenOf } from "../test_service.ts";
import { txReceived } from "../transactions.ts";
import { until } from "../until.ts";
import { Proxy } from "./proxy.ts";
import type { ProxyOptions } from "./proxy.ts";

/** A service behind a proxy, and tabs that end with the test. */
async function setup(options: ProxyOptions = {}) {
  const stack = new AsyncDisposableStack();
  const service = stack.use(
    await openTestService({ env: { RATE_LIMIT_MAX: "1000000" } }),
  );
  const listener = stack.use(listen(service));
  const proxy = stack.use(
    new Proxy(`http://127.0.0.1:${listener.addr.port}`, options),
  );
  const tabs: Tab[] = [];
  const sockets: WebSocket[] = [];
  class Cut extends WebSocket {
    constructor(url: string) {
      super(url);
      sockets.push(this);
    }
  }
  let height = 0;
  const url = `ws://${proxy.host}/ws`;
  return {
    proxy,
    service,
    tabs,
    url,
    /** Opens a tab that follows `blocks`. */
    async tab(options: Options = {}): Promise<Tab> {
      const client = connect(url, { shared: true, WebSocket: Cut, ...options });
      const heights: number[] = [];
      client.on("NEW_BLOCK", ({ payload }) => heights.push(payload.height));
      client.joinChannel("blocks");
      const tab = { client, heights };
      tabs.push(tab);
      await until(
        () => client.state.channels["blocks"]?.status === "joined",
        "joined",
      );
      return tab;
    },
    /** Cuts every socket. */
    cut() {
      for (const socket of sockets.splice(0)) socket.close();
    },
    async block(): Promise<void> {
      height++;
      await service.publisher.publish([{
        type: "NEW_BLOCK",
        payload: {
          blockId: `b${height}`,
          height,
          timestamp: "2026-01-01T00:00:00Z",
        },
      }]);
    },
    async [Symbol.asyncDispose]() {
      for (const { client } of tabs) client.disconnect();
      await until(() => service.sessions.size === 0, "all to be gone");
      await stack.disposeAsync();
      assert.deepEqual(service.bugs, []);
    },
  };
}

interface Tab {
  readonly client: Client;
  readonly heights: number[];
}

const upTo = (last: number, first = 1) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

Deno.test("four tabs have one socket, and each its own events, requests and positions", async () => {
  await using parts = await setup();
  const first = await parts.tab();
  await parts.block();
  await until(() => first.heights.length === 1, "the first block");
  const second = await parts.tab();
  const third = await parts.tab();
  third.client.joinChannel("validator_updates");
  await parts.block();
  await until(() => third.heights.length === 1, "the second block");
  const fourth = await parts.tab();
  await parts.block();
  await until(
    () => parts.tabs.every(({ heights }) => heights.at(-1) === 3),
    "three blocks",
  );
  assert.deepEqual(first.heights, [1, 2, 3]);
  assert.deepEqual(second.heights, [2, 3]);
  assert.deepEqual(fourth.heights, [3]);
  assert.equal(parts.service.sessions.size, 1);
  const ids = new Set(parts.tabs.map(({ client }) => client.state.sessionId));
  assert.equal(ids.size, 1);
  // One that asks for history has it, and the others have none of it twice.
  const late: number[] = [];
  const blocks = fourth.client.channel("blocks", { last: 3 });
  blocks.on("NEW_BLOCK", ({ payload }) => late.push(payload.height));
  await until(() => late.length > 0, "history");
  const { events } = await second.client.request("query", {
    channel: "blocks",
  });
  assert.equal(events.length, 3);
});

Deno.test("tabs leave channels and join again, each for itself", async () => {
  await using parts = await setup();
  const first = await parts.tab();
  const second = await parts.tab();
  first.client.leaveChannel("blocks");
  await parts.block();
  await until(() => second.heights.length === 1, "the other's block");
  second.client.leaveChannel("blocks");
  await until(
    () =>
      [...parts.service.sessions].every(({ session }) =>
        [...session.positions].length === 0
      ),
    "nothing is followed",
  );
  await parts.block();
  first.client.joinChannel("blocks", { last: 2 });
  await until(() => first.heights.length === 2, "its history");
  assert.deepEqual(first.heights, [1, 2]);
  assert.deepEqual(second.heights, [1]);
});

Deno.test("filters of the same name, tracks and messages are each tab's own", async () => {
  await using parts = await setup();
  const auth = { token: await tokenOf("publisher") };
  const tabs = [await parts.tab({ auth }), await parts.tab({ auth })];
  assert.equal(parts.service.sessions.size, 1);
  const seen: string[][] = [[], []];
  for (const [i, { client }] of tabs.entries()) {
    const watch = await client.watch("transactions", {
      filter: { from: `0x${"ab"[i]}` },
      as: "mine",
    });
    watch.on("TX_RECEIVED", ({ payload }) => seen[i]!.push(payload.txId));
    await until(() => watch.status === "joined", "joined");
    if (i === 1) {
      const { added } = await watch.edit({ add: ["0xc"] });
      assert.deepEqual(added, ["0xc"]);
    }
  }
  const states = tabs.map(({ client }) => client.track("t1"));
  for (const each of states) {
    assert.equal((await each.next()).value!.state, "unknown");
  }
  for (const from of ["0xa", "0xb", "0xc"]) {
    const txId = `t${from}`;
    const { accepted } = await tabs[0]!.client.sendMessage(
      txReceived({ txId, from, status: "pending" }) as never,
    ) as { accepted: readonly unknown[] };
    assert.equal(accepted.length, 1);
  }
  await until(() => seen.flat().length === 3, "what matches");
  assert.deepEqual(seen, [["t0xa"], ["t0xb", "t0xc"]]);
  await parts.service.publisher.publish([
    txReceived({ txId: "t1", status: "pending" }),
  ]);
  for (const each of states) {
    assert.equal((await each.next()).value!.state, "seen");
    await each.return();
  }
});

Deno.test("the tab that leads goes, and another continues where each stood", async () => {
  await using parts = await setup();
  for (let i = 0; i < 4; i++) await parts.tab();
  await parts.block();
  for (let gone = 0; gone < 3; gone++) {
    await until(
      () => parts.tabs.every(({ heights }) => heights.length === gone * 2 + 1),
      "the block",
    );
    parts.tabs.shift()!.client.disconnect();
    await parts.block();
    await until(
      () =>
        parts.service.sessions.size === 1 &&
        parts.tabs.every(({ client }) => client.state.isConnected),
      "another leads",
    );
    await parts.block();
  }
  const [last] = parts.tabs;
  await until(() => last!.heights.length === 7, "all blocks");
  assert.deepEqual(last!.heights, upTo(7));
  assert.equal(last!.client.state.gaps, 0);
});

Deno.test("the service restarts the connection, and the tabs share the next", async () => {
  await using parts = await setup();
  for (let i = 0; i < 3; i++) await parts.tab({ reconnectInterval: 50 });
  await parts.block();
  parts.cut();
  await parts.block();
  await until(
    () => parts.tabs.every(({ heights }) => heights.length === 2),
    "both blocks",
  );
  await until(() => parts.service.sessions.size === 1, "one socket");
  for (const { heights } of parts.tabs) assert.deepEqual(heights, [1, 2]);
});

Deno.test("tabs of different users share nothing, another token of the same user is checked", async () => {
  await using parts = await setup();
  await parts.tab({ auth: { token: await tokenOf("publisher") } });
  await parts.tab();
  assert.equal(parts.service.sessions.size, 2);
  const same = await parts.tab({ auth: { token: await tokenOf("publisher") } });
  assert.equal(parts.service.sessions.size, 2);
  assert.equal(same.client.state.identity?.role, "publisher");
  const [head, body] = (await tokenOf("publisher")).split(".");
  const token = `${head}.${body}.AAAA`;
  const forged = connect(parts.url, { shared: true, auth: { token } });
  await until(() => forged.state.connectionError !== null, "the refusal");
  assert.equal(forged.state.connectionError!.code, "UNAUTHENTICATED");
  forged.disconnect();
});

Deno.test("one tab more than share a socket has its own", async () => {
  await using parts = await setup();
  for (let i = 0; i <= MAX_TABS; i++) await parts.tab();
  await until(() => parts.service.sessions.size === 2, "a second socket");
  await parts.block();
  await until(
    () => parts.tabs.every(({ heights }) => heights.length === 1),
    "the block",
  );
});

Deno.test("compress has no effect on a shared socket, and breaks nothing", async () => {
  await using parts = await setup();
  await parts.tab({ compress: true });
  await parts.tab({ compress: true });
  for (let i = 0; i < 20; i++) await parts.block();
  await until(
    () => parts.tabs.every(({ heights }) => heights.length === 20),
    "all blocks",
  );
  for (const { heights } of parts.tabs) assert.deepEqual(heights, upTo(20));
  assert.equal(parts.service.sessions.size, 1);
});

Deno.test("where sockets do not pass, each tab has its own connection; they share a socket once it passes", async () => {
  await using parts = await setup({ stripsUpgrade: true });
  await parts.tab();
  await parts.tab();
  const transports = () =>
    parts.tabs.map(({ client }) => client.state.transport);
  assert.deepEqual(transports(), ["sse", "sse"]);
  await parts.block();
  parts.proxy.options = {};
  globalThis.dispatchEvent(new Event("online"));
  await until(
    () =>
      transports().every((it) => it === "websocket") &&
      parts.tabs.every(({ client }) => client.state.isConnected),
    "back",
  );
  await parts.block();
  await until(
    () => parts.tabs.every(({ heights }) => heights.length === 2),
    "both blocks",
  );
  for (const { heights } of parts.tabs) assert.deepEqual(heights, [1, 2]);
  await until(() => parts.service.sessions.size === 1, "one socket");
});

for (const missing of ["locks", "BroadcastChannel"] as const) {
  Deno.test(`without ${missing}, each tab has a socket of its own`, async () => {
    await using parts = await setup();
    const holder = missing === "locks" ? navigator : globalThis;
    const before = Object.getOwnPropertyDescriptor(holder, missing);
    Object.defineProperty(holder, missing, {
      value: undefined,
      configurable: true,
    });
    try {
      await parts.tab();
      await parts.tab();
    } finally {
      if (before) Object.defineProperty(holder, missing, before);
      else delete (holder as { locks?: unknown }).locks;
    }
    assert.equal(parts.service.sessions.size, 2);
    await parts.block();
    await until(
      () => parts.tabs.every(({ heights }) => heights.length === 1),
      "the block",
    );
  });
}
