/** More than usual, stores that fail, and readers that read no more. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { buildRoomMessage } from "../../protocol/builders.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { pause, TestServer } from "../server.ts";
import { until } from "../until.ts";
import {
  caughtUp,
  compressionOf,
  leave,
  Peer,
  StalledReader,
  swarm,
  SwarmClient,
} from "../system/swarm.ts";
import { Crowd } from "./crowd.ts";

/** Close code of `SLOW_CONSUMER`. */
const SLOW = 4008;
/** Most that one stalled reader may cost the server, in bytes. */
const BYTES_PER_STALLED = 5 * 1024 * 1024;
/** Readers that stop reading. */
const STALLED = 200;

const message = (channel: string, index: number, length = 0): AnyMessage => {
  const { id: _, ...rest } = buildRoomMessage({
    event: "e",
    data: { index, filling: "x".repeat(length) },
  }, { channel });
  return rest as AnyMessage;
};

Deno.test("a hundred clients receive a burst of ten thousand events, in order", async () => {
  await using server = await TestServer.start({
    settings: { RETENTION_EVENTS: "20000" },
  });
  const clients = await swarm(
    100,
    (index) =>
      new SwarmClient(server.socketUrl, {
        channels: ["room:burst"],
        batch: index % 10 !== 0,
        compress: compressionOf(index),
      }),
  );
  try {
    await Promise.all(Array.from({ length: 100 }, (_, i) =>
      server.publish(
        Array.from(
          { length: 100 },
          (_, j) => message("room:burst", i * 100 + j),
        ),
      )));
    await caughtUp(clients, "room:burst", 10_000);
    for (const { faults, gaps, count } of clients) {
      assert.deepEqual([faults, gaps, count], [[], [], 10_000]);
    }
  } finally {
    await leave(clients);
  }
});

Deno.test("while the store is locked for five seconds publishers are refused, and afterwards nothing is missing", async () => {
  await using server = await TestServer.start();
  await using crowd = await Crowd.gather(server, { size: 60, rooms: 3 });
  await pause(1_000);
  const store = new DatabaseSync(server.kvPath);
  const counts = () => crowd.clients.map(({ count }) => count);
  try {
    await until(() => {
      try {
        store.exec("BEGIN EXCLUSIVE");
        return true;
      } catch {
        return false;
      }
    }, "the lock");
    // What was committed before may still be on its way.
    await pause(500);
    const before = counts();
    await pause(4_500);
    assert.deepEqual(counts(), before, "delivered without being kept");
    const errors = crowd.clients.flatMap(({ errors }) => errors);
    assert.ok(errors.includes("STORE_UNAVAILABLE"), "no publisher was refused");
    assert.deepEqual([...new Set(errors)], ["STORE_UNAVAILABLE"]);
    const response = await server.post(
      message("room:r0", 0),
      await server.token("user"),
    );
    const { code } = await response.json();
    assert.deepEqual([response.status, code], [503, "STORE_UNAVAILABLE"]);
    assert.ok(Number(response.headers.get("retry-after")) > 0);
    store.exec("ROLLBACK");
  } finally {
    store.close();
  }
  await pause(1_000);
  await crowd.settle();
  assert.ok(crowd.clients.every(({ closes }) => closes.length === 0));
});

Deno.test("two hundred readers that stop reading cost little, disturb no others, and resume at their positions", async () => {
  await using server = await TestServer.start({
    settings: { RETENTION_EVENTS: "100000" },
  });
  const channel = "room:flood";
  const clients = await swarm(10, (index) =>
    new SwarmClient(server.socketUrl, {
      channels: [channel],
      compress: compressionOf(index),
    }));
  const stalled: StalledReader[] = [];
  // Names of rooms are for callers with a token.
  const authorization = `Bearer ${await server.token("admin")}`;
  const instance = async () => {
    const { instances } = await server.json("/api/channels", {
      headers: { authorization },
    });
    return instances[0];
  };
  const connections = async () => (await instance()).connections;
  try {
    for (let i = 0; i < STALLED; i++) {
      const reader = await StalledReader.open(server.port);
      stalled.push(reader);
      await reader.say({ type: "subscribe", payload: { channels: [channel] } });
    }
    await until(
      async () =>
        (await instance()).subscribers[channel] === STALLED + clients.length,
      "all readers",
    );
    const before = await server.memory();
    let most = before;
    let head = 0;
    const publish = async (count: number, length: number) => {
      const messages = Array.from(
        { length: count },
        (_, i) => message(channel, i, length),
      );
      head += (await server.publish(messages)).length;
      most = Math.max(most, await server.memory());
    };
    // Fills what the system holds for each of them, then goes on.
    for (let i = 0; i < 25; i++) await publish(8, 50_000);
    await caughtUp(clients, channel, head);
    await until(async () => {
      await publish(50, 500);
      await pause(100);
      return await connections() === clients.length;
    }, "the end of the stalled");
    await caughtUp(clients, channel, head);
    for (const { faults, gaps, closes } of clients) {
      assert.deepEqual([faults, gaps, closes], [[], [], []]);
    }
    const each = (most - before) / STALLED;
    assert.ok(each < BYTES_PER_STALLED, `each cost ${each} bytes`);

    const { seqs, code, epoch } = await stalled[0]!.drain();
    assert.deepEqual(seqs, seqs.map((_, i) => i + 1));
    assert.equal(code, SLOW);
    const seq = seqs.length;
    await using peer = await Peer.connect(server.socketUrl);
    const { payload } = await peer.ask(
      "subscribe",
      { channels: [{ channel, after: { epoch, seq } }] },
      "subscribed",
    );
    assert.equal(payload.channels[0].recovered, true);
    await until(
      () => peer.frames.filter((frame) => frame.seq).length === head - seq,
      "what was missed",
    );
    const missed = peer.frames.filter((frame) => frame.seq);
    assert.deepEqual(
      missed.map((frame) => frame.seq),
      missed.map((_, i) => seq + 1 + i),
    );
  } finally {
    for (const reader of stalled) reader[Symbol.dispose]();
    await leave(clients);
  }
});
