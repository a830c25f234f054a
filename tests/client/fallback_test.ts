/**
 * What takes the place of sockets, behind proxies that are in the way, before
 * the real service over real connections.
 */
import assert from "node:assert/strict";
import { connect } from "../../client/client.ts";
import type { Client, Gap, Options } from "../../client/client.ts";
import * as edits from "../../client/http_edit.ts";
import { MAX_FILTER_VALUES } from "../../protocol/filters.ts";
import { MAX_TAG_LENGTH } from "../../protocol/messages.ts";
import { listen, openTestService, tokenOf } from "../test_service.ts";
import { until } from "../until.ts";
import { Proxy } from "./proxy.ts";
import type { ProxyOptions } from "./proxy.ts";
import { txReceived } from "../transactions.ts";

/** A service on a port behind a proxy, with a publisher that goes past it. */
async function setup(options: ProxyOptions) {
  const stack = new AsyncDisposableStack();
  const service = stack.use(await openTestService());
  const listener = stack.use(listen(service));
  const host = `127.0.0.1:${listener.addr.port}`;
  const proxy = stack.use(new Proxy(`http://${host}`, options));
  const clients: Client[] = [];
  const client = (options: Options = {}, at = proxy.host) => {
    const made = connect(`ws://${at}/ws`, options);
    clients.push(made);
    return made;
  };
  const publisher = client(
    { auth: { token: await tokenOf("publisher") } },
    host,
  );
  let height = 0;
  return {
    host,
    proxy,
    service,
    client,
    /** Publishes blocks. */
    async blocks(count: number) {
      for (let i = 0; i < count; i++) {
        height++;
        await publisher.sendMessage({
          type: "NEW_BLOCK",
          payload: {
            blockId: `b${height}`,
            height,
            timestamp: "2025-08-07T10:00:00Z",
          },
        });
      }
    },
    async [Symbol.asyncDispose]() {
      for (const each of clients) each.disconnect();
      await stack.disposeAsync();
    },
  };
}

/** Every height that a client receives, and what is reported lost. */
function heightsOf(client: Client) {
  const heights: number[] = [];
  const gaps: Gap[] = [];
  client.subscribe("NEW_BLOCK", ({ payload }) => heights.push(payload.height));
  client.onGap((gap) => gaps.push(gap));
  return { heights, gaps };
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

Deno.test("behind a proxy that strips Upgrade, events come as a stream and messages go by POST", async () => {
  await using parts = await setup({ stripsUpgrade: true });
  const { client, blocks } = parts;
  await blocks(3);
  const page = client({ auth: { token: await tokenOf("user") } });
  const { heights, gaps } = heightsOf(page);
  page.joinChannel("blocks", { last: 2 });
  page.joinChannel("alerts");
  await until(
    () => page.state.channels["blocks"]?.status === "joined",
    "joined",
  );
  assert.equal(page.state.transport, "sse");
  assert.equal(page.state.isConnected, true);
  await blocks(3);
  await until(() => heights.length === 5, "all");
  assert.deepEqual(heights, [2, 3, 4, 5, 6]);
  const room = page.room<{ chat: string }>("lobby");
  const received: string[] = [];
  room.on("chat", (text) => received.push(text));
  await until(() => room.state?.status === "joined", "room");
  const { accepted } = await room.send("chat", "hello");
  assert.equal(accepted[0]!.seq, 1);
  await until(() => received.length === 1, "received");
  const { events } = await page.channel("blocks").history({ limit: 2 });
  assert.equal(events.length, 2);
  await blocks(1);
  await until(() => heights.length === 6, "after the streams were made again");
  const { data } = await page.request("request_data", { key: "block:1" });
  assert.equal((data as { payload: { height: number } }).payload.height, 1);
  const { status } = await page.request("block", { block: "2" });
  assert.equal(status, "standing");
  const { metrics } = await page.request("request_metrics", {
    type: "channels",
  });
  assert.equal(typeof metrics, "object");
  const echo = page.sendMessage({ type: "TEST", payload: { a: 1 } });
  assert.deepEqual((await echo as unknown as { a: number }).a, 1);
  await assert.rejects(
    page.sendMessage({
      type: "NEW_BLOCK",
      payload: { blockId: "x", height: 9, timestamp: "2025-08-07T10:00:00Z" },
    }),
    { code: "FORBIDDEN" },
  );
  page.joinChannel("nowhere" as string);
  await until(
    () => page.state.channels["nowhere"]?.code === "UNKNOWN_CHANNEL",
    "refused",
  );
  page.leaveChannel("blocks");
  await blocks(1);
  assert.deepEqual([heights.length, gaps.length], [6, 0]);
});

Deno.test("behind a proxy that holds streams back, too, events come in pages", async () => {
  await using parts = await setup({ stripsUpgrade: true, buffers: true });
  const { client, blocks } = parts;
  await blocks(2);
  const page = client();
  const { heights, gaps } = heightsOf(page);
  page.joinChannel("blocks", { last: 1 });
  await until(
    () => page.state.channels["blocks"]?.status === "joined",
    "joined",
  );
  assert.equal(page.state.transport, "polling");
  await blocks(2);
  await until(() => heights.length === 3, "all");
  await blocks(1);
  await until(() => heights.length === 4, "more");
  assert.deepEqual(heights, [2, 3, 4, 5]);
  assert.deepEqual(gaps, []);
  assert.equal(page.state.channels["blocks"]?.seq, 5);
});

Deno.test("behind a proxy that accepts sockets and passes nothing, events come all the same", async () => {
  await using parts = await setup({ swallowsFrames: true });
  const { client, blocks } = parts;
  const page = client();
  const { heights } = heightsOf(page);
  page.joinChannel("blocks", { after: { epoch: "0", seq: 0 } });
  await blocks(2);
  await until(() => heights.length === 2, "all");
  assert.equal(page.state.transport, "sse");
});

Deno.test("a proxy that cuts everything after a while costs no event, by socket or stream", async () => {
  for (const stripsUpgrade of [false, true]) {
    await using parts = await setup({ stripsUpgrade, cutAfterMs: 700 });
    const { client, blocks, proxy } = parts;
    const page = client({ reconnectInterval: 100 });
    const { heights, gaps } = heightsOf(page);
    page.joinChannel("blocks");
    await until(
      () => page.state.channels["blocks"]?.status === "joined",
      "joined",
    );
    for (let i = 0; i < 25; i++) {
      await blocks(1);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await until(() => heights.length === 25, "all");
    assert.deepEqual(heights, upTo(25));
    assert.deepEqual(gaps, []);
    const path = stripsUpgrade ? "GET /sse" : "UPGRADE /ws";
    const { seen } = proxy;
    assert.ok(seen.filter((each) => each === path).length >= 2, `${seen}`);
    const transport = stripsUpgrade ? "sse" : "websocket";
    // It may be cut once more at any moment, and tries a socket first then.
    await until(() => page.state.transport === transport, transport);
  }
});

Deno.test("once sockets pass again, the client comes back to them and misses nothing", async () => {
  await using parts = await setup({ stripsUpgrade: true });
  const { client, blocks, proxy } = parts;
  const page = client();
  const { heights, gaps } = heightsOf(page);
  page.joinChannel("blocks");
  await until(
    () => page.state.channels["blocks"]?.status === "joined",
    "joined",
  );
  await blocks(2);
  const tries = () =>
    proxy.seen.filter((each) => each === "UPGRADE /ws").length;
  const before = tries();
  globalThis.dispatchEvent(new Event("online"));
  await until(() => tries() > before, "tried");
  assert.equal(page.state.transport, "sse", "it does not pass yet");
  proxy.options = {};
  globalThis.dispatchEvent(new Event("online"));
  await until(() => page.state.transport === "websocket", "back");
  await until(() => page.state.isConnected, "connected");
  await blocks(2);
  await until(() => heights.length === 4, "all");
  assert.deepEqual(heights, upTo(4));
  assert.deepEqual(gaps, []);
  assert.equal(page.state.connectionError, null);
});

Deno.test("filters work over streams, and a token is renewed there", async () => {
  await using parts = await setup({ stripsUpgrade: true });
  const { client, blocks, service } = parts;
  const page = client({ auth: { token: await tokenOf("publisher") } });
  const mine = await page.watch("transactions", { filter: { from: "0xa" } });
  const seen: string[] = [];
  mine.on("TX_RECEIVED", ({ payload }) => seen.push(payload.txId));
  await until(() => mine.status === "joined", "joined");
  const send = (txId: string, from: string) =>
    page.sendMessage(txReceived({ txId, from, status: "pending" }));
  await send("t1", "0xa");
  await send("t2", "0xb");
  page.setToken(await tokenOf("publisher"));
  await send("t3", "0xa");
  await until(() => seen.length === 2, "both");
  assert.deepEqual(seen, ["t1", "t3"]);
  assert.equal(page.state.reconnects, 0);
  await blocks(0);
  assert.deepEqual(service.bugs, []);
});

Deno.test("filters have the same bounds over streams", () => {
  assert.equal(edits.MAX_FILTER_VALUES, MAX_FILTER_VALUES);
  assert.equal(edits.MAX_TAG_LENGTH, MAX_TAG_LENGTH);
});

Deno.test("a filter is edited over streams, and what the new values missed comes first", async () => {
  await using parts = await setup({ stripsUpgrade: true });
  const { client, host } = parts;
  const publisher = client(
    { auth: { token: await tokenOf("publisher") } },
    host,
  );
  const send = (txId: string, from: string) =>
    publisher.sendMessage(txReceived({ txId, from, status: "pending" }));
  const { accepted: [start] } = await send("t0", "0xb");
  await send("t1", "0xb");
  const page = client();
  const mine = await page.watch("transactions", { filter: { from: "0xa" } });
  const seen: string[] = [];
  mine.on("TX_RECEIVED", ({ payload }) => seen.push(payload.txId));
  await until(() => mine.status === "joined", "joined");
  assert.equal(page.state.transport, "sse");
  await send("t2", "0xa");
  await until(() => seen.length === 1, "the first");
  const { epoch, seq } = start!;
  const edit = await mine.edit({
    add: ["0xb", ""],
    after: { epoch: epoch!, seq: seq! },
  });
  assert.deepEqual(edit.added, ["0xb"]);
  assert.deepEqual(edit.rejected, [{ item: "", code: "INVALID_PAYLOAD" }]);
  assert.equal(edit.from.seq, 3);
  assert.equal(edit.size, 2);
  const after = { epoch: epoch!, seq: seq! };
  assert.deepEqual((await mine.edit({ add: ["0xd"], after })).added, ["0xd"]);
  await until(() => seen.length === 2, "what was missed");
  await send("t3", "0xb");
  await send("t4", "0xc");
  await send("t5", "0xa");
  await until(() => seen.length === 4, "both values");
  const removed = await mine.edit({ remove: ["0xA"] });
  assert.deepEqual(removed.removed, ["0xa"]);
  await send("t6", "0xa");
  await send("t7", "0xb");
  await until(() => seen.length === 5, "the value that is left");
  assert.deepEqual(seen, ["t2", "t1", "t3", "t5", "t7"]);
  await assert.rejects(mine.edit({ add: ["x"], field: "nonsense" }), {
    code: "INVALID_SUBSCRIPTION",
  });
  await assert.rejects(
    mine.edit({ add: Array.from({ length: 1_000 }, (_, i) => `0x${i}`) }),
    { code: "INVALID_SUBSCRIPTION" },
  );
  await send("t8", "0xb");
  await until(() => seen.length === 6, "it goes on as it was");
});

for (const buffers of [false, true]) {
  Deno.test(`a transaction is tracked without a socket, ${buffers ? "in pages" : "beside streams"}`, async () => {
    await using parts = await setup({ stripsUpgrade: true, buffers });
    const { client, host } = parts;
    const publisher = client(
      { auth: { token: await tokenOf("publisher") } },
      host,
    );
    await publisher.sendMessage(
      txReceived({ txId: "x", from: "0xa", status: "pending" }),
    );
    const page = client();
    page.joinChannel("blocks");
    const states: string[] = [];
    const ended = (async () => {
      for await (const { state } of page.track("x", { until: "included" })) {
        states.push(state);
      }
    })();
    await until(() => states.length === 1, "its present state");
    await publisher.sendMessage({
      type: "NEW_BLOCK",
      payload: {
        blockId: "b1",
        height: 1,
        transactionIds: ["x"],
        timestamp: "2025-08-07T10:00:00Z",
      },
    });
    await publisher.sendMessage(
      txReceived({
        txId: "x",
        from: "0xa",
        status: "confirmed",
        blockId: "b1",
        blockHeight: 1,
      }),
    );
    await ended;
    assert.deepEqual(states, ["seen", "included"]);
    assert.notEqual(page.state.transport, "websocket");
  });
}

Deno.test("fallback: false keeps to sockets", async () => {
  await using parts = await setup({ stripsUpgrade: true });
  const page = parts.client({ fallback: false, reconnectInterval: 50 });
  await until(
    () => parts.proxy.seen.filter((it) => it === "UPGRADE /ws").length > 3,
    "tries",
  );
  assert.equal(page.state.transport, "websocket");
  assert.equal(page.state.isConnected, false);
});
