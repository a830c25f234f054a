import assert from "node:assert/strict";
import * as limits from "../../client/limits.ts";
import {
  HEARTBEAT_MS,
  joined,
  live,
  NOON,
  outcome,
  peers,
  rate,
  settled,
  setup,
  tick,
} from "./mocked_client.ts";

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
