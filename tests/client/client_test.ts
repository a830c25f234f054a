import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { bundle } from "../../client/build.ts";
import { connect, RequestError } from "../../client/client.ts";
import type { Client } from "../../client/client.ts";
import * as limits from "../../client/limits.ts";
import {
  ahead,
  block,
  HEARTBEAT_MS,
  joined,
  live,
  NOON,
} from "./mocked_client.ts";
import { outcome, Peer, peers, settled, setup, tick } from "./mocked_client.ts";
import type { Sent } from "./mocked_client.ts";

const MAX_BUNDLE_BYTES = 5_120;

// Connecting

Deno.test("the client sends connect and is connected once welcomed", async () => {
  using parts = await setup({
    auth: { token: "secret", headers: { "X-Version": "1" } },
    client: "test/1",
  });
  const { client, peer } = parts;
  assert.equal(client.state.status, "connecting");
  peer().welcome();
  assert.deepEqual(peer().of("connect")[0]!.payload, {
    auth: { token: "secret", headers: { "X-Version": "1" } },
    client: "test/1",
    batch: true,
  });
  assert.equal(client.state.status, "connected");
  assert.equal(client.state.isConnected, true);
  assert.equal(client.state.sessionId, "session-1");
  assert.equal(client.state.identity?.role, "anonymous");
});

Deno.test("a greeting before connect was answered is not taken for the answer", async () => {
  using parts = await setup();
  parts.peer().onopen?.();
  parts.peer().reply("connected", { sessionId: "greeting" });
  assert.equal(parts.client.state.isConnected, false);
  parts.peer().welcome();
  assert.equal(parts.client.state.isConnected, true);
});

Deno.test("http addresses become ws, and what is none is refused at once", async () => {
  using parts = await setup();
  assert.equal(parts.peer().url, "ws://server/ws");
  const Fake = Peer as unknown as new (url: string) => WebSocket;
  const other = connect("https://a.example/ws", { WebSocket: Fake });
  await settled();
  assert.equal(parts.peer().url, "wss://a.example/ws");
  other.disconnect();
  assert.throws(() => connect("/ws"), TypeError);
});

Deno.test("a server that never answers is left after 10 s", async () => {
  using parts = await setup();
  await tick(limits.CONNECT_TIMEOUT_MS - 1);
  assert.equal(parts.client.state.status, "connecting");
  await tick(1);
  assert.equal(parts.client.state.status, "reconnecting");
  assert.equal(parts.client.state.connectionError?.code, "TIMEOUT");
  assert.equal(parts.peer().isClosed, true);
});

// Reconnecting

Deno.test("a lost connection comes back, below the doubling ceiling", async () => {
  using parts = await live();
  parts.peer().drop();
  assert.equal(parts.client.state.status, "reconnecting");
  assert.equal(parts.client.state.connectionError?.code, "CONNECTION_LOST");
  await tick(500);
  assert.equal(peers.length, 2);
  assert.equal(parts.client.state.reconnectAttempts, 1);
  parts.peer().welcome();
  assert.equal(parts.client.state.reconnectAttempts, 0);
  assert.equal(parts.client.state.connectionError, null);
  assert.equal(parts.client.state.reconnects, 1);
});

Deno.test("after maxReconnectAttempts tries in a row it gives up", async () => {
  using parts = await setup({ maxReconnectAttempts: 2 });
  for (let i = 0; i < 3; i++) {
    parts.peer().drop();
    await tick(5_000);
  }
  assert.equal(peers.length, 3);
  assert.equal(parts.client.state.status, "closed");
  parts.client.connect();
  await settled();
  assert.equal(peers.length, 4);
});

Deno.test("autoReconnect: false never reconnects", async () => {
  using parts = await live({ autoReconnect: false });
  parts.peer().drop();
  await tick(60_000);
  assert.equal(peers.length, 1);
  assert.equal(parts.client.state.status, "closed");
});

Deno.test("close codes from 4500 on are final, below they are not", async () => {
  using parts = await live();
  parts.peer().drop(4499, "RATE_LIMITED");
  assert.equal(parts.client.state.status, "reconnecting");
  assert.equal(parts.client.state.connectionError?.code, "RATE_LIMITED");
  await tick(500);
  parts.peer().welcome();
  parts.peer().drop(4500, "IP_BLOCKED");
  assert.equal(parts.client.state.status, "closed");
  assert.equal(parts.client.state.connectionError?.code, "IP_BLOCKED");
});

Deno.test("a draining server is left alone for as long as it asks", async () => {
  using parts = await live();
  parts.peer().reply("draining", { retryInMs: 3_000 });
  parts.peer().drop(1012, "DRAINING");
  await tick(2_999);
  assert.equal(peers.length, 1);
  await tick(1);
  assert.equal(peers.length, 2);
});

Deno.test("a refusal of connect that will not change is final", async () => {
  using parts = await setup({ auth: { token: "bad" } });
  parts.peer().onopen?.();
  const { id } = parts.peer().of("connect")[0]!;
  parts.peer().reply("error", {
    code: "UNAUTHENTICATED",
    message: "Token is invalid",
  }, id);
  assert.equal(parts.client.state.status, "closed");
  assert.equal(parts.client.state.connectionError?.message, "Token is invalid");
});

Deno.test("an expired token is renewed by its function, a fixed one is final", async () => {
  let count = 0;
  {
    using parts = await setup({ auth: { token: () => `t${++count}` } });
    parts.peer().welcome();
    parts.peer().reply("token_expiring", { inMs: 60_000 });
    await tick(60_000 * limits.REFRESH_AT - 1);
    assert.equal(parts.peer().of("refresh").length, 0);
    await tick(1);
    assert.deepEqual(parts.peer().of("refresh")[0]!.payload, { token: "t2" });
    parts.peer().drop(4401, "TOKEN_EXPIRED");
    await tick(500);
    parts.peer().welcome();
    assert.equal(parts.peer().of("connect")[0]!.payload.auth.token, "t3");
  }
  using parts = await setup({ auth: { token: "fixed" } });
  parts.peer().welcome();
  parts.peer().drop(4401, "TOKEN_EXPIRED");
  assert.equal(parts.client.state.status, "closed");
});

Deno.test("a refresh that cannot be checked now is tried again", async () => {
  let count = 0;
  using parts = await setup({ auth: { token: () => `t${++count}` } });
  const { peer } = parts;
  peer().welcome();
  peer().reply("token_expiring", { inMs: 60_000 });
  await tick(15_000);
  peer().reply("error", {
    code: "STORE_UNAVAILABLE",
    message: "",
    retryAfterMs: 3_000,
  }, peer().of("refresh")[0]!.id);
  await tick(2_999);
  assert.equal(peer().of("refresh").length, 1);
  await tick(1);
  assert.equal(peer().of("refresh").length, 2);
  peer().reply("refreshed", { expiresAt: "x" }, peer().of("refresh")[1]!.id);
  await tick(11_000);
  assert.equal(peer().of("refresh").length, 2, "done");
});

Deno.test("a connect that cannot be checked now waits as long as asked", async () => {
  using parts = await setup({ auth: { token: "t" } });
  parts.peer().onopen?.();
  parts.peer().reply("error", {
    code: "STORE_UNAVAILABLE",
    message: "",
    retryAfterMs: 4_000,
  }, parts.peer().of("connect")[0]!.id);
  assert.equal(parts.client.state.status, "reconnecting");
  assert.equal(parts.client.state.nextRetryAt, NOON + 4_000);
  await tick(3_999);
  assert.equal(peers.length, 1);
  await tick(1);
  assert.equal(peers.length, 2);
  assert.equal(parts.client.state.nextRetryAt, null);
});

Deno.test("a warning of the new token that comes before the answer counts", async () => {
  let count = 0;
  using parts = await setup({ auth: { token: () => `t${++count}` } });
  const { peer } = parts;
  peer().welcome();
  peer().reply("token_expiring", { inMs: 4_000 });
  await tick(1_000);
  peer().reply("token_expiring", { inMs: 4_000 });
  peer().reply("refreshed", { expiresAt: "x" }, peer().of("refresh")[0]!.id);
  await tick(1_000);
  assert.equal(peer().of("refresh").length, 2);
});

Deno.test("a token function that throws or repeats itself is asked until the end", async () => {
  const answers = ["old", "old", new Error("login is down"), "old", "new"];
  using parts = await setup({
    auth: {
      token: () => {
        const answer = answers.shift() ?? "new";
        if (typeof answer === "string") return answer;
        throw answer;
      },
    },
  });
  const { peer } = parts;
  peer().welcome();
  peer().reply("token_expiring", { inMs: 10_000 });
  for (let i = 0; i < 9; i++) await tick(1_000);
  assert.deepEqual(peer().of("refresh").map(({ payload }) => payload.token), [
    "new",
  ]);
});

Deno.test("a fixed token is never refreshed with itself", async () => {
  using parts = await setup({ auth: { token: "fixed" } });
  parts.peer().welcome();
  for (let i = 0; i < 30; i++) {
    parts.peer().reply("token_expiring", { inMs: 2_000 });
    await tick(1_000);
  }
  assert.equal(parts.peer().of("refresh").length, 0);
});

Deno.test("refresh() gives the server a new token at once, a known one never", async () => {
  let token = "a";
  using parts = await live({ auth: { token: () => token } });
  parts.client.refresh();
  await settled();
  assert.equal(parts.peer().of("refresh").length, 0);
  token = "b";
  parts.client.refresh();
  await settled();
  assert.deepEqual(parts.peer().of("refresh")[0]!.payload, { token: "b" });
  assert.equal(peers.length, 1);
});

Deno.test("a token of another user makes another connection that misses nothing", async () => {
  let token = "alice";
  using parts = await live({ auth: { token: () => token } });
  const { client, heights } = parts;
  parts.peer().event(11);
  const waiting = outcome(client.sendMessage(rate(1)));
  token = "bob";
  client.refresh();
  await settled();
  parts.peer().reply(
    "error",
    { code: "FORBIDDEN", message: "another user" },
    parts.peer().of("refresh")[0]!.id,
  );
  assert.equal(await waiting, "CLOSED", "bob does not send for alice");
  assert.equal(client.state.connectionError?.code, "FORBIDDEN");
  await settled();
  assert.equal(peers.length, 2);
  parts.peer().welcome();
  assert.equal(parts.peer().of("connect")[0]!.payload.auth.token, "bob");
  assert.deepEqual(parts.peer().of("subscribe")[0]!.payload.channels, [
    { channel: "blocks", after: { epoch: "e1", seq: 11 } },
  ]);
  parts.peer().subscribed(joined("e1", 11));
  parts.peer().event(12, { replay: true });
  assert.deepEqual(heights, [11, 12]);
});

for (const none of ["", undefined]) {
  Deno.test(`a token that is ${JSON.stringify(none)} means anonymous, until one comes`, async () => {
    let token: string | undefined = none;
    using parts = await live({ auth: { token: () => token } });
    const { client } = parts;
    assert.equal(parts.peer().of("connect")[0]!.payload.auth, undefined);
    assert.equal(client.state.isConnected, true);
    assert.equal(client.state.lastError?.code, "NO_TOKEN");
    token = "t";
    await tick(HEARTBEAT_MS);
    await settled();
    assert.equal(peers.length, 2);
    parts.peer().welcome();
    assert.equal(parts.peer().of("connect")[0]!.payload.auth.token, "t");
    assert.equal(parts.peer().of("subscribe").length, 1);
  });
}

// Clocks that are set

for (const stepMs of [-60_000, -3_600_000, 3_600_000]) {
  Deno.test(`a wall clock set by ${stepMs / 1_000} s changes no wait`, async () => {
    using parts = await live();
    parts.peer().reply("draining", { retryInMs: 1_000 });
    ahead.wall += stepMs;
    parts.peer().drop(1012, "DRAINING");
    await tick(999);
    assert.equal(peers.length, 1);
    await tick(1);
    assert.equal(peers.length, 2);
    parts.peer().welcome();
    ahead.wall += stepMs;
    await tick(HEARTBEAT_MS);
    assert.equal(parts.peer().of("ping").length, 1);
    parts.peer().reply(
      "pong",
      { serverTime: new Date().toISOString() },
      parts.peer().of("ping")[0]!.id,
    );
    assert.ok(parts.client.state.roundTripMs! >= 0);
    await tick(limits.HEARTBEAT_GRACE_MS);
    assert.equal(parts.client.state.isConnected, true);
  });
}

Deno.test("a message is too old to be sent again by either clock", async () => {
  const pass = [
    (ms: number) => ahead.wall += ms,
    (ms: number) => {
      ahead.monotonic += ms;
      ahead.wall -= ms;
    },
  ];
  for (const wait of pass) {
    using parts = await live();
    const sent = outcome(parts.client.sendMessage(rate(1)));
    wait(limits.MAX_RESEND_MS + 1);
    parts.peer().drop();
    const waiting = settled().then(() => "waiting");
    assert.equal(await Promise.race([sent, waiting]), "CONNECTION_LOST");
  }
});

Deno.test("a token function that throws is asked again later", async () => {
  let isDown = true;
  using parts = await setup({
    auth: {
      token: () => isDown ? Promise.reject(new Error("login is down")) : "t",
    },
  });
  assert.equal(peers.length, 0);
  assert.equal(parts.client.state.connectionError?.code, "CONNECT_FAILED");
  isDown = false;
  await tick(500);
  assert.equal(peers.length, 1);
});

Deno.test("coming online ends the wait at once, and probes a live connection", async () => {
  using parts = await live();
  globalThis.dispatchEvent(new Event("online"));
  assert.equal(parts.peer().of("ping").length, 1);
  parts.peer().drop();
  globalThis.dispatchEvent(new Event("online"));
  await settled();
  assert.equal(peers.length, 2);
  parts.client.disconnect();
  globalThis.dispatchEvent(new Event("online"));
  await tick(60_000);
  assert.equal(peers.length, 2);
});

// Heartbeat

Deno.test("a silent server is found within a heartbeat and its grace", async () => {
  using parts = await live();
  await tick(HEARTBEAT_MS);
  assert.equal(parts.peer().of("ping").length, 1);
  await tick(limits.HEARTBEAT_GRACE_MS - 1);
  assert.equal(parts.client.state.isConnected, true);
  await tick(1);
  assert.equal(parts.client.state.connectionError?.code, "TIMEOUT");
});

Deno.test("any frame after the ping shows that the server lives", async () => {
  using parts = await live();
  await tick(HEARTBEAT_MS);
  parts.peer().event(11);
  await tick(limits.HEARTBEAT_GRACE_MS);
  assert.equal(parts.client.state.isConnected, true);
});

Deno.test("a machine that slept pings again before it judges", async () => {
  using parts = await live();
  await tick(HEARTBEAT_MS);
  const awake = Date.now;
  Date.now = () => awake() + 3_600_000;
  await tick(limits.HEARTBEAT_GRACE_MS);
  assert.equal(parts.client.state.isConnected, true);
  assert.equal(parts.peer().of("ping").length, 2);
  await tick(limits.HEARTBEAT_GRACE_MS);
  assert.equal(parts.client.state.isConnected, false);
});

Deno.test("latency is corrected for a server clock that is off", async () => {
  using parts = await live();
  const AHEAD_MS = 60_000;
  await tick(HEARTBEAT_MS);
  const { id } = parts.peer().of("ping")[0]!;
  await tick(20);
  const serverTime = new Date(Date.now() - 10 + AHEAD_MS).toISOString();
  // The welcome took 0 ms and counts for more; age it away.
  for (let i = 0; i < 20; i++) parts.peer().reply("pong", { serverTime }, id);
  assert.equal(parts.client.state.clockOffsetMs, AHEAD_MS);
  assert.equal(parts.client.state.roundTripMs, 20);
  const timestamp = new Date(Date.now() - 35 + AHEAD_MS).toISOString();
  parts.peer().event(11, { timestamp });
  assert.equal(parts.client.state.messageLatency, 35);
});

// Events

Deno.test("events come in order, a double is dropped, handlers undo themselves", async () => {
  using parts = await live();
  const { client, heights, peer } = parts;
  const undo = client.on("NEW_BLOCK", () => heights.push(-1));
  peer().event(11);
  undo();
  peer().event(11);
  peer().event(10);
  peer().event(12);
  assert.deepEqual(heights, [11, -1, 12]);
  await tick(1_000);
  assert.equal(peer().of("subscribe").length, 1, "a double is no hole");
  assert.equal(client.state.channels["blocks"]?.seq, 12);
  assert.equal(client.state.received, 2);
});

Deno.test("the first event of a channel names its log, and is no hole", async () => {
  using parts = await setup();
  const { client, heights, peer } = parts;
  client.joinChannel("blocks");
  peer().welcome();
  peer().subscribed(joined("0", 0));
  peer().event(1);
  peer().event(2);
  await tick(1_000);
  assert.deepEqual(heights, [1, 2]);
  assert.equal(peer().of("subscribe").length, 1);
  assert.equal(client.state.channels["blocks"]?.epoch, "e1");
});

Deno.test("a batch is its frames, replies among them", async () => {
  using parts = await live();
  const { id } = parts.peer().of("subscribe")[0]!;
  const sent = parts.client.sendMessage({ type: "TEST", payload: { a: 1 } });
  const ref = parts.peer().of("TEST")[0]!.id;
  parts.peer().reply("BATCH_UPDATE", {
    updates: [
      block(11),
      { type: "TEST", ref, payload: { a: 1 } },
      { type: "error", ref: id, payload: { code: "INTERNAL", message: "" } },
      block(12),
    ],
  });
  assert.deepEqual(await sent, { a: 1 });
  assert.deepEqual(parts.heights, [11, 12]);
});

Deno.test("a hole is asked for once, and what follows waits for it", async () => {
  using parts = await live();
  const { heights, peer } = parts;
  peer().event(11);
  peer().event(13);
  peer().event(14);
  await tick(0);
  peer().event(15);
  await tick(1_000);
  assert.equal(peer().of("subscribe").length, 2);
  assert.deepEqual(peer().of("subscribe")[1]!.payload.channels, [
    { channel: "blocks", after: { epoch: "e1", seq: 11 } },
  ]);
  peer().subscribed(joined("e1", 11));
  for (const seq of [12, 13, 14, 15]) peer().event(seq, { replay: true });
  assert.deepEqual(heights, [11, 12, 13, 14, 15]);
  assert.equal(parts.client.state.channels["blocks"]?.caughtUp, 4);
});

Deno.test("what fills the hole before the answer is not delivered twice", async () => {
  using parts = await live();
  const { heights, peer } = parts;
  peer().event(12);
  await tick(0);
  peer().event(11);
  peer().subscribed(joined("e1", 10));
  for (const seq of [11, 12]) peer().event(seq, { replay: true });
  assert.deepEqual(heights, [11, 12]);
});

Deno.test("a hole before a gap is asked for, not counted as lost", async () => {
  using parts = await live();
  const { gaps, peer } = parts;
  const gap = { channel: "blocks", to: 20, epoch: "e1", reason: "retention" };
  peer().reply("gap", { ...gap, from: 15 });
  await tick(0);
  assert.deepEqual(gaps, []);
  assert.deepEqual(peer().of("subscribe")[1]!.payload.channels, [
    { channel: "blocks", after: { epoch: "e1", seq: 10 } },
  ]);
});

Deno.test("the answer to an earlier joining is not taken for the present one", async () => {
  using parts = await live();
  const { client, heights, peer } = parts;
  client.leaveChannel("blocks");
  client.joinChannel("blocks");
  const early = peer().of("subscribe")[1]!.id;
  client.leaveChannel("blocks");
  client.joinChannel("blocks", { last: 1 });
  const channels = [joined("e1", 30)];
  peer().reply("subscribed", { channels, rejected: [] }, early);
  assert.equal(client.state.channels["blocks"]?.status, "joining");
  peer().subscribed(joined("e1", 29));
  peer().event(30, { replay: true });
  assert.deepEqual(heights, [30]);
});

Deno.test("asking again without effect slows down", async () => {
  using parts = await live();
  const { peer } = parts;
  for (let i = 0; i < 600; i++) {
    peer().event(20);
    await tick(100);
    peer().subscribed(joined("e1", 10));
  }
  const count = peer().of("subscribe").length;
  assert.ok(count > 5 && count < 100, `${count} in a minute`);
});

Deno.test("a reconnect resumes after the last event delivered", async () => {
  using parts = await live();
  const { heights, gaps, peer } = parts;
  peer().event(11);
  peer().drop();
  await tick(500);
  peer().welcome();
  assert.deepEqual(peer().of("subscribe")[0]!.payload.channels, [
    { channel: "blocks", after: { epoch: "e1", seq: 11 } },
  ]);
  peer().subscribed(joined("e1", 11));
  peer().event(12, { replay: true });
  peer().event(13);
  assert.deepEqual(heights, [11, 12, 13]);
  assert.deepEqual(gaps, []);
});

Deno.test("what retention lost is reported, and the rest follows", async () => {
  using parts = await live();
  const { client, heights, gaps, peer } = parts;
  const gap = {
    channel: "blocks",
    from: 11,
    to: 20,
    epoch: "e1",
    reason: "retention" as const,
  };
  peer().reply("gap", gap);
  peer().event(21);
  peer().drop();
  await tick(500);
  peer().welcome();
  peer().subscribed({ ...joined("e1", 30, false), reason: "retention" });
  peer().reply("gap", { ...gap, from: 22, to: 30 });
  peer().event(31);
  assert.deepEqual(heights, [21, 31]);
  assert.deepEqual(gaps, [gap, { ...gap, from: 22, to: 30 }]);
  assert.equal(client.state.gaps, 2);
  assert.equal(client.state.channels["blocks"]?.recovered, false);
});

Deno.test("a new epoch is taken over, live and on resume", async () => {
  using parts = await live();
  const { heights, gaps, peer } = parts;
  peer().reply("gap", {
    channel: "blocks",
    from: 1,
    to: 4,
    epoch: "e2",
    reason: "epoch_changed",
  });
  peer().event(5, { epoch: "e2" });
  peer().drop();
  await tick(500);
  peer().welcome();
  peer().subscribed({ ...joined("e3", 0, false), reason: "epoch_changed" });
  peer().reply("gap", {
    channel: "blocks",
    from: 1,
    to: 0,
    epoch: "e3",
    reason: "epoch_changed",
  });
  peer().event(1, { epoch: "e3" });
  assert.deepEqual(heights, [5, 1]);
  assert.equal(gaps.length, 2);
});

Deno.test("a log that lost its end is followed back", async () => {
  using parts = await live();
  const { heights, gaps, peer } = parts;
  peer().drop();
  await tick(500);
  peer().welcome();
  peer().subscribed({ ...joined("e1", 7, false), reason: "position_unknown" });
  peer().reply("gap", {
    channel: "blocks",
    from: 8,
    to: 10,
    epoch: "e1",
    reason: "position_unknown",
  });
  peer().event(8);
  assert.deepEqual(heights, [8]);
  assert.equal(gaps.length, 1);
});

Deno.test("a channel without retention delivers without numbers", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  const seen: unknown[] = [];
  client.on("ALERT_TRIGGERED", (message) => seen.push(message.seq));
  peer().welcome();
  client.joinChannel("metrics");
  peer().subscribed({
    channel: "metrics",
    epoch: null,
    seq: null,
    recovered: false,
    reason: "no_retention",
  });
  peer().say({ type: "ALERT_TRIGGERED", channel: "metrics", payload: {} });
  assert.deepEqual(seen, [undefined]);
});

// Channels

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

// Sending

Deno.test("a publish resolves to its positions and rejects with its refusal", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const message = {
    type: "ROOM_MESSAGE",
    channel: "room:a",
    payload: { event: "hi" },
  } as const;
  const good = client.sendMessage(message);
  const bad = client.sendMessage(message);
  const [first, second] = peer().of("ROOM_MESSAGE");
  assert.notEqual(first!.id, second!.id);
  peer().reply("published", {
    accepted: [{ id: first!.id, channel: "room:a", seq: 1, epoch: "r" }],
  }, first!.id);
  peer().reply("error", {
    code: "FORBIDDEN",
    message: "Not allowed",
    retryAfterMs: 5,
  }, second!.id);
  assert.equal((await good).accepted[0]!.seq, 1);
  await assert.rejects(bad, {
    code: "FORBIDDEN",
    message: "Not allowed",
    retryAfterMs: 5,
  });
  assert.equal(client.state.lastError?.code, "FORBIDDEN");
});

Deno.test("an unanswered message goes again under its id, once answered never", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const sent = client.sendMessage({ type: "TEST", payload: {} });
  const { id } = peer().of("TEST")[0]!;
  peer().drop();
  await tick(500);
  peer().welcome();
  assert.equal(peer().of("TEST")[0]!.id, id);
  peer().reply("TEST", { ok: true }, id);
  assert.deepEqual(await sent, { ok: true });
  peer().drop();
  await tick(1_000);
  peer().welcome();
  assert.equal(peer().of("TEST").length, 0);
});

Deno.test("a message older than the server's memory of ids is not sent twice", async () => {
  using parts = await live();
  const sent = outcome(
    parts.client.sendMessage({ type: "TEST", payload: {} }),
  );
  ahead.wall = limits.MAX_RESEND_MS + 1;
  parts.peer().drop();
  assert.equal(await sent, "CONNECTION_LOST");
});

Deno.test("offline, as many wait as allowed, or none", async () => {
  {
    using parts = await setup({ offlineQueue: { max: 2 } });
    const { client, peer } = parts;
    const send = () =>
      outcome(client.sendMessage({ type: "TEST", payload: {} }));
    const [a, b, c] = [send(), send(), send()];
    assert.equal(await c, "QUEUE_FULL");
    assert.equal(client.state.pending, 2);
    peer().welcome();
    for (const { id } of peer().of("TEST")) peer().reply("TEST", {}, id);
    assert.deepEqual(await Promise.all([a, b]), ["fulfilled", "fulfilled"]);
  }
  using parts = await setup({ offlineQueue: "refuse" });
  assert.equal(await outcome(parts.client.request("ping")), "OFFLINE");
  parts.peer().welcome();
  const lost = outcome(parts.client.request("ping"));
  parts.peer().drop();
  assert.equal(await lost, "CONNECTION_LOST");
});

Deno.test("connected, so many wait and no more", async () => {
  using parts = await live();
  const all = Array.from(
    { length: limits.MAX_PENDING + 1 },
    () => outcome(parts.client.request("ping")),
  );
  assert.equal(await all.at(-1), "QUEUE_FULL");
  assert.equal(parts.client.state.pending, limits.MAX_PENDING);
  assert.equal(parts.peer().of("ping").length, 128);
});

Deno.test("no answer within 10 s is TIMEOUT, after disconnect CLOSED", async () => {
  using parts = await live();
  const late = outcome(parts.client.request("request_metrics"));
  await tick(limits.REQUEST_TIMEOUT_MS);
  assert.equal(await late, "TIMEOUT");
  const cut = outcome(parts.client.request("request_data", { key: "block:1" }));
  parts.client.disconnect();
  assert.equal(await cut, "CLOSED");
  assert.equal(await outcome(parts.client.request("ping")), "OFFLINE");
});

const rate = (n: number) => ({ type: "TEST", payload: { n } } as const);
const numbers = (peer: Peer) => peer.of("TEST").map(({ payload }) => payload.n);

Deno.test("throttled, messages keep their distance, and none is left out", async () => {
  using parts = await live({ enableThrottle: true, throttleTime: 100 });
  const { client, peer } = parts;
  const all = [1, 2, 3].map((n) => client.sendMessage(rate(n)));
  assert.deepEqual(numbers(peer()), [1]);
  await tick(99);
  assert.deepEqual(numbers(peer()), [1]);
  await tick(1);
  assert.deepEqual(numbers(peer()), [1, 2]);
  await tick(100);
  assert.deepEqual(numbers(peer()), [1, 2, 3]);
  for (const { id, payload } of peer().of("TEST")) {
    peer().reply("TEST", payload, id);
  }
  assert.deepEqual(await Promise.all(all), [{ n: 1 }, { n: 2 }, { n: 3 }]);
  await tick(100);
  client.sendMessage(rate(4));
  assert.deepEqual(numbers(peer()), [1, 2, 3, 4]);
});

Deno.test("of messages with one key the newest is sent, the others reject with REPLACED", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const all = [1, 2, 3, 4].map((n) =>
    client.sendMessage(rate(n), {
      enableThrottle: true,
      throttleTime: 50,
      key: "cursor",
    })
  );
  const other = client.sendMessage(rate(9), { enableThrottle: true, key: "b" });
  await tick(50);
  assert.deepEqual(numbers(peer()), [1, 9, 4]);
  for (const { id } of peer().of("TEST")) peer().reply("TEST", {}, id);
  assert.deepEqual(await Promise.all(all.map(outcome)), [
    "fulfilled",
    "REPLACED",
    "REPLACED",
    "fulfilled",
  ]);
  assert.equal(await outcome(other), "fulfilled");
});

Deno.test("in rooms the event distinguishes messages", async () => {
  using parts = await live({ enableThrottle: true });
  const { client, peer } = parts;
  const events = ["hello", "how", "are", "you", "typing"];
  for (const event of events) {
    client.sendMessage({
      type: "ROOM_MESSAGE",
      channel: "room:a",
      payload: { event },
    });
  }
  assert.deepEqual(
    peer().of("ROOM_MESSAGE").map(({ payload }) => payload.event),
    events,
  );
});

Deno.test("debounced, all go after the quiet, with a key the newest; an own id never waits", async () => {
  using parts = await live({ enableDebounce: true, debounceTime: 200 });
  const { client, peer } = parts;
  client.sendMessage(rate(1));
  client.sendMessage(rate(10), { key: "a" });
  await tick(150);
  client.sendMessage(rate(2));
  const newest = client.sendMessage(rate(20), { key: "a" });
  await tick(150);
  assert.deepEqual(numbers(peer()), []);
  client.sendMessage({ ...rate(3), id: "mine" });
  assert.deepEqual(numbers(peer()), [3]);
  await tick(50);
  assert.deepEqual(numbers(peer()), [3, 1, 2, 20]);
  const { id } = peer().of("TEST").at(-1)!;
  peer().reply("TEST", { ok: true }, id);
  assert.deepEqual(await newest, { ok: true });
});

Deno.test("throttled and debounced, messages go although it never falls quiet", async () => {
  using parts = await live({
    enableThrottle: true,
    enableDebounce: true,
    debounceTime: 200,
  });
  for (let n = 1; n <= 10; n++) {
    parts.client.sendMessage(rate(n), { key: "k" }).catch(() => {});
    await tick(50);
  }
  assert.deepEqual(numbers(parts.peer()), [4, 8]);
});

Deno.test("whatever the pace, a message resolves only if the server got it", async () => {
  const step = fc.record({
    waitMs: fc.nat(150),
    key: fc.option(fc.constantFrom("a", "b"), { nil: undefined }),
  });
  const pace = fc.record({
    enableThrottle: fc.boolean(),
    enableDebounce: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 20 }),
      pace,
      async (steps, pace) => {
        using parts = await live(pace);
        const all: Promise<string>[] = [];
        for (const [n, { waitMs, key }] of steps.entries()) {
          const options = key === undefined ? {} : { key };
          all.push(outcome(parts.client.sendMessage(rate(n), options)));
          await tick(waitMs);
        }
        await tick(5_000);
        const sent = new Set(numbers(parts.peer()));
        for (const { id } of parts.peer().of("TEST")) {
          parts.peer().reply("TEST", {}, id);
        }
        const outcomes = await Promise.all(all);
        for (const [n, outcome] of outcomes.entries()) {
          const isReplaceable = steps[n]!.key !== undefined;
          assert.equal(outcome, sent.has(n) ? "fulfilled" : "REPLACED");
          assert.ok(sent.has(n) || isReplaceable);
        }
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("what waits for its pace is bounded", async () => {
  using parts = await live({ enableThrottle: true });
  const all = Array.from(
    { length: limits.MAX_PENDING + 2 },
    (_, n) => outcome(parts.client.sendMessage(rate(n))),
  );
  assert.equal(await all.at(-1), "QUEUE_FULL");
});

// What is refused before it is sent

Deno.test("a message above the server's limit is refused at once, when it fits it goes", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const send = (text: string) =>
    client.sendMessage({ type: "TEST", payload: { text } });
  await assert.rejects(send("x".repeat(65_536)), { code: "MESSAGE_TOO_LARGE" });
  await assert.rejects(send("€".repeat(22_000)), { code: "MESSAGE_TOO_LARGE" });
  assert.equal(client.state.pending, 0);
  assert.equal(client.state.lastError?.code, "MESSAGE_TOO_LARGE");
  send("x".repeat(65_000));
  assert.equal(peer().of("TEST").length, 1);
});

Deno.test("a message that waited is checked against the limits of the server it meets", async () => {
  using parts = await setup();
  const long = parts.client.sendMessage({
    type: "TEST",
    payload: { text: "x".repeat(70_000) },
  });
  const short = parts.client.request("ping");
  parts.peer().welcome();
  assert.equal(await outcome(long), "MESSAGE_TOO_LARGE");
  assert.equal(parts.peer().of("TEST").length, 0);
  parts.peer().reply("pong", {}, parts.peer().of("ping")[0]!.id);
  assert.equal(await outcome(short), "fulfilled");
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

Deno.test("what is no message rejects, and throws nothing", async () => {
  using parts = await live();
  const { sendMessage, sendBatch } = parts.client as unknown as {
    sendMessage(message?: unknown): Promise<unknown>;
    sendBatch(messages?: unknown): Promise<unknown>;
  };
  const loop: Record<string, unknown> = {};
  loop["loop"] = loop;
  for (
    const refused of [
      sendMessage(),
      sendMessage(null),
      sendMessage("hi"),
      sendMessage({}),
      sendMessage({ type: "TEST", payload: { n: 1n } }),
      sendMessage({ type: "TEST", payload: loop }),
      sendMessage({ type: "BATCH_UPDATE" }),
      sendBatch(),
      sendBatch({ length: 2 }),
    ]
  ) {
    await assert.rejects(
      refused,
      (error) =>
        error instanceof RequestError && error.code === "INVALID_MESSAGE",
    );
  }
  assert.equal(parts.peer().sent.length, 2, "connect and subscribe");
});

Deno.test("a failure is a RequestError with its code, and reads as one", async () => {
  using parts = await setup({ offlineQueue: "refuse" });
  const error = await parts.client.request("ping").catch((error) => error);
  assert.ok(error instanceof RequestError && error instanceof Error);
  assert.equal(error.code, "OFFLINE");
  assert.match(String(error), /OFFLINE/);
  assert.match(JSON.stringify(error), /"message":"OFFLINE"/);
});

Deno.test("queue options may be given with each call", async () => {
  using parts = await setup();
  const { client } = parts;
  assert.equal(
    await outcome(client.request("ping", {}, { offlineQueue: "refuse" })),
    "OFFLINE",
  );
  assert.equal(
    await outcome(client.sendMessage(rate(1), { offlineQueue: "refuse" })),
    "OFFLINE",
  );
  client.sendMessage(rate(2));
  assert.equal(
    await outcome(client.sendMessage(rate(3), { offlineQueue: { max: 1 } })),
    "QUEUE_FULL",
  );
  assert.equal(client.state.pending, 1);
});

Deno.test("a BATCH_UPDATE of any length is split like sendBatch", async () => {
  using parts = await live();
  const updates = Array.from({ length: 250 }, (_, n) => rate(n));
  const sent = parts.client.sendMessage({
    type: "BATCH_UPDATE",
    payload: { updates },
  });
  const frames = parts.peer().of("BATCH_UPDATE");
  for (const { id, payload } of frames) {
    assert.ok(payload.updates.length <= limits.MAX_BATCH_MESSAGES);
    const accepted = payload.updates.map(({ id }: Sent) => ({ id }));
    parts.peer().reply("published", { accepted }, id);
  }
  assert.equal((await sent).accepted.length, 250);
});

Deno.test("a batch keeps its order, its size and an id for each", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const message = (n: number, text = "") => ({
    type: "ROOM_MESSAGE",
    channel: "room:a",
    payload: { event: "n", data: { n, text } },
  } as const);
  const many = Array.from({ length: 250 }, (_, n) => message(n));
  const sent = client.sendBatch([...many, message(250, "x".repeat(30_000))]);
  const frames = peer().of("BATCH_UPDATE");
  const numbers: number[] = [];
  for (const { id, payload } of frames) {
    const { updates } = payload as { updates: Sent[] };
    assert.ok(updates.length <= limits.MAX_BATCH_MESSAGES);
    assert.ok(JSON.stringify(payload).length < 65_536);
    for (const update of updates) numbers.push(update.payload.data.n);
    peer().reply("published", {
      accepted: updates.map(({ id }) => ({ id, channel: "room:a" })),
    }, id);
  }
  assert.deepEqual(numbers, Array.from({ length: 251 }, (_, n) => n));
  const ids = new Set((await sent).accepted.map(({ id }) => id));
  assert.equal(ids.size, 251);
});

// Listeners

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

// The promise

/**
 * A log and a server of it that, after a reconnect or an asking, is honest,
 * but whose live frames a bad way drops, doubles and swaps.
 */
type Deed =
  | { readonly kind: "publish"; readonly count: number }
  | { readonly kind: "mangle"; readonly seed: number }
  | { readonly kind: "cut" }
  | { readonly kind: "trim"; readonly keep: number };

const deeds = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("publish" as const), count: fc.nat(8) }),
    fc.record({ kind: fc.constant("mangle" as const), seed: fc.nat() }),
    fc.record({ kind: fc.constant("cut" as const) }),
    fc.record({ kind: fc.constant("trim" as const), keep: fc.nat(4) }),
  ),
  { maxLength: 30 },
);

Deno.test("whatever the network does, each number arrives once, in order, or is reported lost", async () => {
  await fc.assert(
    fc.asyncProperty(deeds, async (plan: Deed[]) => {
      using parts = await live();
      const { heights, gaps, peer } = parts;
      let head = 10;
      let first = 1;
      let due: number[] = [];
      let answeredTo = 1;

      /** Answers every `subscribe` that waits. */
      const serve = () => {
        const asked = peer().of("subscribe");
        for (const { id, payload } of asked.slice(answeredTo)) {
          const after = payload.channels[0].after.seq as number;
          const start = Math.max(after, first - 1);
          due = [];
          peer().reply("subscribed", {
            channels: [joined("e1", start, start === after)],
            rejected: [],
          }, id);
          if (start > after) {
            peer().reply("gap", {
              channel: "blocks",
              from: after + 1,
              to: start,
              epoch: "e1",
              reason: "retention",
            });
          }
          const updates = [];
          for (let seq = start + 1; seq <= head; seq++) {
            updates.push(block(seq, { replay: true }));
          }
          if (updates.length) peer().reply("BATCH_UPDATE", { updates });
        }
        answeredTo = asked.length;
      };
      const flush = () => {
        for (const seq of due.splice(0)) peer().event(seq);
      };

      for (const deed of plan) {
        if (deed.kind === "publish") {
          for (let i = 0; i < deed.count; i++) due.push(++head);
        } else if (deed.kind === "trim") {
          first = Math.max(first, head - deed.keep + 1);
        } else if (deed.kind === "mangle") {
          const { seed } = deed;
          due = due.flatMap((seq, i) =>
            [[seq], [seq, seq], []][(seed >> (i % 16)) % 3]!
          );
          if (seed % 2) due.reverse();
          flush();
          await tick(seed % 3 ? 0 : 700);
          serve();
        } else {
          flush();
          peer().drop();
          due = [];
          await tick(5_000);
          peer().welcome();
          answeredTo = 0;
          serve();
        }
      }
      flush();
      // The next event shows what is still missing.
      for (let i = 0; i < 20 && (heights.at(-1) ?? 10) < head || i < 1; i++) {
        peer().event(++head);
        await tick(6_000);
        serve();
      }
      const lost = gaps.flatMap(({ from, to }) =>
        Array.from({ length: to - from + 1 }, (_, i) => from + i)
      );
      assert.deepEqual(heights, [...new Set(heights)].sort((a, b) => a - b));
      assert.deepEqual(
        [...heights, ...lost].sort((a, b) => a - b),
        Array.from({ length: head - 10 }, (_, i) => 11 + i),
      );
    }),
    { numRuns: 300 },
  );
});

// A real socket

Deno.test("over a real socket the client connects, receives, loses and resumes", async () => {
  const sockets: WebSocket[] = [];
  const askedAfter: unknown[] = [];
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      sockets.push(socket);
      socket.onmessage = ({ data }) => {
        const { type, id, payload } = JSON.parse(data);
        const say = (type: string, payload: object) =>
          socket.send(JSON.stringify({ type, ref: id, payload }));
        if (type === "connect") {
          say("connected", {
            sessionId: `${sockets.length}`,
            serverTime: new Date().toISOString(),
            identity: { isAuthenticated: false, user: null, role: "anonymous" },
            heartbeatMs: HEARTBEAT_MS,
            limits: { maxCommandsInFlight: 256 },
          });
        } else if (type === "subscribe") {
          const [wanted] = payload.channels;
          askedAfter.push(wanted.after);
          const seq = wanted.after?.seq ?? 0;
          say("subscribed", { channels: [joined("e1", seq)], rejected: [] });
          socket.send(JSON.stringify(block(seq + 1)));
        }
      };
      return response;
    },
  );
  const client: Client = connect(`http://127.0.0.1:${server.addr.port}/ws`, {
    reconnectInterval: 20,
  });
  const heights: number[] = [];
  const both = Promise.withResolvers<void>();
  client.on("NEW_BLOCK", ({ payload }) => {
    heights.push(payload.height);
    if (payload.height === 1) sockets[0]!.close(4008, "SLOW_CONSUMER");
    else both.resolve();
  });
  client.joinChannel("blocks");
  await both.promise;
  assert.deepEqual(heights, [1, 2]);
  assert.deepEqual(askedAfter, [undefined, { epoch: "e1", seq: 1 }]);
  assert.equal(client.state.reconnects, 1);
  const closed = new Promise((resolve) => sockets[1]!.onclose = resolve);
  client.disconnect();
  await closed;
});

// The bundle

Deno.test("the bundle fits 5 KiB gzipped and carries no zod", async (t) => {
  const code = await bundle("client.js");
  const bytes = gzipSync(code, { level: 9 }).byteLength;
  await t.step(`client.js: ${bytes} of ${MAX_BUNDLE_BYTES} bytes`, () => {
    assert.ok(bytes < MAX_BUNDLE_BYTES);
  });
  assert.ok(!code.includes("ZodError"));
});
