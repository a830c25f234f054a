/**
 * Answers that are compressed as they are made.
 */
import assert from "node:assert/strict";
import { Hono } from "hono";
import { gunzipSync } from "node:zlib";
import { Refusal } from "../../protocol/refusals.ts";
import { Gzip, MIN_GZIP_BYTES, SLICE_BYTES } from "../../routes/gzip.ts";
import type { Env } from "../../routes/http.ts";
import { settle } from "../fakes/clock.ts";
import { openTestService, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";

const GZIP = { "accept-encoding": "br, gzip" };

/** The service with some history in a room. */
async function withHistory(): Promise<TestService> {
  const service = await openTestService();
  await service.hub.publish(
    Array.from({ length: 40 }, (_, n) => ({
      type: "ROOM_MESSAGE",
      channel: { name: "room:read", kind: "room" },
      id: undefined,
      payload: { event: "said", data: { n } },
    })),
  );
  return service;
}

const PATHS = [
  "/api/channels/room:read/history?limit=40",
  "/api/channels",
  "/api/metrics",
  "/api/metrics/report",
  "/metrics?scope=isolate",
  "/openapi.json",
  "/asyncapi.json",
];
for (const path of PATHS) {
  Deno.test(`${path} is compressed for who accepts it from ${MIN_GZIP_BYTES} bytes on`, async () => {
    await using service = await withHistory();
    const authorization = `Bearer ${await tokenOf("admin")}`;
    const ask = async (more: Record<string, string>, method = "GET") =>
      await service.request(path, {
        method,
        headers: { authorization, ...more },
      });
    const plain = await ask({ "accept-encoding": "identity" });
    const compressed = await ask(GZIP);

    assert.equal(plain.headers.get("content-encoding"), null);
    const text = await plain.text();
    const bytes = await compressed.bytes();
    const encoding = compressed.headers.get("content-encoding");
    for (const { headers } of [plain, compressed]) {
      assert.match(headers.get("vary")!, /accept-encoding/i);
    }
    const raw = encoding === "gzip" ? gunzipSync(bytes) : bytes;
    assert.equal(encoding === "gzip", raw.byteLength >= MIN_GZIP_BYTES);
    if (encoding) assert(bytes.byteLength < raw.byteLength / 1.5);
    const read = new TextDecoder().decode(raw);
    // Readings move from one look to the next.
    const shape = (text: string) => text.replace(/\d+(\.\d+)?/g, "0");
    if (path.startsWith("/api/channels/") || path.endsWith(".json")) {
      assert.equal(read, text);
    } else assert.equal(shape(read).slice(0, 40), shape(text).slice(0, 40));

    const head = await ask(GZIP, "HEAD");
    assert.equal(await head.text(), "");
    for (const name of ["content-type", "content-encoding", "etag", "vary"]) {
      assert.equal(head.headers.get(name), compressed.headers.get(name), name);
    }
  });
}

Deno.test("a compressed document is not sent again to who has it", async () => {
  await using service = await openTestService();
  const first = await service.request("/openapi.json", { headers: GZIP });
  await first.body?.cancel();
  const etag = first.headers.get("etag")!;
  assert.match(etag, /^W\/"/, "one tag for two encodings is weak");
  for (const accepted of [GZIP, { "accept-encoding": "identity" }]) {
    const headers = { ...accepted, "if-none-match": etag };
    const again = await service.request("/openapi.json", { headers });
    assert.equal(again.status, 304);
  }
});

Deno.test("answers to operators and refusals are sent as they are", async () => {
  await using service = await openTestService();
  const headers = {
    ...GZIP,
    authorization: `Bearer ${await tokenOf("admin")}`,
  };
  const admin = await service.request("/api/admin/events", { headers });
  assert.equal(admin.status, 200);
  const refusal = await service.request(
    `/api/channels/${"x".repeat(2_000)}/history`,
    { headers },
  );
  assert(refusal.status >= 400);
  for (const answer of [admin, refusal]) {
    assert.equal(answer.headers.get("content-encoding"), null);
    await answer.body?.cancel();
  }
});

/** A compressor whose turns are ended by hand, and an app that answers. */
function open() {
  const turns: (() => void)[] = [];
  const held = { now: 0, most: 0 };
  const gzip = new Gzip({ soon: (work) => turns.push(work) });
  const app = new Hono<Env>();
  app.onError((error, c) => c.text(Refusal.of(error).code, 429));
  app.get("/:bytes/:room", async (c) => {
    const text = "0123456789abcdef".repeat(Number(c.req.param("bytes")) / 16);
    return await gzip.answer(c, c.text(text), (bytes) => {
      if (held.now + bytes > Number(c.req.param("room"))) {
        throw new Refusal("RATE_LIMITED");
      }
      held.now += bytes;
      held.most = Math.max(held.most, held.now);
      return { [Symbol.dispose]: () => held.now -= bytes };
    });
  });
  const ask = async (bytes: number, room = Infinity) =>
    await app.request(`/${bytes}/${room}`, { headers: GZIP });
  return { turns, held, ask };
}

Deno.test("one turn compresses one slice, however many answers wait", async () => {
  const { turns, held, ask } = open();
  const answers = [ask(3 * SLICE_BYTES), ask(SLICE_BYTES + 16), ask(1_024)];
  let ended = 0;
  for (;;) {
    await settle();
    assert(turns.length <= 1, "slices take turns");
    const turn = turns.shift();
    if (!turn) break;
    turn();
    ended++;
  }
  assert.equal(ended, 3 + 2 + 1);
  const [long] = await Promise.all(answers);
  assert.equal(gunzipSync(await long!.bytes()).byteLength, 3 * SLICE_BYTES);
  assert.equal(held.most, 4 * SLICE_BYTES + 16 + 1_024, "held while it waits");
  assert.equal(held.now, 0, "and given back");
});

Deno.test("an answer for which there is no room is refused, not compressed", async () => {
  const { turns, ask } = open();
  const answer = await ask(2_048, 2_047);
  assert.equal(answer.status, 429);
  assert.equal(turns.length, 0);
});

Deno.test(`an answer of ${MIN_GZIP_BYTES} bytes is compressed, a shorter one is not`, async () => {
  const { turns, ask } = open();
  const shorter = await ask(MIN_GZIP_BYTES - 16);
  assert.equal(shorter.headers.get("content-encoding"), null);
  assert.equal((await shorter.text()).length, MIN_GZIP_BYTES - 16);
  const answer = ask(MIN_GZIP_BYTES);
  await settle();
  turns.shift()!();
  assert.equal((await answer).headers.get("content-encoding"), "gzip");
});
