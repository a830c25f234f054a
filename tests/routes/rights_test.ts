/**
 * The table of rights, asked at every route and verb that there is.
 */
import assert from "node:assert/strict";
import { decodePublications } from "../../protocol/decode.ts";
import type { JsonObject } from "../../describe/json_schema.ts";
import { COMMANDS } from "../../protocol/commands.ts";
import { RIGHTS, VERB_RIGHTS } from "../../security/rights.ts";
import { generateWebSocketToken } from "../../security/tokens.ts";
import { listen, openTestService, SECRET, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";

const ASSET = {
  body: new TextEncoder().encode("x"),
  type: "text/html; charset=utf-8",
  etag: '"1"',
};
const PAGES = ["/", "/docs", "/admin", "/client.js", "/admin.html"];
const ASSETS = new Map(
  ["/index.html", "/explorer.html", "/docs.html", "/admin.html", "/client.js"]
    .map((path) => [path, ASSET]),
);
/** Open to callers without a token where one is required. */
const OPEN = new Set([
  ...PAGES,
  "/block/x",
  "/tx/x",
  "/address/x",
  "/index.html",
  "/explorer.html",
  "/docs.html",
  "/health",
  "/ready",
]);

interface Door {
  readonly method: string;
  readonly path: string;
}

/** Every route of the app, as a request to it. */
function doorsOf({ app }: TestService): Door[] {
  const doors = app.routes.filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => ({
      method: method.toUpperCase(),
      path: path.replace(":channel", "blocks").replace(/:\w+(\{[^}]*\})?/, "x"),
    }));
  assert(doors.length >= 25, "the walk lost its way");
  return doors.map((door) =>
    door.path === "/sse" ? { ...door, path: "/sse?channels=blocks" } : door
  );
}

async function knock(
  service: TestService,
  { method, path }: Door,
  token?: string,
): Promise<{ status: number; text: string }> {
  const response = await service.request(path, {
    method,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    ...(method === "POST" ? { body: "{}" } : {}),
  });
  if (response.headers.get("content-type")?.startsWith("text/event-stream")) {
    await response.body?.cancel();
    return { status: response.status, text: "" };
  }
  return { status: response.status, text: await response.text() };
}

Deno.test("where a token is required, every route of the app asks for it", async () => {
  await using service = await openTestService({
    env: { REQUIRE_AUTH: "true" },
    assets: ASSETS,
  });
  const user = await tokenOf("user");
  for (const door of doorsOf(service)) {
    const name = `${door.method} ${door.path}`;
    const [path] = door.path.split("?");
    const { status } = await knock(service, door);
    // A socket authenticates once it is open.
    const isSocket = path === "/ws" || path === "/socket.io/";
    if (isSocket) assert.equal(status, 400, name);
    else if (OPEN.has(path!)) assert.equal(status, 200, name);
    // Open too, and nothing by that name.
    else if (path === "/dictionary/x") assert.equal(status, 404, name);
    else assert.equal(status, 401, name);
    const known = await knock(service, door, user);
    assert.notEqual(known.status, 401, name);
    assert.equal(known.status === 403, path!.startsWith("/api/admin"), name);
  }
  assert.deepEqual(service.bugs, []);
});

Deno.test("operators' routes take an admin's token and no other", async () => {
  await using service = await openTestService();
  const doors = doorsOf(service).filter(({ path }) => path.includes("/admin/"));
  assert(doors.length >= 11);
  for (const door of doors) {
    const name = `${door.method} ${door.path}`;
    assert.equal((await knock(service, door)).status, 401, name);
    for (const role of ["user", "publisher"] as const) {
      const { status } = await knock(service, door, await tokenOf(role));
      assert.equal(status, 403, name);
    }
    const { status } = await knock(service, door, await tokenOf("admin"));
    assert(![401, 403].includes(status), name);
  }
});

/** A service with events and subscribers in rooms and on `blocks`. */
async function populated(): Promise<TestService> {
  const service = await openTestService({ assets: ASSETS });
  const token = await tokenOf("user");
  for (const room of ["room:secret", "room:only-this"]) {
    const text = JSON.stringify({
      type: "ROOM_MESSAGE",
      channel: room,
      payload: { event: "e" },
    });
    await service.hub.publish(decodePublications(text, 1_000));
    const response = await service.request(`/sse?channels=${room}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(response.status, 200);
  }
  return service;
}

async function leave({ sessions }: TestService): Promise<void> {
  await sessions.disconnect("FORBIDDEN", () => "done");
}

Deno.test("a token for one room learns nothing of other channels, at no route", async () => {
  await using service = await populated();
  const token = await generateWebSocketToken(
    { userId: "u", role: "publisher", read: ["room:only-this"], publish: [] },
    SECRET,
    "1h",
  );
  for (const door of doorsOf(service)) {
    const name = `${door.method} ${door.path}`;
    const { status, text } = await knock(service, door, token);
    assert(!text.includes("room:secret"), name);
    if (door.path.includes("metrics")) assert.equal(status, 403, name);
    if (door.path.includes("history")) assert.equal(status, 403, name);
    if (door.path.startsWith("/sse")) assert.equal(status, 403, name);
  }
  const seen = await knock(
    service,
    { method: "GET", path: "/api/channels" },
    token,
  );
  assert.deepEqual(JSON.parse(seen.text), { channels: [], instances: [] });
  await leave(service);
});

Deno.test("names of rooms are for callers with a token that covers them", async () => {
  await using service = await populated();
  const subscribers = async (path: string, token?: string) => {
    const { text } = await knock(service, { method: "GET", path }, token);
    const { cluster, instances } = JSON.parse(text);
    return Object.keys((cluster ?? instances[0]).subscribers)
      .filter((name) => name.startsWith("room:")).toSorted();
  };
  const some = await generateWebSocketToken(
    { userId: "u", role: "user", read: ["metrics", "room:only-*"] },
    SECRET,
    "1h",
  );
  for (const path of ["/api/channels", "/api/metrics?type=cluster"]) {
    assert.deepEqual(await subscribers(path), [], path);
    assert.deepEqual(await subscribers(path, some), ["room:only-this"], path);
    assert.deepEqual(
      await subscribers(path, await tokenOf("user")),
      ["room:only-this", "room:secret"],
      path,
    );
  }
  const { text } = await knock(service, { method: "GET", path: "/metrics" });
  assert(!text.includes("room:"));
  await leave(service);
});

Deno.test("every verb has its row, and what is public is so over HTTP as well", async () => {
  const verbs = [...Object.keys(COMMANDS), "publish", "test"];
  assert.deepEqual(Object.keys(VERB_RIGHTS).toSorted(), verbs.toSorted());
  await using service = await openTestService();
  const document: JsonObject = await (await service.request("/openapi.json"))
    .json();
  const operations = Object.values(document["paths"] as JsonObject)
    .flatMap((path) => Object.values(path as JsonObject)) as JsonObject[];
  const needing = operations.filter((it) => it["x-role"] !== undefined);
  assert.deepEqual(
    [...new Set(needing.map((it) => it["x-role"]))].toSorted(),
    [RIGHTS.operate.role, RIGHTS.publish.role],
  );
});

/** One socket of a service on a port, asked verb by verb. */
async function withSocket(
  env: Record<string, string>,
  work: (
    ask: (
      type: string,
      payload: unknown,
      channel?: string,
    ) => Promise<{ type: string; payload: Record<string, unknown> }>,
  ) => Promise<void>,
): Promise<void> {
  await using service = await openTestService({ env });
  await using server = listen(service);
  const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/ws`);
  const waiting = new Map<string, (frame: never) => void>();
  const opened = Promise.withResolvers<unknown>();
  const closed = Promise.withResolvers<unknown>();
  socket.onopen = opened.resolve;
  socket.onclose = closed.resolve;
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    waiting.get(frame.ref ?? frame.id)?.(frame as never);
  };
  await opened.promise;
  let n = 0;
  try {
    await work((type, payload, channel) => {
      const { promise, resolve } = Promise.withResolvers<never>();
      const id = `${n++}`;
      waiting.set(id, resolve);
      socket.send(
        JSON.stringify({ type, id, payload, ...(channel ? { channel } : {}) }),
      );
      return promise;
    });
    assert.deepEqual(service.bugs, []);
  } finally {
    socket.close();
    await closed.promise;
  }
}

const VERBS: readonly (readonly [string, unknown, string?])[] = [
  ["subscribe", {
    channels: ["blocks", {
      channel: "transactions",
      as: "mine",
      filter: { address: [] },
    }],
  }],
  ["unsubscribe", { channels: ["blocks"] }],
  ["watch", { as: "mine", add: ["0xa"] }],
  ["refresh", { token: "a.b.c" }],
  ["request_metrics", {}],
  ["request_data", { key: "block:1" }],
  ["query", { channel: "blocks" }],
  ["block", { block: "1" }],
  ["track", { txId: "x" }],
  ["ROOM_MESSAGE", { event: "e" }, "room:a"],
  ["TEST", { message: "m" }],
];

Deno.test("where a token is required, a socket without one may greet, and nothing else", async () => {
  assert.equal(VERBS.length, Object.keys(VERB_RIGHTS).length - 2);
  await withSocket({ REQUIRE_AUTH: "true" }, async (ask) => {
    for (const [type, payload, channel] of VERBS) {
      const answer = await ask(type, payload, channel);
      assert.equal(answer.payload["code"], "UNAUTHENTICATED", type);
    }
    assert.equal((await ask("ping", {})).type, "pong");
    const bare = await ask("connect", {});
    assert.equal(bare.payload["code"], "UNAUTHENTICATED");
    const token = await tokenOf("user");
    assert.equal((await ask("connect", { auth: { token } })).type, "connected");
    for (const [type, payload, channel] of VERBS) {
      const answer = await ask(type, payload, channel);
      const isBadToken = type === "refresh";
      assert.equal(answer.type === "error", isBadToken, type);
    }
  });
});

Deno.test("a token for one room is refused measurements and other channels by every verb", async () => {
  const token = await generateWebSocketToken(
    { userId: "u", role: "publisher", read: ["room:only-this"], publish: [] },
    SECRET,
    "1h",
  );
  await withSocket({}, async (ask) => {
    await ask("connect", { auth: { token } });
    const asks = [
      ["request_metrics", {}],
      ["request_metrics", { type: "cluster" }],
      ["request_data", { key: "block:1" }],
      ["request_data", { key: "channel:room:secret" }],
      ["query", { channel: "room:secret" }],
      ["block", { block: "1" }],
      ["track", { txId: "x" }],
    ] as const;
    for (const [type, payload] of asks) {
      const answer = await ask(type, payload);
      assert.equal(answer.payload["code"], "FORBIDDEN", type);
    }
    const { payload } = await ask("subscribe", {
      channels: ["room:secret", "metrics", "room:only-this"],
    });
    assert.deepEqual(payload["rejected"], [
      { channel: "room:secret", code: "FORBIDDEN" },
      { channel: "metrics", code: "FORBIDDEN" },
    ]);
  });
});
