import assert from "node:assert/strict";
import * as limits from "../../client/limits.ts";
import { joined, live, setup, tick } from "./mocked_client.ts";

Deno.test("a handler that throws is reported once and affects no other", async () => {
  const errors: unknown[] = [];
  using parts = await setup({ onError: (error) => errors.push(error) });
  const { client, heights, peer } = parts;
  const broken = new Error("mine");
  client.on("NEW_BLOCK", () => {
    throw broken;
  });
  client.on("NEW_BLOCK", ({ payload }) => heights.push(-payload.height));
  peer().welcome();
  client.joinChannel("blocks");
  peer().subscribed(joined("e1", 0));
  peer().event(1);
  peer().event(2);
  assert.deepEqual(heights, [1, -1, 2, -2]);
  assert.deepEqual(errors, [broken]);
});

Deno.test("what is no frame is noted, and nothing else happens", async () => {
  using parts = await live();
  for (
    const data of [
      "no json",
      "null",
      "7",
      "[]",
      "{}",
      '{"type":"NEW_BLOCK"}',
      '{"type":"NEW_BLOCK","channel":"blocks","payload":null}',
      '{"type":"BATCH_UPDATE","payload":{"updates":7}}',
      '{"type":"BATCH_UPDATE","payload":{"updates":[null]}}',
      new Uint8Array(3),
    ]
  ) {
    parts.peer().onmessage?.({ data });
    assert.equal(parts.client.state.lastError?.code, "MALFORMED_FRAME");
  }
  parts.peer().event(11);
  assert.deepEqual(parts.heights, [11]);
});

Deno.test("the state is one object until something changes; traffic notifies once a second", async () => {
  using parts = await live();
  const { client, peer } = parts;
  let count = 0;
  client.onState(() => count++);
  assert.equal(client.state, client.state);
  const before = client.state;
  for (let seq = 11; seq < 111; seq++) peer().event(seq);
  assert.notEqual(client.state, before);
  assert.equal(client.state.channels["blocks"]?.seq, 110);
  assert.equal(count, 0);
  await tick(limits.TRAFFIC_MS);
  assert.equal(count, 1);
});

Deno.test("taps see every frame, but no token", async () => {
  using parts = await setup({
    auth: { token: "secret", headers: { Authorization: "secret" } },
  });
  const seen: unknown[] = [];
  const undo = parts.client.onFrame((frame) => seen.push(frame));
  parts.peer().welcome();
  assert.deepEqual(
    seen.map((frame) => (frame as { direction: string }).direction),
    ["out", "in"],
  );
  assert.ok(!JSON.stringify(seen).includes("secret"));
  undo();
  parts.client.joinChannel("blocks");
  assert.equal(seen.length, 2);
});
