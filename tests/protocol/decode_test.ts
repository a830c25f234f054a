import assert from "node:assert/strict";
import fc from "fast-check";
import { COMMANDS } from "../../protocol/commands.ts";
import {
  decode,
  decodePublications,
  MAX_ISSUE_LENGTH,
  MAX_ISSUES,
} from "../../protocol/decode.ts";
import { MESSAGES } from "../../protocol/messages.ts";
import { Refusal } from "../../protocol/refusals.ts";
import type { RefusalCode } from "../../protocol/refusals.ts";
import { EXAMPLES } from "../examples.ts";
import {
  accepted,
  block,
  CODES,
  MAX_BYTES,
  refusalOf,
  refused,
  subscribe,
} from "./decoding.ts";

const RUNS = { numRuns: 2_000 };

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
