import assert from "node:assert/strict";
import {
  type Any,
  heightsOf,
  once,
  range,
  SocketIoBench,
  TRANSPORTS,
} from "../socket_io_bench.ts";
import { MAX_REPLY_BACKLOG_BYTES } from "../../realtime/outbox.ts";
import { tokenOf } from "../test_service.ts";
import { until as awaited } from "../until.ts";

/** Waits for what a test expects. */
const until = (condition: () => boolean) => awaited(condition, "as expected");

Deno.test("a client that does not poll is ended before it holds too much", async () => {
  await using bench = await SocketIoBench.open({
    env: { RATE_LIMIT_MAX: "100000" },
  });
  const client = await handshake(bench);
  await client.post("40");
  const text = "x".repeat(60_000);
  const most = MAX_REPLY_BACKLOG_BYTES / text.length + 2;
  let posts = 0;
  while (bench.service.sessions.size > 0) {
    await client.post(`42["TEST",{"text":"${text}"}]`);
    assert(++posts <= most, `${posts}`);
  }
  assert(posts > 10, `${posts}`);
});

Deno.test("connections are counted, and those of an address bounded, whatever they are", async () => {
  await using bench = await SocketIoBench.open({
    env: { MAX_CONNECTIONS_PER_IP: "2" },
  });
  const clients = [await handshake(bench), await handshake(bench)];
  const third = await bench.ask("/socket.io/?EIO=4&transport=polling");
  assert.equal(third.status, 503);
  assert.equal((await third.json()).code, "TOO_MANY_CONNECTIONS");
  await clients[0]!.post("1");
  assert.equal(bench.service.sessions.sockets, 1);
  await handshake(bench);
});

Deno.test("pages of allowed origins alone may poll", async () => {
  await using bench = await SocketIoBench.open({
    env: { ALLOWED_ORIGINS: "https://app.example.com" },
  });
  for (
    const [origin, status] of [
      ["https://app.example.com", 200],
      ["https://evil.example.com", 403],
    ] as const
  ) {
    const response = await bench.ask("/socket.io/?EIO=4&transport=polling", {
      headers: { origin },
    });
    assert.equal(response.status, status);
    await response.body?.cancel();
    const allowed = response.headers.get("access-control-allow-origin");
    assert.equal(allowed, status === 200 ? origin : null);
  }
});

/**
 * Tests with the real client, which leaves timers of its own behind when it
 * has disconnected.
 */
function clientTest(
  name: string,
  fn: (t: Deno.TestContext) => Promise<void>,
): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

Deno.test("what is no request of Engine.IO is refused", async () => {
  await using bench = await SocketIoBench.open();
  const cases: readonly [string, string, string][] = [
    ["GET", "transport=polling", "UNSUPPORTED_VERSION"],
    ["GET", "EIO=3&transport=polling", "UNSUPPORTED_VERSION"],
    ["GET", "EIO=4", "INVALID_MESSAGE"],
    ["GET", "EIO=4&transport=abc", "INVALID_MESSAGE"],
    ["GET", "EIO=4&transport=websocket", "INVALID_MESSAGE"],
    ["GET", "EIO=4&transport=polling&sid=abc", "INVALID_MESSAGE"],
    ["POST", "EIO=4&transport=polling", "INVALID_MESSAGE"],
    ["POST", "EIO=4&transport=polling&sid=abc", "INVALID_MESSAGE"],
    ["HEAD", "EIO=4&transport=polling", ""],
    ["PUT", "EIO=4&transport=polling", "METHOD_NOT_ALLOWED"],
  ];
  for (const [method, query, code] of cases) {
    const response = await bench.ask(`/socket.io/?${query}`, {
      method,
      ...(method === "POST" ? { body: "40" } : {}),
    });
    assert.equal(response.status, 400, `${method} ${query}`);
    const text = await response.text();
    if (code) assert.equal(JSON.parse(text).code, code, query);
  }
  assert.equal(bench.service.sessions.sockets, 0);
});

/** Polls by hand. */
async function handshake(bench: SocketIoBench) {
  const at = "/socket.io/?EIO=4&transport=polling";
  const opened = await (await bench.ask(at)).text();
  const { sid, ...rest } = JSON.parse(opened.slice(1));
  const path = `${at}&sid=${sid}`;
  return {
    rest,
    poll: () => bench.ask(path),
    post: (body: string) => bench.ask(path, { method: "POST", body }),
  };
}

Deno.test("polling by hand: bodies, two polls at a time, garbage", async () => {
  await using bench = await SocketIoBench.open();
  const first = await handshake(bench);
  assert.deepEqual(first.rest, {
    upgrades: ["websocket"],
    pingInterval: 25_000,
    pingTimeout: 20_000,
    maxPayload: 65_536,
  });
  assert.equal(
    await (await first.post('40\x1e42["TEST",{"a":1}]')).text(),
    "ok",
  );
  const body = await (await first.poll()).text();
  const packets = body.split("\x1e");
  assert.match(packets[0]!, /^40\{"sid":"/);
  assert.match(packets[1]!, /^42\["connected",/);
  const waiting = first.poll();
  assert.equal((await first.poll()).status, 400);
  assert.equal(await (await waiting).text(), "1");
  assert.equal((await first.poll()).status, 400);

  for (
    const bad of ["abc", "", "2", "3", "5", "4x\x1e9", "40\x1e".repeat(300)]
  ) {
    const client = await handshake(bench);
    assert.equal((await client.post(bad)).status, 400, bad.slice(0, 9));
    assert.equal((await client.poll()).status, 400, bad.slice(0, 9));
  }
  for (
    const bad of [
      "4abc",
      '42["TEST",{}]',
      "41{}",
      '40\x1e42{"a":1}',
      "40\x1e40",
    ]
  ) {
    const client = await handshake(bench);
    await client.post(bad);
    const last = await (await client.poll()).text();
    assert.match(last, /INVALID_MESSAGE/, bad);
    // A refused CONNECT leaves the transport to its client.
    if (last.startsWith("44")) await client.post("1");
    else assert.equal(await (await client.poll()).text(), "1", bad);
  }
  const long = await handshake(bench);
  const tooLong = await long.post("4" + "x".repeat(65_536));
  assert.equal(tooLong.status, 413);
  bench.service.sessions.disconnect("DRAINING", () => "over");
  assert.deepEqual(bench.bugs, []);
});

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  clientTest(
    `a client of Socket.IO follows a channel over ${name}`,
    async () => {
      await using bench = await SocketIoBench.open();
      const token = await tokenOf("user");
      const socket = bench.client({
        transports: [...transports],
        auth: { token },
      });
      const heights = heightsOf(socket);

      const [connected] = await once(socket, "connected");
      const ack = await socket.emitWithAck("subscribe", {
        channels: ["blocks"],
      });
      await bench.publish(...range(1, 100));
      if (transports.length > 1) {
        await until(() => socket.io.engine.transport.name === "websocket");
      }
      await bench.publish(...range(101, 200));
      await until(() => heights.length >= 200);
      socket.volatile.emit("TEST", { n: 7 });
      const [echo] = await once(socket, "TEST");

      assert.equal(connected.payload.identity.user, "user");
      assert.equal(connected.payload.sessionId, socket.id);
      assert.equal(ack.type, "subscribed");
      assert.equal(ack.payload.channels[0].channel, "blocks");
      assert.deepEqual(heights, range(1, 200));
      assert.deepEqual(echo.payload, { n: 7 });
      assert.equal(socket.io.engine.transport.name, transports.at(-1));
      assert.equal(bench.service.sessions.size, 1);
      socket.disconnect();
      await until(() => bench.service.sessions.sockets === 0);
      assert.deepEqual(bench.bugs, []);
    },
  );
}

clientTest(
  "verbs of the reference are answered by events, by acks to those who ask",
  async () => {
    await using bench = await SocketIoBench.open();
    const socket = bench.client({ auth: { token: await tokenOf("user") } });
    await once(socket, "connect");

    socket.emit("request_metrics", { type: "channels" });
    const [metrics] = await once(socket, "metrics_response");
    assert.equal(metrics.payload.type, "channels");
    assert.equal(typeof metrics.payload.metrics, "object");

    socket.emit("joinChannel", "blocks");
    const [joined, offset] = await once(socket, "subscribed");
    assert.equal(joined.payload.channels[0].channel, "blocks");
    assert.equal(offset, "blocks=0:0");
    await bench.publish(1);
    const data = await socket.emitWithAck("request_data", "block:1");
    assert.equal(data.payload.data.payload.height, 1);
    const page = await socket.emitWithAck("query", { channel: "blocks" });
    assert.equal(page.payload.events.length, 1);
    socket.emit("leaveChannel", "blocks");
    assert.deepEqual((await once(socket, "unsubscribed"))[0].payload, {
      channels: ["blocks"],
    });

    // Wrappers pass on what they were not given.
    const spare = await socket.emitWithAck("subscribe", "dag", null, undefined);
    assert.equal(spare.payload.channels[0].channel, "dag");

    // An application's own event reaches a room, the sender too.
    const other = bench.client();
    await other.emitWithAck("subscribe", "room:lobby");
    const received = once(other, "ROOM_MESSAGE");
    const published = await socket.emitWithAck("moved", {
      room: "lobby",
      data: { to: 3 },
      id: "move-1",
    });
    assert.equal(published.ref, "move-1");
    assert.equal(published.payload.accepted[0].channel, "room:lobby");
    const [message] = await received;
    assert.deepEqual(message.payload, { event: "moved", data: { to: 3 } });
    assert.equal(message.id, "move-1");
    const whole = {
      type: "ROOM_MESSAGE",
      channel: "room:lobby",
      payload: { event: "x" },
    };
    for (const name of ["ROOM_MESSAGE", "message"]) {
      const sent = await socket.emitWithAck(name, whole);
      assert.equal(sent.type, "published", name);
    }
    assert.deepEqual(bench.bugs, []);
  },
);

clientTest(
  "all that is emitted in one turn arrives, whatever the way",
  async () => {
    await using bench = await SocketIoBench.open();
    const auth = { token: await tokenOf("publisher") };
    for (const transports of Object.values(TRANSPORTS)) {
      const socket = bench.client({ transports: [...transports], auth });
      await once(socket, "connect");
      const echoes: number[] = [];
      socket.on("TEST", ({ payload }: Any) => echoes.push(payload.n));
      for (const n of range(1, 4_000)) socket.emit("TEST", { n });
      await until(() => echoes.length >= 4_000);
      assert.deepEqual(echoes, range(1, 4_000));
      assert(socket.connected);
    }
    assert.deepEqual(bench.bugs, []);
  },
);

clientTest(
  "what cannot be is refused with a code, and the connection stays",
  async () => {
    await using bench = await SocketIoBench.open();
    const socket = bench.client({ transports: ["websocket"] });
    await once(socket, "connect");
    const refusals: readonly [string, unknown[], string][] = [
      ["subscribe", [{ channels: [] }], "INVALID_SUBSCRIPTION"],
      ["subscribe", [{ chanels: ["blocks"] }], "INVALID_SUBSCRIPTION"],
      ["no_such_event", [{}], "UNKNOWN_TYPE"],
      ["TEST", [{}, {}], "INVALID_MESSAGE"],
      ["TEST", [new Uint8Array([1, 2])], "INVALID_MESSAGE"],
      ["moved", [{ room: "lobby" }], "FORBIDDEN"],
      // The right comes before the content.
      ["NEW_BLOCK", [{ blockId: "b" }], "FORBIDDEN"],
      ["query", [{ channel: "blocks", limit: 0 }], "INVALID_PAYLOAD"],
      ["TEST", [{ text: "x".repeat(70_000) }], "MESSAGE_TOO_LARGE"],
    ];
    for (const [event, args, code] of refusals) {
      const error = once(socket, "error");
      socket.emit(event, ...args);
      assert.equal((await error)[0].payload.code, code, event);
    }
    const ack = await socket.emitWithAck("subscribe", { channels: [] });
    assert.equal(ack.type, "error");
    assert.equal(ack.payload.code, "INVALID_SUBSCRIPTION");
    const long = { text: "x".repeat(70_000) };
    const tooLong = await socket.emitWithAck("TEST", long);
    assert.equal(tooLong.payload.code, "MESSAGE_TOO_LARGE");
    const binary = await socket.emitWithAck("TEST", new Uint8Array([1]));
    assert.equal(binary.payload.code, "INVALID_MESSAGE");
    assert.match(binary.payload.message, /Binary/);
    const rejected = await socket.emitWithAck("subscribe", [
      "nowhere",
      "blocks",
    ]);
    assert.deepEqual(rejected.payload.rejected, [
      { channel: "nowhere", code: "UNKNOWN_CHANNEL" },
    ]);
    assert(socket.connected);
    assert.deepEqual(bench.bugs, []);
  },
);

clientTest("connect_error carries the code and the sentence", async (t) => {
  const expired = await tokenOf("user", 1, () => Date.now() - 60_000);
  const cases: Readonly<
    Record<string, { code: string; auth?: Any; query?: Any; at?: string }>
  > = {
    "a bad token": { code: "UNAUTHENTICATED", auth: { token: "x.y.z" } },
    "an expired token": { code: "TOKEN_EXPIRED", auth: { token: expired } },
    "no token": { code: "UNAUTHENTICATED" },
    "a token that is no text": { code: "INVALID_PAYLOAD", auth: { token: 7 } },
    "a token in the URL": { code: "INVALID_MESSAGE", query: { token: "t" } },
    "another namespace": { code: "INVALID_MESSAGE", at: "/admin" },
  };
  for (const transports of [["polling"], ["websocket"]]) {
    for (const [name, { code, auth, query, at }] of Object.entries(cases)) {
      await t.step(`${name}, ${transports}`, async () => {
        await using bench = await SocketIoBench.open({
          env: { REQUIRE_AUTH: "true" },
        });
        const socket = bench.client(
          { transports, ...(auth && { auth }), ...(query && { query }) },
          at,
        );
        const [error] = await once(socket, "connect_error");
        assert.equal(error.data?.code, code, error.message);
        assert(error.message.length > 10);
        if (at) assert.match(error.message, /\/admin/);
        assert.equal(socket.active, false, "it does not reconnect by itself");
        socket.disconnect();
        await until(() => bench.service.sessions.sockets === 0);
        assert.deepEqual(bench.bugs, []);
      });
    }
  }
});

clientTest(
  "a final close stops the client from reconnecting, another close does not",
  async () => {
    await using bench = await SocketIoBench.open();
    const { sessions } = bench.service;
    for (const transports of [["polling"], ["websocket"]]) {
      const socket = bench.client({ transports });
      await once(socket, "connect");
      const error = once(socket, "error");
      const gone = once(socket, "disconnect");
      sessions.disconnect("IP_BLOCKED", () => "Blocked, for a test");
      assert.equal((await error)[0].payload.code, "IP_BLOCKED");
      assert.equal((await gone)[0], "io server disconnect");
      assert.equal(socket.active, false);

      const other = bench.client({ transports });
      await once(other, "connect");
      const dropped = once(other, "disconnect");
      const back = new Promise((resolve) =>
        other.io.once("reconnect", resolve)
      );
      for (const { session } of sessions) session.drain(50);
      assert.equal((await once(other, "draining"))[0].payload.retryInMs, 50);
      sessions.disconnect("DRAINING", () => "Restarting");
      assert.equal((await dropped)[0], "transport close");
      await back;
      other.disconnect();
    }
    assert.deepEqual(bench.bugs, []);
  },
);

for (const transports of [["polling"], ["websocket"]] as const) {
  clientTest(`an interrupted client recovers over ${transports}`, async () => {
    await using bench = await SocketIoBench.open();
    const socket = bench.client({ transports: [...transports] });
    const heights = heightsOf(socket);
    await socket.emitWithAck("subscribe", ["blocks", "room:lobby"]);
    await bench.publish(...range(1, 10));
    await until(() => heights.length === 10);

    bench.serving = [];
    socket.io.engine.close();
    await bench.publish(...range(11, 400));
    bench.serving = bench.services;
    await once(socket, "connect");
    assert.equal(socket.recovered, true);
    await until(() => heights.length >= 400);
    await bench.publish(401);
    await until(() => heights.length >= 401);

    assert.deepEqual(heights, range(1, 401));
    assert.deepEqual(bench.bugs, []);
  });
}

clientTest(
  "another instance recovers what one began, and does not claim it after a loss",
  async () => {
    await using bench = await SocketIoBench.cluster(2, {
      env: { RETENTION_EVENTS: "100" },
    });
    const [first, second] = bench.services as [Any, Any];
    bench.serving = [first];
    const socket = bench.client({ transports: ["websocket"] });
    const heights = heightsOf(socket);
    await socket.emitWithAck("subscribe", ["blocks"]);
    await bench.publish(1);
    await until(() => heights.length === 1);

    bench.serving = [second];
    first.sessions.disconnect("DRAINING", () => "Restarting");
    await bench.publish(2, 3);
    await once(socket, "connect");
    assert.equal(socket.recovered, true);
    await until(() => heights.length === 3);
    assert.deepEqual(heights, [1, 2, 3]);

    // What keeps nothing cannot be recovered.
    await socket.emitWithAck("subscribe", ["metrics"]);
    socket.io.engine.close();
    await once(socket, "connect");
    assert.equal(socket.recovered, false);
    await bench.publish(4);
    await until(() => heights.length === 4);
    assert.deepEqual(bench.bugs, []);
  },
);

clientTest(
  "a gap is reported, and the client does not pass for recovered",
  async () => {
    await using bench = await SocketIoBench.open({
      env: { RETENTION_EVENTS: "100" },
    });
    const socket = bench.client({ transports: ["websocket"] });
    const heights = heightsOf(socket);
    await socket.emitWithAck("subscribe", ["blocks"]);
    await bench.publish(1);
    await until(() => heights.length === 1);

    bench.serving = [];
    socket.io.engine.close();
    for (const first of range(0, 29)) {
      await bench.publish(...range(first * 50 + 2, first * 50 + 51));
    }
    const gap = once(socket, "gap");
    bench.serving = bench.services;
    await once(socket, "connect");
    assert.equal(socket.recovered, false);
    const [{ payload }] = await gap;
    assert.equal(payload.reason, "retention");
    await until(() => heights.at(-1) === 1_501);
    assert.equal(heights[1], payload.to + 1);
  },
);

clientTest("a filtered subscription is served, and not recovered", async () => {
  await using bench = await SocketIoBench.open();
  const socket = bench.client({ transports: ["websocket"] });
  const heights = heightsOf(socket);
  const filter = { blockId: "b2" };
  const subscribed = once(socket, "subscribed");
  await socket.emitWithAck("subscribe", {
    channels: ["blocks", { channel: "blocks", as: "mine", filter }],
  });
  assert.equal((await subscribed)[1], "-");
  await bench.publish(1, 2);
  await until(() => heights.length >= 3);
  assert.deepEqual(heights.toSorted(), [1, 2, 2]);
  socket.io.engine.close();
  await once(socket, "connect");
  assert.equal(socket.recovered, false);
});

clientTest("a client may do without offsets", async () => {
  await using bench = await SocketIoBench.open();
  const socket = bench.client({ auth: { recovery: false } });
  await once(socket, "connect");
  socket.emit("subscribe", "blocks");
  assert.equal((await once(socket, "subscribed")).length, 1);
  await bench.publish(1);
  assert.equal((await once(socket, "NEW_BLOCK")).length, 1);
});

clientTest(
  "polls that land on another instance are answered there",
  async () => {
    await using bench = await SocketIoBench.cluster(3);
    const socket = bench.client({ transports: ["polling"] });
    const heights = heightsOf(socket);
    await socket.emitWithAck("subscribe", ["blocks"]);
    for (const height of range(1, 20)) {
      await bench.publish(height);
      await until(() => heights.length === height);
    }
    const echo = await socket.emitWithAck("TEST", { a: 1 });
    assert.deepEqual(echo.payload, { a: 1 });
    assert.deepEqual(heights, range(1, 20));
    const held = bench.services.map(({ sessions }) => sessions.size);
    assert.equal(held.reduce((sum, each) => sum + each), 1);
    assert.deepEqual(bench.bugs, []);
  },
);

clientTest(
  "an upgrade that lands elsewhere leaves the client on polling",
  async () => {
    await using bench = await SocketIoBench.cluster(2);
    const socket = bench.client();
    const failed = new Promise((resolve) =>
      socket.io.once(
        "open",
        () => socket.io.engine.once("upgradeError" as Any, resolve),
      )
    );
    await once(socket, "connect");
    // Which instance an upgrade meets depends on how many polls came before.
    const upgraded = until(() =>
      socket.io.engine.transport.name === "websocket"
    )
      .catch(() => {});
    await Promise.race([failed, upgraded]);
    const heights = heightsOf(socket);
    await socket.emitWithAck("subscribe", ["blocks"]);
    await bench.publish(1, 2, 3);
    await until(() => heights.length === 3);
    assert(socket.connected);
  },
);
