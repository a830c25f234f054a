import assert from "node:assert/strict";
import { RequestError } from "../../client/client.ts";
import * as limits from "../../client/limits.ts";
import {
  ahead,
  live,
  outcome,
  rate,
  settled,
  setup,
  tick,
} from "./mocked_client.ts";
import type { Sent } from "./mocked_client.ts";

Deno.test("a message is too old to be sent again by either clock", async () => {
  const pass = [
    (ms: number) => ahead.wall += ms,
    (ms: number) => {
      ahead.monotonic += ms;
      ahead.wall -= ms;
    },
  ];
  for (const wait of pass) {
    using parts = await live();
    const sent = outcome(parts.client.sendMessage(rate(1)));
    wait(limits.MAX_RESEND_MS + 1);
    parts.peer().drop();
    const waiting = settled().then(() => "waiting");
    assert.equal(await Promise.race([sent, waiting]), "CONNECTION_LOST");
  }
});

Deno.test("a publish resolves to its positions and rejects with its refusal", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const message = {
    type: "ROOM_MESSAGE",
    channel: "room:a",
    payload: { event: "hi" },
  } as const;
  const good = client.sendMessage(message);
  const bad = client.sendMessage(message);
  const [first, second] = peer().of("ROOM_MESSAGE");
  assert.notEqual(first!.id, second!.id);
  peer().reply("published", {
    accepted: [{ id: first!.id, channel: "room:a", seq: 1, epoch: "r" }],
  }, first!.id);
  peer().reply("error", {
    code: "FORBIDDEN",
    message: "Not allowed",
    retryAfterMs: 5,
  }, second!.id);
  assert.equal((await good).accepted[0]!.seq, 1);
  await assert.rejects(bad, {
    code: "FORBIDDEN",
    message: "Not allowed",
    retryAfterMs: 5,
  });
  assert.equal(client.state.lastError?.code, "FORBIDDEN");
});

Deno.test("an unanswered message goes again under its id, once answered never", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const sent = client.sendMessage({ type: "TEST", payload: {} });
  const { id } = peer().of("TEST")[0]!;
  peer().drop();
  await tick(500);
  peer().welcome();
  assert.equal(peer().of("TEST")[0]!.id, id);
  peer().reply("TEST", { ok: true }, id);
  assert.deepEqual(await sent, { ok: true });
  peer().drop();
  await tick(1_000);
  peer().welcome();
  assert.equal(peer().of("TEST").length, 0);
});

Deno.test("a message older than the server's memory of ids is not sent twice", async () => {
  using parts = await live();
  const sent = outcome(
    parts.client.sendMessage({ type: "TEST", payload: {} }),
  );
  ahead.wall = limits.MAX_RESEND_MS + 1;
  parts.peer().drop();
  assert.equal(await sent, "CONNECTION_LOST");
});

Deno.test("offline, as many wait as allowed, or none", async () => {
  {
    using parts = await setup({ offlineQueue: { max: 2 } });
    const { client, peer } = parts;
    const send = () =>
      outcome(client.sendMessage({ type: "TEST", payload: {} }));
    const [a, b, c] = [send(), send(), send()];
    assert.equal(await c, "QUEUE_FULL");
    assert.equal(client.state.pending, 2);
    peer().welcome();
    for (const { id } of peer().of("TEST")) peer().reply("TEST", {}, id);
    assert.deepEqual(await Promise.all([a, b]), ["fulfilled", "fulfilled"]);
  }
  using parts = await setup({ offlineQueue: "refuse" });
  assert.equal(await outcome(parts.client.request("ping")), "OFFLINE");
  parts.peer().welcome();
  const lost = outcome(parts.client.request("ping"));
  parts.peer().drop();
  assert.equal(await lost, "CONNECTION_LOST");
});

Deno.test("connected, a bounded number waits and no more", async () => {
  using parts = await live();
  const all = Array.from(
    { length: limits.MAX_PENDING + 1 },
    () => outcome(parts.client.request("ping")),
  );
  assert.equal(await all.at(-1), "QUEUE_FULL");
  assert.equal(parts.client.state.pending, limits.MAX_PENDING);
  assert.equal(parts.peer().of("ping").length, 128);
});

Deno.test("no answer within 10 s is TIMEOUT, after disconnect CLOSED", async () => {
  using parts = await live();
  const late = outcome(parts.client.request("request_metrics"));
  await tick(limits.REQUEST_TIMEOUT_MS);
  assert.equal(await late, "TIMEOUT");
  const cut = outcome(parts.client.request("request_data", { key: "block:1" }));
  parts.client.disconnect();
  assert.equal(await cut, "CLOSED");
  assert.equal(await outcome(parts.client.request("ping")), "OFFLINE");
});

Deno.test("a message above the server's limit is refused at once, when it fits it goes", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const send = (text: string) =>
    client.sendMessage({ type: "TEST", payload: { text } });
  await assert.rejects(send("x".repeat(65_536)), { code: "MESSAGE_TOO_LARGE" });
  await assert.rejects(send("€".repeat(22_000)), { code: "MESSAGE_TOO_LARGE" });
  assert.equal(client.state.pending, 0);
  assert.equal(client.state.lastError?.code, "MESSAGE_TOO_LARGE");
  send("x".repeat(65_000));
  assert.equal(peer().of("TEST").length, 1);
});

Deno.test("a message that waited is checked against the limits of the server it meets", async () => {
  using parts = await setup();
  const long = parts.client.sendMessage({
    type: "TEST",
    payload: { text: "x".repeat(70_000) },
  });
  const short = parts.client.request("ping");
  parts.peer().welcome();
  assert.equal(await outcome(long), "MESSAGE_TOO_LARGE");
  assert.equal(parts.peer().of("TEST").length, 0);
  parts.peer().reply("pong", {}, parts.peer().of("ping")[0]!.id);
  assert.equal(await outcome(short), "fulfilled");
});

Deno.test("what is no message rejects, and throws nothing", async () => {
  using parts = await live();
  const { sendMessage, sendBatch } = parts.client as unknown as {
    sendMessage(message?: unknown): Promise<unknown>;
    sendBatch(messages?: unknown): Promise<unknown>;
  };
  const loop: Record<string, unknown> = {};
  loop["loop"] = loop;
  for (
    const refused of [
      sendMessage(),
      sendMessage(null),
      sendMessage("hi"),
      sendMessage({}),
      sendMessage({ type: "TEST", payload: { n: 1n } }),
      sendMessage({ type: "TEST", payload: loop }),
      sendMessage({ type: "BATCH_UPDATE" }),
      sendBatch(),
      sendBatch({ length: 2 }),
    ]
  ) {
    await assert.rejects(
      refused,
      (error) =>
        error instanceof RequestError && error.code === "INVALID_MESSAGE",
    );
  }
  assert.equal(parts.peer().sent.length, 2, "connect and subscribe");
});

Deno.test("a failure is a RequestError with its code, and reads as one", async () => {
  using parts = await setup({ offlineQueue: "refuse" });
  const error = await parts.client.request("ping").catch((error) => error);
  assert.ok(error instanceof RequestError && error instanceof Error);
  assert.equal(error.code, "OFFLINE");
  assert.match(String(error), /OFFLINE/);
  assert.match(JSON.stringify(error), /"message":"OFFLINE"/);
});

Deno.test("queue options may be given with each call", async () => {
  using parts = await setup();
  const { client } = parts;
  assert.equal(
    await outcome(client.request("ping", {}, { offlineQueue: "refuse" })),
    "OFFLINE",
  );
  assert.equal(
    await outcome(client.sendMessage(rate(1), { offlineQueue: "refuse" })),
    "OFFLINE",
  );
  client.sendMessage(rate(2));
  assert.equal(
    await outcome(client.sendMessage(rate(3), { offlineQueue: { max: 1 } })),
    "QUEUE_FULL",
  );
  assert.equal(client.state.pending, 1);
});

Deno.test("a BATCH_UPDATE of any length is split like sendBatch", async () => {
  using parts = await live();
  const updates = Array.from({ length: 250 }, (_, n) => rate(n));
  const sent = parts.client.sendMessage({
    type: "BATCH_UPDATE",
    payload: { updates },
  });
  const frames = parts.peer().of("BATCH_UPDATE");
  for (const { id, payload } of frames) {
    assert.ok(payload.updates.length <= limits.MAX_BATCH_MESSAGES);
    const accepted = payload.updates.map(({ id }: Sent) => ({ id }));
    parts.peer().reply("published", { accepted }, id);
  }
  assert.equal((await sent).accepted.length, 250);
});

Deno.test("a batch keeps its order, its size and an id for each", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const message = (n: number, text = "") => ({
    type: "ROOM_MESSAGE",
    channel: "room:a",
    payload: { event: "n", data: { n, text } },
  } as const);
  const many = Array.from({ length: 250 }, (_, n) => message(n));
  const sent = client.sendBatch([...many, message(250, "x".repeat(30_000))]);
  const frames = peer().of("BATCH_UPDATE");
  const numbers: number[] = [];
  for (const { id, payload } of frames) {
    const { updates } = payload as { updates: Sent[] };
    assert.ok(updates.length <= limits.MAX_BATCH_MESSAGES);
    assert.ok(JSON.stringify(payload).length < 65_536);
    for (const update of updates) numbers.push(update.payload.data.n);
    peer().reply("published", {
      accepted: updates.map(({ id }) => ({ id, channel: "room:a" })),
    }, id);
  }
  assert.deepEqual(numbers, Array.from({ length: 251 }, (_, n) => n));
  const ids = new Set((await sent).accepted.map(({ id }) => id));
  assert.equal(ids.size, 251);
});
