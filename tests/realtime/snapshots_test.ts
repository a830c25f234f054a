import { FREE_READER } from "../../realtime/prices.ts";
import assert from "node:assert/strict";
import type { AnyMessage } from "../../protocol/messages.ts";
import { History, MAX_SNAPSHOT_EVENTS } from "../../realtime/history.ts";
import { ITSELF } from "../../realtime/publisher.ts";
import {
  framesOf,
  readSnapshots,
  SNAPSHOT_FRAME_EVENTS,
} from "../../realtime/snapshots.ts";
import { openTestService } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";

function node(nodeId: string, status: "ONLINE" | "OFFLINE"): AnyMessage {
  const lastUpdate = "2026-01-01T00:00:00.000Z";
  return { type: "NODE_STATUS", payload: { nodeId, status, lastUpdate } };
}

function read(service: TestService, channel: string, principal = ITSELF) {
  return readSnapshots([{ channel, snapshot: true }], {
    history: new History(service.hub),
    principal,
    reader: FREE_READER,
  });
}

Deno.test("a snapshot is the newest event about each thing, and goes on from there", async () => {
  await using service = await openTestService();
  await service.publisher.publish([
    node("b", "ONLINE"),
    node("a", "ONLINE"),
    node("b", "OFFLINE"),
    // Of another kind whose name begins alike.
    {
      type: "VALIDATOR_EVENT",
      payload: {
        eventType: "JOINED",
        validatorId: "v",
        timestamp: "2026-01-01T00:00:00.000Z",
      },
    },
  ]);
  const { requests, snapshots } = await read(service, "nodes");
  const [head] = await service.hub.heads(["nodes"]);
  assert.deepEqual(requests[0]!.after, head);
  const frames = [...framesOf("nodes", snapshots.get("nodes")!)];
  assert.equal(frames.length, 1);
  assert.equal(frames[0]!.end, true);
  assert.equal(frames[0]!.truncated, undefined);
  assert.deepEqual(
    frames[0]!.events.map(({ seq, payload }) => {
      const { nodeId, status } = payload as Record<string, string>;
      return [seq, nodeId, status];
    }),
    [[2, "a", "ONLINE"], [3, "b", "OFFLINE"]],
  );
});

Deno.test("a snapshot ends at its bound, and says so, in frames of a bounded length", async () => {
  await using service = await openTestService();
  for (let i = 0; i < MAX_SNAPSHOT_EVENTS + 1; i += 100) {
    const count = Math.min(100, MAX_SNAPSHOT_EVENTS + 1 - i);
    await service.publisher.publish(
      Array.from({ length: count }, (_, j) => node(`n${i + j}`, "ONLINE")),
    );
    if (i + count === MAX_SNAPSHOT_EVENTS) {
      const { snapshots } = await read(service, "nodes");
      assert.equal(snapshots.get("nodes")!.isWhole, true);
    }
  }
  const { snapshots } = await read(service, "nodes");
  const frames = [...framesOf("nodes", snapshots.get("nodes")!)];
  const counts = frames.map(({ events }) => events.length);
  assert.equal(counts.reduce((a, b) => a + b), MAX_SNAPSHOT_EVENTS);
  assert(counts.every((count) => count <= SNAPSHOT_FRAME_EVENTS));
  assert.deepEqual(
    frames.map(({ end, truncated }) => [end, truncated]),
    frames.map((_, i) =>
      i === frames.length - 1 ? [true, true] : [false, undefined]
    ),
  );
});

Deno.test("nothing is read for those who may not read the channel", async () => {
  await using service = await openTestService();
  const principal = { ...ITSELF, mayRead: () => false };
  const { requests, snapshots } = await read(service, "nodes", principal);
  assert.equal(snapshots.size, 0);
  assert.equal(requests[0]!.after, undefined);
});

Deno.test("over a socket a snapshot comes after the answer, and what it does not hold after that", async () => {
  await using service = await openTestService({
    env: { RATE_LIMIT_MAX: "1000000" },
  });
  await service.publisher.publish([node("a", "ONLINE")]);
  const listener = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    service.app.fetch,
  );
  const socket = new WebSocket(`ws://127.0.0.1:${listener.addr.port}/ws`);
  const closed = Promise.withResolvers<void>();
  socket.onclose = () => closed.resolve();
  const frames: { type: string; payload: Record<string, unknown> }[] = [];
  socket.onmessage = ({ data }) => frames.push(JSON.parse(data));
  const ask = (payload: unknown) =>
    socket.send(JSON.stringify({ type: "subscribe", payload }));
  try {
    await until(() => frames.length === 1, "the greeting");
    ask({ channels: [{ channel: "nodes", snapshot: true }] });
    await until(() => frames.length === 3, "the snapshot");
    await service.publisher.publish([node("a", "OFFLINE")]);
    await until(() => frames.length === 4, "the live event");
    assert.deepEqual(frames.map(({ type }) => type), [
      "connected",
      "subscribed",
      "snapshot",
      "NODE_STATUS",
    ]);
    ask({ channels: [{ channel: "blocks", snapshot: true }] });
    await until(() => frames.length === 5, "the refusal");
    assert.equal(frames[4]!.payload["code"], "INVALID_SUBSCRIPTION");
  } finally {
    socket.close();
    await closed.promise;
    await listener.shutdown();
  }
  assert.deepEqual(service.bugs, []);
});
