import assert from "node:assert/strict";
import {
  Bodies,
  MAX_BODIES_BYTES,
  MAX_BODIES_BYTES_PER_ADDRESS,
  REQUEST_BYTES,
} from "../../routes/bodies.ts";
import type { BodyRoom } from "../../routes/bodies.ts";
import { Refusal } from "../../protocol/refusals.ts";
import { textOf } from "../../routes/http.ts";
import { flaky } from "../fakes/security.ts";
import { openStore } from "../../store/deno_kv.ts";
import { askFrom, serviceOn, tokenOf } from "../test_service.ts";

const from = (bucket: string) => ({ ip: bucket, bucket, isCrossSite: false });

Deno.test("requests of one address have room for a bounded number of bytes, and others for theirs", () => {
  const bodies = new Bodies();
  const most = MAX_BODIES_BYTES_PER_ADDRESS - 2 * REQUEST_BYTES;
  const room = bodies.open(from("a"));
  room.take(most);
  const last = bodies.open(from("a"));
  assert.throws(() => last.take(1), { code: "RATE_LIMITED" });
  assert.throws(() => bodies.open(from("a")), {
    code: "RATE_LIMITED",
    retryAfterMs: 1_000,
  });
  bodies.open(from("b"))[Symbol.dispose]();
  room[Symbol.dispose]();
  last.take(most);
  last[Symbol.dispose]();
  assert.equal(bodies.bytes, 0);
});

Deno.test("requests of all together have room, the last half for those who have none", () => {
  const bodies = new Bodies();
  const rooms: BodyRoom[] = [];
  const open = (bucket: string) => void rooms.push(bodies.open(from(bucket)));
  const take = (bucket: string) => {
    open(bucket);
    rooms.at(-1)!.take(MAX_BODIES_BYTES_PER_ADDRESS / 2 - REQUEST_BYTES);
  };
  while (bodies.bytes < MAX_BODIES_BYTES / 2) take(`${rooms.length}`);
  assert.throws(() => open("0"), { code: "RATE_LIMITED" });
  while (bodies.bytes < MAX_BODIES_BYTES) {
    open(`${rooms.length}`);
  }
  assert.throws(() => open("late"), { code: "RATE_LIMITED" });
  for (const room of rooms) room[Symbol.dispose]();
  assert.equal(bodies.bytes, 0);
});

Deno.test("while the store does not answer, publishes beyond an address's share are refused unread", async () => {
  await using kv = await openStore(":memory:");
  const store = flaky(kv);
  await using service = serviceOn(store.kv, [], {});
  const token = await tokenOf("publisher");
  const data = "x".repeat(60_000);
  const messages = Array.from({ length: 8 }, () => ({
    type: "ROOM_MESSAGE",
    channel: "room:r",
    payload: { event: "e", data },
  }));
  const body = JSON.stringify({ messages });
  const headers = {
    authorization: `Bearer ${token}`,
    "content-length": String(body.length),
  };
  const ask = (ip: string) =>
    askFrom(ip, service, "/api/publish", { method: "POST", headers, body });
  const most = Math.floor(
    MAX_BODIES_BYTES_PER_ADDRESS / (body.length + REQUEST_BYTES),
  );
  // Commits are tried again, for seconds.
  store.isAway = true;
  const asked = Array.from({ length: most + 1 }, () => ask("192.0.2.1"));
  const refused = await Promise.race(asked);
  assert.equal(refused.status, 429);
  const { code, retryAfterMs } = await refused.clone().json();
  assert.deepEqual([code, retryAfterMs], ["RATE_LIMITED", 1_000]);
  const other = ask("192.0.2.2");
  store.isAway = false;
  const statuses = (await Promise.all(asked)).map((it) => it.status);
  assert(statuses.every((status) => status === 200 || status === 429));
  assert.equal(statuses.filter((status) => status === 200).length, most);
  assert.equal((await other).status, 200);
  const again = await ask("192.0.2.1");
  assert.equal(again.status, 200, await again.text());
});

Deno.test("a body takes its room before it is read, a stream piece by piece", async () => {
  const url = "http://localhost/";
  const read = async (init: RequestInit, most: number) => {
    const taken: number[] = [];
    const text = textOf(
      new Request(url, { method: "POST", ...init }),
      100,
      (bytes) => {
        if (bytes > most) throw new Refusal("RATE_LIMITED");
        taken.push(bytes);
      },
    );
    assert.equal(await text, "abcde");
    return taken;
  };
  const known = { body: "abcde", headers: { "content-length": "5" } };
  const pieces = () => ({
    body: ReadableStream.from(["ab", "cde"]).pipeThrough(
      new TextEncoderStream(),
    ),
  });
  assert.deepEqual(await read(known, 5), [5]);
  assert.deepEqual(await read(pieces(), 5), [2, 3]);
  await assert.rejects(read(known, 4), { code: "RATE_LIMITED" });
  await assert.rejects(read(pieces(), 2), { code: "RATE_LIMITED" });
});
