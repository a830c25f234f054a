import assert from "node:assert/strict";
import { Delivery, SLICE_CURSORS } from "../../realtime/delivery.ts";
import { FRAME_EVENTS } from "../../realtime/shared_frames.ts";
import { RING_EVENTS, Stream } from "../../realtime/stream.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { entryOf } from "../fakes/entry.ts";

/** A delivery, and a stream with more subscribers than one turn serves. */
function bench() {
  const clock = new ManualClock();
  const flushed: number[] = [];
  const delivery = new Delivery({
    clock,
    observer: { delivered: (events) => void flushed.push(events) },
    tracing: undefined,
  });
  const stream = new Stream("blocks", {
    logged: true,
    head: { epoch: "e", seq: 0 },
    envelope: () => ({ id: "frame", now: 0 }),
  });
  for (let i = 0; i <= SLICE_CURSORS; i++) {
    const cursor = {
      seq: 0,
      epoch: "e",
      replayUntil: 0,
      behind: false,
      advance: () => void (cursor.seq = stream.until),
    };
    stream.cursors.add(cursor);
  }
  const publish = (count: number) => {
    for (let i = 0; i < count; i++) {
      stream.offer(entryOf("e", stream.seq + 1, "{}"));
      delivery.schedule(stream);
    }
  };
  return { clock, delivery, stream, publish, flushed };
}

Deno.test("delivery is ready until half of a stream's memory waits, and again after it", async () => {
  const { clock, delivery, stream, publish, flushed } = bench();
  publish(RING_EVENTS / 2);
  assert.equal(delivery.ready(), undefined);
  publish(1);
  const ready = delivery.ready();
  assert(ready);
  assert.equal(delivery.ready(), ready, "one promise for all who wait");
  let isReady = false;
  ready.then(() => isReady = true);
  await Promise.resolve();
  assert(!isReady);
  await pass(clock, 1);
  assert(isReady);
  assert.equal(delivery.ready(), undefined);
  assert(!stream.isDue);
  assert.deepEqual(flushed, [FRAME_EVENTS, FRAME_EVENTS, 1]);
});
