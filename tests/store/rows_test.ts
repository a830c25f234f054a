import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeEvent } from "../../protocol/encode.ts";
import {
  entryIn,
  eventsIn,
  firstIn,
  lineOf,
  packed,
  PART_BYTES,
  partsOf,
  ROW_BYTES,
  ROW_EVENTS,
} from "../../store/rows.ts";
import type { Row } from "../../store/rows.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function events(texts: readonly string[], after: number): Row[] {
  return texts.map((text, i) => ({
    seq: after + 1 + i,
    bytes: encoder.encode(text),
  }));
}

function read(row: Row): { seq: number; text: string }[] {
  const parts = partsOf(row).map((bytes, number) => ({ number, bytes }));
  const texts = eventsIn(parts).map((event) => decoder.decode(event));
  const first = firstIn(row.seq, parts[0]!.bytes);
  assert.equal(first, row.seq - texts.length + 1);
  return texts.map((text, i) => ({ seq: first + i, text }));
}

Deno.test("events come out of their rows as they went in, under their numbers", () => {
  const anyText = fc.oneof(
    fc.json(),
    fc.string({ unit: "grapheme" }).map((text) => JSON.stringify(text)),
    fc.integer({ min: 0, max: 2 * PART_BYTES + 2 })
      .map((length) => `"${"x".repeat(length)}"`),
  );
  fc.assert(
    fc.property(
      fc.array(anyText, { minLength: 1, maxLength: 3 * ROW_EVENTS }),
      fc.nat(),
      (texts, after) => {
        const rows = packed(events(texts, after));
        assert.deepEqual(
          rows.flatMap(read),
          texts.map((text, i) => ({ seq: after + 1 + i, text })),
        );
        for (const row of rows) {
          const { length } = read(row);
          assert(length <= ROW_EVENTS);
          if (length > 1) assert(row.bytes.byteLength <= ROW_BYTES);
          for (const { byteLength } of partsOf(row)) {
            assert(byteLength <= PART_BYTES);
          }
        }
      },
    ),
  );
});

Deno.test("a row is as full as it may be", () => {
  const short = Array.from({ length: ROW_EVENTS + 1 }, () => "{}");
  const byNumber = packed(events(short, 0)).map(({ seq }) => seq);
  assert.deepEqual(byNumber, [ROW_EVENTS, ROW_EVENTS + 1]);
  const half = `"${"x".repeat(ROW_BYTES / 2 - 3)}"`;
  assert.equal(half.length + 1, ROW_BYTES / 2);
  const byLength = packed(events([half, half, half, `${half} `], 7));
  assert.deepEqual(byLength.map(({ seq }) => seq), [9, 10, 11]);
});

Deno.test("a row of which a part is missing holds nothing", () => {
  const text = `"${"x".repeat(3 * PART_BYTES)}"`;
  const parts = partsOf(packed(events([text], 0))[0]!)
    .map((bytes, number) => ({ number, bytes }));
  assert.equal(eventsIn(parts).length, 1);
  for (const missing of parts) {
    assert.deepEqual(eventsIn(parts.filter((part) => part !== missing)), []);
  }
  assert.deepEqual(eventsIn([]), []);
});

Deno.test("an event comes out of its line as it went in", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.array(fc.string())),
      fc.string({ unit: "grapheme" }),
      fc.nat(),
      (tags, text, at) => {
        const entry = {
          channel: "room:a",
          epoch: "01M8",
          seq: 7,
          type: "ROOM_MESSAGE",
          at,
          tags: { ...tags },
          json: JSON.stringify({ text }),
        };
        assert.deepEqual(entryIn(lineOf(entry), "room:a", 7), entry);
      },
    ),
  );
});

Deno.test("a line of an earlier version is the frame alone", () => {
  const json = encodeEvent("ROOM_MESSAGE", '{"event":"hi"}', {
    channel: "room:a",
    seq: 7,
    epoch: "01M8",
  }, { id: "i", now: 1_000 });
  assert.deepEqual(entryIn(encoder.encode(json), "room:a", 7), {
    channel: "room:a",
    epoch: "01M8",
    seq: 7,
    type: "ROOM_MESSAGE",
    at: 1_000,
    tags: { event: ["hi"] },
    json,
  });
});
