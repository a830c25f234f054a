import assert from "node:assert/strict";
import { StoreUnusable } from "../../store/store.ts";
import { pathToFileURL } from "node:url";
import { builders, buildNewBlockMessage } from "../../protocol/builders.ts";
import { fixedChannels } from "../../protocol/channels.ts";
import { REFUSALS } from "../../protocol/refusals.ts";
import type { RefusalCode } from "../../protocol/refusals.ts";
import { REPLIES } from "../../protocol/replies.ts";
import type { Accepted } from "../../protocol/replies.ts";
import { readAssets } from "../../routes/pages.ts";
import { MAX_BODY_BYTES } from "../../routes/publish.ts";
import { ManualClock } from "../fakes/clock.ts";
import { checkServerFrame } from "../frames.ts";
import { openTestService, SECRET, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { generateWebSocketToken } from "../../security/tokens.ts";

const HOUR_MS = 3_600_000;

const block = (height: number) => ({
  type: "NEW_BLOCK",
  payload: {
    blockId: `block_${height}`,
    height,
    timestamp: "2025-08-07T10:00:00Z",
  },
});
const room = (event: string) => ({
  type: "ROOM_MESSAGE",
  channel: "room:lobby",
  payload: { event },
});

function publish(
  service: TestService,
  body: unknown,
  token?: string,
): Promise<Response> {
  return service.request("/api/publish", {
    method: "POST",
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

async function refusedWith(
  response: Response,
  code: RefusalCode,
): Promise<{ message: string; issues?: { path: string }[] }> {
  const body = await response.json();
  assert.equal(body.code, code, JSON.stringify(body));
  assert.equal(response.status, REFUSALS[code].http);
  assert.match(response.headers.get("content-type")!, /^application\/json/);
  REPLIES.error.parse(body);
  return body;
}

async function accepted(response: Response): Promise<Accepted[]> {
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return REPLIES.published.parse(body).accepted;
}

async function history(service: TestService, query: string): Promise<{
  seqs: number[];
  more: boolean;
}> {
  const response = await service.request(
    `/api/channels/blocks/history${query}`,
  );
  assert.equal(response.status, 200);
  const { events, more } = REPLIES.query_result.parse(await response.json());
  return { seqs: events.map(({ seq }) => seq as number), more };
}

Deno.test("one message is published with a publisher's token", async () => {
  await using service = await openTestService();
  const token = await tokenOf("publisher");
  const message = { ...block(1), id: "mine" };
  const [first] = await accepted(await publish(service, message, token));
  assert(first);
  assert.deepEqual([first.id, first.channel, first.seq], ["mine", "blocks", 1]);
  // The same id again is the same event.
  assert.deepEqual(await accepted(await publish(service, message, token)), [
    first,
  ]);
  const [second] = await accepted(await publish(service, block(2), token));
  assert.equal(second?.seq, 2);
  assert.equal(second?.epoch, first.epoch);
  assert.deepEqual(service.bugs, []);
});

Deno.test("an id is its publisher's own, and stands for one message", async () => {
  await using service = await openTestService();
  const message = (text: string) => ({ ...room(text), id: "1" });
  const tokenFor = (userId: string) =>
    generateWebSocketToken({ userId, role: "user" }, SECRET, "1h");
  const [alice, bob] = [await tokenFor("alice"), await tokenFor("bob")];
  const [first] = await accepted(await publish(service, message("A"), alice));
  const [second] = await accepted(await publish(service, message("B"), bob));
  assert.deepEqual([first!.seq, second!.seq], [1, 2]);
  for (const body of [message("C"), { messages: [room("x"), message("C")] }]) {
    const refused = await publish(service, body, alice);
    assert.equal(refused.status, 409);
    assert.equal((await refused.json()).code, "ID_CONFLICT");
  }
  const twice = {
    messages: [{ ...room("D"), id: "2" }, { ...room("E"), id: "2" }],
  };
  assert.equal((await publish(service, twice, alice)).status, 409);
  const [last] = await accepted(await publish(service, room("F"), alice));
  assert.equal(last!.seq, 3);
});

Deno.test("many messages are published together, in their order", async () => {
  await using service = await openTestService();
  const messages = [
    block(1),
    { ...room("hello") },
    block(2),
    builders.buildMetricsUpdateMessage({}),
  ];
  const places = await accepted(
    await publish(service, { messages }, await tokenOf("admin")),
  );
  assert.deepEqual(places.map(({ channel, seq }) => [channel, seq]), [
    ["blocks", 1],
    ["room:lobby", 1],
    ["blocks", 2],
    ["metrics", undefined],
  ]);
});

Deno.test("of many messages one bad one refuses all", async () => {
  await using service = await openTestService();
  const token = await tokenOf("publisher");
  const { issues } = await refusedWith(
    await publish(service, { messages: [block(1), block(-1)] }, token),
    "INVALID_PAYLOAD",
  );
  assert.deepEqual(issues?.map(({ path }) => path), [
    "messages.1.payload.height",
  ]);
  assert.deepEqual((await history(service, "")).seqs, []);
});

Deno.test("publishing needs a token that is good and allows it", async () => {
  await using service = await openTestService();
  const refused = async (
    code: RefusalCode,
    token?: string,
    body: unknown = block(1),
  ) => await refusedWith(await publish(service, body, token), code);

  await refused("UNAUTHENTICATED");
  await refused("UNAUTHENTICATED", "not.a.token");
  await refused(
    "UNAUTHENTICATED",
    await generateWebSocketToken(
      { userId: "eve", role: "admin" },
      SECRET.toUpperCase(),
      "1h",
    ),
  );
  await refused(
    "TOKEN_EXPIRED",
    await tokenOf("publisher", "1h", () => Date.now() - 2 * HOUR_MS),
  );
  await refused("FORBIDDEN", await tokenOf("user"));
  await refused(
    "FORBIDDEN",
    await tokenOf("publisher"),
    builders.buildMetricsUpdateMessage({}),
  );
  // One forbidden message among allowed ones refuses all.
  await refused("FORBIDDEN", await tokenOf("user"), {
    messages: [room("a"), block(1)],
  });
  await accepted(await publish(service, room("a"), await tokenOf("user")));
  const narrow = await generateWebSocketToken(
    { userId: "p", role: "publisher", publish: ["dag"] },
    SECRET,
    "1h",
  );
  await refused("FORBIDDEN", narrow);
  assert.deepEqual((await history(service, "")).seqs, []);
});

Deno.test("a refused token is asked for, and never repeated", async () => {
  await using service = await openTestService();
  const response = await publish(service, block(1), "secret.looking.token");
  assert.equal(response.headers.get("www-authenticate"), "Bearer");
  assert(!(await response.text()).includes("secret.looking"));
});

Deno.test("a revoked token publishes no more", async () => {
  await using service = await openTestService();
  const token = await generateWebSocketToken(
    { userId: "p", role: "publisher" },
    SECRET,
    "1h",
    { tokenId: "t1" },
  );
  await accepted(await publish(service, block(1), token));
  await service.revocations.revokeToken("t1", { by: "test" });
  await refusedWith(await publish(service, block(2), token), "UNAUTHENTICATED");
});

Deno.test("a body that is no message is refused", async () => {
  await using service = await openTestService();
  const token = await tokenOf("publisher");
  const cases: [BodyInit | undefined, RefusalCode][] = [
    [undefined, "INVALID_JSON"],
    ["", "INVALID_JSON"],
    ["{", "INVALID_JSON"],
    [new Uint8Array([0xff, 0xfe, 0x7b]), "INVALID_JSON"],
    ["[]", "INVALID_MESSAGE"],
    ['{"messages":[]}', "INVALID_MESSAGE"],
    ['{"type":"NOPE","payload":{}}', "UNKNOWN_TYPE"],
    ['{"type":"subscribe","payload":{"channels":["blocks"]}}', "UNKNOWN_TYPE"],
    ['{"type":"TEST","payload":{}}', "INVALID_MESSAGE"],
  ];
  for (const [body, code] of cases) {
    const response = await service.request("/api/publish", {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body }),
    });
    await refusedWith(response, code);
  }
  assert.deepEqual(service.bugs, []);
});

Deno.test("a body is accepted up to exactly its bound in bytes", async () => {
  await using service = await openTestService();
  const token = await tokenOf("publisher");
  const body = (bytes: number) => {
    const text = JSON.stringify(block(1));
    return text + " ".repeat(bytes - text.length);
  };
  // Judged by the message's own bound, having passed the body's.
  const within = await publish(service, body(MAX_BODY_BYTES), token);
  assert.match(
    (await refusedWith(within, "MESSAGE_TOO_LARGE")).message,
    /65536/,
  );
  const beyond = await publish(service, body(MAX_BODY_BYTES + 1), token);
  assert.match(
    (await refusedWith(beyond, "MESSAGE_TOO_LARGE")).message,
    new RegExp(String(MAX_BODY_BYTES)),
  );
});

Deno.test("a body without a length is given up as soon as it is too long", async () => {
  await using service = await openTestService();
  let pulled = 0;
  const endless = new ReadableStream({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(64 * 1024).fill(0x20));
    },
  });
  const response = await service.request("/api/publish", {
    method: "POST",
    headers: { authorization: `Bearer ${await tokenOf("publisher")}` },
    body: endless,
  });
  await refusedWith(response, "MESSAGE_TOO_LARGE");
  assert(pulled < 32, `read ${pulled} chunks`);
});

Deno.test("a block of 1,000 transactions passes where messages may be longer, whole", async () => {
  const transactions = Array.from({ length: 1_000 }, (_, nonce) => ({
    txId: `0x${nonce.toString(16).padStart(64, "0")}`,
    from: `0x${"a1".repeat(20)}`,
    to: `0x${"b2".repeat(20)}`,
    amount: `${nonce}.000000000000000001`,
    gasPrice: "10",
    gasLimit: 21_000,
    nonce,
    status: "confirmed" as const,
    timestamp: "2025-08-07T10:00:00Z",
  }));
  const message = buildNewBlockMessage(
    { blockId: "big", height: 1, transactions },
    { id: "big" },
  );
  const token = await tokenOf("publisher");
  {
    await using narrow = await openTestService();
    await refusedWith(
      await publish(narrow, message, token),
      "MESSAGE_TOO_LARGE",
    );
    assert.deepEqual((await history(narrow, "")).seqs, []);
  }
  await using wide = await openTestService({
    env: { MAX_MESSAGE_BYTES: "524288" },
  });
  await accepted(await publish(wide, message, token));
  const response = await wide.request("/api/channels/blocks/history");
  const { events } = REPLIES.query_result.parse(await response.json());
  assert.deepEqual(events[0]!["payload"], message.payload);
});

Deno.test("history is read in pages, forwards and backwards", async () => {
  await using service = await openTestService();
  const messages = [1, 2, 3, 4, 5].map(block);
  const [{ epoch }] = await accepted(
    await publish(service, { messages }, await tokenOf("publisher")),
  ) as [Accepted];
  assert.deepEqual(await history(service, ""), {
    seqs: [1, 2, 3, 4, 5],
    more: false,
  });
  assert.deepEqual(await history(service, "?limit=2"), {
    seqs: [4, 5],
    more: true,
  });
  assert.deepEqual(await history(service, "?after=2&limit=2"), {
    seqs: [3, 4],
    more: true,
  });
  assert.deepEqual(await history(service, `?after=${epoch}:4`), {
    seqs: [5],
    more: false,
  });
  assert.deepEqual(await history(service, "?before=3&limit=1"), {
    seqs: [2],
    more: true,
  });
  assert.deepEqual(await history(service, "?after=5"), {
    seqs: [],
    more: false,
  });
});

Deno.test("history says what is wrong with its arguments", async () => {
  await using service = await openTestService();
  await accepted(await publish(service, block(1), await tokenOf("publisher")));
  const cases: [string, RefusalCode, RegExp][] = [
    ["blocks/history?limit=0", "INVALID_PAYLOAD", /limit.*1 to 1000/],
    ["blocks/history?limit=1001", "INVALID_PAYLOAD", /limit/],
    ["blocks/history?limit=ten", "INVALID_PAYLOAD", /limit/],
    ["blocks/history?after=-1", "INVALID_PAYLOAD", /after.*epoch:seq/],
    ["blocks/history?after=a:b", "INVALID_PAYLOAD", /after/],
    ["blocks/history?before=1:2:3", "INVALID_PAYLOAD", /before/],
    ["blocks/history?after=other:1", "INVALID_PAYLOAD", /epoch/],
    ["metrics/history", "INVALID_PAYLOAD", /no history/],
    ["nope/history", "UNKNOWN_CHANNEL", /nope/],
    ["room:a%2Fb/history", "UNKNOWN_CHANNEL", /room/],
  ];
  for (const [path, code, message] of cases) {
    const response = await service.request(`/api/channels/${path}`);
    assert.match((await refusedWith(response, code)).message, message);
  }
  const room = await service.request("/api/channels/room:empty/history");
  assert.deepEqual(await room.json(), {
    channel: "room:empty",
    epoch: null,
    seq: 0,
    events: [],
    more: false,
  });
  const alias = await service.request(
    "/api/channels/validator_updates/history",
  );
  assert.equal((await alias.json()).channel, "validators");
  assert.deepEqual(service.bugs, []);
});

Deno.test("history needs the right to read", async () => {
  await using service = await openTestService();
  const token = await generateWebSocketToken(
    { userId: "u", role: "user", read: ["dag"] },
    SECRET,
    "1h",
  );
  const ask = (channel: string) =>
    service.request(`/api/channels/${channel}/history`, {
      headers: { authorization: `Bearer ${token}` },
    });
  await refusedWith(await ask("blocks"), "FORBIDDEN");
  assert.equal((await ask("dag")).status, 200);
});

Deno.test("the catalogue names where every channel's log ends", async () => {
  await using service = await openTestService();
  await accepted(await publish(service, block(1), await tokenOf("publisher")));
  const { channels } = await (await service.request("/api/channels")).json();
  assert.deepEqual(
    channels.map(({ channel }: { channel: string }) => channel),
    fixedChannels().map(({ name }) => name),
  );
  const of = (name: string) =>
    channels.find(({ channel }: { channel: string }) => channel === name);
  assert.equal(of("blocks").seq, 1);
  assert.equal(of("dag").seq, 0);
  assert.equal(of("metrics").seq, null);
});

Deno.test("an unknown path is not found", async () => {
  await using service = await openTestService();
  for (const path of ["/nope", "/api", "/api/channels/x", "/health/x"]) {
    const response = await service.request(path);
    assert.equal(response.status, 404, path);
    assert.equal((await response.json()).code, "NOT_FOUND");
  }
});

Deno.test("the WebSocket path says what it is to a plain request", async () => {
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

Deno.test("a service that drains accepts no connection, answers requests to the end, and says when to come back", async () => {
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

Deno.test("a listener over HTTP gets the stream, and resumes where it stood", async () => {
  await using service = await openTestService();
  const token = await tokenOf("publisher");
  const messages = [1, 2, 3].map(block);
  await accepted(await publish(service, { messages }, token));

  /** Reads until so many events came, then goes away. */
  async function listen(
    query: string,
    count: number,
    headers: Record<string, string> = {},
  ): Promise<{ named: string[]; seqs: number[]; lastId: string }> {
    const response = await service.request(`/sse?channels=${query}`, {
      headers,
    });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type")!, /^text\/event-stream/);
    const heard = { named: [] as string[], seqs: [] as number[], lastId: "" };
    let text = "";
    for await (
      const chunk of response.body!.pipeThrough(new TextDecoderStream())
    ) {
      text += chunk;
      for (let at = text.indexOf("\n\n"); at >= 0; at = text.indexOf("\n\n")) {
        const lines = new Map(
          text.slice(0, at).split("\n").map((line) => {
            const colon = line.indexOf(": ");
            return [line.slice(0, colon), line.slice(colon + 2)];
          }),
        );
        text = text.slice(at + 2);
        heard.lastId = lines.get("id") ?? heard.lastId;
        const data = lines.get("data");
        if (data === undefined) continue;
        const frame = JSON.parse(data);
        checkServerFrame(frame);
        const name = lines.get("event");
        if (name !== undefined) heard.named.push(name);
        else heard.seqs.push(frame.seq);
      }
      if (heard.seqs.length >= count) break;
    }
    return heard;
  }

  const first = await listen("blocks&last=2", 2);
  assert.deepEqual(first.named, ["subscribed"]);
  assert.deepEqual(first.seqs, [2, 3]);
  assert.match(first.lastId, /^\w+:3$/);

  await accepted(await publish(service, block(4), token));
  const headers = { "last-event-id": first.lastId };
  assert.deepEqual((await listen("blocks", 1, headers)).seqs, [4]);
  const asked = await listen(`blocks&lastEventId=${first.lastId}`, 1);
  assert.deepEqual(asked.seqs, [4]);

  const lost = await listen("blocks&lastEventId=other:1", 4);
  assert.deepEqual(lost.named, ["subscribed", "gap"]);
  assert.deepEqual(lost.seqs, [1, 2, 3, 4]);

  const both = await listen(`dag,blocks&lastEventId=blocks=${first.lastId}`, 1);
  assert.match(both.lastId, /^dag=0:0,blocks=\w+:4$/);
  assert.equal(service.sessions.size, 0);
});

Deno.test("an EventSource resumes in many channels, by a short id", async () => {
  await using service = await openTestService();
  const token = await tokenOf("user");
  const names = Array.from({ length: 150 }, (_, i) => `room:some-name-${i}`);
  const post = (name: string, event: string) =>
    publish(service, {
      type: "ROOM_MESSAGE",
      channel: name,
      payload: { event },
    }, token).then(accepted);
  const listen = async (
    channels: readonly string[],
    count: number,
    lastEventId: string | undefined,
  ) => {
    const response = await service.request(
      `/sse?channels=${channels.join(",")}`,
      { headers: lastEventId ? { "last-event-id": lastEventId } : {} },
    );
    assert.equal(response.status, 200);
    const events: string[] = [];
    const gaps: unknown[] = [];
    let id = "";
    let text = "";
    for await (
      const chunk of response.body!.pipeThrough(new TextDecoderStream())
    ) {
      text += chunk;
      const blocks = text.split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        id = /^id: (.*)$/m.exec(block)?.[1] ?? id;
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data === undefined) continue;
        const frame = JSON.parse(data);
        if (frame.type === "gap") gaps.push(frame.payload);
        if (frame.type === "ROOM_MESSAGE") events.push(frame.payload.event);
      }
      if (events.length >= count && id) break;
    }
    return { events, gaps, id };
  };

  await post(names[3]!, "before");
  const first = await listen(names, 0, undefined);
  assert(first.id.length < 2_048, `${first.id.length} characters`);
  await post(names[3]!, "one");
  await post(names[149]!, "two");
  const again = await listen([...names].reverse(), 2, first.id);
  assert.deepEqual(again.events.toSorted(), ["one", "two"]);
  assert.deepEqual(again.gaps, []);
  await post(names[149]!, "three");
  assert.deepEqual((await listen(names, 1, again.id)).events, ["three"]);
});

Deno.test("an EventSource gets a temporary refusal as a stream that ends, others get a status", async () => {
  await using service = await openTestService({
    env: { MAX_CONNECTIONS: "1" },
  });
  const path = "/sse?channels=blocks";
  const headers = { accept: "text/event-stream" };
  const admitted = await service.request(path, { headers });
  const refused = await service.request(path, { headers });
  assert.equal(refused.status, 200);
  assert.match(refused.headers.get("cache-control")!, /no-transform/);
  const text = await refused.text();
  assert.match(text, /^retry: \d{4,}\nevent: error\ndata: \{.*\}\n\n$/);
  const data = /data: (.*)/.exec(text)![1]!;
  assert.equal(JSON.parse(data).code, "TOO_MANY_CONNECTIONS");
  await refusedWith(await service.request(path), "TOO_MANY_CONNECTIONS");
  const unknown = await service.request("/sse?channels=nope", { headers });
  await unknown.body?.cancel();
  await admitted.body!.cancel();
  const final = await service.request("/sse?channels=nope", { headers });
  await refusedWith(final, "UNKNOWN_CHANNEL");
  const ended = service.drain.begin();
  const draining = await service.request(path, { headers });
  assert.match(await draining.text(), /event: error\ndata: .*"DRAINING"/);
  await ended;
});

Deno.test("a listener's arguments are checked", async () => {
  await using service = await openTestService();
  for (
    const query of [
      "",
      "?channels=",
      "?channels=blocks&last=many",
      "?channels=blocks&last=1001",
      "?channels=blocks&lastEventId=nonsense",
      "?channels=blocks,dag&lastEventId=e:1",
      `?channels=${Array.from({ length: 257 }, (_, i) => `room:${i}`)}`,
    ]
  ) {
    await refusedWith(
      await service.request(`/sse${query}`),
      "INVALID_SUBSCRIPTION",
    );
  }
  await refusedWith(
    await service.request("/sse?channels=nope"),
    "UNKNOWN_CHANNEL",
  );
  assert.equal(service.sessions.size, 0);
});

Deno.test("built files are served with a tag, revalidated, and guarded", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/index.html`, "<p>live</p>");
    await Deno.writeTextFile(`${directory}/client.js`, "export {};");
    await Deno.writeTextFile(`${directory}/notes.bin`, "not for browsers");
    const assets = await readAssets(pathToFileURL(`${directory}/`));
    await using service = await openTestService({ assets });

    const page = await service.request("/");
    assert.equal(await page.text(), "<p>live</p>");
    assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
    const policy = page.headers.get("content-security-policy")!;
    for (
      const rule of [
        "default-src 'self'",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
      ]
    ) {
      assert(policy.includes(rule), policy);
    }
    assert.equal(page.headers.get("x-content-type-options"), "nosniff");

    const script = await service.request("/client.js");
    assert.equal(await script.text(), "export {};");
    assert.equal(
      script.headers.get("content-type"),
      "text/javascript; charset=utf-8",
    );
    assert.equal(script.headers.get("access-control-allow-origin"), "*");
    const etag = script.headers.get("etag")!;
    assert.match(etag, /^"[\w-]{22}"$/);
    assert.notEqual(etag, page.headers.get("etag"));

    const again = await service.request("/client.js", {
      headers: { "if-none-match": etag },
    });
    assert.equal(again.status, 304);
    assert.equal(await again.text(), "");
    const changed = await service.request("/client.js", {
      headers: { "if-none-match": '"other"' },
    });
    assert.equal(changed.status, 200);
    await changed.body?.cancel();
    assert.equal((await service.request("/notes.bin")).status, 404);
    const head = await service.request("/client.js", { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a service without built files says how to build them", async () => {
  const nowhere = new URL("../no/such/directory/", import.meta.url);
  const assets = await readAssets(nowhere);
  assert.equal(assets.size, 0);
  await using service = await openTestService({ assets });
  const response = await service.request("/");
  assert.equal(response.status, 503);
  assert.match(await response.text(), /deno task build/);
});

Deno.test("measurements are served over HTTP", async () => {
  await using service = await openTestService();
  const response = await service.request("/api/metrics");
  const report = await response.json();
  assert.equal(report.connectionStats.activeConnections, 0);
  assert.equal(typeof report.eventDeliveryTime.p99, "number");
});
