import assert from "node:assert/strict";
import fc from "fast-check";
import type { Frame } from "../../realtime/codec.ts";
import { CompressionBudget } from "../../realtime/compression_budget.ts";
import { DeflateCodec } from "../../realtime/deflate_codec.ts";
import { FilterBudget } from "../../realtime/filter_budget.ts";
import { Outbox } from "../../realtime/outbox.ts";
import { Pace } from "../../realtime/pace.ts";
import { Progress } from "../../realtime/progress.ts";
import { Stream } from "../../realtime/stream.ts";
import { ManualClock } from "../fakes/clock.ts";
import { entryOf } from "../fakes/entry.ts";
import { inflated } from "../inflate.ts";
import { FREE } from "../fakes/peer.ts";

const CHANNELS = ["blocks", "dag", "room:a"];
const PAD = "what compresses well ".repeat(20);

/** A client of three channels that takes joined and compressed frames. */
function bench() {
  const clock = new ManualClock();
  const envelope = () => ({ id: "frame", now: 0 });
  const streams = CHANNELS.map((channel) =>
    new Stream(channel, {
      logged: true,
      head: { epoch: "e", seq: 0 },
      envelope,
    })
  );
  const frames: Frame[] = [];
  const outbox = new Outbox(
    { bufferedAmount: 0, send: (frame) => void frames.push(frame) },
    new DeflateCodec(new CompressionBudget(clock)),
    {
      clock,
      envelope,
      pace: new Pace(clock),
      progress: new Progress(clock),
      filters: new FilterBudget(),
      readPage: () => Promise.resolve({ entries: [], unreadable: [] }),
      readOldest: () => Promise.resolve(1),
    },
    FREE,
  );
  outbox.batch = true;
  for (const stream of streams) {
    outbox.attach(stream, { epoch: "e", seq: 0 });
  }
  return { clock, frames, outbox, streams };
}

type Step = { readonly publish: number } | "flush" | "reply" | "turn";

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ publish: fc.nat(CHANNELS.length - 1) }),
  fc.constantFrom<Step>("flush", "reply", "turn"),
);

/** Plans of any length, not mostly short ones: too little would be sent. */
const plan = fc.array(step, { maxLength: 40, size: "max" });

/** What a frame holds, once read. */
function partsOf(text: string): { type: string; channel?: string }[] {
  const frame = JSON.parse(text);
  return frame.type === "BATCH_UPDATE" ? frame.payload.updates : [frame];
}

Deno.test("a compressed frame holds events of one channel, and no reply", () => {
  let compressed = 0;
  fc.assert(fc.property(plan, (steps) => {
    const { clock, frames, outbox, streams } = bench();
    for (const each of steps) {
      if (each === "flush") { for (const stream of streams) stream.flush(); }
      else if (each === "turn") clock.advance(1);
      else if (each === "reply") {
        outbox.reply({ type: "TEST", payload: PAD, id: "reply", now: 0 });
      } else {
        const stream = streams[each.publish]!;
        const { channel } = stream;
        const seq = stream.seq + 1;
        const json = JSON.stringify({ type: "X", channel, seq, pad: PAD });
        stream.offer(entryOf("e", seq, json, { channel }));
      }
    }
    for (const frame of frames) {
      if (typeof frame === "string") continue;
      compressed++;
      const channels = partsOf(inflated(frame)).map(({ channel }) => channel);
      assert(channels[0] !== undefined, "a reply is compressed");
      assert.equal(new Set(channels).size, 1, channels.join());
    }
  }));
  assert(compressed > 50, `${compressed} frames were compressed`);
});
