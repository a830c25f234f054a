/** What the API page offers to try, from the document that it draws. */
import assert from "node:assert/strict";
import type { AsyncDocument } from "../../../client/docs/documents.ts";
import { referenceOf } from "../../../client/docs/model.ts";
import { objectIn, trialsOf, wayOf } from "../../../client/docs/trials.ts";
import { asyncApi } from "../../../describe/asyncapi.ts";
import { CHANNELS } from "../../../protocol/channels.ts";
import { COMMANDS } from "../../../protocol/commands.ts";
import { MESSAGES } from "../../../protocol/messages.ts";

const reference = referenceOf(
  asyncApi("h") as unknown as AsyncDocument,
  { tags: [], paths: {}, components: { schemas: {} } },
  "https://rt.example.com",
);

Deno.test("every message can be published, each once and with its type", () => {
  const { publish } = trialsOf(reference);
  assert.deepEqual(
    publish.map(({ name }) => name).toSorted(),
    Object.keys(MESSAGES).toSorted(),
  );
  for (const { name, text } of publish) {
    const { type, payload } = JSON.parse(text);
    assert.equal(type, name);
    const { payload: shape } = MESSAGES[name as keyof typeof MESSAGES];
    assert.ok(shape.safeParse(payload).success, name);
  }
});

Deno.test("every verb that is answered can be asked, with what it takes", () => {
  const { request } = trialsOf(reference);
  const apart = ["connect", "refresh", "subscribe", "unsubscribe", "watch"];
  assert.deepEqual(
    [...request.map(({ name }) => name), ...apart].toSorted(),
    Object.keys(COMMANDS).toSorted(),
  );
  for (const { name, text } of request) {
    const shape = COMMANDS[name as keyof typeof COMMANDS];
    assert.ok(shape.safeParse(JSON.parse(text)).success, name);
  }
});

Deno.test("every channel can be followed, of rooms one", () => {
  assert.equal(
    trialsOf(reference).channels.length,
    Object.keys(CHANNELS).length,
  );
  assert.ok(trialsOf(reference).channels.includes("room:lobby"));
});

Deno.test("an entry leads to the form that sends it, where there is one", () => {
  const entries = reference.sections.flatMap((section) => section.entries);
  const ways = Object.fromEntries(
    entries.map((entry) => [entry.id, wayOf(entry)]),
  );
  const { subscribe, unsubscribe, watch, query } = ways;
  assert.deepEqual({ subscribe, unsubscribe, watch, query }, {
    subscribe: "subscribe",
    unsubscribe: "subscribe",
    watch: "watch",
    query: "request",
  });
  assert.equal(ways["publish.blocks"], "publish");
  assert.equal(ways["echo.TEST"], "publish");
  assert.equal(ways["follow.blocks"], undefined);
  assert.equal(ways["connect"], undefined);
});

Deno.test("what is no JSON object is refused in words", () => {
  assert.deepEqual(objectIn('{"a":1}', "It"), { a: 1 });
  assert.throws(() => objectIn("{", "The filter"), /The filter is not JSON/);
  for (const text of ["1", "null", "[]", '"a"']) {
    assert.throws(() => objectIn(text, "It"), /It is not an object/);
  }
});
