/**
 * The client with `compress`, against the real service: compressed or not, it
 * receives everything.
 */
import assert from "node:assert/strict";
import { connect } from "../../client/client.ts";
import type { Client, TappedFrame } from "../../client/types.ts";
import { MAX_WAITING } from "../../client/inflate.ts";
import type { Env } from "../../routes/http.ts";
import { openTestService, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";

const ROOM = "room:inflated";

/** Serves on a port; `dictionary` may stand before the service's own. */
function listen(
  service: TestService,
  dictionary?: (own: () => Promise<Response>) => Promise<Response>,
) {
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request, info) => {
      const own = async () =>
        await service.app.fetch(request, info as Env["Bindings"]);
      const isAsked = new URL(request.url).pathname.startsWith("/dictionary/");
      return await (dictionary && isAsked ? dictionary(own) : own());
    },
  );
  return {
    url: `ws://127.0.0.1:${server.addr.port}/ws`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

async function publish(
  { hub }: TestService,
  from: number,
  to: number,
): Promise<void> {
  await hub.publish(
    Array.from({ length: to - from + 1 }, (_, i) => ({
      type: "ROOM_MESSAGE",
      channel: { name: ROOM, kind: "room" },
      id: undefined,
      payload: {
        event: "said",
        data: { n: from + i, text: "a word, ".repeat(50) },
      },
    })),
  );
}

/** A client of the room, what it received, and its end. */
function follow(url: string, batch = true, Socket = WebSocket) {
  const client = connect(url, {
    compress: true,
    batch,
    WebSocket: Socket,
    reconnectInterval: 10,
  }) as Client;
  const numbers: number[] = [];
  const frames: TappedFrame[] = [];
  client.onFrame((frame) => frames.push(frame));
  client.on("ROOM_MESSAGE", ({ payload }) => {
    numbers.push((payload.data as { n: number }).n);
  });
  client.joinChannel(ROOM);
  const said = (text: string) =>
    frames.some(({ frame }) => JSON.stringify(frame).includes(text));
  return {
    client,
    frames,
    numbers,
    isJoined: () => client.state.channels[ROOM]?.status === "joined",
    isCompressed: () => said('"algorithm":"deflate-raw"'),
    async [Symbol.asyncDispose](): Promise<void> {
      client.disconnect();
      await new Promise((resolve) => setTimeout(resolve, 50));
    },
  };
}

async function traffic(
  service: TestService,
): Promise<{ wireBytes: number; textBytes: number }> {
  const response = await service.request("/api/metrics?type=traffic", {
    headers: { authorization: `Bearer ${await tokenOf("admin")}` },
  });
  return (await response.json()).traffic;
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

Deno.test("the answer that begins compression may share its frame with others", async () => {
  await using service = await openTestService();
  await using server = listen(service);
  /** Joins the answer with an empty frame. */
  class Joining extends WebSocket {
    override set onmessage(take: (event: { data: unknown }) => void) {
      this.addEventListener("message", ({ data }) => {
        const isIt = typeof data === "string" && data.includes('"dictionary"');
        // A busy service joins it by itself, and batches hold no batches.
        const isJoined = isIt && data.includes('"BATCH_UPDATE"');
        if (!isIt || isJoined) return take({ data });
        const frame = JSON.parse(data);
        // The service may have joined it already.
        const { updates: joined = [frame] } = frame.payload;
        const updates = [{ type: "nothing", payload: {} }, ...joined];
        const payload = { updates };
        take({ data: JSON.stringify({ type: "BATCH_UPDATE", payload }) });
      });
    }
  }
  await using it = follow(server.url, true, Joining);
  await until(() => it.isJoined() && it.isCompressed(), "compressed");
  // Only small frames need the dictionary.
  for (const n of upTo(3)) {
    await publish(service, n, n);
    await until(() => it.numbers.length >= n, "received");
  }
  assert.equal(it.client.state.lastError, null);
});

for (const batch of [true, false]) {
  Deno.test(`a client that compresses receives everything in order, by ${batch ? "batches" : "single frames"}`, async () => {
    await using service = await openTestService();
    await using server = listen(service);
    await using it = follow(server.url, batch);
    await until(() => it.isJoined() && it.isCompressed(), "compressed");
    // Sends while a frame is read, which is no part of that frame.
    it.client.on("ROOM_MESSAGE", () => it.client.joinChannel("nodes"));
    // One turn compresses one joined frame, or a few single ones.
    const step = batch ? 60 : 3;
    for (let from = 1; from <= 60; from += step) {
      await publish(service, from, from + step - 1);
      await until(() => it.numbers.length >= from + step - 1, "received");
    }
    const { wireBytes, textBytes } = await traffic(service);
    const most = batch ? textBytes / 3 : textBytes * 0.85;
    assert(wireBytes < most, `${wireBytes} of ${textBytes}`);
    await publish(service, 61, 100);
    await until(() => it.numbers.length >= 100, "received");
    assert.deepEqual(it.numbers, upTo(100));
    const compressed = it.frames.filter(({ wireBytes }) => wireBytes);
    for (const { direction, length, wireBytes } of compressed) {
      assert.equal(direction, "in");
      assert(wireBytes! < length / 1.5, `${wireBytes} of ${length}`);
    }
    assert(compressed.length > 0, "frames are shown with their bytes");
    const replies = it.frames.filter(({ frame }) => frame["ref"]);
    assert(replies.every(({ wireBytes }) => wireBytes === undefined));
    assert.equal(it.client.state.lastError, null);
    assert.deepEqual(service.bugs, []);
  });
}

Deno.test("frames wait for a slow dictionary, and keep their order", async () => {
  await using service = await openTestService();
  const asked = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  await using server = listen(service, async (own) => {
    asked.resolve();
    await go.promise;
    return await own();
  });
  await using it = follow(server.url);
  await asked.promise;
  await until(
    () => service.hub.subscribers(ROOM) === 1,
    "subscribed",
  );
  await publish(service, 1, 40);
  await publish(service, 41, 80);
  assert.deepEqual(it.numbers, []);
  go.resolve();
  await until(() => it.numbers.length >= 80, "received");
  assert.deepEqual(it.numbers, upTo(80));
  assert.equal(it.client.state.reconnects, 0);
});

const FAILURES = {
  "is not there": () => Promise.resolve(new Response("no", { status: 404 })),
  "breaks off": () =>
    Promise.resolve(
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(new Uint8Array(10));
            controller.error(new Error("gone"));
          },
        }),
      ),
    ),
};
for (const [how, fail] of Object.entries(FAILURES)) {
  Deno.test(`a dictionary that ${how} means no compression, and nothing is lost`, async () => {
    await using service = await openTestService();
    await using server = listen(service, fail);
    await publish(service, 1, 20);
    await using it = follow(server.url);
    await until(
      () => it.client.state.reconnects === 1 && it.isJoined(),
      "reconnected",
    );
    await publish(service, 21, 50);
    await until(() => it.numbers.includes(50), "received");
    const { wireBytes, textBytes } = await traffic(service);
    assert.equal(it.numbers.at(-1), 50);
    assert.deepEqual(it.numbers, it.numbers.toSorted((a, b) => a - b));
    assert.equal(new Set(it.numbers).size, it.numbers.length);
    assert.equal(wireBytes, textBytes, "nothing is compressed");
  });
}

Deno.test("more frames than may wait for the dictionary end the wait", async () => {
  await using service = await openTestService();
  const go = Promise.withResolvers<void>();
  await using server = listen(service, async (own) => {
    await go.promise;
    return await own();
  });
  await using it = follow(server.url, false);
  try {
    await until(() => service.hub.subscribers(ROOM) === 1, "subscribed");
    for (let n = 1; n <= MAX_WAITING; n += 64) {
      await publish(service, n, n + 63);
    }
    await until(
      () => it.client.state.reconnects === 1 && it.isJoined(),
      "reconnected",
    );
    await publish(service, 5_001, 5_010);
    await until(() => it.numbers.includes(5_010), "received");
    assert.deepEqual(it.numbers, upTo(10).map((n) => 5_000 + n));
  } finally {
    go.resolve();
  }
});
