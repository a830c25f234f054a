import assert from "node:assert/strict";
import type { RefusalCode } from "../../protocol/refusals.ts";
import { REFUSALS } from "../../protocol/refusals.ts";
import { ROLES } from "../../protocol/channels.ts";
import { MAX_BLOCK_MS } from "../../security/block_list.ts";
import { tokenOf } from "../test_service.ts";
import {
  connect,
  FakeConnection,
  IP,
  openInstances,
} from "../system/instances.ts";
import type { Instances } from "../system/instances.ts";
import { until } from "../until.ts";

const BAD_IP = "203.0.113.7";

/** Asks as an admin, and reads the answer. */
async function ask(
  instances: Instances,
  method: string,
  path: string,
  body?: unknown,
  of = 0,
  // deno-lint-ignore no-explicit-any -- answers are looked into freely.
): Promise<{ status: number; body: any }> {
  const response = await instances.ask(`/api/admin/${path}`, {
    of,
    method,
    headers: { authorization: `Bearer ${await tokenOf("admin")}` },
    ...(body === undefined
      ? {}
      : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

async function refused(
  answer: Promise<{ status: number; body: { code: string; message: string } }>,
  code: RefusalCode,
  message = /./,
): Promise<void> {
  const { status, body } = await answer;
  assert.equal(body.code, code, JSON.stringify(body));
  assert.equal(status, REFUSALS[code].http);
  assert.match(body.message, message);
}

Deno.test("only an admin gets past any admin door, even one that is not there", async () => {
  await using instances = await openInstances();
  const doors = [
    ["GET", "blocks"],
    ["POST", "blocks"],
    ["DELETE", "blocks/1.2.3.4"],
    ["GET", "sessions"],
    ["DELETE", "sessions/x"],
    ["GET", "rooms"],
    ["GET", "effects?user=x"],
    ["DELETE", "revocations/user/x"],
    ["GET", "revocations"],
    ["POST", "revocations"],
    ["GET", "events"],
    ["GET", "nothing"],
  ] as const;
  for (const [method, path] of doors) {
    const url = `/api/admin/${path}`;
    const anonymous = await instances.ask(url, { method });
    await anonymous.body?.cancel();
    assert.equal(anonymous.status, 401, url);
    assert.equal(anonymous.headers.get("www-authenticate"), "Bearer");
    for (const role of ROLES.filter((role) => role !== "admin")) {
      const headers = { authorization: `Bearer ${await tokenOf(role)}` };
      const response = await instances.ask(url, { method, headers });
      await response.body?.cancel();
      assert.equal(response.status, 403, `${role} at ${url}`);
    }
  }
  assert.equal((await ask(instances, "GET", "nothing")).status, 404);
});

Deno.test("an operator blocks a network, sees the block, and lifts it", async () => {
  await using instances = await openInstances({ count: 2 });
  const client = connect(instances.all[1]!, BAD_IP);
  const request = { ip: "203.0.113.0/24", reason: "scanner", forMs: 60_000 };
  const { status, body } = await ask(instances, "POST", "blocks", request);
  assert.equal(status, 201);
  const { ip, reason, by, since, until: end, level } = body.block;
  assert.deepEqual(
    { ip, reason, by, forMs: end - since, level },
    { ...request, by: "admin", level: 0 },
  );
  await until(() => client.ended !== undefined, "the other instance knows");
  assert.equal(client.ended!.code, "IP_BLOCKED");
  const there = await instances.ask("/api/channels", { ip: BAD_IP, of: 1 });
  assert.equal(there.status, 403);
  assert.match((await there.json()).message, /scanner/);
  const listed = await ask(instances, "GET", "blocks", undefined, 1);
  assert.deepEqual(listed.body, {
    blocks: [body.block],
    total: 1,
    matched: 1,
    next: null,
  });

  assert.deepEqual(
    await ask(instances, "DELETE", "blocks/203.0.113.7"),
    { status: 404, body: { removed: false } },
  );
  const path = `blocks/${encodeURIComponent("203.0.113.0/24")}`;
  assert.deepEqual(
    await ask(instances, "DELETE", path),
    { status: 200, body: { removed: true } },
  );
  const back = await instances.ask("/api/channels", { ip: BAD_IP });
  await back.body?.cancel();
  assert.equal(back.status, 200);
  const spelled = "2001:0db8:0000::/32";
  await ask(instances, "POST", "blocks", { ip: spelled });
  assert.equal(
    (await ask(instances, "DELETE", `blocks/${spelled}`)).status,
    200,
  );
});

Deno.test("an operator who blocks its own address can lift the block again", async () => {
  await using instances = await openInstances({
    env: { ALLOWED_IPS: "198.51.100.0/24" },
  });
  const block = (body: unknown) => ask(instances, "POST", "blocks", body);
  assert.equal((await block({ ip: IP })).status, 201);
  const outside = await instances.ask("/api/channels", { ip: IP });
  await outside.body?.cancel();
  assert.equal(outside.status, 403);
  const anonymous = await instances.ask("/api/admin/blocks", { ip: IP });
  await anonymous.body?.cancel();
  assert.equal(anonymous.status, 401);
  assert.equal((await ask(instances, "DELETE", `blocks/${IP}`)).status, 200);

  await refused(block({ ip: "198.51.100.9" }), "FORBIDDEN", /allow-list/);
  await refused(block({ ip: "8.0.0.0/7" }), "INVALID_PAYLOAD", /wider/);
  assert.deepEqual((await ask(instances, "GET", "blocks")).body.blocks, []);
});

Deno.test("a wrong request is answered with what is wrong", async () => {
  await using instances = await openInstances();
  const post = (path: string, body: unknown) =>
    ask(instances, "POST", path, body);
  await refused(post("blocks", "{"), "INVALID_JSON");
  await refused(
    post("blocks", { ip: "x".repeat(20_000) }),
    "MESSAGE_TOO_LARGE",
  );
  await refused(post("blocks", {}), "INVALID_PAYLOAD");
  await refused(
    post("blocks", { ip: "nowhere" }),
    "INVALID_PAYLOAD",
    /neither/,
  );
  await refused(post("blocks", { ip: BAD_IP, forMs: 0 }), "INVALID_PAYLOAD");
  await refused(
    post("blocks", { ip: BAD_IP, forMs: MAX_BLOCK_MS + 1 }),
    "INVALID_PAYLOAD",
    /forMs/,
  );
  await refused(post("blocks", { ip: BAD_IP, colour: 1 }), "INVALID_PAYLOAD");
  await refused(post("revocations", {}), "INVALID_PAYLOAD");
  await refused(
    post("revocations", { user: "a", tokenId: "b" }),
    "INVALID_PAYLOAD",
  );
  for (const limit of ["0", "1001", "x", "1.5"]) {
    await refused(
      ask(instances, "GET", `events?limit=${limit}`),
      "INVALID_PAYLOAD",
      /1 to 1000/,
    );
  }
  const { body } = await post("blocks", { forMs: "long" });
  assert.deepEqual(
    body.issues.map(({ path }: { path: string }) => path),
    ["ip", "forMs"],
  );
});

Deno.test("who is connected where is listed, and one is sent away", async () => {
  await using instances = await openInstances({ count: 2 });
  const near = connect(instances.all[0]!, IP, new FakeConnection("alice"));
  const far = connect(instances.all[1]!, BAD_IP, new FakeConnection("bob"));
  let listed: { id: string; user: string; ip: string }[] = [];
  // The instances find each other through the store.
  for (let i = 0; i < 100; i++) {
    const { body } = await ask(instances, "GET", "sessions?sort=user");
    listed = body.sessions;
    if (listed.length === 2) {
      assert.equal(body.complete, true);
      break;
    }
  }
  assert.deepEqual(
    listed.map(({ id, user, ip }) => ({ id, user, ip })),
    [
      { id: far.id, user: "bob", ip: BAD_IP },
      { id: near.id, user: "alice", ip: IP },
    ],
  );
  const { status } = await ask(instances, "DELETE", `sessions/${far.id}`);
  assert.equal(status, 202);
  await until(() => far.ended !== undefined, "bob is sent away");
  assert.equal(near.ended, undefined);
});

Deno.test("a revoked user is out everywhere, and in again with a token issued later", async () => {
  await using instances = await openInstances({ count: 2 });
  const token = await tokenOf("user");
  const headers = { authorization: `Bearer ${token}` };
  const use = async (of: number) => {
    const response = await instances.ask("/api/channels", { headers, of });
    return { status: response.status, ...await response.json() };
  };
  assert.equal((await use(1)).status, 200);
  const { status, body } = await ask(instances, "POST", "revocations", {
    user: "user",
    reason: "left the company",
  });
  assert.equal(status, 201);
  const { kind, id, by, reason } = body.revocation;
  assert.deepEqual(
    { kind, id, by, reason },
    { kind: "user", id: "user", by: "admin", reason: "left the company" },
  );
  for (const instance of [0, 1]) {
    let answer = await use(instance);
    while (answer.status === 200) answer = await use(instance);
    assert.deepEqual(
      [answer.code, answer.message],
      ["UNAUTHENTICATED", "Token has been revoked"],
    );
  }
  const listed = await ask(instances, "GET", "revocations", undefined, 1);
  assert.deepEqual(listed.body.revocations, [body.revocation]);
  const later = await tokenOf("user", "1h", () => Date.now() + 1_000);
  const again = await instances.ask("/api/channels", {
    headers: { authorization: `Bearer ${later}` },
  });
  await again.body?.cancel();
  assert.equal(again.status, 200);
});

Deno.test("a revocation need not be remembered longer than its token", async () => {
  await using instances = await openInstances();
  const expiresAt = Date.now() + 3_600_000;
  const { body } = await ask(instances, "POST", "revocations", {
    tokenId: "t1",
    expiresAt,
  });
  assert.equal(body.revocation.until, expiresAt + 30_000);
});

Deno.test("what operators do is on record with their names, what was refused too", async () => {
  await using instances = await openInstances({ count: 2 });
  await ask(instances, "POST", "blocks", { ip: BAD_IP, reason: "loud" });
  await ask(instances, "POST", "blocks", { ip: "nowhere" });
  await ask(instances, "DELETE", `blocks/${BAD_IP}`);
  await ask(instances, "POST", "revocations", { user: "mallory" });
  await ask(instances, "DELETE", "sessions/s1");
  const bad = { headers: { authorization: "Bearer a.b.c" } };
  await (await instances.ask("/api/channels", bad)).body?.cancel();
  const { body } = await ask(instances, "GET", "events?limit=100");
  const reported = body.events.map(
    ({ at: _, lastAt: __, count, ...event }: Record<string, unknown>) => {
      assert.equal(count, 1);
      return event;
    },
  );
  assert.deepEqual(reported.reverse(), [
    {
      kind: "blocked",
      reason: "done",
      ip: BAD_IP,
      by: "admin",
      detail: "loud",
    },
    {
      kind: "refused",
      reason: "INVALID_PAYLOAD",
      ip: "nowhere",
      by: "admin",
      detail: "blocked",
    },
    { kind: "unblocked", reason: "done", ip: BAD_IP, by: "admin" },
    { kind: "revoked", reason: "done", by: "admin", detail: "user mallory" },
    { kind: "admin", reason: "done", by: "admin", detail: "disconnect s1" },
    {
      kind: "auth_failed",
      reason: "UNAUTHENTICATED",
      ip: IP,
      detail: "Token is malformed",
    },
  ]);
  assert(body.counts.some(({ kind }: { kind: string }) => kind === "revoked"));
  const shared = await ask(instances, "GET", "events?limit=1", undefined, 1);
  assert.equal(shared.body.events.length, 1);
});

Deno.test("events are everyone's, counts are those of the instance that is named", async () => {
  await using instances = await openInstances({ count: 2 });
  await ask(instances, "POST", "revocations", { user: "mallory" });
  const kinds = (some: { kind: string }[]) => some.map(({ kind }) => kind);
  // Who acted is asked first: it then writes its events.
  for (const [of, counted] of [[0, ["revoked"]], [1, []]] as const) {
    const { body } = await ask(instances, "GET", "events", undefined, of);
    assert.equal(body.instance, instances.all[of]!.isolate);
    assert.deepEqual(kinds(body.events), ["revoked"]);
    assert.deepEqual(kinds(body.counts), counted);
  }
});

Deno.test("a block made while the store is away holds here, and is on record", async () => {
  await using instances = await openInstances();
  instances.store.isAway = true;
  await refused(
    ask(instances, "POST", "blocks", { ip: BAD_IP }),
    "STORE_UNAVAILABLE",
    /this instance/,
  );
  await refused(ask(instances, "GET", "events"), "STORE_UNAVAILABLE");
  assert.equal((await instances.ask("/sse", { ip: BAD_IP })).status, 403);
  instances.store.isAway = false;
  const { body } = await ask(instances, "GET", "events");
  const [event] = body.events;
  assert.deepEqual(
    [event.kind, event.reason, event.ip],
    ["blocked", "STORE_UNAVAILABLE", BAD_IP],
  );
});

Deno.test("orders that are not understood, or of others, are on record as refused", async () => {
  await using instances = await openInstances();
  const silence = (type: string) =>
    ask(instances, "POST", "alerts/silences", { type, forMs: 1_000 });
  await ask(instances, "POST", "blocks", { address: BAD_IP });
  await silence("memory");
  await silence("nonsense");
  await ask(instances, "DELETE", "alerts/silences/memory");
  const user = { authorization: `Bearer ${await tokenOf("user")}` };
  for (const method of ["POST", "GET"]) {
    const init = { method, headers: user };
    const refused = await instances.ask("/api/admin/revocations", init);
    await refused.body?.cancel();
    assert.equal(refused.status, 403);
  }
  // Noise of callers without a token is no order.
  const noise = await instances.ask("/api/admin/blocks", { method: "POST" });
  await noise.body?.cancel();
  const facts = async (query: string) => {
    const { body } = await ask(instances, "GET", `events?${query}`);
    return body.events.map((event: Record<string, unknown>) => [
      event["kind"],
      event["reason"],
      event["by"] ?? event["user"],
      event["detail"],
    ]).reverse();
  };
  const all = await facts("limit=100");
  // A caller who may give no orders cannot fill the record of those who may.
  assert.deepEqual(
    await facts("orders=true"),
    all.filter(([, , who]: string[]) => who === "admin"),
  );
  assert.deepEqual(
    all,
    [
      ["refused", "INVALID_PAYLOAD", "admin", "POST /api/admin/blocks"],
      ["admin", "done", "admin", "silence memory for 1000 ms"],
      [
        "refused",
        "INVALID_PAYLOAD",
        "admin",
        "admin silence nonsense for 1000 ms",
      ],
      ["admin", "done", "admin", "unsilence memory"],
      ["refused", "FORBIDDEN", "user", "POST /api/admin/revocations"],
    ],
  );
});

Deno.test("an order shows the sessions it would reach, the operator's too, before it is given", async () => {
  await using instances = await openInstances({
    count: 2,
    env: { ALLOWED_IPS: "198.51.100.0/24" },
  });
  for (let i = 0; i < 5; i++) connect(instances.all[i % 2]!, BAD_IP);
  connect(instances.all[0]!, IP);
  const effect = async (query: string) => {
    const { status, body } = await ask(instances, "GET", `effects?${query}`);
    return { status, ...body };
  };
  const reached = (sessions: number, reachesYou: boolean) => ({
    status: 200,
    sessions,
    reachesYou,
    complete: true,
  });
  assert.deepEqual(await effect(`ip=${BAD_IP}`), reached(5, false));
  assert.deepEqual(await effect("ip=203.0.112.0/23"), reached(5, false));
  assert.deepEqual(await effect(`ip=${IP}`), reached(1, true));
  connect(instances.all[1]!, "2001:db8:1:2::5");
  assert.deepEqual(await effect("ip=2001:db8:1:2::9"), reached(1, false));
  assert.deepEqual(await effect("ip=2001:db8:1:2::9/128"), reached(0, false));
  assert.deepEqual(await effect("user=admin"), reached(0, true));
  assert.deepEqual(await effect("user=mallory"), reached(0, false));
  assert.deepEqual(await effect("tokenId=none"), reached(0, false));
  for (
    const [query, code] of [
      ["", "INVALID_PAYLOAD"],
      ["ip=1.2.3.4&user=x", "INVALID_PAYLOAD"],
      ["ip=nowhere", "INVALID_PAYLOAD"],
      ["ip=8.0.0.0/7", "INVALID_PAYLOAD"],
      ["ip=198.51.100.9", "FORBIDDEN"],
    ] as const
  ) {
    await refused(ask(instances, "GET", `effects?${query}`), code);
  }
  assert.equal((await ask(instances, "GET", "blocks")).body.total, 0);
});

Deno.test("a revocation is taken back on every instance, once", async () => {
  await using instances = await openInstances({ count: 2 });
  const token = await tokenOf("user");
  const status = async (of: number) => {
    const response = await instances.ask("/api/channels", {
      of,
      headers: { authorization: `Bearer ${token}` },
    });
    await response.body?.cancel();
    return response.status;
  };
  await ask(instances, "POST", "revocations", { user: "user" });
  await until(async () => await status(1) === 401, "it is revoked there too");
  assert.deepEqual(
    await ask(instances, "DELETE", "revocations/user/user"),
    { status: 200, body: { removed: true } },
  );
  assert.equal(await status(0), 200);
  await until(async () => await status(1) === 200, "it is restored there too");
  assert.deepEqual(
    await ask(instances, "DELETE", "revocations/user/user"),
    { status: 404, body: { removed: false } },
  );
  await refused(
    ask(instances, "DELETE", "revocations/role/user"),
    "INVALID_PAYLOAD",
    /token or user/,
  );
  const { body } = await ask(instances, "GET", "events?orders=true");
  assert(
    body.events.some((it: { detail?: string }) =>
      it.detail === "restore user user"
    ),
    "the order is on record",
  );
});

Deno.test("lists of operators are answered in pages", async () => {
  await using instances = await openInstances();
  for (let i = 0; i < 5; i++) {
    await ask(instances, "POST", "blocks", { ip: `203.0.113.${i}` });
    await ask(instances, "POST", "revocations", { user: `user${i}` });
    connect(instances.all[0]!, `203.0.114.${i}`);
  }
  const lists = [
    ["blocks", "203.0.113.3"],
    ["revocations", "user3"],
    ["sessions", "203.0.114.3"],
  ] as const;
  for (const [name, search] of lists) {
    const page = async (query: string) =>
      (await ask(instances, "GET", `${name}?${query}`)).body;
    const seen = new Set<string>();
    let after = "";
    for (const length of [2, 2, 1]) {
      const body = await page(`limit=2${after && `&after=${after}`}`);
      assert.equal(body[name].length, length);
      assert.equal(body.total, 5);
      for (const row of body[name]) seen.add(JSON.stringify(row));
      after = body.next;
    }
    assert.equal(after, null);
    assert.equal(seen.size, 5, name);
    const found = await page(`search=${search}`);
    assert.deepEqual([found.matched, found[name].length], [1, 1]);
    for (const query of ["limit=0", "limit=1001", "after=x", "sort=colour"]) {
      await refused(
        ask(instances, "GET", `${name}?${query}`),
        "INVALID_PAYLOAD",
      );
    }
  }
});
