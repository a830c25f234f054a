import assert from "node:assert/strict";
import type { TrackedState, TrackOptions } from "../../client/track.ts";
import type { Client } from "../../client/client.ts";
import { until } from "../until.ts";
import { block, finality, openBench, tx } from "./iterating.ts";

/** Tracks `x`, and collects what is yielded. */
function tracking(client: Client, options?: TrackOptions) {
  const states: TrackedState[] = [];
  const ended = (async () => {
    for await (const state of client.track("x", options)) states.push(state);
  })();
  ended.catch(() => {});
  const reaches = (state: string) =>
    until(() => states.at(-1)?.state === state, state);
  return { states, ended, reaches };
}

const AT = { blockId: "a2", blockHeight: 2 };
const HELD = { txId: "x", ok: true, blockId: "a2", height: 2 };

Deno.test("a transaction is followed there, back and to its goal, also while the connection is cut", async () => {
  await using bench = await openBench();
  const { publish, cut } = bench;
  const client = await bench.client();
  const { states, ended, reaches } = tracking(client);
  await reaches("unknown");
  await publish(block("a1", 1, "a0"), tx("pending"));
  await reaches("seen");
  cut();
  await until(() => !client.state.isConnected, "the cut");
  await publish(
    block("a2", 2, "a1", { transactionIds: ["x"] }),
    tx("confirmed", AT),
  );
  await reaches("included");
  await publish(block("b2", 2, "a1"));
  await reaches("reverted");
  await publish(
    block("a2", 2, "a1"),
    tx("confirmed", AT),
    finality("final", "a2", 2),
  );
  await ended;
  assert.deepEqual(states, [
    { txId: "x", state: "unknown" },
    { txId: "x", state: "seen" },
    { ...HELD, state: "included" },
    { txId: "x", state: "reverted" },
    { ...HELD, state: "final", end: true },
  ]);
});

Deno.test("several parts of a page track the same transaction, each to its own goal", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  const first = tracking(client, { until: "included" });
  const second = tracking(client);
  const third = tracking(client, { until: "included" });
  for (const each of [first, second, third]) await each.reaches("unknown");
  await bench.publish(block("a1", 1, "a0"), block("a2", 2, "a1"));
  await bench.publish(tx("confirmed", AT));
  await Promise.all([first.ended, third.ended]);
  assert.equal(first.states.at(-1)!.end, true);
  await second.reaches("included");
  await bench.publish(finality("final", "a2", 2));
  await second.ended;
  // One that begins late learns what is.
  const late = tracking(client, { until: "confirmed" });
  await late.ended;
  assert.deepEqual(late.states, [{ ...HELD, state: "final", end: true }]);
});

Deno.test("a signal ends a track without an error, the end of the connection with one", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  const abort = new AbortController();
  const one = tracking(client, { signal: abort.signal });
  const other = tracking(client);
  await other.reaches("unknown");
  abort.abort();
  await one.ended;
  client.disconnect();
  await assert.rejects(other.ended, { code: "CLOSED" });
  await assert.rejects(tracking(client).ended, { code: "CLOSED" });
});

Deno.test("a refusal ends a track", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  const states = client.track("x".repeat(300));
  await assert.rejects(states.next(), { code: "INVALID_PAYLOAD" });
});
