import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { bundle } from "../../client/build.ts";
import { connect } from "../../client/client.ts";
import type { Client } from "../../client/client.ts";
import * as limits from "../../client/limits.ts";
import {
  block,
  HEARTBEAT_MS,
  joined,
  Peer,
  settled,
  setup,
  tick,
} from "./mocked_client.ts";

const MAX_BUNDLE_BYTES = 5_120;

Deno.test("the client sends connect and is connected once welcomed", async () => {
  using parts = await setup({
    auth: { token: "secret", headers: { "X-Version": "1" } },
    client: "test/1",
  });
  const { client, peer } = parts;
  assert.equal(client.state.status, "connecting");
  peer().welcome();
  assert.deepEqual(peer().of("connect")[0]!.payload, {
    auth: { token: "secret", headers: { "X-Version": "1" } },
    client: "test/1",
    batch: true,
  });
  assert.equal(client.state.status, "connected");
  assert.equal(client.state.isConnected, true);
  assert.equal(client.state.sessionId, "session-1");
  assert.equal(client.state.identity?.role, "anonymous");
});

Deno.test("a greeting before connect was answered is not taken for the answer", async () => {
  using parts = await setup();
  parts.peer().onopen?.();
  parts.peer().reply("connected", { sessionId: "greeting" });
  assert.equal(parts.client.state.isConnected, false);
  parts.peer().welcome();
  assert.equal(parts.client.state.isConnected, true);
});

Deno.test("http addresses become ws, and what is none is refused at once", async () => {
  using parts = await setup();
  assert.equal(parts.peer().url, "ws://server/ws");
  const Fake = Peer as unknown as new (url: string) => WebSocket;
  const other = connect("https://a.example/ws", { WebSocket: Fake });
  await settled();
  assert.equal(parts.peer().url, "wss://a.example/ws");
  other.disconnect();
  assert.throws(() => connect("/ws"), TypeError);
});

Deno.test("a server that never answers is left after 10 s", async () => {
  using parts = await setup();
  await tick(limits.CONNECT_TIMEOUT_MS - 1);
  assert.equal(parts.client.state.status, "connecting");
  await tick(1);
  assert.equal(parts.client.state.status, "reconnecting");
  assert.equal(parts.client.state.connectionError?.code, "TIMEOUT");
  assert.equal(parts.peer().isClosed, true);
});

Deno.test("over a real socket the client connects, receives, loses and resumes", async () => {
  const sockets: WebSocket[] = [];
  const askedAfter: unknown[] = [];
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      sockets.push(socket);
      socket.onmessage = ({ data }) => {
        const { type, id, payload } = JSON.parse(data);
        const say = (type: string, payload: object) =>
          socket.send(JSON.stringify({ type, ref: id, payload }));
        if (type === "connect") {
          say("connected", {
            sessionId: `${sockets.length}`,
            serverTime: new Date().toISOString(),
            identity: { isAuthenticated: false, user: null, role: "anonymous" },
            heartbeatMs: HEARTBEAT_MS,
            limits: { maxCommandsInFlight: 256 },
          });
        } else if (type === "subscribe") {
          const [wanted] = payload.channels;
          askedAfter.push(wanted.after);
          const seq = wanted.after?.seq ?? 0;
          say("subscribed", { channels: [joined("e1", seq)], rejected: [] });
          socket.send(JSON.stringify(block(seq + 1)));
        }
      };
      return response;
    },
  );
  const client: Client = connect(`http://127.0.0.1:${server.addr.port}/ws`, {
    reconnectInterval: 20,
  });
  const heights: number[] = [];
  const both = Promise.withResolvers<void>();
  client.on("NEW_BLOCK", ({ payload }) => {
    heights.push(payload.height);
    if (payload.height === 1) sockets[0]!.close(4008, "SLOW_CONSUMER");
    else both.resolve();
  });
  client.joinChannel("blocks");
  await both.promise;
  assert.deepEqual(heights, [1, 2]);
  assert.deepEqual(askedAfter, [undefined, { epoch: "e1", seq: 1 }]);
  assert.equal(client.state.reconnects, 1);
  const closed = new Promise((resolve) => sockets[1]!.onclose = resolve);
  client.disconnect();
  await closed;
});

Deno.test("the bundle fits 5 KiB gzipped and carries no zod", async (t) => {
  const code = await bundle("client.js");
  const bytes = gzipSync(code, { level: 9 }).byteLength;
  await t.step(`client.js: ${bytes} of ${MAX_BUNDLE_BYTES} bytes`, () => {
    assert.ok(bytes < MAX_BUNDLE_BYTES);
  });
  assert.ok(!code.includes("ZodError"));
});
