import assert from "node:assert/strict";
import http2 from "node:http2";
import { Hono } from "hono";
import type { Env } from "../../routes/http.ts";
import { Refusal } from "../../protocol/refusals.ts";
import {
  MAX_UNREAD_BYTES,
  MAX_UNREAD_BYTES_PER_ADDRESS,
  PIECE_BYTES,
  READ_DEADLINE_MS,
  Unread,
} from "../../routes/unread.ts";
import { MAX_ANSWER_BYTES } from "../../realtime/history.ts";
import { openTestService } from "../test_service.ts";
import { ManualClock, settle } from "../fakes/clock.ts";

/** An app that answers with as many bytes as its path names. */
function open(clock = new ManualClock()) {
  const unread = new Unread(clock);
  const app = new Hono<Env>();
  app.onError((error, c) => {
    const refusal = Refusal.of(error);
    return c.json(refusal, refusal.kind.http as 429);
  });
  app.use(unread.watch());
  app.get("/:bytes/:bucket", (c) => {
    const bucket = c.req.param("bucket");
    c.set("visitor", { ip: bucket, bucket, isCrossSite: false });
    return c.body("x".repeat(Number(c.req.param("bytes"))));
  });
  const ask = async (bytes: number, bucket = "a") =>
    await app.request(`/${bytes}/${bucket}`);
  return { clock, unread, app, ask };
}

Deno.test("a longer answer arrives whole, in pieces, and is held until it is read", async () => {
  const { unread, ask } = open();
  for (
    const bytes of [
      0,
      1,
      PIECE_BYTES,
      PIECE_BYTES + 1,
      3 * PIECE_BYTES,
      5 * PIECE_BYTES - 1,
    ]
  ) {
    const response = await ask(bytes);
    assert.equal(response.status, 200);
    assert.equal(unread.bytes, bytes > PIECE_BYTES ? bytes : 0);
    const text = await response.text();
    assert.equal(text.length, bytes);
    if (bytes > 0) {
      assert.equal(response.headers.get("content-length"), String(bytes));
    }
    assert.equal(unread.bytes, 0);
  }
});

Deno.test("an address may leave a bounded number of bytes unread, and others are served", async () => {
  const { unread, ask } = open();
  const half = MAX_UNREAD_BYTES_PER_ADDRESS / 2;
  const held = [await ask(half), await ask(half)];
  const refused = await ask(PIECE_BYTES + 1);
  assert.equal(refused.status, 429);
  const { code, retryAfterMs } = await refused.json();
  assert.deepEqual([code, retryAfterMs], ["RATE_LIMITED", 1_000]);
  const small = await ask(PIECE_BYTES);
  assert.equal((await small.text()).length, PIECE_BYTES);
  const other = await ask(half, "b");
  assert.equal((await other.text()).length, half);

  await held[0]!.body!.cancel();
  const again = await ask(half);
  assert.equal((await again.text()).length, half);
  await held[1]!.body!.cancel();
  assert.equal(unread.bytes, 0);
});

Deno.test("room for an answer is reserved while it is made", async () => {
  const { unread, ask } = open();
  const visitor = { ip: "a", bucket: "a", isCrossSite: false };
  const room = unread.reserve(visitor, MAX_UNREAD_BYTES_PER_ADDRESS);
  assert.throws(() => unread.reserve(visitor, 1), { code: "RATE_LIMITED" });
  assert.equal((await ask(PIECE_BYTES + 1)).status, 429);
  unread.reserve({ ...visitor, bucket: "b" }, 1)[Symbol.dispose]();
  room[Symbol.dispose]();
  assert.equal(unread.bytes, 0);
  const response = await ask(PIECE_BYTES + 1);
  assert.equal(response.status, 200);
  await response.body!.cancel();
});

Deno.test("pages of history asked for at once wait their turn, up to an address's share", async () => {
  await using service = await openTestService();
  const ask = (ip: string) =>
    service.request("/api/channels/blocks/history?limit=1", {}, ip);
  const most = Math.floor(MAX_UNREAD_BYTES_PER_ADDRESS / MAX_ANSWER_BYTES);
  const all = await Promise.all(
    Array.from({ length: most + 5 }, () => ask("192.0.2.1")),
  );
  const statuses = all.map(({ status }) => status);
  for (const { body } of all) await body!.cancel();
  assert.equal(statuses.filter((status) => status === 200).length, most);
  assert.equal(statuses.filter((status) => status === 429).length, 5);
  const other = await ask("192.0.2.2");
  assert.equal(other.status, 200);
  await other.body!.cancel();
});

Deno.test("when all together hold too much, those get more who hold nothing", async () => {
  const { unread, ask } = open();
  const share = MAX_UNREAD_BYTES_PER_ADDRESS;
  const held: Response[] = [];
  for (let i = 0; i < MAX_UNREAD_BYTES / share; i++) {
    held.push(await ask(share / 2, `${i}`), await ask(share / 2 - 1, `${i}`));
  }
  const greedy = await ask(PIECE_BYTES + 1, "0");
  assert.equal(greedy.status, 429);
  await greedy.body!.cancel();
  const modest = await ask(share, "new");
  assert.equal((await modest.text()).length, share);
  for (let i = 0; unread.bytes + share <= 2 * MAX_UNREAD_BYTES; i++) {
    held.push(await ask(share, `more ${i}`));
  }
  const late = await ask(share, "late");
  assert.equal(late.status, 429);
  await late.body!.cancel();
  for (const { body } of held) await body!.cancel();
  assert.equal(unread.bytes, 0);
});

Deno.test("who reads nothing for a while loses the rest, who reads slowly does not", async () => {
  const { clock, unread, ask } = open();
  const bytes = 4 * PIECE_BYTES;
  const slow = (await ask(bytes, "slow")).body!.getReader();
  await ask(bytes, "never");
  let got = 0;
  for (let i = 0; i < 4; i++) {
    clock.advance(READ_DEADLINE_MS - 1);
    got += (await slow.read()).value!.byteLength;
  }
  assert.equal(got, bytes);
  assert.equal((await slow.read()).done, true);
  assert.equal(unread.bytes, 0);
  assert.equal(clock.pending, 0);

  const cut = (await ask(bytes, "cut")).body!.getReader();
  await cut.read();
  clock.advance(READ_DEADLINE_MS);
  await settle();
  assert.equal((await cut.read()).done, true);
  assert.equal(unread.bytes, 0);
});

Deno.test("streams of HTTP/2 that read nothing hold no more than their share", async () => {
  const { app, unread } = open();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request, info) => app.fetch(request, info as Env["Bindings"]),
  );
  const client = http2.connect(`http://127.0.0.1:${server.addr.port}`, {
    settings: { initialWindowSize: 0 },
  });
  const bytes = 768 * 1024;
  const statuses = await Promise.all(
    Array.from({ length: 60 }, () =>
      new Promise<number>((resolve, reject) => {
        const stream = client.request({ ":path": `/${bytes}/a` });
        stream.on("response", (headers) => resolve(headers[":status"]!));
        stream.on("error", reject);
      })),
  );
  const most = Math.floor(MAX_UNREAD_BYTES_PER_ADDRESS / bytes);
  assert.equal(statuses.filter((status) => status === 200).length, most);
  assert.equal(unread.bytes, most * bytes);
  client.destroy();
  await server.shutdown();
  assert.equal(unread.bytes, 0);
});
