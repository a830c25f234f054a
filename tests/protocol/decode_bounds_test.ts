import assert from "node:assert/strict";
import fc from "fast-check";
import { ROOM_NAME } from "../../protocol/channels.ts";
import {
  MAX_CHANNELS_PER_COMMAND,
  MAX_HISTORY_LIMIT,
  MAX_TOKEN_LENGTH,
} from "../../protocol/commands.ts";
import {
  decode,
  decodePublications,
  MAX_BATCH_MESSAGES,
} from "../../protocol/decode.ts";
import { MAX_DEPTH } from "../../protocol/json_limits.ts";
import {
  accepted,
  block,
  CODES,
  MAX_BYTES,
  refusalOf,
  refused,
  subscribe,
} from "./decoding.ts";

const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

Deno.test("a frame is accepted up to exactly its bound in bytes", () => {
  for (const fill of ["a", "é", "€", "😀"]) {
    const bare = '{"type":"TEST","payload":{"a":""}}';
    const unit = new TextEncoder().encode(fill).byteLength;
    const padding = fill.repeat(100);
    const frame = bare.replace('""', `"${padding}"`);
    const bytes = bare.length + unit * 100;
    assert.equal(new TextEncoder().encode(frame).byteLength, bytes);
    assert.equal(decode(frame, bytes).kind, "test");
    assert.equal(refused(frame, bytes - 1).code, "MESSAGE_TOO_LARGE");
    const { message } = refused(frame, bytes - 1);
    assert.match(message, new RegExp(`${bytes - 1} bytes`));
  }
});

Deno.test("the bound counts bytes, whatever the text", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme", maxLength: 60 }),
      fc.integer({ min: 1, max: 300 }),
      (filling, maxBytes) => {
        const frame = JSON.stringify({ type: "TEST", payload: { filling } });
        const bytes = new TextEncoder().encode(frame).byteLength;
        if (bytes <= maxBytes) {
          assert.equal(decode(frame, maxBytes).kind, "test");
        } else assert.equal(refused(frame, maxBytes).code, "MESSAGE_TOO_LARGE");
      },
    ),
  );
});

Deno.test("size is judged before content", () => {
  assert.equal(refused("{".repeat(200), 100).code, "MESSAGE_TOO_LARGE");
});

Deno.test("a frame may nest exactly so deep", () => {
  // The frame and its payload are the first two levels.
  const deep = (depth: number) =>
    `{"type":"TEST","payload":{"a":${nested(depth - 2)}}}`;
  assert.equal(decode(deep(MAX_DEPTH), MAX_BYTES).kind, "test");
  const { code, issues } = refused(deep(MAX_DEPTH + 1));
  assert.equal(code, "INVALID_PAYLOAD");
  assert.match(issues![0]!.message, /nests deeper/);
  assert.equal(refused(nested(30_000)).code, "INVALID_MESSAGE");
  assert.equal(
    refused(`${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`).code,
    "INVALID_MESSAGE",
  );
});

Deno.test("a lone surrogate is refused, a pair is not", () => {
  for (const bad of ["\\ud800", "\\udc00", "a\\ud83d", "\\ude00\\ud83d"]) {
    for (
      const frame of [
        `{"type":"TEST","payload":{"a":"${bad}"}}`,
        `{"type":"TEST","payload":{"${bad}":1}}`,
        `{"type":"TEST","payload":{"a":["${bad}"]}}`,
        `{"type":"subscribe","payload":{"channels":["${bad}"]}}`,
        `{"type":"${bad}","payload":{}}`,
      ]
    ) assert(CODES.has(refused(frame).code));
  }
  assert.equal(
    decode('{"type":"TEST","payload":{"a":"\\ud83d\\ude00"}}', MAX_BYTES).kind,
    "test",
  );
});

Deno.test("numbers that a double would change are refused", () => {
  const frame = (number: string) => `{"type":"TEST","payload":{"a":${number}}}`;
  for (
    const number of [
      "9007199254740992",
      "-9007199254740992",
      "9007199254740993",
      "1e400",
      "-1e400",
      "123456789012345678901234567890",
    ]
  ) {
    assert.match(
      refused(frame(number)).issues![0]!.message,
      /send it as a string/,
      number,
    );
  }
  for (
    const number of ["9007199254740991", "-9007199254740991", "0", "1.5", "1e3"]
  ) {
    assert.equal(decode(frame(number), MAX_BYTES).kind, "test", number);
  }
});

Deno.test("one subscribe is accepted up to exactly its bound of channels", () => {
  const many = (count: number) =>
    subscribe(...Array.from({ length: count }, (_, i) => `room:${i}`));
  assert.equal(accepted(many(MAX_CHANNELS_PER_COMMAND)).kind, "command");
  assert.equal(
    refused(many(MAX_CHANNELS_PER_COMMAND + 1)).code,
    "INVALID_SUBSCRIPTION",
  );
  const { issues } = refused(many(10_000), 1_000_000);
  assert.deepEqual(issues!.map(({ path }) => path), ["payload.channels"]);
});

Deno.test("bounds of commands hold exactly", () => {
  const connect = (length: number) => ({
    type: "connect",
    payload: { auth: { token: "t".repeat(length) } },
  });
  assert.equal(accepted(connect(MAX_TOKEN_LENGTH)).kind, "command");
  assert.equal(refused(connect(MAX_TOKEN_LENGTH + 1)).code, "INVALID_PAYLOAD");
  const query = (limit: number) => ({
    type: "query",
    payload: { channel: "blocks", limit },
  });
  assert.equal(accepted(query(MAX_HISTORY_LIMIT)).kind, "command");
  assert.equal(refused(query(MAX_HISTORY_LIMIT + 1)).code, "INVALID_PAYLOAD");
  const last = (count: number) => subscribe({ channel: "blocks", last: count });
  assert.equal(accepted(last(0)).kind, "command");
  assert.equal(accepted(last(MAX_HISTORY_LIMIT)).kind, "command");
  assert.equal(
    refused(last(MAX_HISTORY_LIMIT + 1)).code,
    "INVALID_SUBSCRIPTION",
  );
  const id = (length: number) => ({ type: "ping", id: "x".repeat(length) });
  assert.equal(accepted(id(128)).id?.length, 128);
  assert.equal(refused(id(129)).code, "INVALID_MESSAGE");
});

Deno.test("a room's name is accepted up to exactly its bound", () => {
  const to = (length: number) => ({
    type: "ROOM_MESSAGE",
    channel: `room:${"r".repeat(length)}`,
    payload: { event: "e" },
  });
  assert.equal(refused(to(0)).code, "UNKNOWN_CHANNEL");
  assert.equal(accepted(to(1)).kind, "publish");
  assert.equal(accepted(to(64)).kind, "publish");
  assert.equal(refused(to(65)).code, "UNKNOWN_CHANNEL");
  assert(!ROOM_NAME.test("room:a\n"));
});

Deno.test("one frame is accepted up to exactly its bound of messages", () => {
  const updates = (count: number) => ({
    type: "BATCH_UPDATE",
    id: "b1",
    payload: { updates: Array.from({ length: count }, () => block()) },
  });
  const frame = accepted(updates(MAX_BATCH_MESSAGES));
  assert(frame.kind === "publish");
  assert.equal(frame.publications.length, MAX_BATCH_MESSAGES);
  const { code, ref } = refused(updates(MAX_BATCH_MESSAGES + 1));
  assert.deepEqual([code, ref], ["INVALID_PAYLOAD", "b1"]);

  const body = (count: number) =>
    JSON.stringify({ messages: updates(count).payload.updates });
  assert.equal(
    decodePublications(body(MAX_BATCH_MESSAGES), MAX_BYTES).length,
    MAX_BATCH_MESSAGES,
  );
  refusalOf(() => decodePublications(body(MAX_BATCH_MESSAGES + 1), MAX_BYTES));
  refusalOf(() => decodePublications(body(0), MAX_BYTES));
});

Deno.test("a batch with one bad message is refused whole, naming that message", () => {
  const { code, ref, issues } = refused({
    type: "BATCH_UPDATE",
    id: "b1",
    payload: { updates: [block(), block({ height: "x" })] },
  });
  assert.deepEqual([code, ref], ["INVALID_PAYLOAD", "b1"]);
  assert.deepEqual(issues!.map(({ path }) => path), [
    "payload.updates.1.payload.height",
  ]);
  const body = JSON.stringify({ messages: [block(), { type: "NOPE" }] });
  const refusal = refusalOf(() => decodePublications(body, MAX_BYTES));
  assert.equal(refusal.code, "UNKNOWN_TYPE");
  assert.deepEqual(refusal.issues!.map(({ path }) => path), ["messages.1"]);
});

Deno.test("the bound of a body is a bound of each message in it", () => {
  const one = JSON.stringify(block());
  const many = `{"messages":[${one},${one},${one}]}`;
  const bytes = one.length;
  assert.equal(decodePublications(one, bytes).length, 1);
  assert.equal(decodePublications(many, bytes).length, 3);
  for (const body of [one, many]) {
    assert.equal(
      refusalOf(() => decodePublications(body, bytes - 1)).code,
      "MESSAGE_TOO_LARGE",
    );
  }
});

Deno.test("a body holds messages only", () => {
  for (
    const body of [
      { type: "TEST", payload: {} },
      subscribe("blocks"),
      { type: "BATCH_UPDATE", payload: { updates: [block()] } },
      [block()],
      { messages: [block()], type: "NEW_BLOCK" },
      { messages: block() },
    ]
  ) {
    refusalOf(() => decodePublications(JSON.stringify(body), MAX_BYTES));
  }
});
