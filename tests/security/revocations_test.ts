import assert from "node:assert/strict";
import { POLL_MS } from "../../store/stored_set.ts";
import {
  type Revocation,
  Revocations,
  type RevocationsOptions,
} from "../../security/revocations.ts";
import {
  ANONYMOUS,
  CLOCK_SKEW_MS,
  type Grant,
  MAX_CLAIM_LENGTH,
  MAX_TOKEN_LIFE_MS,
} from "../../security/tokens.ts";
import { ManualClock } from "../fakes/clock.ts";
import { flaky } from "../fakes/security.ts";
import { until } from "../until.ts";
import { openStore } from "../../store/deno_kv.ts";
import { closeStore } from "../close_store.ts";

/** The revocations of several instances over one store, with one clock. */
async function setup(
  options: Partial<RevocationsOptions> = {},
  instances = 1,
) {
  const kv = await openStore(":memory:");
  const clock = new ManualClock();
  const store = flaky(kv);
  const all = Array.from(
    { length: instances },
    () => new Revocations({ kv: store.kv, clock, ...options }),
  );
  await Promise.all(all.map(({ ready }) => ready));
  const grant = (changes: Partial<Grant> = {}): Grant => ({
    user: "alice",
    role: "user",
    isAuthenticated: true,
    tokenId: "t1",
    issuedAt: clock.now(),
    expiresAt: clock.now() + 60_000,
    ...changes,
  });
  return {
    kv,
    clock,
    store,
    all,
    one: all[0]!,
    two: all[1]!,
    grant,
    async [Symbol.asyncDispose]() {
      for (const each of all) await each[Symbol.asyncDispose]();
      await closeStore(kv);
    },
  };
}

Deno.test("a token is revoked by its id, and no other", async () => {
  await using s = await setup();
  const { at, until, ...rest } = await s.one.revokeToken("t1", {
    by: "root",
    reason: "leaked",
  });
  assert.deepEqual(rest, {
    kind: "token",
    id: "t1",
    by: "root",
    reason: "leaked",
  });
  assert.equal(at, s.clock.now());
  assert.equal(until, at + MAX_TOKEN_LIFE_MS + CLOCK_SKEW_MS);
  assert.equal(s.one.isRevoked(s.grant()), true);
  assert.equal(s.one.isRevoked(s.grant({ tokenId: "t2" })), false);
  assert.equal(s.one.isRevoked(s.grant({ user: "t1", tokenId: "x" })), false);
  assert.equal(s.one.isRevoked(ANONYMOUS), false);
  assert.equal(s.one.list().length, 1);
});

Deno.test("a user's tokens up to now are revoked, later ones are good", async () => {
  await using s = await setup();
  const before = s.grant();
  const { tokenId: _, issuedAt: __, ...undated } = before;
  await s.one.revokeUser("alice");
  assert.equal(s.one.isRevoked(before), true);
  assert.equal(s.one.isRevoked(undated), true);
  assert.equal(s.one.isRevoked(s.grant({ user: "bob" })), false);
  s.clock.advance(1_000);
  const after = s.grant();
  assert.equal(s.one.isRevoked(after), false);
  assert.equal(s.one.isRevoked(before), true);
  await s.one.revokeUser("alice");
  assert.equal(s.one.isRevoked(after), true);
});

Deno.test("a revocation is kept until the token would have expired, skew included", async () => {
  await using s = await setup();
  const expiresAt = s.clock.now() + 60_000;
  await s.one.revokeToken("t1", { expiresAt });
  s.clock.advance(60_000 + CLOCK_SKEW_MS - 1);
  assert.equal(s.one.isRevoked(s.grant()), true);
  s.clock.advance(1);
  assert.equal(s.one.isRevoked(s.grant()), false);
  assert.deepEqual(s.one.list(), []);
  // One that has expired needs no remembering.
  await s.one.revokeToken("t2", { expiresAt: 1 });
  assert.deepEqual(s.one.list(), []);
});

Deno.test("no revocation is kept longer than the longest token lives", async () => {
  await using s = await setup();
  const { until, at } = await s.one.revokeToken("t1", {
    expiresAt: Number.MAX_SAFE_INTEGER,
  });
  assert.equal(until - at, MAX_TOKEN_LIFE_MS + CLOCK_SKEW_MS);
});

Deno.test("a revocation reaches the other instance through the watch, with time standing still", async () => {
  await using s = await setup({}, 2);
  const received: Revocation[] = [];
  using _listening = s.two.onRevoked((revoked) =>
    void received.push(...revoked)
  );
  const revocation = await s.one.revokeUser("alice", { by: "root" });
  await until(() => s.two.isRevoked(s.grant()), "the other knows");
  assert.deepEqual(received, [revocation]);
});

Deno.test("while KV is away what is known holds, and what is new is shared when it is back", async () => {
  await using s = await setup({}, 2);
  await s.one.revokeToken("t1");
  await until(() => s.two.isRevoked(s.grant()), "the other knows");
  s.store.isAway = true;
  await assert.rejects(
    s.one.revokeToken("t2"),
    { code: "STORE_UNAVAILABLE", message: /this instance/ },
  );
  assert.equal(s.one.state, "degraded");
  assert.equal(s.one.isRevoked(s.grant({ tokenId: "t2" })), true);
  assert.equal(s.two.isRevoked(s.grant({ tokenId: "t2" })), false);
  s.clock.advance(POLL_MS);
  await until(() => s.two.state === "degraded", "the poll fails");
  assert.equal(s.two.isRevoked(s.grant()), true);
  s.store.isAway = false;
  s.clock.advance(POLL_MS);
  await until(
    () => s.two.isRevoked(s.grant({ tokenId: "t2" })),
    "the other knows",
  );
});

Deno.test("a full list refuses loudly rather than forget", async () => {
  await using s = await setup({ maxRevocations: 2 });
  await s.one.revokeToken("t1", { expiresAt: s.clock.now() + 1_000 });
  await s.one.revokeToken("t2");
  await s.one.revokeToken("t2", { reason: "again" });
  await assert.rejects(
    s.one.revokeToken("t3"),
    { code: "FORBIDDEN", message: /Too many revocations/ },
  );
  assert.equal(s.one.isRevoked(s.grant()), true);
  s.clock.advance(1_000 + CLOCK_SKEW_MS);
  await s.one.revokeToken("t3");
  assert.equal(s.one.isRevoked(s.grant({ tokenId: "t3" })), true);
});

Deno.test("an id that no token can have is refused", async () => {
  await using s = await setup();
  await s.one.revokeUser("é".repeat(MAX_CLAIM_LENGTH));
  for (const id of ["", "x".repeat(MAX_CLAIM_LENGTH + 1), "\ud800"]) {
    await assert.rejects(
      s.one.revokeToken(id),
      { code: "INVALID_PAYLOAD", message: /token/ },
    );
    await assert.rejects(
      s.one.revokeUser(id),
      { code: "INVALID_PAYLOAD", message: /user/ },
    );
  }
});
