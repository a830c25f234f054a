import assert from "node:assert/strict";
import { block, live, setup, tick } from "./mocked_client.ts";

Deno.test("joining takes a start, an alias and no second asking", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  client.joinChannel("validator_updates", { last: 5 });
  client.joinChannel("blocks", { after: { epoch: "e1", seq: 3 } });
  client.joinChannel("blocks");
  peer().welcome();
  assert.deepEqual(peer().of("subscribe").map(({ payload }) => payload), [{
    channels: [
      { channel: "validator_updates", last: 5 },
      { channel: "blocks", after: { epoch: "e1", seq: 3 } },
    ],
  }]);
  peer().subscribed({
    channel: "validators",
    requested: "validator_updates",
    epoch: "v",
    seq: 1,
    recovered: true,
  });
  client.joinChannel("validator_updates");
  assert.equal(peer().of("subscribe").length, 1);
  assert.deepEqual(Object.keys(client.state.channels).sort(), [
    "blocks",
    "validators",
  ]);
  client.leaveChannel("validator_updates");
  assert.deepEqual(peer().of("unsubscribe")[0]!.payload, {
    channels: ["validators"],
  });
});

Deno.test("a left channel delivers nothing more, even in the same batch", async () => {
  using parts = await live();
  const { client, heights, peer } = parts;
  client.on("NEW_BLOCK", () => client.leaveChannel("blocks"));
  peer().reply("BATCH_UPDATE", { updates: [block(11), block(12)] });
  assert.deepEqual(heights, [11]);
  assert.deepEqual(client.state.channels, {});
});

Deno.test("a refused channel shows why; a temporary refusal is tried again", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  peer().welcome();
  client.joinChannel("nowhere" as string);
  const { id } = peer().of("subscribe")[0]!;
  peer().reply("subscribed", {
    channels: [],
    rejected: [{ channel: "nowhere", code: "UNKNOWN_CHANNEL" }],
  }, id);
  assert.equal(client.state.channels["nowhere"]?.status, "rejected");
  assert.equal(client.state.channels["nowhere"]?.code, "UNKNOWN_CHANNEL");
  client.joinChannel("blocks");
  const again = peer().of("subscribe")[1]!.id;
  peer().reply("error", {
    code: "STORE_UNAVAILABLE",
    message: "",
    retryAfterMs: 2_000,
  }, again);
  await tick(1_999);
  assert.equal(peer().of("subscribe").length, 2);
  await tick(5_001);
  assert.equal(peer().of("subscribe").length, 3);
});

Deno.test("one bad name does not keep the other channels out", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  client.joinChannel("" as string);
  client.joinChannel("blocks");
  peer().welcome();
  const { id } = peer().of("subscribe")[0]!;
  peer().reply("error", { code: "INVALID_SUBSCRIPTION", message: "" }, id);
  assert.deepEqual(
    peer().of("subscribe").slice(1).map(({ payload }) => payload.channels),
    [[""], ["blocks"]],
  );
});

Deno.test("a channel taken away by fewer rights is shown as refused", async () => {
  using parts = await live();
  parts.peer().reply("unsubscribed", { channels: ["blocks"] });
  assert.equal(parts.client.state.channels["blocks"]?.status, "rejected");
});

Deno.test("channels are asked for in frames that the server takes", async () => {
  using parts = await setup();
  const names = Array.from(
    { length: 300 },
    (_, n) => `room:${n}-${"é".repeat(100)}`,
  );
  for (const name of names) {
    parts.client.joinChannel(name, {
      after: { epoch: "e".repeat(64), seq: 9 },
    });
  }
  parts.peer().welcome();
  const frames = parts.peer().of("subscribe");
  assert.ok(frames.length > 1);
  for (const frame of frames) {
    assert.ok(new TextEncoder().encode(JSON.stringify(frame)).length < 65_536);
  }
  assert.deepEqual(
    frames.flatMap(({ payload }) =>
      payload.channels.map(({ channel }: { channel: string }) => channel)
    ),
    names,
  );
});
