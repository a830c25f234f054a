import assert from "node:assert/strict";
import { StoreUnusable } from "../../store/store.ts";
import { ManualClock } from "../fakes/clock.ts";
import { openTestService, tokenOf } from "../test_service.ts";
import {
  accepted,
  block,
  history,
  publish,
  refusedWith,
} from "./publishing.ts";

Deno.test("an unknown path is not found", async () => {
  await using service = await openTestService();
  for (const path of ["/nope", "/api", "/api/channels/x", "/health/x"]) {
    const response = await service.request(path);
    assert.equal(response.status, 404, path);
    assert.equal((await response.json()).code, "NOT_FOUND");
  }
});

Deno.test("the WebSocket path explains itself to a plain request", async () => {
  await using service = await openTestService();
  const { message } = await refusedWith(
    await service.request("/ws"),
    "INVALID_MESSAGE",
  );
  assert.match(message, /WebSocket/);
});

Deno.test("the service is alive, and ready when its parts are", async () => {
  await using service = await openTestService();
  const states = async () => {
    const health = await service.request("/health");
    assert.equal(health.status, 200);
    assert.equal((await health.json()).status, "ok");
    const response = await service.request("/ready");
    const { ready, checks } = await response.json();
    assert.equal(response.status, ready ? 200 : 503);
    return { ready, store: checks.store.ok, service: checks.service.ok };
  };
  assert.deepEqual(await states(), { ready: true, store: true, service: true });
  const { getMany } = service.kv;
  service.kv.getMany = () => Promise.reject(new Error("gone"));
  assert.deepEqual(await states(), {
    ready: false,
    store: false,
    service: true,
  });
  service.kv.getMany = getMany;
  assert.deepEqual(await states(), { ready: true, store: true, service: true });
});

Deno.test("a store that can be read but not written makes the service not ready", async () => {
  await using service = await openTestService();
  service.kv.set = () =>
    Promise.reject(new StoreUnusable("the disk of the store is full"));
  const response = await service.request("/ready");
  assert.equal(response.status, 503);
  assert.deepEqual((await response.json()).checks.store, {
    ok: false,
    detail: "the disk of the store is full",
  });
  service.kv.set = () => Promise.reject(new Error("the innermost secret"));
  await using other = await openTestService();
  other.kv.set = service.kv.set;
  const { checks } = await (await other.request("/ready")).json();
  assert.deepEqual(checks.store, {
    ok: false,
    detail: "the log cannot be used",
  });
});

Deno.test("a service that drains accepts no connection, answers requests to the end, and names the time to reconnect", async () => {
  // Its waits end with the test.
  const clock = new ManualClock();
  await using service = await openTestService({ clock });
  const token = await tokenOf("publisher", "1h", () => clock.now());
  await service.drain.begin();
  const refused = await service.request("/ws", {
    headers: { upgrade: "websocket" },
  });
  assert.equal(refused.headers.get("retry-after"), "1");
  await refusedWith(refused, "DRAINING");
  await refusedWith(await service.request("/sse?channels=blocks"), "DRAINING");
  await accepted(await publish(service, block(1), token));
  assert.deepEqual((await history(service, "")).seqs, [1]);
  void service.drain.finish();
  await refusedWith(await publish(service, block(2), token), "DRAINING");
  const ready = await service.request("/ready");
  assert.equal(ready.status, 503);
  assert.equal((await ready.json()).checks.service.detail, "draining");
});

Deno.test("a lost store is reported, without its details", async () => {
  await using service = await openTestService();
  const { getMany } = service.kv;
  service.kv.getMany = () => Promise.reject(new Error("the innermost secret"));
  const response = await service.request("/api/channels");
  service.kv.getMany = getMany;
  const { message } = await refusedWith(response, "STORE_UNAVAILABLE");
  assert(!message.includes("secret"));
});

Deno.test("a bug is reported, and its caller learns nothing of it", async () => {
  await using service = await openTestService();
  service.hub.publish = () => Promise.reject(new TypeError("innermost secret"));
  const { message } = await refusedWith(
    await publish(service, block(1), await tokenOf("publisher")),
    "INTERNAL",
  );
  assert(!message.includes("secret"));
  assert.match(JSON.stringify(service.bugs), /TypeError: innermost secret/);
});

Deno.test("callers without a token are limited by address, publishers are not", async () => {
  await using service = await openTestService({ env: { RATE_LIMIT_MAX: "3" } });
  for (let i = 0; i < 3; i++) {
    assert.equal((await service.request("/api/channels")).status, 200);
  }
  const response = await service.request("/api/channels");
  assert(Number(response.headers.get("retry-after")) >= 1);
  await refusedWith(response, "RATE_LIMITED");
  const other = await service.request("/api/channels", {}, "192.0.2.2");
  assert.equal(other.status, 200);
  await other.body?.cancel();
  await accepted(await publish(service, block(1), await tokenOf("publisher")));
});

Deno.test("a blocked address is refused, with the reason", async () => {
  await using service = await openTestService();
  await service.blocks.blockIP("192.0.2.1", { reason: "a test", by: "test" });
  const { message } = await refusedWith(
    await service.request("/api/channels"),
    "IP_BLOCKED",
  );
  assert.match(message, /a test/);
  assert.equal(
    (await service.request("/api/channels", {}, "192.0.2.9")).status,
    200,
  );
});

Deno.test("only an admin's token opens the admin routes", async () => {
  await using service = await openTestService();
  const ask = async (token?: string) =>
    await service.request("/api/admin/blocks", {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
  await refusedWith(await ask(), "UNAUTHENTICATED");
  await refusedWith(await ask(await tokenOf("publisher")), "FORBIDDEN");
  const response = await ask(await tokenOf("admin"));
  const { blocks } = await response.json();
  assert.deepEqual(blocks, []);
});

Deno.test("pages of other origins may not connect where origins are named", async () => {
  await using service = await openTestService({
    env: { ALLOWED_ORIGINS: "https://app.example" },
  });
  const upgrade = (origin: string) =>
    service.request("/ws", { headers: { upgrade: "websocket", origin } });
  await refusedWith(await upgrade("https://evil.example"), "FORBIDDEN");
  const allowed = (origin: string) =>
    service.request("/api/channels", { headers: { origin } })
      .then(async (response) => {
        await response.body?.cancel();
        return response.headers.get("access-control-allow-origin");
      });
  assert.equal(await allowed("https://app.example"), "https://app.example");
  assert.equal(await allowed("https://evil.example"), null);
});

Deno.test("where a token is required, callers without one learn nothing", async () => {
  await using service = await openTestService({
    env: { REQUIRE_AUTH: "true" },
  });
  const paths = [
    "/api/channels",
    "/api/channels/blocks/history",
    "/sse?channels=blocks",
  ];
  for (const path of paths) {
    await refusedWith(await service.request(path), "UNAUTHENTICATED");
    const response = await service.request(path, {
      headers: { authorization: `Bearer ${await tokenOf("user")}` },
    });
    assert.equal(response.status, 200, path);
    await response.body?.cancel();
  }
  // Load balancers have no tokens.
  assert.equal((await service.request("/health")).status, 200);
});

Deno.test("a token in the URL is refused, not used", async () => {
  await using service = await openTestService();
  const token = await tokenOf("admin");
  const response = await service.request(`/api/channels?token=${token}`);
  const { message } = await refusedWith(response, "INVALID_MESSAGE");
  assert(!message.includes(token));
});

Deno.test("measurements are served over HTTP", async () => {
  await using service = await openTestService();
  const response = await service.request("/api/metrics");
  const report = await response.json();
  assert.equal(report.connectionStats.activeConnections, 0);
  assert.equal(typeof report.eventDeliveryTime.p99, "number");
});
