import assert from "node:assert/strict";
import { TAIL_BLOCKS } from "../../chain/spine.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import type { TrackedState } from "../../protocol/states.ts";
import { TRACK_MS } from "../../realtime/tracks.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { openTestService } from "../test_service.ts";
import { until } from "../until.ts";
import { txReceived } from "../transactions.ts";

const timestamp = "2026-01-01T00:00:00.000Z";

function block(name: string, height: number, on: string): AnyMessage {
  return {
    type: "NEW_BLOCK",
    payload: {
      blockId: name,
      height,
      previousHash: on,
      timestamp,
      transactionIds: ["x"],
    },
  };
}

function tx(
  status: "pending" | "confirmed" | "failed" | "dropped" | "replaced",
  rest: Record<string, unknown> = {},
): AnyMessage {
  return txReceived({ txId: "x", status, timestamp, ...rest });
}

async function bench(
  goal: "included" | "confirmed" | "final",
  test: (parts: {
    clock: ManualClock;
    publish: (...messages: AnyMessage[]) => Promise<void>;
    states: TrackedState[];
    /** Resolves once there are that many states. */
    reach: (count: number) => Promise<void>;
    undo: Disposable;
    size: () => number;
  }) => Promise<void>,
): Promise<void> {
  const clock = new ManualClock();
  const service = await openTestService({ clock });
  const { tracks } = service.session;
  const states: TrackedState[] = [];
  const track = await tracks.track({
    txId: "x",
    until: goal,
    address: "a",
    moved: (state) => states.push(state),
  });
  assert.deepEqual(track.state, { txId: "x", state: "unknown" });
  const publish = async (...messages: AnyMessage[]) => {
    await service.publisher.publish(messages);
    await pass(clock, 100);
  };
  // The log is read in turns that the clock does not own.
  const reach = (count: number) =>
    until(() => states.length >= count, `${count} states`, clock);
  const size = () => service.hub.subscribers("transactions");
  try {
    await test({ clock, publish, states, reach, undo: track, size });
  } finally {
    track[Symbol.dispose]();
    clock.advance(60_000);
    await service[Symbol.asyncDispose]();
  }
  assert.deepEqual(service.bugs, []);
}

Deno.test("a track reports every change, forward and back, and ends at the requested state", async () => {
  await bench("final", async ({ publish, states, reach, size }) => {
    const at = { blockId: "a2", blockHeight: 2 };
    await publish(block("a1", 1, "a0"));
    await publish(tx("pending"));
    await reach(1);
    await publish(block("a2", 2, "a1"), tx("confirmed", at));
    await reach(2);
    await publish(block("b2", 2, "a1"));
    await reach(3);
    await publish(tx("dropped"));
    await reach(4);
    await publish(tx("pending"));
    await reach(5);
    await publish(tx("replaced", { replacedBy: "y" }));
    await reach(6);
    await publish(block("a2", 2, "a1"), tx("failed", at));
    await reach(7);
    await publish(block("a3", 3, "a2"));
    await reach(8);
    assert.equal(size(), 1);
    await publish({
      type: "FINALITY",
      payload: { level: "final", blockId: "a2", height: 2, timestamp },
    });
    await reach(9);
    const held = { txId: "x", ok: false, blockId: "a2", height: 2 };
    assert.deepEqual(states, [
      { txId: "x", state: "seen" },
      { ...held, state: "included", ok: true },
      { txId: "x", state: "reverted" },
      { txId: "x", state: "dropped" },
      { txId: "x", state: "seen" },
      { txId: "x", state: "replaced", replacedBy: "y" },
      { ...held, state: "included" },
      { ...held, state: "confirmed" },
      { ...held, state: "final", end: true },
    ]);
    // Nothing is followed without a client.
    assert.equal(size(), 0);
  });
});

Deno.test("a track of what a reset voided stays reverted when the chain's memory has forgotten it", async () => {
  await bench("final", async ({ publish, states, reach }) => {
    /** Blocks of a branch, and no transaction in them. */
    const branch = async (name: string, from: number, parent: string) => {
      const blocks = Array.from({ length: TAIL_BLOCKS + 5 }, (_, i) => {
        const previousHash = i === 0 ? parent : `${name}${from + i - 1}`;
        const height = from + i;
        const blockId = `${name}${height}`;
        const payload = { blockId, height, previousHash, timestamp };
        return { type: "NEW_BLOCK", payload } as const;
      });
      for (let i = 0; i < blocks.length; i += 100) {
        await publish(...blocks.slice(i, i + 100));
      }
    };
    await branch("a", 1, "a0");
    await publish(tx("confirmed", { blockId: "a3", blockHeight: 3 }));
    await reach(1);
    const keeps = { blockId: "a2", height: 2 };
    for (const channel of ["blocks", "transactions"]) {
      const payload = { keeps, timestamp };
      await publish({ type: "CHAIN_RESET", channel, payload });
    }
    await reach(2);
    await branch("b", 3, "a2");
    await publish({
      type: "FINALITY",
      payload: { level: "final", blockId: "b9", height: 9, timestamp },
    });
    await publish(tx("dropped"));
    await reach(3);
    assert.deepEqual(states.map(({ state }) => state), [
      "confirmed",
      "reverted",
      "dropped",
    ]);
  });
});

Deno.test("a track ends after its time", async () => {
  await bench("included", async ({ clock, publish, states, reach }) => {
    await publish(tx("pending"));
    await reach(1);
    clock.advance(TRACK_MS);
    assert.deepEqual(states, [
      { txId: "x", state: "seen" },
      { txId: "x", state: "seen", end: true },
    ]);
  });
});

Deno.test("a stopped track reports nothing more", async () => {
  await bench("included", async ({ publish, states, undo, size }) => {
    undo[Symbol.dispose]();
    assert.equal(size(), 0);
    await publish(tx("pending"));
    assert.deepEqual(states, []);
  });
});
