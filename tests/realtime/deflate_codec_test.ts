import assert from "node:assert/strict";
import { inflateSync } from "fflate";
import fc from "fast-check";
import { dictionary } from "../../describe/dictionary.ts";
import { eventExample } from "../../describe/examples.ts";
import { encodeEvent } from "../../protocol/encode.ts";
import { MESSAGES } from "../../protocol/messages.ts";
import type { MessageType } from "../../protocol/messages.ts";
import {
  CompressionBudget,
  MAX_TEXT_BYTES,
  TURN_MS,
} from "../../realtime/compression_budget.ts";
import { REPLAY } from "../../realtime/codec.ts";
import type { Frame } from "../../realtime/codec.ts";
import {
  DeflateCodec,
  DeflatedFrame,
  LONG_TEXT_LENGTH,
  MIN_TEXT_LENGTH,
} from "../../realtime/deflate_codec.ts";
import type { Entry } from "../../store/entry.ts";
import { Chain } from "../../sources/chain.ts";
import { FRAME_EVENTS, FRAME_LENGTH } from "../../realtime/shared_frames.ts";
import { Stream } from "../../realtime/stream.ts";
import { ManualClock } from "../fakes/clock.ts";
import { entryOf } from "../fakes/entry.ts";
import { inflated } from "../inflate.ts";

const { bytes: DICTIONARY, hash } = await dictionary();
// A clock that stands still: the budget is for a test of its own.
const budget = new CompressionBudget(new ManualClock());
const codec = new DeflateCodec(budget, DICTIONARY);
const plain = new DeflateCodec(budget);
const envelope = { id: "batch", now: 0 };

/** A text of some length that compresses. */
function textOf(length: number): string {
  return JSON.stringify({ a: "x".repeat(length - 8) });
}

function bytesIn(frame: Frame): number {
  assert.ok(frame instanceof DeflatedFrame, "the frame is not compressed");
  return frame.byteLength;
}

Deno.test("the dictionary is the same each time, is named by its content and holds every type", async () => {
  const again = await dictionary();
  assert.deepEqual(again.bytes, DICTIONARY);
  assert.equal(again.hash, hash);
  assert.match(hash, /^[0-9a-f]{16}$/);
  assert(DICTIONARY.byteLength <= 32_768);
  const text = new TextDecoder().decode(DICTIONARY);
  for (const type of Object.keys(MESSAGES)) {
    assert(text.includes(`{"type":"${type}","channel":`), type);
  }
});

Deno.test("each example of an event shrinks below a third with the dictionary", () => {
  for (const type of Object.keys(MESSAGES) as MessageType[]) {
    const { payload, channel } = eventExample(type) as {
      payload: object;
      channel: string;
    };
    const place = { channel, seq: 77_123, epoch: "01K31D9X3PX36X8T37000000A1" };
    const json = encodeEvent(type, JSON.stringify(payload), place, {
      id: "01K31D9X3PX36X8T3700000B7K",
      now: Date.UTC(2026, 1, 3, 4, 5, 6, 789),
    });
    const withIt = bytesIn(codec.event(entryOf("E", 1, json)));
    assert(withIt < json.length / 3, `${type}: ${withIt} of ${json.length}`);
    const without = plain.event(entryOf("E", 1, json));
    if (typeof without !== "string") assert(withIt < without.byteLength, type);
  }
});

Deno.test("every text is read back, by an inflater with the dictionary and one without", () => {
  const anyText = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 3 * MIN_TEXT_LENGTH }),
    fc.nat(2 * LONG_TEXT_LENGTH).map((length) => textOf(length + 8)),
  ).map((text) => JSON.stringify({ text }));
  fc.assert(fc.property(anyText, (json) => {
    const entry = entryOf("E", 1, json);
    const frame = codec.event(entry);
    assert.equal(inflated(frame, DICTIONARY), json);
    assert.equal(inflated(plain.event(entry)), json);
    if (typeof frame === "string") return;
    // As the browser client reads it.
    const read = inflateSync(frame, { dictionary: DICTIONARY });
    assert.equal(new TextDecoder().decode(read), json);
  }));
});

Deno.test("a frame is text where that is no longer, at and below the bound", () => {
  const short = entryOf("E", 1, textOf(MIN_TEXT_LENGTH - 1));
  assert.equal(codec.event(short), short.json);
  bytesIn(codec.event(entryOf("E", 1, textOf(MIN_TEXT_LENGTH))));
  const noise = crypto.getRandomValues(new Uint8Array(300)).toHex();
  const random = entryOf("E", 1, `"${noise}"`);
  const frame = codec.event(random);
  assert(
    typeof frame === "string" || frame.byteLength < random.json.length,
  );
});

Deno.test("long texts are compressed without the dictionary, short ones with it", () => {
  const at = (length: number) => codec.event(entryOf("E", 1, textOf(length)));
  const long = at(LONG_TEXT_LENGTH);
  assert.equal(inflated(long), textOf(LONG_TEXT_LENGTH));
  const event = entryOf(
    "E",
    1,
    JSON.stringify(eventExample("TX_RECEIVED")),
  );
  assert.throws(() => assert.equal(inflated(codec.event(event)), event.json));
});

Deno.test("an event is compressed once for all subscribers; its marks make it text", () => {
  const entry = entryOf("E", 1, textOf(500));
  const frame = codec.event(entry);
  assert.equal(codec.event(entry), frame);
  assert.notEqual(plain.event(entry), frame, "codecs share no frame");
  const text = codec.event(entry, REPLAY);
  assert.equal(text, `{"replay":true,${entry.json.slice(1)}`);
});

Deno.test("a compressed frame has its length as text", () => {
  const json = JSON.stringify({ a: "ü€😀".repeat(200) });
  const frame = codec.event(entryOf("E", 1, json));
  assert.ok(frame instanceof DeflatedFrame);
  assert.equal(frame.textBytes, new TextEncoder().encode(json).byteLength);
  assert.equal(frame.buffer.byteLength, frame.byteLength, "and holds no more");
});

Deno.test("what holds a reply is never compressed", () => {
  const identity = { isAuthenticated: true, user: "alice", role: "user" };
  const reply = {
    type: "refreshed" as const,
    payload: { expiresAt: "2025-08-07T10:00:00.000Z", ...identity },
    ...envelope,
  };
  const long = {
    ...reply,
    payload: { ...reply.payload, more: "x".repeat(9_000) },
  };
  assert.equal(typeof codec.reply(long), "string");
  assert.equal(typeof codec.batch([long, long], envelope), "string");
  const marked = { entry: entryOf("E", 1, textOf(900)), marks: undefined };
  assert.equal(typeof codec.batch([marked, long], envelope), "string");
  bytesIn(codec.batch([marked, marked], envelope));
});

function streamOf(count: number, length = 600): Stream {
  const stream = new Stream("blocks", {
    logged: true,
    head: { epoch: "E", seq: 0 },
    envelope: () => envelope,
  });
  for (let seq = 1; seq <= count; seq++) {
    stream.offer(entryOf("E", seq, textOf(length)));
  }
  return stream;
}

Deno.test("a joined frame is compressed once for all subscribers at a position", () => {
  const stream = streamOf(20);
  const { frame } = stream.frameAfter(codec, 0, 0);
  bytesIn(frame);
  assert.equal(stream.frameAfter(codec, 0, 0).frame, frame);
});

Deno.test("history is compressed from the second subscriber at a position on", () => {
  const stream = streamOf(20);
  const first = stream.frameAfter(codec, 5, 20);
  assert.equal(typeof first.frame, "string");
  const second = stream.frameAfter(codec, 5, 20);
  bytesIn(second.frame);
  assert.equal(second.seq, first.seq);
  assert.equal(stream.frameAfter(codec, 5, 20), second);
  assert.equal(
    JSON.parse(inflated(second.frame, DICTIONARY)).payload.updates[0].replay,
    true,
  );
});

Deno.test("texts are compressed up to the longest that one turn may take, in bytes", () => {
  const at = (text: string) => codec.event(entryOf("E", 1, text));
  bytesIn(at(textOf(MAX_TEXT_BYTES)));
  assert.equal(typeof at(textOf(MAX_TEXT_BYTES + 1)), "string");
  const wide = JSON.stringify({ a: "€".repeat(MAX_TEXT_BYTES / 2) });
  assert.equal(typeof at(wide), "string", "three bytes each");
  const stream = streamOf(FRAME_EVENTS, 16_000);
  const joined = stream.frameAfter(plain, stream.first - 1, 0);
  bytesIn(joined.frame);
  const text = inflated(joined.frame);
  assert(text.length >= FRAME_LENGTH && text.length < MAX_TEXT_BYTES);
});

Deno.test("what a turn has no time to compress is text, for both codecs together", () => {
  const due: (() => void)[] = [];
  let now = 0;
  const budget = new CompressionBudget({
    // Each look at the clock is later, so each compression takes that long.
    monotonic: () => now += TURN_MS / 4,
    soon: (work) => due.push(work),
  });
  const codecs = [
    new DeflateCodec(budget, DICTIONARY),
    new DeflateCodec(budget),
  ] as const;
  const kinds = () =>
    Array.from(
      { length: 5 },
      (_, i) =>
        typeof codecs[i % 2]!.event(entryOf("E", i + 1, textOf(500))) ===
            "string"
          ? "text"
          : "compressed",
    );
  const turn = [...Array(4).fill("compressed"), "text"];
  assert.deepEqual(kinds(), turn);
  assert.equal(due.length, 1, "one call for all of a turn");
  due.pop()!();
  assert.deepEqual(kinds(), turn);
  const long = entryOf("E", 9, textOf(MAX_TEXT_BYTES));
  assert.equal(codecs[0].event(long), long.json, "nor for a long one");
});

Deno.test("the simulator's events shrink to 0.35 of their bytes, ten joined to 0.2", () => {
  const chain = new Chain({ seed: "kaldrix" });
  const byChannel = new Map<string, Entry[]>();
  let now = Date.UTC(2026, 1, 3);
  for (let step = 0; step < 1_000; step++) {
    for (const { type, payload } of chain.step(now += 100)) {
      const { channel } = MESSAGES[type];
      const entries = byChannel.get(channel!) ?? [];
      byChannel.set(channel!, entries);
      const seq = entries.length + 1;
      const json = encodeEvent(
        type,
        JSON.stringify(payload),
        { channel: channel!, seq, epoch: "01K31D9X3PX36X8T37000000A1" },
        { id: `01K31D9X3PX36X8T37${String(now).padStart(8, "0")}`, now },
      );
      entries.push(entryOf("E", seq, json));
    }
  }
  const lengthOf = (frame: Frame) =>
    typeof frame === "string" ? frame.length : frame.byteLength;
  const ratioOf = (count: number) => {
    let wire = 0;
    let text = 0;
    for (const entries of byChannel.values()) {
      for (let at = 0; at + count <= entries.length; at += count) {
        const parts = entries.slice(at, at + count)
          .map((entry) => ({ entry, marks: undefined }));
        const frame = count === 1
          ? codec.event(parts[0]!.entry)
          : codec.batch(parts, envelope);
        wire += lengthOf(frame);
        text += inflated(frame, DICTIONARY).length;
      }
    }
    return wire / text;
  };
  assert(ratioOf(1) <= 0.35, `${ratioOf(1)}`);
  assert(ratioOf(10) <= 0.2, `${ratioOf(10)}`);
});
