import assert from "node:assert/strict";
import type { Principal } from "../../security/principal.ts";
import {
  CONNECTION_BURST,
  MESSAGES_PER_REQUEST,
  VIOLATIONS_PER_LIMIT,
} from "../../routes/budgets.ts";
import { ANONYMOUS_PRINCIPAL } from "../../security/identity.ts";
import { READ_LENGTH_PER_MESSAGE } from "../../realtime/prices.ts";
import { MAX_VIOLATIONS } from "../../security/block_list.ts";
import { CLOCK_SKEW_MS } from "../../security/tokens.ts";
import { ManualClock, settle } from "../fakes/clock.ts";
import { tokenOf } from "../test_service.ts";
import {
  connect,
  FakeConnection,
  IP,
  openInstances,
} from "../system/instances.ts";
import type { Instances } from "../system/instances.ts";
import { until } from "../until.ts";

const VISITOR = { ip: IP, bucket: IP, isCrossSite: false };
const BAD = { headers: { authorization: "Bearer a.b.c" } };

function as(token: string): { headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${token}` } };
}

async function codeOf(response: Response): Promise<string> {
  const { code, message } = await response.json();
  assert.equal(typeof message, "string");
  return code;
}

/** A caller of some role, whose token ends never. */
function principal(role: Principal["identity"]["role"]): Principal {
  return {
    ...ANONYMOUS_PRINCIPAL,
    identity: { isAuthenticated: true, user: "someone", role },
  };
}

async function statuses(
  instances: Instances,
  times: number,
  init: Parameters<Instances["ask"]>[1] = {},
): Promise<number[]> {
  const all: number[] = [];
  for (let i = 0; i < times; i++) {
    const response = await instances.ask("/api/channels", init);
    await response.body?.cancel();
    all.push(response.status);
  }
  return all;
}

Deno.test("every answer names how much of the budget is left", async () => {
  await using instances = await openInstances({
    env: { RATE_LIMIT_MAX: "3", RATE_LIMIT_WINDOW_MS: "60000" },
    clock: new ManualClock(),
  });
  const left: (string | null)[] = [];
  for (let i = 0; i < 4; i++) {
    const { headers } = await instances.ask("/api/channels");
    assert.equal(headers.get("ratelimit-policy"), '"http";q=3;w=60');
    left.push(headers.get("ratelimit"));
  }
  assert.match(left[0]!, /^"http";r=2;t=\d+$/);
  assert.match(left[2]!, /^"http";r=0;t=\d+$/);
  assert.match(left[3]!, /^"http";r=0;t=\d+$/);
});

Deno.test("a page that asks too much can read when to come back", async () => {
  await using instances = await openInstances({
    env: { RATE_LIMIT_MAX: "1", RATE_LIMIT_WINDOW_MS: "60000" },
    clock: new ManualClock(),
  });
  const headers = { origin: "https://pages.example" };
  await instances.ask("/api/channels", { headers });
  const response = await instances.ask("/api/channels", { headers });
  assert.equal(response.status, 429);
  const seen = response.headers;
  assert(Number(seen.get("retry-after")) >= 1);
  assert.equal(
    seen.get("access-control-allow-origin"),
    "https://pages.example",
  );
  assert.match(seen.get("access-control-expose-headers")!, /retry-after/i);
  const body = await response.json();
  assert.equal(body.code, "RATE_LIMITED");
  assert.equal(
    body.message,
    "At most 1 requests in 60000 ms from one address",
  );
  assert(body.retryAfterMs > 0);
});

Deno.test("publishers and admins have no budget, and their answers name none", async () => {
  await using instances = await openInstances({ env: { RATE_LIMIT_MAX: "1" } });
  for (const role of ["publisher", "admin"] as const) {
    const token = await tokenOf(role);
    for (let i = 0; i < 3; i++) {
      const response = await instances.ask("/api/channels", as(token));
      await response.body?.cancel();
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("ratelimit"), null);
    }
  }
});

Deno.test("two instances admit at most the limit each before they know of each other, then none", async () => {
  const LIMIT = 40;
  await using instances = await openInstances({
    count: 2,
    env: { RATE_LIMIT_MAX: String(LIMIT), RATE_LIMIT_WINDOW_MS: "3600000" },
  });
  const bursts = await Promise.all([
    statuses(instances, LIMIT + 5, { of: 0 }),
    statuses(instances, LIMIT + 5, { of: 1 }),
  ]);
  const admitted = bursts.flat().filter((status) => status === 200).length;
  // A burst within the limit is never refused; n instances overshoot by at
  // most n - 1 times the limit.
  assert(admitted >= LIMIT, `${admitted}`);
  assert(admitted <= 2 * LIMIT, `${admitted}`);
  for (const instance of [0, 1]) {
    assert.deepEqual(await statuses(instances, 1, { of: instance }), [429]);
  }
});

Deno.test("an address that one instance refuses is soon refused by the other", async () => {
  await using instances = await openInstances({
    count: 2,
    env: { RATE_LIMIT_MAX: "20", RATE_LIMIT_WINDOW_MS: "3600000" },
  });
  assert.equal((await statuses(instances, 21)).at(-1), 429);
  const refused = async () => {
    const [status] = await statuses(instances, 1, { of: 1 });
    return status === 429;
  };
  let admitted = 0;
  while (!await refused()) {
    admitted++;
    assert(admitted <= 20, "beyond the bound");
    await new Promise((turn) => setTimeout(turn, 50));
  }
});

Deno.test("more bad tokens than are tolerated block an address, and report it", async () => {
  await using instances = await openInstances({ clock: new ManualClock() });
  const [service] = instances.all;
  const neighbour = connect(service!, IP);
  const other = connect(service!, "192.0.2.2");
  assert.deepEqual(
    await statuses(instances, MAX_VIOLATIONS, BAD),
    Array(MAX_VIOLATIONS).fill(401),
  );
  assert.deepEqual(await statuses(instances, 1), [200]);
  assert.deepEqual(await statuses(instances, 1, BAD), [401]);
  const response = await instances.ask("/api/channels");
  assert.equal(response.status, 403);
  assert.equal(response.headers.get("retry-after"), "60");
  const { code, message } = await response.json();
  assert.equal(code, "IP_BLOCKED");
  assert.match(
    message,
    /^This address is blocked until 2025-08-07T10:01:\S+Z: UNAUTHENTICATED$/,
  );
  assert.deepEqual(neighbour.ended, { code: "IP_BLOCKED", why: message });
  assert.equal(other.ended, undefined);
  const page = await instances.ask("/");
  assert.equal(await codeOf(page), "IP_BLOCKED");
  for (const door of ["/health", "/ready"]) {
    const open = await instances.ask(door);
    await open.body?.cancel();
    assert.equal(open.status, 200);
  }
});

Deno.test("an expired token, and a key server that is away, count as no violation", async () => {
  await using instances = await openInstances({
    // Nothing listens there.
    env: { JWT_SECRET: "", JWKS_URL: "http://127.0.0.1:1/keys" },
  });
  // RS256, a key id, and nothing that could verify.
  const header = btoa('{"alg":"RS256","kid":"1"}').replaceAll("=", "");
  const token = `${header}.e30.AAAA`;
  for (let i = 0; i <= MAX_VIOLATIONS; i++) {
    const response = await instances.ask("/api/channels", as(token));
    assert.equal(response.status, 503);
    const { code, message, retryAfterMs } = await response.json();
    assert.equal(code, "STORE_UNAVAILABLE");
    assert.match(message, /key server does not answer/);
    assert(retryAfterMs > 0);
  }
  const [service] = instances.all;
  assert.deepEqual(service!.blocks.list(), []);
  const ready = await instances.ask("/ready");
  assert.equal(ready.status, 200);
  const body = await ready.json();
  assert.equal(body.degraded, true);
  assert.match(body.checks.guards.detail, /key server/);
});

Deno.test("an address is blocked for coming far too often, not for coming a little too often", async () => {
  const LIMIT = VIOLATIONS_PER_LIMIT;
  await using instances = await openInstances({
    env: {
      RATE_LIMIT_MAX: String(LIMIT),
      RATE_LIMIT_WINDOW_MS: "3600000",
    },
    clock: new ManualClock(),
  });
  // At this limit every refusal counts; beyond it, ever fewer do.
  const seen = await statuses(instances, LIMIT + MAX_VIOLATIONS + 2);
  assert.deepEqual(seen, [
    ...Array(LIMIT).fill(200),
    ...Array(MAX_VIOLATIONS + 1).fill(429),
    403,
  ]);
  await using large = await openInstances({
    env: { RATE_LIMIT_MAX: "100", RATE_LIMIT_WINDOW_MS: "3600000" },
    clock: new ManualClock(),
  });
  const patient = await statuses(large, 100 + MAX_VIOLATIONS + 1);
  assert(!patient.includes(403), "blocked for a little too much");
  const greedy = await statuses(large, 100 * MAX_VIOLATIONS);
  assert.equal(greedy.at(-1), 403);
});

Deno.test("the machine's own addresses are never blocked by themselves, only by hand", async () => {
  await using instances = await openInstances({ env: { RATE_LIMIT_MAX: "5" } });
  for (const ip of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) {
    const seen = await statuses(instances, MAX_VIOLATIONS + 10, { ...BAD, ip });
    assert(!seen.includes(403), ip);
  }
  const [{ blocks }] = instances.all as [typeof instances.all[0]];
  assert.deepEqual(blocks.list(), []);
  await blocks.blockIP("127.0.0.1");
  assert.deepEqual(await statuses(instances, 1, { ip: "127.0.0.1" }), [403]);
});

Deno.test("a caller whose address cannot be read is refused on every door", async () => {
  await using instances = await openInstances({ env: { RATE_LIMIT_MAX: "5" } });
  for (const ip of ["0.0.0.0", "::", "not an address"]) {
    const seen = await statuses(instances, MAX_VIOLATIONS + 10, { ip });
    assert.deepEqual([...new Set(seen)], [403], ip);
  }
  const [{ blocks }] = instances.all as [typeof instances.all[0]];
  assert.deepEqual(blocks.list(), [], "no address is blocked for it");
});

Deno.test("a block or a revocation reaches connections of another instance", async () => {
  await using instances = await openInstances({ count: 2 });
  const [one, two] = instances.all as [
    typeof instances.all[0],
    typeof instances.all[0],
  ];
  const [near, far, other] = [
    connect(one, IP),
    connect(two, IP),
    connect(two, "192.0.2.2", new FakeConnection("mallory")),
  ];
  await one.blocks.blockIP("192.0.2.1/32", { reason: "too loud" });
  assert.equal(near.ended?.code, "IP_BLOCKED");
  await until(() => far.ended !== undefined, "the block reaches the other");
  assert.match(far.ended!.why!, /blocked until .*: too loud$/);
  assert.equal(other.ended, undefined);
  other.isRevoked = true;
  await one.revocations.revokeUser("mallory");
  await until(() => other.ended !== undefined, "the revocation reaches it");
  assert.deepEqual(other.ended, {
    code: "UNAUTHENTICATED",
    why: "Token has been revoked",
  });
});

Deno.test("caps are exact, however many come in one turn", async () => {
  await using instances = await openInstances({
    env: { MAX_CONNECTIONS: "7", MAX_CONNECTIONS_PER_IP: "5" },
  });
  const token = await tokenOf("user");
  const open = async (ip: string, headers = {}) => {
    const response = await instances.ask("/sse?channels=blocks", {
      ip,
      headers,
    });
    return { status: response.status, body: response.body!, response };
  };
  const shown = { authorization: `Bearer ${token}` };
  const crowd = await Promise.all(
    Array.from({ length: 20 }, (_, i) => open(IP, i % 2 ? shown : {})),
  );
  const let_ = crowd.filter(({ status }) => status === 200);
  assert.equal(let_.length, 5);
  const refused = crowd.find(({ status }) => status === 503)!;
  const { code, message } = await refused.response.json();
  assert.equal(code, "TOO_MANY_CONNECTIONS");
  assert.match(message, /MAX_CONNECTIONS_PER_IP/);
  const others = await Promise.all(
    [2, 3, 4, 5].map((n) => open(`192.0.2.${n}`)),
  );
  assert.deepEqual(others.map(({ status }) => status), [200, 200, 503, 503]);
  for (const { body, response } of [...crowd, ...others]) {
    if (!response.bodyUsed) await body.cancel();
  }
  assert.equal(instances.all[0]!.sessions.sockets, 0);
});

Deno.test("a socket that its peer does not let go counts until it is gone", async () => {
  await using instances = await openInstances({
    env: { MAX_CONNECTIONS_PER_IP: "1" },
  });
  const { sessions } = instances.all[0]!;
  const zombie = new FakeConnection();
  const release = sessions.add(zombie, { ip: IP, bucket: IP });
  zombie.disconnect("SLOW_CONSUMER");
  assert.equal(sessions.size, 0);
  const refused = await instances.ask("/sse?channels=blocks");
  assert.equal(await codeOf(refused), "TOO_MANY_CONNECTIONS");
  release();
  release();
  assert.equal(sessions.sockets, 0);
  const admitted = await instances.ask("/sse?channels=blocks");
  assert.equal(admitted.status, 200);
  await admitted.body!.cancel();
});

Deno.test("one connection may send a burst, then a bounded rate; a batch costs its messages", async () => {
  const clock = new ManualClock();
  await using instances = await openInstances({
    clock,
    env: { RATE_LIMIT_MAX: "1000" },
  });
  const { gate } = instances.all[0]!;
  const guard = gate.guard(VISITOR);
  const user = principal("user");
  for (let i = 0; i < CONNECTION_BURST - 100; i++) {
    assert.equal(guard.admit(user), 0);
  }
  assert.equal(guard.admit(user, 100), 0);
  assert.equal(guard.admit(user), 10);
  // A step of the wall clock fills no budget, and empties none.
  clock.stepWall(3_600_000);
  assert.equal(guard.admit(user), 10);
  clock.stepWall(-7_200_000);
  assert.equal(guard.admit(user), 10);
  assert.equal(guard.admit(principal("publisher"), 1_000), 0);
  clock.advance(10);
  assert.equal(guard.admit(user), 0);
});

Deno.test("where an address may send more, each of its connections may", async () => {
  const clock = new ManualClock();
  await using instances = await openInstances({
    clock,
    env: { RATE_LIMIT_MAX: "12000" },
  });
  const { gate } = instances.all[0]!;
  const guard = gate.guard(VISITOR);
  // 12,000 x 20 messages a minute are 4,000 a second, 1,000 of them for one.
  assert.equal(guard.admit(principal("user"), 10 * CONNECTION_BURST), 0);
  assert.equal(guard.admit(principal("user")), 1);
  clock.advance(1);
  assert.equal(guard.admit(principal("user")), 0);
});

Deno.test("an address may send a bounded number of messages for each request, over all its connections", async () => {
  const LIMIT = 10;
  await using instances = await openInstances({
    env: { RATE_LIMIT_MAX: String(LIMIT) },
    clock: new ManualClock(),
  });
  const { gate } = instances.all[0]!;
  const most = LIMIT * MESSAGES_PER_REQUEST;
  const guards = [1, 2].map(() => gate.guard(VISITOR));
  for (let i = 0; i < most; i++) {
    assert.equal(guards[i % 2]!.admit(ANONYMOUS_PRINCIPAL), 0);
  }
  for (const guard of guards) assert(guard.admit(ANONYMOUS_PRINCIPAL) > 0);
  assert.equal(
    gate.guard({ ...VISITOR, bucket: "192.0.2.2" }).admit(
      ANONYMOUS_PRINCIPAL,
    ),
    0,
  );
});

Deno.test("what a user publishes over HTTP counts as messages too", async () => {
  await using instances = await openInstances({
    env: { RATE_LIMIT_MAX: "5", RATE_LIMIT_WINDOW_MS: "3600000" },
  });
  const messages = Array.from({ length: 60 }, (_, i) => ({
    type: "ROOM_MESSAGE",
    channel: "room:lobby",
    payload: { event: `e${i}` },
  }));
  const init = {
    ...as(await tokenOf("user")),
    method: "POST",
    body: JSON.stringify({ messages }),
  };
  assert.equal((await instances.ask("/api/publish", init)).status, 200);
  const refused = await instances.ask("/api/publish", init);
  assert.match(refused.headers.get("ratelimit")!, /^"messages";r=40;/);
  assert.equal(await codeOf(refused), "RATE_LIMITED");
});

Deno.test("IPv6 neighbours in one /64 share a budget; a forged header changes nothing", async () => {
  await using instances = await openInstances({
    env: { RATE_LIMIT_MAX: "2" },
    clock: new ManualClock(),
  });
  for (const ip of ["2001:db8::1", "2001:db8::ffff:2"]) {
    assert.deepEqual(await statuses(instances, 1, { ip }), [200]);
  }
  assert.deepEqual(await statuses(instances, 1, { ip: "2001:db8::3" }), [429]);
  assert.deepEqual(
    await statuses(instances, 1, { ip: "2001:db8:0:1::1" }),
    [200],
  );
  const forged = (n: number) => ({
    headers: { "x-forwarded-for": `198.51.100.${n}` },
  });
  const seen: number[] = [];
  for (let n = 0; n < 3; n++) {
    seen.push(...await statuses(instances, 1, forged(n)));
  }
  assert.deepEqual(seen, [200, 200, 429]);
});

Deno.test("behind a trusted proxy, each client is its own address", async () => {
  await using instances = await openInstances({
    env: { RATE_LIMIT_MAX: "1", TRUSTED_PROXIES: "10.0.0.0/8" },
    clock: new ManualClock(),
  });
  const from = (forwarded: string) => ({
    ip: "10.1.2.3",
    headers: { "x-forwarded-for": forwarded },
  });
  const seen: number[] = [];
  for (
    const header of [
      "198.51.100.1",
      "198.51.100.2",
      // What the client wrote itself stands on the left.
      "203.0.113.9, 198.51.100.1",
      "198.51.100.2, 10.9.9.9",
    ]
  ) seen.push(...await statuses(instances, 1, from(header)));
  assert.deepEqual(seen, [200, 200, 429, 429]);
});

Deno.test("an open connection lives as long after its token's end as the token is accepted", async () => {
  const clock = new ManualClock();
  await using instances = await openInstances({ clock });
  const now = () => clock.now();
  const token = await tokenOf("user", 60, now);
  const response = await instances.ask("/sse?channels=blocks", as(token));
  assert.equal(response.status, 200);
  const { sessions } = instances.all[0]!;
  assert.equal(
    [...sessions][0]!.session.identity.expiresAt,
    new Date(clock.now() + 60_000).toISOString(),
  );
  clock.advance(60_000 + CLOCK_SKEW_MS - 1);
  assert.equal(sessions.size, 1);
  assert.equal((await instances.ask("/api/channels", as(token))).status, 200);
  clock.advance(1);
  assert.equal(sessions.size, 0);
  const counts = await instances.ask("/api/metrics?type=refusals");
  assert.deepEqual(await counts.json(), { refusals: { TOKEN_EXPIRED: 1 } });
  const late = await instances.ask("/api/channels", as(token));
  assert.equal(await codeOf(late), "TOKEN_EXPIRED");
  await response.body!.cancel();
});

Deno.test("without the store the guards work with their memory, and report it", async () => {
  await using instances = await openInstances({
    env: { RATE_LIMIT_MAX: "3", RATE_LIMIT_WINDOW_MS: "3600000" },
  });
  const { blocks } = instances.all[0]!;
  await blocks.blockIP("192.0.2.66");
  instances.store.isAway = true;
  await assert.rejects(blocks.blockIP("192.0.2.67"), /Holds on this instance/);
  for (const ip of ["192.0.2.66", "192.0.2.67"]) {
    const refused = await instances.ask("/api/metrics", { ip });
    assert.equal(await codeOf(refused), "IP_BLOCKED");
  }
  const seen: number[] = [];
  for (let i = 0; i < 4; i++) {
    const response = await instances.ask("/api/metrics?type=uptime");
    await response.body?.cancel();
    seen.push(response.status);
  }
  assert.deepEqual(seen, [200, 200, 200, 429]);
  const ready = await (await instances.ask("/ready")).json();
  assert.deepEqual([ready.degraded, ready.checks.guards.ok], [true, true]);
  assert.match(ready.checks.guards.detail, /blocks/);
  instances.store.isAway = false;
  await until(async () => {
    const well = await (await instances.ask("/ready")).json();
    assert.equal(well.ready, true);
    return !well.degraded;
  }, "all is well again");
});

Deno.test("answers make browsers do nothing but read them", async () => {
  await using instances = await openInstances();
  const paths = ["/api/channels", "/health", "/nowhere", "/api/admin/blocks"];
  for (const path of paths) {
    const { headers, body } = await instances.ask(path);
    await body?.cancel();
    assert.equal(headers.get("x-content-type-options"), "nosniff", path);
    assert.match(headers.get("content-security-policy")!, /default-src 'none'/);
    assert.equal(headers.get("referrer-policy"), "no-referrer");
  }
});

Deno.test("events at the guards are counted in the measurements, by reason", async () => {
  await using instances = await openInstances();
  await statuses(instances, 3, BAD);
  const { security } = await (await instances.ask("/api/metrics?type=security"))
    .json();
  assert.deepEqual(security, {
    events: [{ kind: "auth_failed", reason: "UNAUTHENTICATED", count: 3 }],
    dropped: 0,
  });
  const { refusals } = await (await instances.ask("/api/metrics?type=refusals"))
    .json();
  assert.equal(refusals.UNAUTHENTICATED, 3);
});

Deno.test("a gate that is closed receives blocks no more", async () => {
  await using instances = await openInstances();
  const { gate, blocks } = instances.all[0]!;
  const client = connect(instances.all[0]!, IP);
  gate[Symbol.dispose]();
  await blocks.blockIP(IP);
  await settle();
  assert.equal(client.ended, undefined);
});

Deno.test("what is read over HTTP is paid in messages, by all but the trusted", async () => {
  const clock = new ManualClock();
  await using instances = await openInstances({
    env: { RATE_LIMIT_MAX: "20" },
    clock,
  });
  const publisher = as(await tokenOf("publisher", "1h", () => clock.now()));
  const data = "x".repeat(60_000);
  const message = {
    type: "ROOM_MESSAGE",
    channel: "room:a",
    payload: { event: "e", data },
  };
  for (let i = 0; i < 10; i++) {
    const response = await instances.ask("/api/publish", {
      method: "POST",
      ...publisher,
      body: JSON.stringify(message),
    });
    assert.equal(response.status, 200);
    await response.body?.cancel();
  }
  const page = async (init: { headers?: Record<string, string> } = {}) => {
    const path = "/api/channels/room:a/history?limit=10";
    const response = await instances.ask(path, init);
    const code = response.ok ? "read" : await codeOf(response.clone());
    await response.body?.cancel();
    return code;
  };
  assert.equal(await page(), "read");
  assert.equal(await page(publisher), "read");
  const user = as(await tokenOf("user", "1h", () => clock.now()));
  const response = await instances.ask("/api/publish", {
    method: "POST",
    ...user,
    body: JSON.stringify(message),
  });
  await response.body?.cancel();
  const price = Math.floor(10 * 60_000 / READ_LENGTH_PER_MESSAGE);
  const left = 20 * MESSAGES_PER_REQUEST - price - 1;
  assert.match(response.headers.get("ratelimit")!, RegExp(`r=${left};`));

  const { gate } = instances.all[0]!;
  gate.guard(VISITOR).spend(principal("user"), left + 1);
  assert.equal(await page(), "RATE_LIMITED");
  assert.equal(await page(publisher), "read");
});

Deno.test("a connection pays for what was done, and waits when that is too much", async () => {
  await using instances = await openInstances({ clock: new ManualClock() });
  const { gate } = instances.all[0]!;
  const guard = gate.guard(VISITOR);
  guard.spend(principal("anonymous"), CONNECTION_BURST + 100);
  assert.equal(guard.admit(principal("anonymous"), 0), 1_000);
  guard.spend(principal("publisher"), 100_000);
  assert.equal(guard.admit(principal("publisher")), 0);
  assert.equal(guard.admit(principal("anonymous"), 0), 1_000);
});
