import assert from "node:assert/strict";
import fc from "fast-check";
import type { AnyMessage } from "../../protocol/messages.ts";
import { FREE_READER } from "../../realtime/prices.ts";
import { ITSELF } from "../../realtime/publisher.ts";
import {
  framesOf,
  MAX_SNAPSHOT_EVENTS,
  readSnapshots,
  SNAPSHOT_FRAME_EVENTS,
} from "../../realtime/snapshots.ts";
import { listen, openTestService, serviceOn } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";
import { txReceived } from "../transactions.ts";

function node(nodeId: string, status: "ONLINE" | "OFFLINE"): AnyMessage {
  const lastUpdate = "2026-01-01T00:00:00.000Z";
  return { type: "NODE_STATUS", payload: { nodeId, status, lastUpdate } };
}

function read(service: TestService, channel: string, principal = ITSELF) {
  return readSnapshots([{ channel, snapshot: true }], {
    snapshots: service.session.snapshots,
    principal,
    reader: FREE_READER,
  });
}

Deno.test("a snapshot is the newest event about each subject, and continues from there", async () => {
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

Deno.test("a snapshot ends at its bound, and reports it, in frames of a bounded length", async () => {
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

Deno.test("over a socket a snapshot follows the reply, and later events follow the snapshot", async () => {
  await using service = await openTestService({
    env: { RATE_LIMIT_MAX: "1000000" },
  });
  await service.publisher.publish([node("a", "ONLINE")]);
  const listener = listen(service);
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

const timestamp = "2026-01-01T00:00:00.000Z";

function tx(
  txId: string,
  status: "pending" | "confirmed" | "dropped",
): AnyMessage {
  return txReceived({ txId, status, timestamp });
}

function dag(
  updateType: "NODE_ADDED" | "NODE_REMOVED",
  nodeId: string,
  relatedNodes: string[],
): AnyMessage {
  return {
    type: "DAG_UPDATE",
    payload: { updateType, nodeId, relatedNodes, timestamp },
  };
}

/** The subjects of a channel's snapshot, in its order. */
async function receivedIn(
  service: TestService,
  channel: string,
): Promise<{ names: unknown[]; isWhole: boolean; seq: number }> {
  const { requests, snapshots } = await read(service, channel);
  const { frames, isWhole } = snapshots.get(channel)!;
  const names = frames.map((frame) => {
    const { payload } = JSON.parse(frame);
    return payload.txId ?? payload.nodeId;
  });
  const { seq } = requests[0]!.after as { seq: number };
  return { names, isWhole, seq };
}

Deno.test("a snapshot of transactions is those that are pending", async () => {
  await using service = await openTestService();
  const { publisher } = service;
  await publisher.publish([
    tx("a", "pending"),
    tx("b", "pending"),
    tx("c", "pending"),
    tx("d", "pending"),
  ]);
  await publisher.publish([
    tx("b", "confirmed"),
    tx("c", "dropped"),
    tx("a", "pending"),
  ]);
  assert.deepEqual(await receivedIn(service, "transactions"), {
    names: ["d", "a"],
    isWhole: true,
    seq: 7,
  });
  // Another instance, which has published none of them.
  const bugs: unknown[] = [];
  await using second = serviceOn(service.kv, bugs, {});
  const { snapshots } = second.session;
  const channel = { name: "transactions", kind: "transactions" } as const;
  const { frames } = await snapshots.read(channel, FREE_READER);
  assert.equal(frames.length, 2);
  assert.deepEqual(bugs, []);
});

Deno.test("a snapshot of the pool ends at its bound with the newest, and reports it", async () => {
  await using service = await openTestService();
  for (let i = 0; i <= MAX_SNAPSHOT_EVENTS; i += 100) {
    await service.publisher.publish(
      Array.from(
        { length: Math.min(100, MAX_SNAPSHOT_EVENTS + 1 - i) },
        (_, j) => tx(`t${i + j}`, "pending"),
      ),
    );
  }
  const { names, isWhole } = await receivedIn(service, "transactions");
  assert.equal(names.length, MAX_SNAPSHOT_EVENTS);
  assert.equal(names.at(-1), `t${MAX_SNAPSHOT_EVENTS}`);
  assert.equal(isWhole, false);
});

Deno.test("a snapshot of the DAG is its tips, with where they were added", async () => {
  await using service = await openTestService();
  await service.publisher.publish([
    dag("NODE_ADDED", "a", []),
    dag("NODE_ADDED", "b", ["a"]),
    dag("NODE_ADDED", "c", ["a"]),
    dag("NODE_ADDED", "d", ["c"]),
    dag("NODE_REMOVED", "d", []),
    dag("NODE_ADDED", "e", ["a", "b"]),
  ]);
  assert.deepEqual(await receivedIn(service, "dag"), {
    names: ["c", "e"],
    isWhole: true,
    seq: 6,
  });
});

Deno.test("[N1] whatever is published meanwhile, a snapshot and what follows it end at the pool", async () => {
  await using service = await openTestService();
  const { publisher, hub } = service;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(
          fc.constantFrom("a", "b", "c"),
          fc.constantFrom("pending", "confirmed", "dropped" as const),
        ),
        { minLength: 1, maxLength: 12 },
      ),
      async (steps) => {
        const publishing = (async () => {
          for (const [txId, status] of steps) {
            await publisher.publish([tx(txId, status)]);
          }
        })();
        const { requests, snapshots } = await read(service, "transactions");
        await publishing;
        const [head] = await hub.heads(["transactions"]);
        const { entries } = await hub.read("transactions", {
          after: (requests[0]!.after as { seq: number }).seq,
          upTo: head!.seq,
          limit: 1_000,
          maxBytes: 1e9,
        });
        const fold = new Map<string, { seq: number; status: string }>();
        const all = [
          ...snapshots.get("transactions")!.frames,
          ...entries.map(({ json }) => json),
        ];
        for (const frame of all) {
          const { seq, payload: { txId, status } } = JSON.parse(frame);
          if (seq >= (fold.get(txId)?.seq ?? 0)) {
            fold.set(txId, { seq, status });
          }
        }
        const pending = [...fold].filter(([, it]) => it.status === "pending")
          .map(([txId]) => txId).sort();
        const { names } = await receivedIn(service, "transactions");
        assert.deepEqual(pending, names.sort());
      },
    ),
    { numRuns: 40 },
  );
  assert.deepEqual(service.bugs, []);
});
