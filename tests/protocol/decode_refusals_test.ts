import assert from "node:assert/strict";
import { MAX_ISSUE_LENGTH, MAX_ISSUES } from "../../protocol/decode.ts";
import { block, refused, TRANSACTION } from "./decoding.ts";

Deno.test("a refusal names the frame it answers, when it could be read", () => {
  assert.equal(refused({ type: "NOPE", id: "q1" }).ref, "q1");
  assert.equal(refused({ type: "subscribe", id: "q1" }).ref, "q1");
  assert.equal(refused({ id: "q1", type: "ping", version: "9.0.0" }).ref, "q1");
  assert.equal(
    refused('{"id":"q1","type":"TEST","payload":{"a":1e999}}').ref,
    "q1",
  );
  assert.equal(refused({ type: "NOPE", id: "a b" }).ref, undefined);
  assert.equal(refused("{").ref, undefined);
});

Deno.test("a refusal quotes no more than a little of what was sent", () => {
  const long = "X".repeat(10_000);
  for (
    const frame of [
      { type: long, payload: {} },
      {
        type: "ROOM_MESSAGE",
        channel: `room:${long}`,
        payload: { event: "e" },
      },
      {
        type: "ROOM_MESSAGE",
        channel: `${"room:/".repeat(20)}`,
        payload: { event: "e" },
      },
      { type: "ping", [long]: 1 },
      `{"type":"${long}`,
      `{"type":"ping"} ${long}`,
      {
        type: "connect",
        payload: { auth: { token: "t", headers: { [long]: "x" } } },
      },
    ]
  ) {
    const { message, issues = [] } = refused(frame);
    assert(message.length <= MAX_ISSUE_LENGTH, message);
    for (const issue of issues) {
      assert(issue.path.length <= MAX_ISSUE_LENGTH);
      assert(issue.message.length <= MAX_ISSUE_LENGTH);
    }
  }
});

Deno.test("a refusal names what there is instead", () => {
  const named = (frame: unknown) => refused(frame).message;
  const payload = { event: "e" };
  assert.match(
    named({ type: "ROOM_MESSAGE", channel: "nope", payload }),
    /^Channel "nope" is not known: expected blocks, .* or room:<name>$/,
  );
  assert.match(
    named({ type: "NOPE" }),
    /"NOPE" is not known: see \/docs$/,
  );
  assert.match(named("{'type':1}"), /^Frame is not JSON: .*position 1/);
  assert.match(named(""), /^Frame is not JSON: Unexpected end/);
});

Deno.test("the longest issue is exactly as long as the bound", () => {
  const key = "k".repeat(128);
  const headers = { [key]: 1 };
  const { issues } = refused({
    type: "connect",
    payload: { auth: { token: "t", headers } },
  });
  assert.equal(issues![0]!.path, `payload.auth.headers.${key}`);
  const { issues: cut } = refused({ type: "ping", ["u".repeat(1_000)]: 1 });
  assert.equal(cut![0]!.message.length, MAX_ISSUE_LENGTH);
});

Deno.test("the number of issues named is bounded", () => {
  const transactions = (count: number) =>
    Array.from({ length: count }, () => ({ ...TRANSACTION, nonce: -1 }));
  const issuesOf = (count: number) =>
    refused(block({ transactions: transactions(count) })).issues!.length;
  assert.equal(issuesOf(MAX_ISSUES - 1), MAX_ISSUES - 1);
  assert.equal(issuesOf(MAX_ISSUES), MAX_ISSUES);
  assert.equal(issuesOf(MAX_ISSUES + 1), MAX_ISSUES);
});

Deno.test("issues name the place and the fault", () => {
  const { issues, message } = refused(block({ height: "1", hash: 5 }));
  assert.equal(message, "Payload does not match its type");
  assert.deepEqual(issues!.map(({ path }) => path), [
    "payload.height",
    "payload.hash",
  ]);
  assert.match(issues![0]!.message, /expected number/);
});
