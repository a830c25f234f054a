/**
 * The service as its users meet it: real processes, real sockets, a store in
 * a file.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import {
  buildNewBlockMessage,
  buildRoomMessage,
  buildValidatorEventMessage,
} from "../../protocol/builders.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import type { Accepted } from "../../protocol/replies.ts";
import { REFUSALS } from "../../protocol/refusals.ts";
import { MAX_FAULTS } from "../../realtime/session.ts";
import { RawSocket } from "../hostile/raw_socket.ts";
import { failingStart, pause, SECRET, TestServer } from "../server.ts";
import { until } from "../until.ts";
import {
  caughtUp,
  compressionOf,
  type Frame,
  leave,
  Peer,
  StalledReader,
  swarm,
  SwarmClient,
} from "./swarm.ts";

/** How long after the signal Deploy kills a process that has not ended. */
const KILLED_AFTER_MS = 5_000;
/** How often chance may put all connections on one instance. */
const TRIES = 200;

const block = (height: number): AnyMessage =>
  buildNewBlockMessage({
    blockId: `block-${height}`,
    height,
    hash: `0x${height.toString(16)}`,
  }) as AnyMessage;

/** Blocks that leave their ids to the server, which signs them so. */
const unnamed = (height: number): AnyMessage => ({
  type: "NEW_BLOCK",
  payload: {
    blockId: `block-${height}`,
    height,
    timestamp: "2025-08-07T10:00:00Z",
  },
});

const blocks = (from: number, count: number): AnyMessage[] =>
  Array.from({ length: count }, (_, i) => block(from + i));

/** The part of a server-made id that names the instance which made it. */
const instanceOf = (id: string): string => id.slice(10, 18);

/** Opens sockets until every instance has one. */
async function onEachInstance(
  server: TestServer,
  instances: number,
): Promise<Peer[]> {
  const found = new Map<string, Peer>();
  for (let i = 0; i < TRIES && found.size < instances; i++) {
    const peer = await Peer.open(server.socketUrl);
    const { payload } = await peer.next("connected");
    const instance = instanceOf(payload.sessionId);
    if (found.has(instance)) await peer[Symbol.asyncDispose]();
    else found.set(instance, peer);
  }
  assert.equal(found.size, instances, "some instance never took a socket");
  return [...found.values()];
}

/** Publishes one block after another, until both instances took `least`. */
async function publishThroughBoth(
  server: TestServer,
  least: number,
): Promise<Accepted[]> {
  const token = await server.token("publisher");
  const accepted: Accepted[] = [];
  const taken = new Map<string, number>();
  const isFair = () => taken.size === 2 && Math.min(...taken.values()) >= least;
  for (let height = 1; !isFair() && height <= TRIES * least; height++) {
    // A connection of its own for each lets chance choose the instance.
    using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
    const response = await fetch(`${server.url}/api/publish`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify(unnamed(height)),
      client,
    });
    const body = await response.json();
    assert.equal(response.status, 200, JSON.stringify(body));
    const [place] = body.accepted as [Accepted];
    accepted.push(place);
    const instance = instanceOf(place.id);
    taken.set(instance, (taken.get(instance) ?? 0) + 1);
  }
  assert.ok(isFair(), `publishes went to ${JSON.stringify([...taken])}`);
  return accepted;
}

for (
  const [program, LINK] of [
    ["start.ts", "broadcast"],
    ["start.ts", "doorbell"],
    ["deno serve", "broadcast"],
  ] as const
) {
  Deno.test(`two instances of ${program} linked by ${LINK} deliver every event to everyone, once and in order`, async () => {
    await using server = await TestServer.start({
      instances: 2,
      program,
      settings: { LINK },
    });
    const instances = new Set<string>();
    const clients: SwarmClient[] = [];
    const join = (index: number) =>
      new SwarmClient(server.socketUrl, {
        channels: ["blocks"],
        batch: index % 2 === 0,
        compress: compressionOf(index >> 1),
        onFrame({ type, payload }) {
          if (type === "connected") {
            instances.add(instanceOf(payload.sessionId));
          }
        },
      });
    try {
      // Sockets that come at once may all go to the instance that is awake.
      while (clients.length < 16 || instances.size < 2) {
        assert.ok(clients.length < TRIES, "some instance never took a socket");
        clients.push(...await swarm(1, () => join(clients.length)));
      }
      const accepted = await publishThroughBoth(server, 10);
      const { seq, epoch } = accepted.at(-1)!;
      await caughtUp(clients, "blocks", seq!);
      for (const { received, faults, gaps } of clients) {
        assert.deepEqual(faults, []);
        assert.deepEqual(gaps, []);
        assert.deepEqual(
          received.get("blocks")!.events,
          accepted.map(({ id }, i) => ({ epoch, seq: i + 1, id })),
        );
      }
    } finally {
      await leave(clients);
    }
  });
}

Deno.test("a person who types subscribe sees blocks", async () => {
  await using server = await TestServer.start();
  await using peer = await Peer.open(`ws://127.0.0.1:${server.port}`);
  peer.say('{"type":"subscribe","payload":{"channels":["blocks"]}}');
  const { payload } = await peer.next("subscribed");
  assert.deepEqual(payload, {
    channels: [{ channel: "blocks", epoch: "0", seq: 0, recovered: true }],
    rejected: [],
  });
  await server.publish([block(15420)]);
  const event = await peer.next("NEW_BLOCK");
  assert.equal(event.payload.height, 15420);
  assert.equal(event.seq, 1);
});

const NODE = await hasNode();
if (!NODE) await tell("Node is not installed: its client is not tried here.");

Deno.test({
  name: "the ws client on Node sees blocks",
  ignore: !NODE,
  async fn() {
    await using server = await TestServer.start();
    await server.publish(blocks(1, 3));
    const program = `
      import { WebSocket } from ${JSON.stringify(await wsPath())};
      const socket = new WebSocket(process.argv[1], "kaldrix.v1");
      socket.on("open", () => socket.send(JSON.stringify({
        type: "subscribe",
        payload: { channels: [{ channel: "blocks", last: 3 }] },
      })));
      const heights = [];
      socket.on("message", (data) => {
        const { type, payload } = JSON.parse(data);
        if (type !== "NEW_BLOCK") return;
        heights.push(payload.height);
        if (heights.length < 3) return;
        console.log(socket.protocol, heights.join());
        socket.close();
      });`;
    const { stdout, stderr } = await new Deno.Command("node", {
      args: [
        "--input-type=module",
        "--eval",
        program,
        "--",
        server.socketUrl,
      ],
      signal: AbortSignal.timeout(30_000),
    }).output();
    const decoder = new TextDecoder();
    assert.equal(
      decoder.decode(stdout).trim(),
      "kaldrix.v1 1,2,3",
      decoder.decode(stderr),
    );
  },
});

Deno.test("after a restart a client gets what it missed, in fixed channels and in rooms", async () => {
  await using server = await TestServer.start();
  const validator = (name: string): AnyMessage =>
    buildValidatorEventMessage({
      eventType: "JOINED",
      validatorId: name,
      stake: "1000000",
    }) as AnyMessage;
  const hello = (word: string): AnyMessage =>
    buildRoomMessage({ event: "hello", data: { word } }, {
      channel: "room:lobby",
    }) as AnyMessage;
  const channels = ["validator_updates", "room:lobby"];
  const cursors: { channel: string; after: unknown }[] = [];
  {
    await using peer = await Peer.connect(server.socketUrl);
    const { payload } = await peer.ask("subscribe", { channels }, "subscribed");
    assert.equal(payload.channels[0].channel, "validators");
    assert.equal(payload.channels[0].requested, "validator_updates");
    await server.publish([validator("v1"), hello("before")]);
    for (const type of ["VALIDATOR_EVENT", "ROOM_MESSAGE"]) {
      const { channel, epoch, seq } = await peer.next(type);
      cursors.push({ channel: channel!, after: { epoch, seq } });
    }
  }
  await server.publish([validator("v2"), hello("while away")]);
  assert.equal((await server.stop("SIGTERM")).code, 0);
  await server.begin();
  await server.publish([validator("v3"), hello("after the restart")]);
  await using peer = await Peer.connect(server.socketUrl);
  const { payload } = await peer.ask(
    "subscribe",
    { channels: cursors },
    "subscribed",
  );
  assert.deepEqual(
    payload.channels.map((
      { channel, seq, recovered }: Record<string, unknown>,
    ) => ({ channel, seq, recovered })),
    [
      { channel: "validators", seq: 1, recovered: true },
      { channel: "room:lobby", seq: 1, recovered: true },
    ],
  );
  await server.publish([validator("v4"), hello("live")]);
  await until(() => eventsOf(peer).length === 6, "events");
  const reported = (channel: string) =>
    eventsOf(peer).filter((event) => event.channel === channel)
      .map(({ seq, replay, payload }) => [
        seq,
        replay ?? false,
        payload.validatorId ?? payload.data.word,
      ]);
  assert.deepEqual(reported("validators"), [
    [2, true, "v2"],
    [3, true, "v3"],
    [4, false, "v4"],
  ]);
  assert.deepEqual(reported("room:lobby"), [
    [2, true, "while away"],
    [3, true, "after the restart"],
    [4, false, "live"],
  ]);
});

Deno.test("only those with the right publish, over HTTP and over a socket", async () => {
  await using server = await TestServer.start();
  const expired = await server.token("publisher", {
    now: () => Date.now() - 2 * 3_600_000,
  });
  const user = await server.token("user");
  const publisher = await server.token("publisher");
  const room = buildRoomMessage({ event: "hi" }, { channel: "room:a" });
  const refusedAs = async (response: Response) => {
    const { code } = await response.json();
    return [response.status, code];
  };
  const post = async (body: unknown, token?: string) =>
    await refusedAs(await server.post(body, token));
  assert.deepEqual(await post(block(1)), [401, "UNAUTHENTICATED"]);
  assert.deepEqual(await post(block(1), "x.y.z"), [401, "UNAUTHENTICATED"]);
  assert.deepEqual(await post(block(1), expired), [401, "TOKEN_EXPIRED"]);
  assert.deepEqual(await post(block(1), user), [403, "FORBIDDEN"]);
  assert.deepEqual(await post("{", publisher), [400, "INVALID_JSON"]);
  assert.deepEqual(await post({ type: "NEW_BLOCK", payload: {} }, publisher), [
    400,
    "INVALID_PAYLOAD",
  ]);
  assert.deepEqual(await post(room, user), [200, undefined]);
  assert.deepEqual(await post(block(1), publisher), [200, undefined]);

  const say = async (message: AnyMessage, token?: string) => {
    await using peer = await Peer.connect(server.socketUrl, token);
    peer.say({ ...message, id: "mine" });
    await until(
      () => peer.frames.some(({ ref }) => ref === "mine"),
      "an answer",
    );
    const { type, payload } = peer.frames.find(({ ref }) => ref === "mine")!;
    return type === "error" ? payload.code : type;
  };
  assert.equal(await say(block(2)), "FORBIDDEN");
  assert.equal(await say(block(2), user), "FORBIDDEN");
  assert.equal(await say(room as AnyMessage, user), "published");
  assert.equal(await say(block(2), publisher), "published");

  await using peer = await Peer.connect(server.socketUrl);
  const { payload } = await peer.ask(
    "connect",
    { auth: { token: expired } },
    "error",
  );
  assert.equal(payload.code, "TOKEN_EXPIRED");
  const { channels } = await server.json("/api/channels");
  const [{ seq }] = channels;
  assert.equal(seq, 2, "what was refused is not in the log");
});

Deno.test("an expired token shown at the door is refused on the socket", async () => {
  await using server = await TestServer.start();
  const token = await server.token("user", {
    now: () => Date.now() - 2 * 3_600_000,
  });
  using socket = await RawSocket.open({
    port: server.port,
    headers: [`Authorization: Bearer ${token}`],
  });
  socket.listen();
  const code = String.fromCharCode(4401 >> 8, 4401 & 0xff);
  await until(() => socket.received.includes(code), "a close frame of 4401");
  assert.match(socket.received, /^HTTP\/1\.1 101 /);
  assert.match(socket.received, /"type":"error".*"code":"TOKEN_EXPIRED"/);
});

Deno.test("batches of fifty are accepted side by side and delivered in order", async () => {
  await using server = await TestServer.start();
  const clients = await swarm(2, (index) =>
    new SwarmClient(server.socketUrl, {
      channels: ["blocks"],
      batch: index === 0,
      compress: compressionOf(index),
    }));
  try {
    const places: Accepted[] = [];
    for (let round = 0; round < 3; round++) {
      const batches = Array.from(
        { length: 20 },
        (_, i) => server.publish(blocks((round * 20 + i) * 50, 50)),
      );
      places.push(...(await Promise.all(batches)).flat());
    }
    assert.equal(places.length, 3_000);
    places.sort((a, b) => a.seq! - b.seq!);
    await caughtUp(clients, "blocks", 3_000);
    for (const { received, faults, gaps } of clients) {
      assert.deepEqual([faults, gaps], [[], []]);
      assert.deepEqual(
        received.get("blocks")!.events.map(({ id }) => id),
        places.map(({ id }) => id),
      );
    }
  } finally {
    await leave(clients);
  }
});

Deno.test("five hundred sockets on one instance get twenty events a second without loss", async () => {
  await using server = await TestServer.start();
  const clients = await swarm(
    500,
    (index) =>
      new SwarmClient(server.socketUrl, {
        channels: ["blocks"],
        compress: compressionOf(index),
      }),
  );
  try {
    for (let height = 1; height <= 60; height++) {
      await Promise.all([server.publish([block(height)]), pause(50)]);
    }
    await caughtUp(clients, "blocks", 60);
    assert.deepEqual(clients.flatMap(({ faults }) => faults), []);
    assert.ok(clients.every(({ count }) => count === 60));
  } finally {
    await leave(clients);
  }
});

Deno.test("a wrong setting stops the start with a sentence that names it", async () => {
  const wrong = {
    RATE_LIMIT_MAX: "many",
    LINK: "pigeon",
    REQUIRE_AUTH: "yes",
    RETENTION_EVENTS: "0",
    JWKS_URL: "ftp://keys",
  };
  const { code, text } = await failingStart({ JWT_SECRET: SECRET, ...wrong });
  assert.equal(code, 1);
  for (const name of Object.keys(wrong)) {
    assert.match(text, new RegExp(`${name} must be `));
  }
  assert.ok(!text.includes("    at "), text);
});

Deno.test("production does not start without a secret", async () => {
  const { code, text } = await failingStart({});
  assert.equal(code, 1);
  assert.match(text, /JWT_SECRET must be set/);
});

Deno.test("a place that cannot hold the store is named, without a stack", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/text`, "no database at all");
    const places: Readonly<Record<string, string>> = {
      [`${directory}/missing/kv`]: "its folder does not exist",
      [directory]: "it is a folder",
      [`${directory}/text`]: "the file there is not a database",
    };
    for (const [place, reason] of Object.entries(places)) {
      const { code, text } = await failingStart({
        JWT_SECRET: SECRET,
        KV_PATH: place,
        PORT: "0",
      });
      assert.equal(code, 1);
      assert.ok(
        text.includes(`Cannot start: KV_PATH ${place}: ${reason}`),
        text,
      );
      assert.ok(!text.includes("    at "), text);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a store whose file is moved takes nothing until it is put back", async () => {
  await using server = await TestServer.start();
  const isReady = async () => {
    const response = await fetch(`${server.url}/ready`);
    const { checks } = await response.json();
    assert.equal(response.ok, checks.store.ok, JSON.stringify(checks));
    return response.ok;
  };
  const history = () => server.json("/api/channels/blocks/history");
  await server.publish([block(1)]);
  await Deno.rename(server.kvPath, `${server.kvPath}.moved`);
  await until(async () => !await isReady(), "it is not ready");
  await assert.rejects(server.publish([block(2)]), /STORE_UNAVAILABLE/);
  assert.equal((await history()).events.length, 1, "history stays readable");
  await Deno.rename(`${server.kvPath}.moved`, server.kvPath);
  await until(isReady, "it is ready again");
  await server.publish([block(2)]);
  assert.equal((await history()).events.length, 2);
});

Deno.test("a port that is taken is not shared", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  const { code, text } = await failingStart({
    JWT_SECRET: SECRET,
    PORT: String(port),
  });
  assert.equal(code, 1);
  assert.match(text, new RegExp(`Cannot start: .*PORT ${port}.*in use`));
  assert.ok(!text.includes("    at "), text);
});

Deno.test({
  name: "connections are dealt out to instances evenly",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using server = await TestServer.start({ instances: 2 });
    const peers = await Promise.all(
      Array.from({ length: 400 }, () => Peer.open(server.socketUrl)),
    );
    try {
      const counts = new Map<string, number>();
      for (const peer of peers) {
        const { payload } = await peer.next("connected");
        const instance = instanceOf(payload.sessionId);
        counts.set(instance, (counts.get(instance) ?? 0) + 1);
      }
      // Fair coins give more than this once in a million runs.
      assert.ok(Math.max(...counts.values()) < 250, `${[...counts.values()]}`);
    } finally {
      await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()));
    }
  },
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  for (
    const [program, instances] of [
      ["start.ts", 1],
      ["start.ts", 2],
      ["deno serve", 2],
    ] as const
  ) {
    Deno.test(`${signal} lets clients of ${program} with ${instances} instance(s) go in good order, stalled ones too`, async () => {
      await using server = await TestServer.start({ instances, program });
      const peers = await onEachInstance(server, instances);
      const stalled: StalledReader[] = [];
      try {
        for (let i = 0; i < 4; i++) {
          peers.push(await Peer.connect(server.socketUrl));
          const reader = await StalledReader.open(server.port);
          stalled.push(reader);
          assert.match(reader.answer, /^HTTP\/1\.1 101 /);
          await reader.say(
            { type: "subscribe", payload: { channels: ["room:big"] } },
          );
        }
        for (const peer of peers) {
          await peer.ask("subscribe", { channels: ["blocks"] }, "subscribed");
        }
        const big = buildRoomMessage({
          event: "big",
          data: "x".repeat(60_000),
        }, { channel: "room:big" }) as AnyMessage;
        const { id: _, ...message } = big;
        for (let i = 0; i < 15; i++) {
          await server.publish(Array.from({ length: 8 }, () => message));
        }

        server.signal(signal);
        const ended = server.ended();
        await Promise.all(peers.map((peer) => peer.next("draining")));
        const ready = await fetch(`${server.url}/ready`);
        const body = await ready.json();
        assert.equal(ready.status, 503);
        assert.deepEqual([body.ready, body.checks.service], [
          false,
          { ok: false, detail: "draining" },
        ]);
        for (let i = 0; i < 4; i++) {
          using late = await StalledReader.open(server.port);
          assert.match(late.answer, /^HTTP\/1\.1 503 /);
          assert.match(late.answer, /retry-after: \d+\r\n/i);
          assert.match(late.answer, /"code":"DRAINING"/);
        }
        assert.deepEqual(
          await Promise.all(peers.map((peer) => peer.closed())),
          peers.map(() => 1012),
        );
        const delays = peers.map(({ frames }) =>
          frames.find(({ type }) => type === "draining")!.payload.retryInMs
        );
        assert.ok(new Set(delays).size > 1, `all are asked back at ${delays}`);
        const { code, ms } = await ended;
        assert.equal(code, 0);
        assert.ok(ms < KILLED_AFTER_MS, `took ${ms} ms`);
      } finally {
        for (const reader of stalled) reader[Symbol.dispose]();
        await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()));
      }
    });
  }
}

Deno.test("what was accepted just before a drain is there after it", async () => {
  await using server = await TestServer.start();
  await using client = new SwarmClient(server.socketUrl, {
    channels: ["room:a"],
    token: await server.token("user"),
    compress: "deflate",
  });
  await until(() => client.isSubscribed, "a subscription");
  for (let i = 0; i < 300; i++) {
    client.publish(
      buildRoomMessage({ event: "e" }, {
        channel: "room:a",
        id: `m${i}`,
      }) as AnyMessage,
    );
    if (i === 150) server.signal("SIGTERM");
    await pause(1);
  }
  assert.equal((await server.ended()).code, 0);
  await server.begin();
  await until(() => client.pending === 0, "acknowledgements");
  await caughtUp([client], "room:a", 300);
  assert.deepEqual(client.faults, []);
  const ids = client.received.get("room:a")!.events.map(({ id }) => id);
  assert.equal(new Set(ids).size, 300);
  assert.equal(ids.length, 300);
});

Deno.test("an EventSource comes back with its last position, in a header or in the query", async () => {
  await using server = await TestServer.start();
  const [first] = await server.publish(blocks(1, 5));
  const position = `${first!.epoch}:2`;
  const heightsOf = async (query: string, headers: HeadersInit = {}) => {
    const response = await fetch(`${server.url}/sse?channels=blocks${query}`, {
      headers,
    });
    assert.equal(response.status, 200);
    const heights: number[] = [];
    let rest = "";
    const text = response.body!.pipeThrough(new TextDecoderStream());
    for await (const chunk of text) {
      rest += chunk;
      const parts = rest.split("\n\n");
      rest = parts.pop()!;
      for (const part of parts) {
        const data = /^data: (.*)$/m.exec(part)?.[1];
        const frame = data && JSON.parse(data);
        if (frame?.type !== "NEW_BLOCK") continue;
        assert.match(
          part,
          new RegExp(`^id: ${frame.epoch}:${frame.seq}$`, "m"),
        );
        heights.push(frame.payload.height);
      }
      if (heights.length >= 3) break;
    }
    return heights;
  };
  assert.deepEqual(await heightsOf("", { "last-event-id": position }), [
    3,
    4,
    5,
  ]);
  assert.deepEqual(await heightsOf(`&lastEventId=${position}`), [3, 4, 5]);
  const wrong = await fetch(`${server.url}/sse?channels=blocks&lastEventId=x`);
  assert.equal(wrong.status, 400);
  assert.equal((await wrong.json()).code, "INVALID_SUBSCRIPTION");
});

Deno.test("every instance gives the same answers, and the same after a restart", async () => {
  await using server = await TestServer.start({ instances: 2 });
  await server.publish(blocks(1, 30));
  await server.publish([
    buildValidatorEventMessage({
      eventType: "JOINED",
      validatorId: "v1",
      stake: "5",
    }) as AnyMessage,
  ]);
  const questions: [type: string, payload: unknown, answer: string][] = [
    ["request_data", { key: "block:7" }, "data_response"],
    ["request_data", { key: "block:block-7" }, "data_response"],
    ["request_data", { key: "validator:v1" }, "data_response"],
    ["request_data", { key: "channel:blocks" }, "data_response"],
    ["request_data", { key: "block:999" }, "data_response"],
    ["query", { channel: "blocks", limit: 4 }, "query_result"],
  ];
  const answers = async () => {
    const peers = await onEachInstance(server, 2);
    const all = await Promise.all(peers.map(async (peer) => {
      const reported: unknown[] = [];
      for (const [type, payload, answer] of questions) {
        reported.push((await peer.ask(type, payload, answer)).payload);
      }
      return reported;
    }));
    await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()));
    assert.deepEqual(all[0], all[1]);
    const history = await server.json("/api/channels/blocks/history?limit=4");
    assert.deepEqual(history, all[0]!.at(-1));
    return all[0]!;
  };
  const before = await answers();
  // deno-lint-ignore no-explicit-any -- read loosely.
  const [byHeight, byId, validator, last, none, page] = before as any[];
  assert.equal(byHeight.data.payload.blockId, "block-7");
  assert.deepEqual(byId.data, byHeight.data);
  assert.equal(validator.data.payload.stake, "5");
  assert.equal(last.data.payload.height, 30);
  assert.equal(none.data, null);
  assert.deepEqual(
    page.events.map(({ seq }: Frame) => seq),
    [27, 28, 29, 30],
  );
  await server.stop("SIGKILL");
  await server.begin();
  assert.deepEqual(await answers(), before);
});

Deno.test("hostile frames are refused and harm no other client", async () => {
  await using server = await TestServer.start();
  const clients = await swarm(
    5,
    (index) =>
      new SwarmClient(server.socketUrl, {
        channels: ["blocks"],
        compress: compressionOf(index),
      }),
  );
  const hostile: [frame: unknown, code: string][] = [
    ["{", "INVALID_JSON"],
    ["", "INVALID_JSON"],
    [new Uint8Array([1, 2, 3]), "INVALID_MESSAGE"],
    ["[]", "INVALID_MESSAGE"],
    ["null", "INVALID_MESSAGE"],
    ["x".repeat(70_000), "MESSAGE_TOO_LARGE"],
    [`${"[".repeat(20_000)}${"]".repeat(20_000)}`, "INVALID_MESSAGE"],
    ['{"type":"TEST","payload":{"a":"\\ud800"}}', "INVALID_PAYLOAD"],
    ['{"type":"TEST","payload":{"__proto__":{"x":1}}}', "INVALID_PAYLOAD"],
    [{ type: "constructor", payload: {} }, "UNKNOWN_TYPE"],
    [{ type: "ping", version: "9.0.0" }, "UNSUPPORTED_VERSION"],
    [{ type: "ping", payload: {}, extra: 1 }, "INVALID_MESSAGE"],
    [
      { type: "subscribe", payload: { channels: Array(1_001).fill("blocks") } },
      "INVALID_SUBSCRIPTION",
    ],
    [{ type: "query", payload: { channel: "nowhere" } }, "UNKNOWN_CHANNEL"],
    [{ type: "refresh", payload: { token: "a.b.c" } }, "UNAUTHENTICATED"],
  ];
  try {
    await using peer = await Peer.connect(server.socketUrl);
    for (const [i, [frame, code]] of hostile.entries()) {
      peer.say(frame);
      const { payload } = await peer.next("error");
      const shown = JSON.stringify(frame).slice(0, 60);
      assert.equal(payload.code, code, `${shown}: ${payload.message}`);
      await server.publish([block(i + 1)]);
    }
    await peer.ask("ping", {}, "pong");
    // One who goes on and on is shown the door.
    for (let i = 0; i < 2 * MAX_FAULTS && peer.isOpen; i++) {
      const { length } = peer.frames;
      peer.say("{");
      const isAnswered = () => peer.frames.length > length || !peer.isOpen;
      await until(isAnswered, "an answer");
    }
    const codes = Object.values(REFUSALS).map(({ close }) => close as number);
    const closed = await peer.closed();
    assert.ok(codes.includes(closed), `closed with ${closed}`);
    await caughtUp(clients, "blocks", hostile.length);
    for (const { faults, closes } of clients) {
      assert.deepEqual([faults, closes], [[], []]);
    }
    assert.doesNotMatch(server.log, /"bug"|INTERNAL/);
  } finally {
    await leave(clients);
  }
});

function eventsOf(peer: Peer): Frame[] {
  return peer.frames.filter(({ seq }) => seq !== undefined);
}

async function hasNode(): Promise<boolean> {
  try {
    const args = ["--version"];
    return (await new Deno.Command("node", { args }).output()).success;
  } catch {
    return false;
  }
}

/** Where Deno keeps the npm package, which Node can load from there. */
async function wsPath(): Promise<string> {
  // Importing anything of a package has Deno fetch all of it.
  await import("ws/package.json", { with: { type: "json" } });
  return fileURLToPath(
    new URL("wrapper.mjs", import.meta.resolve("ws/package.json")),
  );
}

async function tell(text: string): Promise<void> {
  await Deno.stderr.write(new TextEncoder().encode(`${text}\n`));
}
