import assert from "node:assert/strict";
import * as limits from "../../client/limits.ts";
import {
  ahead,
  HEARTBEAT_MS,
  live,
  peers,
  settled,
  setup,
  tick,
} from "./mocked_client.ts";

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
