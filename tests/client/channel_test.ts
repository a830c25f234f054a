import assert from "node:assert/strict";
import * as limits from "../../client/limits.ts";
import type { Peer } from "./mocked_client.ts";
import { block, joined, live, outcome, settled } from "./mocked_client.ts";
import { setup, tick } from "./mocked_client.ts";

const ROOM = { channel: "room:a", epoch: "r", seq: 0, recovered: true };

Deno.test("a channel's handlers receive its events and no others", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  const a = client.channel("room:a");
  const b = client.channel("room:b");
  peer().welcome();
  peer().subscribed(ROOM, { ...ROOM, channel: "room:b" });
  const received: string[] = [];
  a.on("ROOM_MESSAGE", ({ payload }) => received.push(`a ${payload.event}`));
  b.on("ROOM_MESSAGE", ({ payload }) => received.push(`b ${payload.event}`));
  const undo = b.onAny(({ channel, seq }) =>
    received.push(`${channel} ${seq}`)
  );
  client.onAny(({ seq, type }) => received.push(`${type} ${seq}`));
  const say = (channel: string, seq: number) =>
    peer().event(seq, {
      type: "ROOM_MESSAGE",
      channel,
      epoch: "r",
      payload: { event: `e${seq}` },
    });
  say("room:a", 1);
  say("room:b", 1);
  undo();
  say("room:b", 2);
  assert.deepEqual(received, [
    "ROOM_MESSAGE 1",
    "a e1",
    "ROOM_MESSAGE 1",
    "b e1",
    "room:b 1",
    "ROOM_MESSAGE 2",
    "b e2",
  ]);
  assert.deepEqual(b.position, { epoch: "r", seq: 2 });
  assert.equal(a.state?.status, "joined");
  assert.equal(a.state?.seq, 1);
});

Deno.test("a channel is left when nothing holds it any more", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const first = client.channel("blocks");
  const second = client.channel("blocks");
  first.close();
  first.close();
  second.close();
  assert.equal(peer().of("unsubscribe").length, 0, "joinChannel holds it");
  client.leaveChannel("blocks");
  const third = client.channel("dag");
  const fourth = client.channel("dag");
  third.close();
  assert.equal(third.state, undefined);
  assert.equal(fourth.state?.status, "joining");
  fourth.close();
  assert.deepEqual(
    peer().of("unsubscribe").map(({ payload }) => payload.channels),
    [["blocks"], ["dag"]],
  );
  assert.deepEqual(client.state.channels, {});
});

Deno.test("two names of one channel are one channel with both's handlers", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  const received: string[] = [];
  const alias = client.channel("validator_updates");
  alias.on("VALIDATOR_EVENT", () => received.push("alias"));
  const name = client.channel("validators");
  name.on("VALIDATOR_EVENT", () => received.push("name"));
  peer().welcome();
  const answer = { epoch: "v", seq: 4, recovered: true, channel: "validators" };
  peer().subscribed(
    { ...answer, requested: "validator_updates" },
    answer,
  );
  peer().event(5, {
    type: "VALIDATOR_EVENT",
    channel: "validators",
    epoch: "v",
  });
  assert.deepEqual(received.toSorted(), ["alias", "name"]);
  assert.equal(alias.name, "validators");
  name.close();
  assert.equal(alias.state?.seq, 5);
});

Deno.test("a room has typed events, its own handlers and a way to send", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  const room = client.room<{ chat: { text: string }; left: null }>("a");
  const received: string[] = [];
  room.on("chat", ({ text }, { seq }) => received.push(`${text} ${seq}`));
  room.on("left", () => received.push("left"));
  peer().welcome();
  peer().subscribed(ROOM);
  const say = (seq: number, payload: object) =>
    peer().event(seq, { ...ROOM, type: "ROOM_MESSAGE", seq, payload });
  say(1, { event: "chat", data: { text: "hi" } });
  say(2, { event: "typing" });
  say(3, { event: "left", data: null });
  assert.deepEqual(received, ["hi 1", "left"]);
  assert.equal(room.state?.seq, 3);
  const sent = room.send("chat", { text: "yo" });
  const { id, channel, payload } = peer().of("ROOM_MESSAGE")[0]!;
  assert.equal(channel, "room:a");
  assert.deepEqual(payload, { event: "chat", data: { text: "yo" } });
  peer().reply("published", { accepted: [] }, id);
  assert.deepEqual(await sent, { accepted: [] });
});

Deno.test("a channel's gaps are reported to its handles and to the client", async () => {
  using parts = await live();
  const { client, peer, gaps } = parts;
  const lost: number[] = [];
  client.channel("blocks").onGap(({ to }) => lost.push(to));
  client.channel("dag").onGap(({ to }) => lost.push(-to));
  peer().reply("gap", {
    channel: "blocks",
    from: 11,
    to: 13,
    epoch: "e1",
    reason: "retention",
  });
  assert.deepEqual(lost, [13]);
  assert.equal(gaps.length, 1);
});

/** Answers the newest `query` with events up to `to`. */
function answer(peer: Peer, from: number, to: number): void {
  const { id } = peer.of("query").at(-1)!;
  const events = Array.from(
    { length: to - from + 1 },
    (_, i) => block(from + i),
  );
  peer.reply("query_result", {
    channel: "blocks",
    epoch: "e1",
    seq: to,
    events,
    more: false,
  }, id);
}

Deno.test("history that a later part asks for is given to it, before what is new, and to no other", async () => {
  using parts = await live();
  const { client, peer, heights } = parts;
  peer().event(11);
  const panel = client.channel("blocks", { last: 3 });
  const seen: [number, boolean][] = [];
  panel.on("NEW_BLOCK", ({ seq, replay }) => seen.push([seq, !!replay]));
  await settled();
  assert.deepEqual(peer().of("query")[0]!.payload, {
    channel: "blocks",
    before: { epoch: "e1", seq: 12 },
    limit: 3,
  });
  peer().event(12);
  assert.deepEqual(seen, []);
  answer(peer(), 9, 11);
  await settled();
  peer().event(13);
  assert.deepEqual(seen, [
    [9, true],
    [10, true],
    [11, true],
    [12, false],
    [13, false],
  ]);
  assert.deepEqual(heights, [11, 12, 13]);
});

Deno.test("joinChannel with last, later, gives history to handlers that are new", async () => {
  using parts = await live();
  const { client, peer, heights } = parts;
  peer().event(11);
  client.joinChannel("blocks", { last: 2 });
  const seen: number[] = [];
  client.subscribe("NEW_BLOCK", ({ seq }) => seen.push(seq));
  await settled();
  answer(peer(), 10, 11);
  await settled();
  client.joinChannel("blocks", { last: 2 });
  await settled();
  answer(peer(), 10, 11);
  await settled();
  peer().event(12);
  assert.deepEqual(seen, [10, 11, 12]);
  assert.deepEqual(heights, [11, 12]);
});

Deno.test("history later than a position comes in pages", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  peer().welcome();
  client.joinChannel("blocks");
  peer().subscribed(joined("e1", 1_500));
  const seen: number[] = [];
  client.channel("blocks", { after: { epoch: "e1", seq: 300 } })
    .on("NEW_BLOCK", ({ seq }) => seen.push(seq));
  await settled();
  answer(peer(), 501, 1_500);
  await settled();
  answer(peer(), 301, 500);
  await settled();
  assert.equal(peer().of("query").length, 2);
  assert.equal(seen.length, 1_200);
  assert.equal(seen[0], 301);
  assert.ok(seen.every((seq, i) => seq === 301 + i));
});

Deno.test("history that is refused holds nothing back", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const seen: number[] = [];
  client.channel("blocks", { last: 2 })
    .on("NEW_BLOCK", ({ seq }) => seen.push(seq));
  await settled();
  peer().event(11);
  const { id } = peer().of("query")[0]!;
  peer().reply("error", { code: "RATE_LIMITED", message: "" }, id);
  await settled();
  assert.deepEqual(seen, [11]);
  assert.equal(client.state.lastError?.code, "RATE_LIMITED");
});

Deno.test("two that join at once get the history that one asks for", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  peer().welcome();
  client.joinChannel("blocks");
  client.joinChannel("blocks", { last: 5 });
  assert.deepEqual(
    peer().of("subscribe").at(-1)!.payload.channels,
    [{ channel: "blocks", last: 5 }],
  );
});

Deno.test("iterating yields every event in order, and ends with the channel", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const blocks = client.channel("blocks");
  const seqs: number[] = [];
  const all = (async () => {
    for await (const { seq } of blocks) seqs.push(seq);
  })();
  peer().event(11);
  peer().event(12);
  await settled();
  peer().event(13);
  await settled();
  assert.deepEqual(seqs, [11, 12, 13]);
  blocks.close();
  await all;
  assert.deepEqual(await Array.fromAsync(blocks), []);
});

Deno.test("iterating ends when its signal aborts, or its loop ends", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const blocks = client.channel("blocks");
  const controller = new AbortController();
  const aborted = Array.fromAsync(blocks.events({ signal: controller.signal }));
  peer().event(11);
  await settled();
  controller.abort();
  assert.equal((await aborted).length, 1);
  const iterator = blocks.events();
  const next = iterator.next();
  peer().event(12);
  assert.equal((await next).value?.seq, 12);
  await iterator.return();
  assert.equal((await iterator.next()).done, true);
});

Deno.test("who iterates too slowly gets an error, not a hole", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const iterator = client.channel("blocks").events();
  const first = iterator.next();
  const most = limits.MAX_WAITING_EVENTS;
  for (let seq = 11; seq <= most + 11; seq++) peer().event(seq);
  assert.equal((await first).value?.seq, 11);
  for (let i = 1; i < most; i++) await iterator.next();
  await assert.rejects(iterator.next(), { code: "QUEUE_FULL" });
});

Deno.test("history() asks for a page", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const page = client.channel("blocks").history({ limit: 2 });
  await settled();
  assert.deepEqual(peer().of("query")[0]!.payload, {
    channel: "blocks",
    limit: 2,
  });
  answer(peer(), 1, 2);
  assert.equal((await page).events.length, 2);
  assert.deepEqual(parts.heights, []);
});

// Requests

Deno.test("a request may be withdrawn, and has its own deadline", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const controller = new AbortController();
  const { signal } = controller;
  const sent = client.request("request_metrics", {}, { signal });
  controller.abort(new Error("no longer wanted"));
  await assert.rejects(sent, /no longer wanted/);
  assert.equal(client.state.pending, 0);
  const soon = outcome(client.request("request_metrics", {}, { timeout: 50 }));
  await tick(50);
  assert.equal(await soon, "TIMEOUT");
  peer().drop();
  const offline = outcome(
    client.request("request_metrics", {}, { timeout: 50 }),
  );
  await tick(50);
  assert.equal(await offline, "TIMEOUT");
  assert.equal(client.state.pending, 0);
});

Deno.test("volatile messages are sent now or never", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const send = () =>
    outcome(client.sendMessage(
      { type: "TEST", payload: {} },
      { volatile: true },
    ));
  void send();
  assert.equal(peer().of("TEST").length, 1);
  Object.assign(peer(), { bufferedAmount: 1 });
  assert.equal(await send(), "DROPPED");
  Object.assign(peer(), { bufferedAmount: 0 });
  const lost = send();
  peer().drop();
  assert.equal(await lost, "CONNECTION_LOST");
  assert.equal(await send(), "DROPPED");
  assert.notEqual(client.state.lastError?.code, "DROPPED");
  await tick(500);
  peer().welcome();
  assert.equal(peer().of("TEST").length, 0);
});

Deno.test("ready() waits for the connection, or reports why there is none", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  const ready = client.ready();
  peer().welcome();
  assert.equal((await ready).status, "connected");
  assert.equal((await client.ready()).status, "connected");
  peer().drop(4503, "IP_BLOCKED");
  await assert.rejects(client.ready(), { code: "IP_BLOCKED" });
  client.connect();
  client.disconnect();
  await assert.rejects(client.ready(), { code: "CLOSED" });
});

Deno.test("setToken() renews on the same connection, signs in and out on another", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const first = peer();
  client.setToken("t1");
  await settled();
  assert.equal(first.isClosed, true, "the anonymous need another connection");
  peer().welcome();
  await settled();
  assert.equal(peer().of("connect")[0]!.payload.auth.token, "t1");
  assert.equal(peer().of("subscribe")[0]!.payload.channels[0].after.seq, 10);
  client.setToken("t2");
  await settled();
  assert.deepEqual(peer().of("refresh")[0]!.payload, { token: "t2" });
  const waits = outcome(client.request("request_metrics"));
  client.setToken("");
  assert.equal(await waits, "CLOSED");
  await settled();
  peer().welcome();
  assert.equal(peer().of("connect")[0]!.payload.auth, undefined);
});
