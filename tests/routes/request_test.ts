import assert from "node:assert/strict";
import { openTestService, SECRET, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { QUESTIONS } from "../../realtime/questions.ts";
import { COMMANDS } from "../../protocol/commands.ts";
import { generateWebSocketToken } from "../../security/tokens.ts";

/** Asks over HTTP. */
async function ask(
  service: TestService,
  frame: unknown,
  token?: string,
): Promise<{ status: number; answer: Answer }> {
  const response = await service.request("/api/request", {
    method: "POST",
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    body: typeof frame === "string" ? frame : JSON.stringify(frame),
  });
  return { status: response.status, answer: await response.json() };
}

interface Answer {
  readonly type: string;
  readonly ref?: string;
  readonly code?: string;
  readonly message?: string;
  // deno-lint-ignore no-explicit-any -- tests look wherever they like.
  readonly payload: any;
}

async function withBlock(env: Record<string, string> = {}) {
  const service = await openTestService({ env });
  const response = await service.request("/api/publish", {
    method: "POST",
    headers: { authorization: `Bearer ${await tokenOf("publisher")}` },
    body: JSON.stringify({
      type: "NEW_BLOCK",
      payload: { blockId: "b1", height: 1, timestamp: "2025-08-07T10:00:00Z" },
    }),
  });
  assert.equal(response.status, 200);
  await response.body?.cancel();
  return service;
}

const ASKED = {
  query: { channel: "blocks", limit: 5 },
  request_data: { key: "block:1" },
  block: { block: "1" },
  request_metrics: { type: "channels" },
} as const;

Deno.test("POST /api/request answers each question as a socket does", async () => {
  await using service = await withBlock();
  assert.deepEqual(Object.keys(ASKED), Object.keys(QUESTIONS));
  const answers: Record<string, Answer> = {};
  for (const [type, payload] of Object.entries(ASKED)) {
    const { status, answer } = await ask(service, { type, id: "q", payload });
    assert.equal(status, 200, type);
    assert.equal(answer.type, QUESTIONS[type as keyof typeof QUESTIONS]);
    assert.equal(answer.ref, "q");
    answers[type] = answer;
  }
  assert.equal(answers["query"]!.payload.events[0].payload.blockId, "b1");
  assert.equal(answers["request_data"]!.payload.data.payload.blockId, "b1");
  assert.equal(answers["block"]!.payload.status, "standing");
  assert.equal(answers["request_metrics"]!.payload.type, "channels");
  const echo = await ask(service, { type: "TEST", payload: { a: 1 }, id: "t" });
  assert.equal(echo.answer.type, "TEST");
  assert.deepEqual(echo.answer.payload, { a: 1 });
  assert.equal(echo.answer.ref, "t");
  assert.deepEqual(service.bugs, []);
});

Deno.test("POST /api/request refuses what needs a connection, and messages", async () => {
  await using service = await withBlock();
  const others = Object.keys(COMMANDS).filter((type) => !(type in QUESTIONS));
  const payloads: Record<string, unknown> = {
    subscribe: { channels: ["blocks"] },
    unsubscribe: { channels: ["blocks"] },
    watch: { as: "w", add: ["0xa"] },
    refresh: { token: "x" },
    track: { txId: "t" },
  };
  for (const type of others) {
    const payload = payloads[type] ?? {};
    const { status, answer } = await ask(service, { type, payload });
    assert.equal(status, 400, type);
    assert.equal(answer.code, "UNKNOWN_TYPE", type);
    assert.match(answer.message!, new RegExp(type));
  }
  const token = await tokenOf("publisher");
  const room = {
    type: "ROOM_MESSAGE",
    channel: "room:lobby",
    payload: { event: "x" },
  };
  const message = await ask(service, room, token);
  assert.equal(message.answer.code, "UNKNOWN_TYPE");
  assert.match(message.answer.message!, /api\/publish/);
  const kept = await ask(
    service,
    { type: "query", payload: { channel: "room:lobby" } },
    token,
  );
  assert.deepEqual(kept.answer.payload.events, []);
});

Deno.test("POST /api/request asks rights before content, as a socket does", async () => {
  await using service = await withBlock({ REQUIRE_AUTH: "true" });
  const bad = { type: "query", payload: { nonsense: true } };
  assert.equal((await ask(service, bad)).answer.code, "UNAUTHENTICATED");
  const token = await generateWebSocketToken(
    { userId: "u", role: "user", read: ["room:a"] },
    SECRET,
    "1h",
  );
  const asked = { type: "query", payload: { channel: "blocks" } };
  assert.equal((await ask(service, asked, token)).answer.code, "FORBIDDEN");
  const user = await tokenOf("user");
  const { answer } = await ask(service, bad, user);
  assert.equal(answer.code, "INVALID_PAYLOAD");
  assert.equal((await ask(service, "{", user)).answer.code, "INVALID_JSON");
  const long = { type: "TEST", payload: { text: "x".repeat(70_000) } };
  assert.equal((await ask(service, long, user)).status, 413);
});

Deno.test("POST /api/request counts against the budget of its address", async () => {
  await using service = await withBlock({ RATE_LIMIT_MAX: "5" });
  const codes: (string | undefined)[] = [];
  for (let i = 0; i < 7; i++) {
    const { answer } = await ask(service, { type: "TEST", payload: {} });
    codes.push(answer.code);
  }
  assert.equal(codes.at(-1), "RATE_LIMITED");
  assert.equal(codes[0], undefined);
});
