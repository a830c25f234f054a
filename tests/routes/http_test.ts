/**
 * HTTP to the letter: methods, arguments, headers, and what a client that
 * breaks off leaves behind. On a port wherever the platform takes part.
 */
import assert from "node:assert/strict";
import { connect as dial } from "node:net";
import { Hono } from "hono";
import { healthRoutes, MAX_LOOKS_PER_SECOND } from "../../routes/health.ts";
import type { Env } from "../../routes/http.ts";
import { mount } from "../../routes/route.ts";
import { Bodies } from "../../routes/bodies.ts";
import { Gzip } from "../../routes/gzip.ts";
import { Unread } from "../../routes/unread.ts";
import { ManualClock } from "../fakes/clock.ts";
import { readAssets } from "../../routes/pages.ts";
import { listen, openTestService, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";
import { openInstances } from "../system/instances.ts";
import { MAX_VIOLATIONS } from "../../security/block_list.ts";

const ASSET = {
  body: new TextEncoder().encode("<!DOCTYPE html><p>page"),
  type: "text/html; charset=utf-8",
  etag: '"1"',
};
const ASSETS = new Map(
  ["/index.html", "/docs.html", "/admin.html", "/client.js"]
    .map((path) => [path, ASSET]),
);

/** The service on a port. */
async function serve() {
  const service = await openTestService({ assets: ASSETS });
  const server = listen(service);
  const { port } = server.addr;
  return {
    service,
    port,
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await service[Symbol.asyncDispose]();
    },
  };
}

/** What a server answers to some text, until it closes or the answer ends. */
async function say(port: number, text: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(text));
  const buffer = new Uint8Array(65_536);
  const read = await connection.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, read ?? 0));
}

async function refusedWith(response: Response, code: string): Promise<string> {
  const body = await response.json();
  assert.equal(body.code, code, JSON.stringify(body));
  return body.message;
}

/** The paths of all routes that answer `GET`. */
function pathsOf({ app }: TestService): string[] {
  const paths = app.routes.filter(({ method }) => method === "GET")
    .map(({ path }) => path.replace(":channel", "blocks"));
  assert(paths.length > 15);
  return [...new Set(paths)];
}

Deno.test("HEAD answers as GET does, its length too, and opens nothing", async () => {
  await using server = await serve();
  const { service, url } = server;
  const headers = {
    authorization: `Bearer ${await tokenOf("admin")}`,
    // The length is that of the body as it is sent.
    "accept-encoding": "identity",
  };
  for (const path of pathsOf(service)) {
    const query = path === "/sse" ? "?channels=blocks" : "";
    const head = await fetch(`${url}${path}${query}`, {
      method: "HEAD",
      headers,
    });
    assert.equal(await head.text(), "");
    const get = await fetch(`${url}${path}${query}`, { headers });
    assert.equal(head.status, get.status, path);
    const type = get.headers.get("content-type");
    assert.equal(head.headers.get("content-type"), type, path);
    if (path === "/sse") {
      await get.body!.cancel();
      continue;
    }
    const { byteLength } = await get.arrayBuffer();
    // Figures change from one moment to the next, and their length with them.
    const isFigures = /metrics|channels$|ready|sessions|events/.test(path);
    const length = Number(head.headers.get("content-length"));
    if (isFigures) assert(length > 0, path);
    else assert.equal(length, byteLength, path);
  }
  await until(() => service.sessions.size === 0, "the feeds of GET end");
  for (let i = 0; i < 20; i++) {
    const head = await fetch(`${url}/sse?channels=room:q`, { method: "HEAD" });
    assert.equal(head.status, 200);
    const upgrade = await say(
      server.port,
      "HEAD /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert.match(upgrade, /^HTTP\/1.1 400 /);
  }
  assert.equal(service.sessions.size, 0);
  assert.equal(service.sessions.sockets, 0);
  const wrong = await fetch(`${url}/sse?chanels=a`, { method: "HEAD" });
  assert.equal(wrong.status, 400);
  assert.deepEqual(service.bugs, []);
});

Deno.test("OPTIONS and other methods open nothing on any route, and are answered with what there is", async () => {
  await using service = await openTestService({ assets: ASSETS });
  const headers = { authorization: `Bearer ${await tokenOf("admin")}` };
  const others = ["PUT", "PATCH", "PROPFIND"];
  for (const path of pathsOf(service)) {
    for (const method of others) {
      const response = await service.request(path, { method, headers });
      // Engine.IO has one status for all that it does not take.
      const status = path === "/socket.io/" ? 400 : 405;
      assert.equal(response.status, status, `${method} ${path}`);
      assert.match(response.headers.get("allow")!, /GET, HEAD/);
      await refusedWith(response, "METHOD_NOT_ALLOWED");
    }
    const options = await service.request(path, { method: "OPTIONS", headers });
    assert.equal(options.status, 204, path);
    assert.equal(options.body, null);
  }
  const publish = await service.request("/api/publish");
  assert.equal(publish.status, 405);
  assert.equal(publish.headers.get("allow"), "POST, OPTIONS");
  const blocks = await service.request("/api/admin/blocks", {
    method: "PUT",
    headers,
  });
  assert.equal(blocks.headers.get("allow"), "GET, HEAD, POST, OPTIONS");
  assert.equal(service.sessions.sockets, 0);
});

Deno.test("unknown and repeated arguments are refused on every route that is described", async () => {
  await using service = await openTestService({ assets: ASSETS });
  const headers = { authorization: `Bearer ${await tokenOf("admin")}` };
  for (const { method, path, query } of service.endpoints()) {
    // Clients of Socket.IO send what their applications add.
    if (path === "/ws" || path === "/socket.io/") continue;
    const at = path.replace("{channel}", "blocks").replace(/\{\w+\}/, "x");
    const ask = (query: string) =>
      service.request(`${at}?${query}`, {
        method: method.toUpperCase(),
        headers,
        ...(method === "post" ? { body: "{}" } : {}),
      });
    const code = path === "/sse" ? "INVALID_SUBSCRIPTION" : "INVALID_PAYLOAD";
    for (
      const unknown of ["afer=1", "__proto__=1", "constructor=1", "Limit=1"]
    ) {
      const message = await refusedWith(await ask(unknown), code);
      assert(message.includes(unknown.split("=")[0]!), `${path} ${message}`);
    }
    for (const name of Object.keys(query?.shape ?? {})) {
      const twice = await ask(`${name}=1&${name}=1`);
      assert.match(await refusedWith(twice, code), /twice/, path);
    }
  }
  const typing = [
    "/sse?channels=blocks&last_event_id=x:1",
    "/sse?channels=blocks&after=1",
    "/sse?channels=blocks&channels=dag",
  ];
  for (const path of typing) {
    await refusedWith(await service.request(path), "INVALID_SUBSCRIPTION");
  }
  // What follows a page's name is for its own script.
  const page = await service.request("/?from=mail");
  assert.equal(page.status, 200);
  await page.body!.cancel();
});

Deno.test("a socket is refused with an argument that it does not take", async () => {
  await using server = await serve();
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/ws?chanels=a`);
  const messages: string[] = [];
  socket.onmessage = ({ data }) => void messages.push(data);
  await new Promise((closed) => socket.onclose = closed);
  const [{ type, payload }] = messages.map((text) => JSON.parse(text));
  assert.equal(type, "error");
  assert.equal(payload.code, "INVALID_MESSAGE");
  assert.match(payload.message, /chanels/);
});

Deno.test("an empty Last-Event-ID does not hide the position in the query", async () => {
  await using service = await openTestService();
  const message = {
    type: "NEW_BLOCK",
    payload: { blockId: "b", height: 1, timestamp: "2025-08-07T10:00:00Z" },
  };
  await service.request("/api/publish", {
    method: "POST",
    headers: { authorization: `Bearer ${await tokenOf("publisher")}` },
    body: JSON.stringify(message),
  });
  const response = await service.request(
    "/sse?channels=blocks&lastEventId=other:1",
    { headers: { "last-event-id": "" } },
  );
  let text = "";
  for await (
    const part of response.body!.pipeThrough(new TextDecoderStream())
  ) {
    text += part;
    if (text.includes("NEW_BLOCK")) break;
  }
  // A resume reports what cannot be delivered; a live subscription does not.
  assert.match(text, /event: gap/);
});

Deno.test("a malformed Host or target is refused, and never repeated", async () => {
  await using server = await serve();
  const asks = [
    'GET /asyncapi.json HTTP/1.1\r\nHost: a"><script>\r\n\r\n',
    "GET /asyncapi.json HTTP/1.1\r\nHost: a/evil\r\n\r\n",
    "GET /asyncapi.json HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "GET /asyncapi.json HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET /asyncapi.json HTTP/1.1\r\nHost: [::1\r\n\r\n",
    'GET http://foo"/health HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /ws HTTP/1.1\r\nHost: a"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  ];
  for (const ask of asks) {
    const answer = await say(server.port, ask);
    assert.match(answer, /^HTTP\/1.1 400 /, ask);
    assert(!answer.includes("script"), ask);
  }
  const hosts = ["a", "a.example:80", "10.0.0.1", "[::1]:3000", "a_b.c-d~e"];
  for (const host of hosts) {
    const ask = `GET /health HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    assert.match(await say(server.port, ask), /^HTTP\/1.1 200 /, host);
  }
  assert.match(
    await say(server.port, "GET /health HTTP/1.0\r\n\r\n"),
    /^HTTP\/1.0 200 /,
  );
  assert.deepEqual(server.service.bugs, []);
});

Deno.test("a malformed or doubled Authorization does not pass for none", async () => {
  await using server = await serve();
  const token = await tokenOf("user");
  const wrong = [
    "authorization: Bearer",
    "authorization: Bearer ",
    `authorization: ${token}`,
    `authorization: Bearer ${token} ${token}`,
    `authorization: Bearer ${token}\r\nauthorization: Bearer ${token}`,
    `authorization: Bearer ${token},Bearer ${token}`,
    "authorization: Basic YTpi",
  ];
  for (const path of ["/api/channels", "/sse?channels=blocks", "/metrics"]) {
    for (const header of wrong) {
      const answer = await say(
        server.port,
        `GET ${path} HTTP/1.1\r\nHost: a\r\n${header}\r\n\r\n`,
      );
      assert.match(answer, /^HTTP\/1.1 400 /, `${path} ${header}`);
      assert.match(answer, /INVALID_MESSAGE.*Bearer <token>/);
      assert(!answer.includes(token));
    }
  }
  const right = `authorization: bearer  ${token}`;
  assert.match(
    await say(
      server.port,
      `GET /api/channels HTTP/1.1\r\nHost: a\r\n${right}\r\n\r\n`,
    ),
    /^HTTP\/1.1 200 /,
  );
});

Deno.test("a body that is cut in the middle is no bug, and is counted", async () => {
  await using server = await serve();
  const { service, port } = server;
  const token = await tokenOf("admin");
  const refusals = async () => {
    const response = await service.request("/api/metrics?type=refusals");
    return (await response.json()).refusals.INVALID_JSON ?? 0;
  };
  const heads = [
    "Content-Length: 1000\r\n\r\n{",
    "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
  ];
  let cut = 0;
  for (const path of ["/api/publish", "/api/admin/blocks"]) {
    for (const head of heads) {
      for (const isReset of [true, false]) {
        const socket = dial(port, "127.0.0.1");
        // Its body is being read once the server sends `100 Continue`.
        const reading = new Promise<string>((resolve) =>
          socket.once("data", (text) => resolve(String(text)))
        );
        socket.write(
          `POST ${path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nAuthorization: Bearer ${token}\r\n${head}`,
        );
        assert.match(await reading, /^HTTP\/1.1 100 /);
        if (isReset) socket.resetAndDestroy();
        else socket.destroy();
        cut++;
        await until(async () => await refusals() === cut, `cut ${cut}`);
      }
    }
  }
  assert.deepEqual(service.bugs, []);
});

Deno.test("faults come as problem details where they are asked for", async () => {
  await using service = await openTestService();
  const ask = (path: string, accept: string, method = "GET") =>
    service.request(path, { method, headers: { accept } });
  const typeOf = (response: Response) => response.headers.get("content-type");
  const problem = "application/problem+json";
  const refused = await ask("/api/admin/blocks", `${problem}, */*;q=0.1`);
  assert.equal(refused.status, 401);
  assert.equal(typeOf(refused), problem);
  assert.deepEqual(await refused.json(), {
    type: "urn:kaldrix:UNAUTHENTICATED",
    title: "Token is missing or invalid",
    status: 401,
    detail: "This needs an admin's token: Authorization: Bearer <token>",
    code: "UNAUTHENTICATED",
  });
  const issues = await ask("/api/channels/blocks/history?limit=0", problem);
  assert.equal((await issues.json()).issues[0].path, "limit");
  const other = await ask("/api/publish", problem);
  assert.deepEqual([other.status, typeOf(other)], [405, problem]);
  await other.body!.cancel();
  const nowhere = await ask("/nope", problem);
  assert.deepEqual([nowhere.status, typeOf(nowhere)], [404, problem]);
  await nowhere.body!.cancel();
  for (const accept of ["*/*", "application/json", "text/plain"]) {
    const plain = await ask("/nope", accept);
    assert.deepEqual([plain.status, typeOf(plain)], [404, "application/json"]);
    assert.equal((await plain.json()).code, "NOT_FOUND");
  }
});

Deno.test("a browser that is lost gets a page, and a slash too many is dropped", async () => {
  await using service = await openTestService({ assets: ASSETS });
  const page = await service.request("/nope/<script>", {
    headers: { accept: "text/html,application/xhtml+xml,*/*;q=0.8" },
  });
  assert.equal(page.status, 404);
  assert.match(page.headers.get("content-type")!, /^text\/html/);
  const text = await page.text();
  assert.match(text, /href="\/docs"/);
  assert(!text.includes("script"));
  // Its looks may load, and nothing else.
  const policy = page.headers.get("content-security-policy")!;
  assert.match(policy, /^default-src 'none'; style-src 'self';/);
  for (const path of ["/docs/", "/admin//", "/api/channels/"]) {
    const moved = await service.request(path);
    assert.equal(moved.status, 308, path);
    const { pathname } = new URL(moved.headers.get("location")!, "http://a");
    assert.equal(pathname, path.replace(/\/+$/, ""));
    assert(!moved.headers.get("location")!.startsWith("//"));
  }
  for (const path of ["//evil.example/", "/nope/", "//docs/"]) {
    const lost = await service.request(path);
    assert.equal(lost.status, 404, path);
    await lost.body!.cancel();
  }
});

Deno.test("documents and files are sent once", async () => {
  await using service = await openTestService({ assets: ASSETS });
  for (const path of ["/openapi.json", "/asyncapi.json", "/", "/client.js"]) {
    const first = await service.request(path);
    await first.body!.cancel();
    const etag = first.headers.get("etag")!;
    assert.match(etag, /^"[\w-]+"$/);
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const again = await service.request(path, {
        headers: { "if-none-match": known },
      });
      assert.equal(again.status, 304, `${path} ${known}`);
      assert.equal(await again.text(), "");
      assert.equal(again.headers.get("etag"), etag);
    }
    const other = await service.request(path, {
      headers: { "if-none-match": '"x"' },
    });
    assert.equal(other.status, 200);
    await other.body!.cancel();
  }
  // Each host has its own AsyncAPI document.
  const etags = await Promise.all(["a", "b"].map(async (host) => {
    const response = await service.request(`http://${host}/asyncapi.json`);
    await response.body!.cancel();
    return response.headers.get("etag");
  }));
  assert.notEqual(etags[0], etags[1]);
});

Deno.test("what operators see stays in no cache, and pages bind only their own host", async () => {
  const assets = await readAssets(
    new URL("../../client/dist/", import.meta.url),
  );
  await using service = await openTestService({ assets });
  const headers = { authorization: `Bearer ${await tokenOf("admin")}` };
  for (const path of pathsOf(service)) {
    if (path === "/sse") continue;
    for (const init of [{ headers }, {}]) {
      const response = await service.request(path, init);
      await response.body?.cancel();
      if (path.startsWith("/api/admin/")) {
        assert.equal(response.headers.get("cache-control"), "no-store", path);
      }
      const hsts = response.headers.get("strict-transport-security");
      assert(!hsts?.includes("includeSubDomains"), path);
    }
  }
});

Deno.test("every route costs the budget of requests, those that do not exist too", async () => {
  const env = { RATE_LIMIT_MAX: "3", RATE_LIMIT_WINDOW_MS: "3600000" };
  await using service = await openTestService({ assets: ASSETS, env });
  const asks: [string, RequestInit][] = [
    ["/", {}],
    ["/client.js", {}],
    ["/docs", {}],
    ["/nope", {}],
    ["/docs/", {}],
    ["/metrics", {}],
    ["/openapi.json", {}],
    ["/asyncapi.json", {}],
    ["/api/channels", {}],
    ["/api/channels", {
      method: "OPTIONS",
      headers: {
        origin: "https://a.example",
        "access-control-request-method": "GET",
      },
    }],
    ["/sse", { method: "OPTIONS" }],
    ["/sse?channels=blocks", { method: "HEAD" }],
    ["/metrics", { method: "PUT" }],
    ["/api/admin/blocks", {}],
  ];
  for (const [n, [path, init]] of asks.entries()) {
    const ip = `192.0.2.${n + 1}`;
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) {
      const response = await service.request(path, init, ip);
      statuses.push(response.status);
      await response.body?.cancel();
    }
    assert(!statuses.slice(0, 3).includes(429), `${path} ${statuses}`);
    assert.equal(statuses[3], 429, `${init.method} ${path} ${statuses}`);
  }
  for (const path of ["/health", "/ready"]) {
    for (let i = 0; i < 5; i++) {
      const response = await service.request(path, {}, "192.0.2.100");
      assert.equal(response.status, 200);
      await response.body!.cancel();
    }
  }
});

Deno.test("a page of another site cannot get its visitor's address blocked", async () => {
  const env = { RATE_LIMIT_MAX: "10", RATE_LIMIT_WINDOW_MS: "3600000" };
  const crossSite: Record<string, string>[] = [
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
    { origin: "https://evil.example" },
    { origin: "null" },
  ];
  const own: Record<string, string>[] = [
    {},
    { "sec-fetch-site": "same-origin" },
    { "sec-fetch-site": "none" },
    { origin: "http://rt.example", host: "rt.example" },
  ];
  await using instances = await openInstances({ env });
  const [{ blocks }] = instances.all as [(typeof instances.all)[0]];
  const isBlockedBy = async (
    headers: Record<string, string>,
    ip: string,
  ): Promise<boolean> => {
    for (let i = 0; i < MAX_VIOLATIONS + 15; i++) {
      const response = await instances.ask("/api/channels", { headers, ip });
      await response.body?.cancel();
    }
    return blocks.isBlocked(ip);
  };
  const bad = { authorization: "Bearer a.b.c" };
  for (const [i, headers] of crossSite.entries()) {
    assert.equal(
      await isBlockedBy({ ...headers, ...bad }, `192.0.2.${i}`),
      false,
    );
    // Far too many without a token, as images of such a page are.
    assert.equal(await isBlockedBy(headers, `198.51.100.${i}`), false);
  }
  for (const [i, headers] of own.entries()) {
    assert.equal(
      await isBlockedBy({ ...headers, ...bad }, `203.0.113.${i}`),
      true,
    );
  }
});

Deno.test("a publisher's or admin's token passes an automatic block, no other, and no block by hand", async () => {
  await using instances = await openInstances();
  const [{ blocks }] = instances.all as [(typeof instances.all)[0]];
  const ip = "192.0.2.7";
  const bad = { headers: { authorization: "Bearer a.b.c" }, ip };
  const stays = await instances.ask("/sse?channels=blocks", {
    headers: { authorization: `Bearer ${await tokenOf("publisher")}` },
    ip,
  });
  for (let i = 0; i <= MAX_VIOLATIONS; i++) {
    await (await instances.ask("/api/channels", bad)).body?.cancel();
  }
  assert(blocks.isBlocked(ip));
  const { sessions } = instances.all[0]!;
  assert.equal(sessions.size, 1, "a publisher's open connection stays");
  await stays.body!.cancel();
  const ask = async (path: string, token?: string, method = "GET") => {
    const headers: Record<string, string> = token === undefined
      ? {}
      : { authorization: `Bearer ${token}` };
    const response = await instances.ask(path, { headers, ip, method });
    await response.body?.cancel();
    return response.status;
  };
  for (const role of ["publisher", "admin"] as const) {
    const token = await tokenOf(role);
    assert.equal(await ask("/api/channels", token), 200, role);
    assert.equal(await ask("/sse?channels=blocks", token), 200, role);
  }
  for (const token of [undefined, "a.b.c", await tokenOf("user")]) {
    assert.equal(await ask("/api/channels", token), 403);
    assert.equal(await ask("/sse?channels=blocks", token), 403);
  }
  await blocks.blockIP(ip, { by: "operator" });
  assert.equal(await ask("/api/channels", await tokenOf("publisher")), 403);
  assert.equal(await ask("/api/admin/blocks", await tokenOf("admin")), 200);
});

Deno.test("however often readiness is asked for, its parts are looked at so often", async () => {
  const clock = new ManualClock();
  let looks = 0;
  const check = () =>
    Promise.resolve({ store: { ok: true, detail: `look ${++looks}` } });
  const app = new Hono<Env>();
  await using service = await openTestService();
  mount(app, healthRoutes({ readiness: { check }, clock } as never), {
    gate: service.gate,
    unread: new Unread(clock),
    bodies: new Bodies(),
    gzip: new Gzip(clock),
  });
  const ask = async () => {
    const response = await app.request("/ready");
    assert.equal(response.status, 200);
    return (await response.json()).checks.store.detail;
  };
  const seen: string[] = [];
  for (let i = 0; i < 100; i++) seen.push(await ask());
  assert.equal(looks, MAX_LOOKS_PER_SECOND + 1);
  assert.equal(seen.at(-1), `look ${looks}`);
  clock.advance(1_000 / MAX_LOOKS_PER_SECOND);
  assert.equal(await ask(), `look ${MAX_LOOKS_PER_SECOND + 2}`);
});
