import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeEvent } from "../../protocol/encode.ts";
import type { LoggedEntry } from "../../store/entry.ts";
import {
  entryIn,
  lineOf,
  packed,
  PART_BYTES,
  partsOf,
  ROW_BYTES,
  ROW_EVENTS,
  ROW_HEAD_BYTES,
  ROW_OVERHEAD_BYTES,
  rowIn,
} from "../../store/rows.ts";
import type { Row, RowContent } from "../../store/rows.ts";

const encoder = new TextEncoder();
const EPOCH = "01M8363GXBX36X8T3700000001";

function event(seq: number, payloadText: string): LoggedEntry {
  const place = { channel: "room:a", seq, epoch: EPOCH };
  const at = 1_000 + seq;
  const json = encodeEvent("ROOM_MESSAGE", payloadText, place, {
    id: `i${seq}`,
    now: at,
  });
  return { ...place, type: "ROOM_MESSAGE", at, tags: {}, json };
}

function events(payloads: readonly string[], after = 0): LoggedEntry[] {
  return payloads.map((text, i) => event(after + 1 + i, text));
}

function contentOf(row: Row): RowContent {
  const content = rowIn(
    partsOf(row).map((bytes, number) => ({ number, bytes })),
  );
  assert(typeof content === "object");
  return content;
}

function read(row: Row): LoggedEntry[] {
  const { lines } = contentOf(row);
  return lines.map((line, i) =>
    entryIn(line, {
      channel: "room:a",
      epoch: EPOCH,
      seq: row.seq - lines.length + 1 + i,
    })
  );
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
      fc.nat(),
      (payloads, after, before) => {
        const entries = events(payloads, after);
        const { rows, bytes } = packed(entries, before);
        assert.deepEqual(rows.flatMap(read), entries);
        let offset = before;
        for (const row of rows) {
          const content = contentOf(row);
          assert.equal(content.epoch, EPOCH);
          assert.equal(content.offset, offset);
          offset += row.bytes.byteLength + ROW_OVERHEAD_BYTES;
          const { length } = content.lines;
          assert(length <= ROW_EVENTS);
          const most = ROW_BYTES + ROW_HEAD_BYTES;
          if (length > 1) assert(row.bytes.byteLength <= most);
          for (const { byteLength } of partsOf(row)) {
            assert(byteLength <= PART_BYTES);
          }
        }
        assert.equal(bytes, offset);
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("a row is as full as it may be", () => {
  const short = Array.from({ length: ROW_EVENTS + 1 }, () => "{}");
  const byNumber = packed(events(short), 0).rows.map(({ seq }) => seq);
  assert.deepEqual(byNumber, [ROW_EVENTS, ROW_EVENTS + 1]);
  const around = lineOf(event(8, '""')).length;
  const half = `"${"x".repeat(ROW_BYTES / 2 - around - 1)}"`;
  assert.equal(lineOf(event(8, half)).length + 1, ROW_BYTES / 2);
  const byLength = packed(events([half, half, half, `${half} `], 4), 0).rows;
  assert.deepEqual(byLength.map(({ seq }) => seq), [6, 7, 8]);
});

Deno.test("a row of which a part is missing is gone", () => {
  const text = `"${"x".repeat(3 * PART_BYTES)}"`;
  const parts = partsOf(packed(events([text]), 0).rows[0]!)
    .map((bytes, number) => ({ number, bytes }));
  assert(typeof rowIn(parts) === "object");
  for (const missing of parts) {
    assert.equal(rowIn(parts.filter((part) => part !== missing)), "gone");
  }
  assert.equal(rowIn([]), "gone");
});

Deno.test("a row with any bit changed is damaged", () => {
  const { rows: [row] } = packed(events(['{"event":"a"}', "{}"]), 0);
  fc.assert(
    fc.property(
      fc.nat(row!.bytes.byteLength - 1),
      fc.nat(7),
      (at, bit) => {
        const bytes = row!.bytes.slice();
        bytes[at]! ^= 1 << bit;
        assert.equal(rowIn([{ number: 0, bytes }]), "damaged");
      },
    ),
    { numRuns: 500 },
  );
  const cut = row!.bytes.subarray(0, 3);
  assert.equal(rowIn([{ number: 0, bytes: cut }]), "damaged");
});

Deno.test("an event comes out of its line as it went in, tags too", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.array(fc.string())),
      fc.string({ unit: "grapheme" }),
      (tags, text) => {
        const entry = {
          ...event(7, JSON.stringify({ text })),
          tags: { ...tags },
        };
        assert.deepEqual(entryIn(encoder.encode(lineOf(entry)), entry), entry);
      },
    ),
  );
});

Deno.test("an event stands in the log's present epoch, whatever it was written under", () => {
  const entry = event(7, '{"event":"hi"}');
  const place = { ...entry, epoch: "01NEW" };
  const renamed = entryIn(encoder.encode(lineOf(entry)), place);
  assert.deepEqual(JSON.parse(renamed.json), {
    ...JSON.parse(entry.json),
    epoch: "01NEW",
  });
  assert.equal(renamed.epoch, "01NEW");
});

Deno.test("rows of earlier versions hold frames alone", () => {
  const entries = events(['{"event":"a"}', '{"event":"b"}']);
  const text = entries.map(({ json }) => json).join("\n");
  const content = rowIn([{ number: 0, bytes: encoder.encode(text) }]);
  assert(typeof content === "object");
  assert.equal(content.epoch, undefined);
  for (const [i, entry] of entries.entries()) {
    const tags = { event: [i === 0 ? "a" : "b"] };
    assert.deepEqual(entryIn(content.lines[i]!, entry), { ...entry, tags });
    const renamed = entryIn(content.lines[i]!, { ...entry, epoch: "01NEW" });
    assert.deepEqual(
      JSON.parse(renamed.json),
      { ...JSON.parse(entry.json), epoch: "01NEW" },
    );
  }
  const damaged = encoder.encode(text.replace(":", "|"));
  assert.equal(rowIn([{ number: 0, bytes: damaged }]), "damaged");
});
