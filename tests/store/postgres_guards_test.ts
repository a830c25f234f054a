/** Guards of two services on one PostgreSQL, as two machines have them. */
import assert from "node:assert/strict";
import { systemClock } from "../../platform/clock.ts";
import { pause } from "../../platform/pause.ts";
import type { Service } from "../../server/service.ts";
import { ManualClock } from "../fakes/clock.ts";
import { askFrom, serviceOn, tokenOf } from "../test_service.ts";
import { until } from "../until.ts";
import { openTogether, serverOf, versions } from "./databases.ts";

/** Requests that one address may make in a window. */
const LIMIT = 200;
/** Within this time a guard holds at the other service, in milliseconds. */
const WITHIN_MS = 1_000;
const BAD_IP = "203.0.113.7";
const GOOD_IP = "192.0.2.1";

/** Two services on stores of their own, whose clock a test moves. */
async function openTwo(name: string) {
  const stores = await openTogether(name, 2);
  // Ahead, so that no token seems issued after its revocation.
  const clock = new ManualClock(Date.now() + 60_000);
  const env = {
    KV_PATH: serverOf(name).url,
    LINK: "notify",
    RATE_LIMIT_MAX: String(LIMIT),
  };
  const bugs: unknown[] = [];
  const [one, two] = stores.map((kv) => serviceOn(kv, bugs, { env, clock }));
  return {
    one: one!,
    two: two!,
    /** Moves all clocks, and gives the database time to answer. */
    async pass(ms: number) {
      for (let at = 0; at < ms; at += 50) {
        clock.advance(50);
        await pause(systemClock, 10);
      }
    },
    async [Symbol.asyncDispose]() {
      await one![Symbol.asyncDispose]();
      await two![Symbol.asyncDispose]();
      for (const store of stores) await store.close();
      assert.deepEqual(bugs, []);
    },
  };
}

async function codeOf(
  service: Service,
  ip: string,
  token?: string,
): Promise<number> {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await askFrom(ip, service, "/api/channels", { headers });
  await response.body?.cancel();
  return response.status;
}

async function operate(
  service: Service,
  path: string,
  body: unknown,
): Promise<void> {
  const response = await askFrom(GOOD_IP, service, `/api/admin/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${await tokenOf("admin")}` },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 201, await response.text());
}

for (const { name } of versions) {
  Deno.test(`a block set through one service holds at the other, on PostgreSQL ${name}`, async () => {
    await using services = await openTwo(name);
    const { one, two } = services;
    assert.equal(await codeOf(two, BAD_IP), 200);
    await operate(one, "blocks", { ip: BAD_IP });
    // The clocks stand: the commit itself announces it.
    await until(
      async () => await codeOf(two, BAD_IP) === 403,
      "it is blocked there, too",
    );
    assert.equal(await codeOf(two, GOOD_IP), 200);
  });

  Deno.test(`a revocation set through one service holds at the other, on PostgreSQL ${name}`, async () => {
    await using services = await openTwo(name);
    const { one, two } = services;
    const token = await tokenOf("user");
    assert.equal(await codeOf(two, GOOD_IP, token), 200);
    await operate(one, "revocations", { user: "user" });
    await until(
      async () => await codeOf(two, GOOD_IP, token) === 401,
      "it is revoked there, too",
    );
  });

  Deno.test(`a rate limit spent at one service is spent at the other within a second, on PostgreSQL ${name}`, async () => {
    await using services = await openTwo(name);
    const { one, two, pass } = services;
    for (let i = 0; i < LIMIT; i++) {
      assert.equal(await codeOf(one, BAD_IP), 200);
    }
    assert.equal(await codeOf(one, BAD_IP), 429);
    // What an address spent is shared once it is a part of the limit.
    for (let i = 0; i < LIMIT / 4; i++) await codeOf(two, BAD_IP);
    await pass(WITHIN_MS);
    assert.equal(await codeOf(two, BAD_IP), 429);
    assert.equal(await codeOf(two, GOOD_IP), 200);
  });
}
