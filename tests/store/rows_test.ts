import assert from "node:assert/strict";
import fc from "fast-check";
import {
  eventsIn,
  firstIn,
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
