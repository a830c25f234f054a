import assert from "node:assert/strict";
import fc from "fast-check";
import { ROOM_NAME } from "../../protocol/channels.ts";
import {
  COMMANDS,
  MAX_CHANNELS_PER_COMMAND,
  MAX_HISTORY_LIMIT,
  MAX_TOKEN_LENGTH,
} from "../../protocol/commands.ts";
import {
  decode,
  decodePublications,
  interpret,
  MAX_BATCH_MESSAGES,
  MAX_ISSUE_LENGTH,
  MAX_ISSUES,
} from "../../protocol/decode.ts";
import type { ClientFrame, Publication } from "../../protocol/decode.ts";
import { MESSAGES } from "../../protocol/messages.ts";
import { Refusal } from "../../protocol/refusals.ts";
import type { RefusalCode } from "../../protocol/refusals.ts";
import { MAX_DEPTH } from "../../protocol/json_limits.ts";
import { EXAMPLES } from "../examples.ts";

const MAX_BYTES = 65_536;
const RUNS = { numRuns: 2_000 };

/** Codes that bad input may have; never `INTERNAL`. */
const CODES: ReadonlySet<RefusalCode> = new Set([
  "INVALID_JSON",
  "INVALID_MESSAGE",
  "UNKNOWN_TYPE",
  "INVALID_PAYLOAD",
  "INVALID_SUBSCRIPTION",
  "UNKNOWN_CHANNEL",
  "UNSUPPORTED_VERSION",
  "MESSAGE_TOO_LARGE",
]);

function refusalOf(run: () => unknown): Refusal {
  try {
    run();
  } catch (error) {
    assert(error instanceof Refusal, `not a refusal: ${error}`);
    return error;
  }
  assert.fail("was not refused");
}

function refused(frame: unknown, maxBytes = MAX_BYTES): Refusal {
  const data = typeof frame === "string" ? frame : JSON.stringify(frame);
  return refusalOf(() => decode(data, maxBytes));
}

function accepted(frame: unknown, maxBytes = MAX_BYTES): ClientFrame {
  return decode(JSON.stringify(frame), maxBytes);
}

/** Understood, or refused as bad input is, within bounds. */
function understoodOrRefused(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    assert(error instanceof Refusal, `not a refusal: ${error}`);
    assert(CODES.has(error.code), error.code);
    const issues = error.issues ?? [];
    assert(issues.length <= MAX_ISSUES);
    for (const { path, message } of issues) {
      assert(path.length <= MAX_ISSUE_LENGTH && path.isWellFormed());
      assert(message.length <= MAX_ISSUE_LENGTH && message.isWellFormed());
    }
    assert(error.message.length <= 2 * MAX_ISSUE_LENGTH);
    assert(JSON.stringify(error).isWellFormed());
  }
}

const block = (extra: object = {}) => ({
  type: "NEW_BLOCK",
  payload: {
    blockId: "abc123",
    height: 15_420,
    timestamp: "2025-08-07T10:00:00Z",
    ...extra,
  },
});
const subscribe = (...channels: unknown[]) => ({
  type: "subscribe",
  payload: { channels },
});
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

/** Frames that are nearly right: the likeliest way to a hole. */
const nearlyRight = fc.record({
  type: fc.oneof(
    fc.constantFrom(
      ...Object.keys(MESSAGES),
      ...Object.keys(COMMANDS),
      "BATCH_UPDATE",
      "__proto__",
      "toString",
    ),
    fc.anything(),
  ),
  payload: fc.oneof(
    fc.constantFrom<unknown>(
      ...EXAMPLES.map(({ payload }) => payload),
      ...[{ channels: ["blocks"] }, { updates: [block()] }],
    ),
    fc.object({
      key: fc.constantFrom(
        "channels",
        "updates",
        "auth",
        "token",
        "key",
        "channel",
        "after",
        "limit",
        "timestamp",
        "height",
        "__proto__",
        "constructor",
      ),
      maxDepth: 3,
    }),
    fc.anything(),
  ),
  id: fc.oneof(fc.constant("m1"), fc.anything()),
  version: fc.oneof(fc.constantFrom("1.0.0", "2.0.0", "1"), fc.anything()),
  timestamp: fc.oneof(fc.constant("2025-08-07T10:00:00Z"), fc.anything()),
  channel: fc.oneof(fc.constantFrom("blocks", "room:a"), fc.anything()),
  [`x`]: fc.anything(),
}, { requiredKeys: [] });

const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.json(),
  nearlyRight.map(asText),
);

function asText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "{}"; // a bigint or a cycle is no JSON
  }
}

Deno.test("whatever text arrives is understood or refused", () => {
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 2_000 }), (data, maxBytes) => {
      understoodOrRefused(() => decode(data, maxBytes));
      understoodOrRefused(() => decodePublications(data, maxBytes));
      understoodOrRefused(() => decode(`{"messages":[${data}]}`, maxBytes));
      understoodOrRefused(() =>
        decodePublications(`{"messages":[${data}]}`, maxBytes)
      );
    }),
    RUNS,
  );
});

Deno.test("whatever is no text is refused", () => {
  fc.assert(
    fc.property(
      fc.anything().filter((value) => typeof value !== "string"),
      (data) => {
        const { code, message } = refusalOf(() => decode(data, MAX_BYTES));
        assert.equal(code, "INVALID_MESSAGE");
        assert.match(message, /binary/);
      },
    ),
  );
  for (const data of [new ArrayBuffer(8), new Uint8Array(8), new Blob([])]) {
    assert.equal(
      refusalOf(() => decode(data, MAX_BYTES)).code,
      "INVALID_MESSAGE",
    );
  }
});

Deno.test("no frame changes a prototype", () => {
  const before = [
    Object.prototype,
    Array.prototype,
    Function.prototype,
    Refusal.prototype,
  ].map((prototype) => Reflect.ownKeys(prototype).length);
  const key = fc.constantFrom(
    '"__proto__"',
    '"constructor"',
    '"prototype"',
    '"polluted"',
    '"type"',
    '"payload"',
    '"channels"',
    '"id"',
  );
  const { value } = fc.letrec<{ value: string }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom("1", '"subscribe"', '"TEST"', "true", '["blocks"]'),
      fc.array(fc.tuple(key, tie("value")), { maxLength: 4 }).map((pairs) =>
        `{${pairs.map(([name, inner]) => `${name}:${inner}`).join(",")}}`
      ),
    ),
  }));
  fc.assert(
    fc.property(value, (data) => {
      understoodOrRefused(() => decode(data, MAX_BYTES));
      understoodOrRefused(() =>
        decode(`{"type":"TEST","payload":${data}}`, MAX_BYTES)
      );
      assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
    }),
    RUNS,
  );
  const after = [
    Object.prototype,
    Array.prototype,
    Function.prototype,
    Refusal.prototype,
  ].map((prototype) => Reflect.ownKeys(prototype).length);
  assert.deepEqual(after, before);
});

Deno.test("a prototype key is refused at any depth", () => {
  for (
    const [data, path] of [
      ['{"__proto__":{"id":"x"},"type":"ping"}', ""],
      ['{"type":"TEST","payload":{"__proto__":{"a":1}}}', "payload"],
      ['{"type":"TEST","payload":{"a":[{"__proto__":1}]}}', "payload.a.0"],
      [
        '{"type":"connect","payload":{"auth":{"token":"t","headers":{"__proto__":"x"}}}}',
        "payload.auth.headers",
      ],
    ] as const
  ) {
    const { issues } = refused(data);
    assert.deepEqual(issues, [{
      path,
      message: "has a key that is not allowed",
    }]);
  }
});

Deno.test("each kind of bad frame has its code", () => {
  const cases: [unknown, RefusalCode][] = [
    ["", "INVALID_JSON"],
    ["{", "INVALID_JSON"],
    ["undefined", "INVALID_JSON"],
    ['{"type":"ping"} trailing', "INVALID_JSON"],
    ["\u0000", "INVALID_JSON"],
    ["null", "INVALID_MESSAGE"],
    ["1", "INVALID_MESSAGE"],
    ['"subscribe"', "INVALID_MESSAGE"],
    ["[]", "INVALID_MESSAGE"],
    [{}, "INVALID_MESSAGE"],
    [{ type: 5 }, "INVALID_MESSAGE"],
    [{ type: "NOPE", payload: {} }, "UNKNOWN_TYPE"],
    [{ type: "new_block", payload: {} }, "UNKNOWN_TYPE"],
    [{ type: "connected", payload: {} }, "UNKNOWN_TYPE"],
    [{ type: "__proto__", payload: {} }, "UNKNOWN_TYPE"],
    [{ type: "constructor", payload: {} }, "UNKNOWN_TYPE"],
    [{ type: "ping", version: "2.0.0" }, "UNSUPPORTED_VERSION"],
    [{ type: "NOPE", version: "0.9.0" }, "UNSUPPORTED_VERSION"],
    [{ type: "ping", version: "1" }, "INVALID_MESSAGE"],
    [{ type: "ping", version: 1 }, "INVALID_MESSAGE"],
    [{ type: "ping", id: "" }, "INVALID_MESSAGE"],
    [{ type: "ping", id: "with blank" }, "INVALID_MESSAGE"],
    [{ type: "ping", id: "x".repeat(129) }, "INVALID_MESSAGE"],
    [{ type: "ping", timestamp: "today" }, "INVALID_MESSAGE"],
    [{ type: "ping", channel: "blocks" }, "INVALID_MESSAGE"],
    [{ type: "ping", extra: 1 }, "INVALID_MESSAGE"],
    [{ type: "ping", payload: { extra: 1 } }, "INVALID_PAYLOAD"],
    [{ type: "ping", payload: null }, "INVALID_MESSAGE"],
    [{ type: "ping", payload: [] }, "INVALID_MESSAGE"],
    [{ type: "subscribe" }, "INVALID_MESSAGE"],
    [{ type: "subscribe", payload: {} }, "INVALID_SUBSCRIPTION"],
    [subscribe(), "INVALID_SUBSCRIPTION"],
    [subscribe(5), "INVALID_SUBSCRIPTION"],
    [subscribe(""), "INVALID_SUBSCRIPTION"],
    [subscribe({ channel: "blocks", afer: 1 }), "INVALID_SUBSCRIPTION"],
    [subscribe({ channel: "blocks", last: -1 }), "INVALID_SUBSCRIPTION"],
    [
      { type: "subscribe", payload: { channels: ["blocks"], filter: {} } },
      "INVALID_SUBSCRIPTION",
    ],
    [
      subscribe({ channel: "blocks", last: 1, after: { epoch: "e", seq: 1 } }),
      "INVALID_SUBSCRIPTION",
    ],
    [
      subscribe({ channel: "blocks", after: { epoch: "e", seq: -1 } }),
      "INVALID_SUBSCRIPTION",
    ],
    [
      { type: "unsubscribe", payload: { channels: [{ channel: "blocks" }] } },
      "INVALID_SUBSCRIPTION",
    ],
    [{ type: "connect", payload: { auth: {} } }, "INVALID_PAYLOAD"],
    [{ type: "connect", payload: { token: "t" } }, "INVALID_PAYLOAD"],
    [{ type: "refresh", payload: {} }, "INVALID_PAYLOAD"],
    [
      { type: "query", payload: { channel: "blocks", limit: 0 } },
      "INVALID_PAYLOAD",
    ],
    [{ type: "NEW_BLOCK" }, "INVALID_MESSAGE"],
    [{ type: "NEW_BLOCK", payload: [] }, "INVALID_MESSAGE"],
    [{ type: "NEW_BLOCK", payload: {} }, "INVALID_PAYLOAD"],
    [block({ height: "15420" }), "INVALID_PAYLOAD"],
    [block({ height: -1 }), "INVALID_PAYLOAD"],
    [block({ height: 1.5 }), "INVALID_PAYLOAD"],
    [block({ timestamp: "2025-08-07" }), "INVALID_PAYLOAD"],
    [block({ transactions: [{}] }), "INVALID_PAYLOAD"],
    [block({ hash: null }), "INVALID_PAYLOAD"],
    [{ ...block(), seq: 1 }, "INVALID_MESSAGE"],
    [{ ...block(), channel: "nope" }, "UNKNOWN_CHANNEL"],
    [{ ...block(), channel: "room:a" }, "INVALID_MESSAGE"],
    [{ type: "ROOM_MESSAGE", payload: { event: "e" } }, "INVALID_MESSAGE"],
    [
      { type: "ROOM_MESSAGE", payload: { event: "e" }, channel: "blocks" },
      "INVALID_MESSAGE",
    ],
    [
      { type: "ROOM_MESSAGE", payload: { event: "e" }, channel: "room:a/b" },
      "UNKNOWN_CHANNEL",
    ],
    [{ type: "BATCH_UPDATE", payload: { updates: [] } }, "INVALID_PAYLOAD"],
    [{ type: "BATCH_UPDATE", payload: { updates: [null] } }, "INVALID_MESSAGE"],
    [
      {
        type: "BATCH_UPDATE",
        payload: { updates: [{ type: "BATCH_UPDATE", payload: {} }] },
      },
      "UNKNOWN_TYPE",
    ],
    [
      { type: "BATCH_UPDATE", payload: { updates: [subscribe("blocks")] } },
      "UNKNOWN_TYPE",
    ],
    [
      {
        type: "BATCH_UPDATE",
        payload: { updates: [{ type: "TEST", payload: {} }] },
      },
      "INVALID_MESSAGE",
    ],
  ];
  for (const [frame, code] of cases) {
    assert.equal(refused(frame).code, code, JSON.stringify(frame));
  }
});

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

Deno.test("a batch with one bad message is refused whole, and says which", () => {
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

Deno.test("every example of the reference is understood", () => {
  for (const example of EXAMPLES) {
    const frame = accepted(example);
    assert(frame.kind === "publish");
    const [publication] = frame.publications;
    assert(publication);
    assert.equal(publication.type, example.type);
    assert.equal(publication.id, example.id);
    assert.equal(publication.channel.kind, MESSAGES[example.type].channel);
    assert.deepEqual(publication.payload, example.payload);
  }
});

Deno.test("a type of several channels goes to the first, or to the one it names", () => {
  const timestamp = "2025-08-07T10:00:00.000Z";
  const payload = { keeps: null, timestamp };
  const to = (channel?: string) => {
    const frame = accepted({
      type: "CHAIN_RESET",
      payload,
      ...(channel === undefined ? {} : { channel }),
    });
    assert(frame.kind === "publish");
    return frame.publications[0]!.channel.name;
  };

  assert.equal(to(), "blocks");
  assert.equal(to("blocks"), "blocks");
  assert.equal(to("transactions"), "transactions");
  assert.equal(to("logs"), "logs");
  assert.equal(
    refused({ type: "CHAIN_RESET", channel: "nodes", payload }).code,
    "INVALID_MESSAGE",
  );
});

Deno.test("each known field of an example is enforced", () => {
  for (const { type, payload } of EXAMPLES) {
    for (const field of Object.keys(payload)) {
      const broken = { type, payload: { ...payload, [field]: { no: true } } };
      if (field === "metadata") continue;
      const { code, issues } = refused(broken);
      assert.equal(code, "INVALID_PAYLOAD", `${type}.${field}`);
      assert(issues!.some(({ path }) => path.startsWith(`payload.${field}`)));
    }
  }
});

Deno.test("each required field of a message is missed", () => {
  const required: Record<string, string[]> = {
    NEW_BLOCK: ["blockId", "height", "timestamp"],
    BLOCK_REVERTED: ["blockId", "height", "timestamp"],
    FINALITY: ["level", "blockId", "height", "timestamp"],
    CHAIN_RESET: ["keeps", "timestamp"],
    BLOCK_COMPLETE: ["blockId", "height", "transactions", "timestamp"],
    TX_LOGS: ["txId", "blockId", "blockHeight", "logs"],
    LOGS_REVERTED: ["blockId", "height", "timestamp"],
    DAG_UPDATE: ["updateType", "nodeId", "relatedNodes", "timestamp"],
    VALIDATOR_EVENT: ["eventType", "validatorId", "timestamp"],
    TX_RECEIVED: [
      "txId",
      "from",
      "to",
      "amount",
      "gasPrice",
      "gasLimit",
      "nonce",
      "status",
      "timestamp",
    ],
    NODE_STATUS: ["nodeId", "status", "lastUpdate"],
    ALERT_TRIGGERED: ["type", "severity", "message"],
    ROOM_MESSAGE: ["event"],
    METRICS_UPDATE: ["timestamp"],
    TEST: [],
  };
  for (const [type, { payload }] of Object.entries(MESSAGES)) {
    const fields = Object.entries(payload.shape)
      .filter(([, field]) => !field.safeParse(undefined).success)
      .map(([name]) => name);
    assert.deepEqual(fields.toSorted(), required[type]!.toSorted(), type);
  }
});

Deno.test("unknown fields of a payload are kept, in their order", () => {
  const frame = accepted({
    type: "NEW_BLOCK",
    payload: {
      zeta: { deep: [1, "x", null, { k: true }] },
      ...block().payload,
      alpha: 0.1,
    },
  });
  assert(frame.kind === "publish");
  assert.deepEqual(Object.keys(frame.publications[0]!.payload), [
    "zeta",
    "blockId",
    "height",
    "timestamp",
    "alpha",
  ]);
});

Deno.test("amounts are decimal strings up to a uint256", () => {
  const amount = (value: unknown) => ({
    type: "TX_RECEIVED",
    payload: { ...TRANSACTION, amount: value },
  });
  const most = (2n ** 256n - 1n).toString();
  for (const good of ["0", "1000", most, "1.5", `${most}.${"9".repeat(18)}`]) {
    assert.equal(accepted(amount(good)).kind, "publish", good);
  }
  for (
    const bad of [
      "",
      "-1",
      "1e3",
      "0x10",
      "1.",
      ".5",
      " 1",
      1000,
      "1".repeat(79),
      `1.${"0".repeat(19)}`,
    ]
  ) {
    assert.equal(refused(amount(bad)).code, "INVALID_PAYLOAD", String(bad));
  }
});

Deno.test("the shortest frames a person types are understood", () => {
  assert.deepEqual(decode('{"type":"ping"}', MAX_BYTES), {
    kind: "command",
    type: "ping",
    id: undefined,
    payload: {},
  });
  assert.deepEqual(
    decode('{"type":"subscribe","payload":{"channels":["blocks"]}}', MAX_BYTES),
    {
      kind: "command",
      type: "subscribe",
      id: undefined,
      payload: { channels: ["blocks"] },
    },
  );
  const query = accepted({ type: "query", payload: { channel: "blocks" } });
  assert.deepEqual(query.kind === "command" && query.payload, {
    channel: "blocks",
    limit: 100,
  });
});

Deno.test("other minor versions are understood", () => {
  for (const version of ["1.0.0", "1.7.3"]) {
    assert.equal(accepted({ type: "ping", version }).kind, "command");
  }
});

Deno.test("messages go to the channel of their type, rooms to the one named", () => {
  const destination = (frame: unknown): Publication["channel"] => {
    const decoded = accepted(frame);
    assert(decoded.kind === "publish");
    return decoded.publications[0]!.channel;
  };
  assert.deepEqual(destination(block()), { name: "blocks", kind: "blocks" });
  const [, , validator] = EXAMPLES;
  assert.deepEqual(
    destination({ ...validator, channel: "validator_updates" }),
    {
      name: "validators",
      kind: "validators",
    },
  );
  assert.deepEqual(
    destination({
      type: "ROOM_MESSAGE",
      channel: "room:lobby",
      payload: { event: "joined" },
    }),
    { name: "room:lobby", kind: "room" },
  );
});

const TRANSACTION = {
  txId: "tx1",
  from: "0x123",
  to: "0x456",
  amount: "1000",
  gasPrice: "10",
  gasLimit: 21_000,
  nonce: 1,
  status: "pending",
  timestamp: "2025-08-07T10:00:00Z",
};

Deno.test("what a room's message carries is walked once", () => {
  const reads = new Map<string, number>();
  const spied = (path: string, value: object): object =>
    new Proxy(value, {
      get(target, key, receiver) {
        const inner = Reflect.get(target, key, receiver);
        if (typeof key === "symbol" || key === "length") return inner;
        const at = `${path}.${key}`;
        reads.set(at, (reads.get(at) ?? 0) + 1);
        return typeof inner === "object" && inner !== null
          ? spied(at, inner)
          : inner;
      },
    });
  const data = spied("data", [{ a: [1, { b: 2 }] }, {}, { c: "d" }]);
  const frame = {
    type: "ROOM_MESSAGE",
    channel: "room:a",
    payload: { event: "e", data },
  };
  assert.equal(interpret(frame, MAX_BYTES).kind, "publish");
  assert.deepEqual([...reads.values()].filter((times) => times !== 1), []);
  assert.equal(reads.get("data.0.a.1.b"), 1);
});
