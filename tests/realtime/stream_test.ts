import assert from "node:assert/strict";
import fc from "fast-check";
import { UNBORN_EPOCH } from "../../store/event_log.ts";
import {
  FRAME_EVENTS,
  FRAME_LENGTH,
  MAX_FRAMES,
} from "../../realtime/shared_frames.ts";
import {
  MAX_HELD,
  RING_EVENTS,
  RING_LENGTH,
  Stream,
} from "../../realtime/stream.ts";
import type { Cursor } from "../../realtime/cursor.ts";
import { REPLAY } from "../../realtime/codec.ts";
import type { Codec, Frame } from "../../realtime/codec.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { entryOf } from "../fakes/entry.ts";

const text = (seq: number) => `{"seq":${seq}}`;

function streamAt(seq: number, epoch = "e"): Stream {
  return new Stream("blocks", {
    logged: true,
    head: { epoch, seq },
    envelope: () => ({ id: "frame", now: 0 }),
  });
}

/** A cursor that counts how often it had to advance. */
function cursorIn(stream: Stream): Cursor & { reported: number } {
  const cursor = {
    seq: stream.seq,
    epoch: stream.epoch,
    replayUntil: 0,
    behind: false,
    reported: 0,
    advance: () => void cursor.reported++,
  };
  stream.cursors.add(cursor);
  return cursor;
}

function seqsIn(frame: Frame): number[] {
  const parsed = JSON.parse(frame as string);
  if (parsed.type !== "BATCH_UPDATE") return [parsed.seq];
  return parsed.payload.updates.map(({ seq }: { seq: number }) => seq);
}

Deno.test("a Stream holds back what comes early and hands on in order", () => {
  const stream = streamAt(0);
  assert.equal(stream.offer(entryOf("e", 3, text(3))), "held");
  assert.equal(stream.offer(entryOf("e", 2, text(2))), "held");
  assert.equal(stream.seq, 0);
  assert(stream.waits);
  assert.equal(stream.offer(entryOf("e", 1, text(1))), "taken");
  assert.equal(stream.seq, 3);
  assert(!stream.waits);
  assert.equal(stream.offer(entryOf("e", 2, text(2))), "known");
  assert.equal(stream.offer(entryOf("other", 4, text(4))), "foreign");
  for (const seq of [1, 2, 3]) {
    assert.equal(stream.entryAt(seq).json, text(seq));
  }
});

Deno.test("a Stream is contiguous whatever the order, the doubles and the holes", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 100 }),
    (seqs) => {
      const stream = streamAt(0);
      const offered = new Set<number>();
      for (const seq of seqs) {
        stream.offer(entryOf("e", seq, text(seq)));
        offered.add(seq);
        let expected = 0;
        while (offered.has(expected + 1)) expected++;
        assert.equal(stream.seq, expected);
        const beyond = [...offered].some((one) => one > expected);
        assert.equal(stream.waits, beyond);
      }
      for (let seq = 1; seq <= stream.seq; seq++) {
        assert.equal(stream.entryAt(seq).json, text(seq));
      }
    },
  ));
});

Deno.test("a Stream holds a bounded number back", () => {
  const stream = streamAt(0);
  for (let seq = 2; seq <= MAX_HELD + 2; seq++) {
    stream.offer(entryOf("e", seq, text(seq)));
  }
  stream.offer(entryOf("e", 1, text(1)));
  assert.equal(stream.seq, MAX_HELD + 1, "one was too many");
});

Deno.test("a Stream keeps a bounded number of the newest events", () => {
  const stream = streamAt(10);
  assert.equal(stream.first, 11);
  for (let i = 1; i <= RING_EVENTS; i++) {
    stream.offer(entryOf("e", 10 + i, text(10 + i)));
  }
  assert.equal(stream.first, 11);
  stream.offer(entryOf("e", 11 + RING_EVENTS, text(11 + RING_EVENTS)));
  assert.equal(stream.first, 12);
  for (let seq = stream.first; seq <= stream.seq; seq++) {
    assert.equal(stream.entryAt(seq).json, text(seq));
  }
});

Deno.test("a Stream keeps no more text than its bound, but one event always", () => {
  const stream = streamAt(0);
  const quarter = "x".repeat(RING_LENGTH / 4);
  for (let seq = 1; seq <= 4; seq++) stream.offer(entryOf("e", seq, quarter));
  assert.equal(stream.first, 1, "just full");
  stream.offer(entryOf("e", 5, "y"));
  assert.equal(stream.first, 2);
  stream.offer(entryOf("e", 6, "z".repeat(RING_LENGTH + 1)));
  assert.equal(stream.first, 6);
  stream.offer(entryOf("e", 7, "small"));
  assert.equal(stream.first, 7);
  assert.equal(stream.entryAt(7).json, "small");
});

Deno.test("a leap empties a Stream and goes on after it", () => {
  const stream = streamAt(0);
  stream.offer(entryOf("e", 1, text(1)));
  stream.offer(entryOf("e", 5, text(5)));
  stream.resetTo({ epoch: "f", seq: 9 });
  assert.deepEqual(
    [stream.epoch, stream.seq, stream.first, stream.waits],
    ["f", 9, 10, false],
  );
  assert.equal(stream.offer(entryOf("f", 10, text(10))), "taken");
  assert.equal(stream.flush(), 1);
});

Deno.test("an unborn Stream is named by its first event, and only by that", () => {
  const stream = streamAt(0, UNBORN_EPOCH);
  const fresh = cursorIn(stream);
  const old = cursorIn(stream);
  old.epoch = "older";
  old.seq = 50;
  assert.equal(stream.offer(entryOf("e", 2, text(2))), "foreign");
  assert.equal(stream.offer(entryOf("e", 1, text(1))), "taken");
  assert.equal(stream.epoch, "e");
  assert.equal(fresh.epoch, "e");
  assert.equal(old.epoch, "older", "has yet to learn of it");
});

Deno.test("flush() advances the cursors that keep up, also while one leaves", () => {
  const stream = streamAt(0);
  const one = cursorIn(stream);
  const leaver = cursorIn(stream);
  leaver.advance = () => {
    stream.cursors.delete(leaver);
    stream.cursors.delete(one);
  };
  const slow = cursorIn(stream);
  slow.behind = true;
  const last = cursorIn(stream);
  stream.offer(entryOf("e", 1, text(1)));
  stream.offer(entryOf("e", 2, text(2)));
  assert.equal(stream.flush(), 2);
  assert.deepEqual([one.reported, slow.reported, last.reported], [1, 0, 1]);
  assert.equal(stream.flush(), 0);
});

Deno.test("flush() serves a bounded number at a time, and each exactly once", () => {
  const stream = streamAt(0);
  const cursors = Array.from({ length: 5 }, () => cursorIn(stream));
  const reported = () => cursors.map((cursor) => cursor.reported);
  stream.offer(entryOf("e", 1, text(1)));
  assert(stream.isDue);
  assert.equal(stream.flush(2), 0);
  assert.deepEqual(reported(), [1, 1, 0, 0, 0]);
  stream.offer(entryOf("e", 2, text(2)));
  stream.cursors.delete(cursors[2]!);
  assert.equal(stream.flush(2), 0);
  assert.deepEqual(reported(), [1, 1, 0, 1, 1]);
  assert.equal(stream.flush(2), 1, "what was new as it began");
  assert(stream.isDue, "the first have not seen the second event");
  assert.equal(stream.flush(), 1);
  assert.deepEqual(reported(), [2, 2, 0, 2, 2]);
  assert(!stream.isDue);
});

Deno.test("a reset during delivery starts again", () => {
  const stream = streamAt(0);
  const [first] = [cursorIn(stream), cursorIn(stream)];
  stream.offer(entryOf("e", 1, text(1)));
  stream.flush(1);
  stream.resetTo({ epoch: "f", seq: 9 });
  assert.equal(stream.flush(1), 0);
  assert.equal(first!.reported, 2, "it has to learn of the new log");
  assert.equal(stream.flush(), 0);
  assert(!stream.isDue);
});

Deno.test("a frame is joined once for all who stand at the same place", () => {
  const stream = streamAt(0);
  for (let seq = 1; seq <= 5; seq++) stream.offer(entryOf("e", seq, text(seq)));
  const frame = stream.frameAfter(JSON_CODEC, 2, 0);
  assert.equal(stream.frameAfter(JSON_CODEC, 2, 0), frame, "the very same");
  assert.deepEqual([seqsIn(frame.frame), frame.seq], [[3, 4, 5], 5]);
  assert.equal(
    stream.frameAfter(JSON_CODEC, 4, 0).frame,
    text(5),
    "one needs no joining",
  );
  stream.offer(entryOf("e", 6, text(6)));
  assert.deepEqual(seqsIn(stream.frameAfter(JSON_CODEC, 2, 0).frame), [
    3,
    4,
    5,
    6,
  ]);
});

Deno.test("one pass gives all the same frames, whatever arrives meanwhile", () => {
  fc.assert(fc.property(
    fc.array(
      fc.record({
        arrive: fc.nat({ max: 3 * FRAME_EVENTS }),
        visit: fc.integer({ min: 1, max: 4 }),
      }),
      { maxLength: 20 },
    ),
    (steps) => {
      const stream = streamAt(0);
      const frames = Array.from({ length: 5 }, () => [] as Frame[]);
      for (const received of frames) {
        const cursor = cursorIn(stream);
        cursor.advance = () => {
          let sent = 0;
          for (; cursor.seq < stream.until; sent++) {
            const { frame, seq } = stream.frameAfter(JSON_CODEC, cursor.seq, 0);
            received.push(frame);
            cursor.seq = seq;
          }
          assert(sent <= 1, "as much as one frame holds");
        };
      }
      for (const { arrive, visit } of steps) {
        for (let i = 0; i < arrive; i++) {
          stream.offer(entryOf("e", stream.seq + 1, text(stream.seq + 1)));
          if (stream.isCrowded) break;
        }
        stream.flush(visit);
      }
      while (stream.isDue) stream.flush();
      const [first, ...others] = frames;
      for (const other of others) assert.deepEqual(other, first);
      const seqs = first!.flatMap(seqsIn);
      assert.deepEqual(seqs, Array.from(seqs, (_, i) => i + 1));
      assert.equal(seqs.length, stream.seq);
    },
  ));
});

Deno.test("a Stream is crowded once half of its memory waits for delivery", () => {
  const many = streamAt(0);
  for (let seq = 1; seq <= RING_EVENTS / 2; seq++) {
    many.offer(entryOf("e", seq, text(seq)));
    assert(!many.isCrowded);
  }
  many.offer(entryOf("e", many.seq + 1, text(many.seq + 1)));
  assert(many.isCrowded);
  many.flush();
  assert(!many.isCrowded, "a frame less");
  while (many.isDue) many.flush();
  const long = streamAt(0);
  const quarter = "x".repeat(RING_LENGTH / 4);
  for (const [seq, isCrowded] of [[1, false], [2, false], [3, true]] as const) {
    long.offer(entryOf("e", seq, quarter));
    assert.equal(long.isCrowded, isCrowded, `${seq} quarters`);
  }
});

Deno.test("a frame is shared within one codec only", () => {
  const stream = streamAt(0);
  for (const seq of [1, 2]) stream.offer(entryOf("e", seq, text(seq)));
  const other: Codec = { ...JSON_CODEC, batch: () => "of another codec" };
  const frame = stream.frameAfter(JSON_CODEC, 0, 0);
  assert.equal(stream.frameAfter(other, 0, 0).frame, "of another codec");
  assert.equal(stream.frameAfter(JSON_CODEC, 0, 0), frame);
  assert.deepEqual(seqsIn(frame.frame), [1, 2]);
});

Deno.test("a frame ends where history ends, and marks what is history", () => {
  const stream = streamAt(0);
  for (let seq = 1; seq <= 5; seq++) stream.offer(entryOf("e", seq, text(seq)));
  const history = stream.frameAfter(JSON_CODEC, 0, 3);
  assert.equal(history.seq, 3);
  for (const update of JSON.parse(history.frame as string).payload.updates) {
    assert.equal(update.replay, true);
  }
  const live = stream.frameAfter(JSON_CODEC, 3, 3);
  assert.equal(live.seq, 5);
  assert(!(live.frame as string).includes("replay"));
  assert.equal(
    JSON_CODEC.event(stream.entryAt(2), REPLAY),
    `{"replay":true,${text(2).slice(1)}`,
  );
});

Deno.test("a frame holds a bounded number of events and bounded text", () => {
  const many = streamAt(0);
  for (let seq = 1; seq <= FRAME_EVENTS + 1; seq++) {
    many.offer(entryOf("e", seq, text(seq)));
  }
  assert.equal(many.frameAfter(JSON_CODEC, 0, 0).seq, FRAME_EVENTS);
  const long = streamAt(0);
  const half = `"${"x".repeat(FRAME_LENGTH / 2)}"`;
  for (let seq = 1; seq <= 3; seq++) long.offer(entryOf("e", seq, half));
  assert.equal(long.frameAfter(JSON_CODEC, 0, 0).seq, 2);
});

Deno.test("a Stream keeps a bounded number of joined frames", () => {
  const stream = streamAt(0);
  for (let seq = 1; seq <= MAX_FRAMES + 2; seq++) {
    stream.offer(entryOf("e", seq, text(seq)));
  }
  const first = stream.frameAfter(JSON_CODEC, 0, 0);
  for (let seq = 1; seq < MAX_FRAMES; seq++) {
    stream.frameAfter(JSON_CODEC, seq, 0);
  }
  assert.equal(stream.frameAfter(JSON_CODEC, 0, 0), first);
  stream.frameAfter(JSON_CODEC, MAX_FRAMES, 0);
  assert.notEqual(stream.frameAfter(JSON_CODEC, 0, 0), first);
});

Deno.test("a Stream without retention passes on as it comes", () => {
  const stream = new Stream("metrics", {
    logged: false,
    head: { epoch: "", seq: 0 },
    envelope: () => ({ id: "frame", now: 0 }),
  });
  const cursor = cursorIn(stream);
  stream.pass(entryOf("e", 1, text(1)));
  stream.pass(entryOf("e", 2, text(2)));
  assert.equal(stream.flush(), 2);
  assert.equal(cursor.reported, 1);
});
