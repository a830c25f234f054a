import assert from "node:assert/strict";
import fc from "fast-check";
import { digestOf, digitsOf, numberIn } from "../../realtime/digest.ts";
import {
  NAMED_CHANNELS,
  positionsIn,
  SseCursor,
} from "../../realtime/sse_cursor.ts";
import { MAX_SUBSCRIPTIONS } from "../../realtime/subscribe.ts";
import { idSource } from "../../protocol/envelope.ts";

const same = (name: string) => name;
const rooms = (count: number) =>
  Array.from({ length: count }, (_, i) => `room:${i}`);

const anyNames = fc.uniqueArray(fc.stringMatching(/^room:[\w.:-]{1,40}$/), {
  minLength: 1,
  maxLength: 40,
});
const anyEpoch = fc.oneof(
  fc.constant("0"),
  fc.stringMatching(/^[0-9A-Z]{26}$/),
);
const anySeq = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const seqsBelow15Digits = fc.oneof(
  fc.constant(0),
  fc.nat({ max: 999_999_999_999_999 }),
);

Deno.test("a number is read from its digits at any offset", () => {
  fc.assert(fc.property(anySeq, fc.string(), (value, before) => {
    const digits = digitsOf(value);
    const read = numberIn(`${before}${digits}AB`, before.length);
    assert.deepEqual(read, { value, end: before.length + digits.length });
  }));
  assert.equal(numberIn("", 0), undefined);
  assert.equal(numberIn("_", 0), undefined, "more should follow");
  assert.equal(numberIn("____________A", 0), undefined, "not a safe integer");
});

Deno.test("positions are read back from an id, for any channels", () => {
  fc.assert(
    fc.property(
      anyNames.chain((names) =>
        fc.tuple(
          fc.constant(names),
          fc.array(fc.option(fc.tuple(anyEpoch, seqsBelow15Digits)), {
            minLength: names.length,
            maxLength: names.length,
          }),
          fc.shuffledSubarray(names, { minLength: names.length }),
        )
      ),
      ([names, positions, later]) => {
        const cursor = new SseCursor(names);
        cursor.begin(names.map((channel, i) => ({
          channel,
          epoch: positions[i]?.[0] ?? null,
          seq: positions[i]?.[1] ?? null,
          recovered: true,
        })));
        const id = cursor.id();
        if (id === "") return;
        const read = positionsIn(id, later, same)!;
        for (const [i, name] of names.entries()) {
          const [epoch, seq] = positions[i] ?? [];
          const position = read.get(name);
          assert.equal(position?.seq, seq);
          const isUnborn = epoch === "0" && seq === 0;
          const expected = names.length > NAMED_CHANNELS && epoch && !isUnborn
            ? `~${digestOf(epoch)}`
            : epoch;
          assert.equal(position?.epoch, expected);
        }
      },
    ),
  );
});

Deno.test("few channels are named in an id, more are packed below 2 KB", () => {
  const nextId = idSource();
  for (const count of [1, NAMED_CHANNELS, NAMED_CHANNELS + 1]) {
    const cursor = new SseCursor(rooms(count));
    cursor.move("room:0", { epoch: "E", seq: 7 });
    const named = count > NAMED_CHANNELS
      ? /^~[\w-]{8}H\.+$/
      : count > 1
      ? /^room:0=E:7$/
      : /^E:7$/;
    assert.match(cursor.id(), count === 1 ? /^E:7$/ : named);
  }
  const all = new SseCursor(rooms(MAX_SUBSCRIPTIONS));
  for (const name of rooms(MAX_SUBSCRIPTIONS)) {
    all.move(name, { epoch: nextId(1_754_560_800_000), seq: 30_000 });
  }
  assert(all.id().length < 2_048, `${all.id().length}`);
  const before = all.id();
  all.move("room:0", { epoch: nextId(1_754_560_800_000), seq: 30_001 });
  assert.notEqual(all.id(), before);
});

Deno.test("a channel that has had no event costs one character", () => {
  const cursor = new SseCursor(rooms(200));
  for (const name of rooms(200)) cursor.move(name, { epoch: "0", seq: 0 });
  assert.equal(cursor.id().length, 205);
  const read = positionsIn(cursor.id(), rooms(200), same)!;
  assert.deepEqual(read.get("room:7"), { epoch: "0", seq: 0 });
  cursor.move("room:7", { epoch: "E", seq: 3 });
  assert.equal(cursor.id().length, 209);
});

Deno.test("an id of other channels, or cut short, is not understood", () => {
  const cursor = new SseCursor(rooms(20));
  for (const name of rooms(20)) cursor.move(name, { epoch: "E", seq: 1_000 });
  const id = cursor.id();
  assert(positionsIn(id, rooms(20).reverse(), same));
  assert.equal(positionsIn(id, rooms(19), same), undefined);
  assert.equal(positionsIn(id, rooms(21), same), undefined);
  assert.equal(positionsIn(id.slice(0, -1), rooms(20), same), undefined);
  assert.equal(positionsIn(`${id}.`, rooms(20), same), undefined);
  const many = rooms(257).map((name) => `${name}=E:1`).join(",");
  assert.equal(positionsIn(many, rooms(20), same), undefined);
});

Deno.test("any text is understood or not, and never throws", () => {
  fc.assert(fc.property(
    fc.oneof(fc.string(), fc.string().map((text) => `~${text}`)),
    fc.integer({ min: 1, max: 12 }),
    (text, count) => {
      positionsIn(text, rooms(count), same);
    },
  ));
});
