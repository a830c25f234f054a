import assert from "node:assert/strict";
import fc from "fast-check";
import type { Frame } from "../../realtime/codec.ts";
import { CompressionBudget } from "../../realtime/compression_budget.ts";
import { DeflateCodec } from "../../realtime/deflate_codec.ts";
import { FilterBudget } from "../../realtime/filter_budget.ts";
import { LogReader } from "../../realtime/log_reader.ts";
import { Outbox } from "../../realtime/outbox.ts";
import { Pace } from "../../realtime/pace.ts";
import { Progress } from "../../realtime/progress.ts";
import { Stream } from "../../realtime/stream.ts";
import type { EventLog, SeqRange } from "../../store/event_log.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { entryOf } from "../fakes/entry.ts";
import { FREE } from "../fakes/peer.ts";
import { inflated } from "../inflate.ts";

const PAD = "what compresses well ".repeat(100);

/** Clients of a channel whose events stand in the log alone. */
function bench(newest: number, lost: readonly SeqRange[] = []) {
  const clock = new ManualClock();
  const envelope = () => ({ id: "frame", now: 0 });
  const stream = new Stream("blocks", {
    logged: true,
    head: { epoch: "e", seq: newest },
    envelope,
  });
  const isKept = (seq: number) =>
    !lost.some(({ from, to }) => seq >= from && seq <= to);
  const log = {
    read: (
      _: string,
      { after, upTo, limit }: Parameters<EventLog["read"]>[1],
    ) =>
      Promise.resolve({
        entries: Array.from(
          { length: Math.min(limit, upTo - after) },
          (_, i) => after + 1 + i,
        ).filter(isKept).map((seq) =>
          entryOf("e", seq, JSON.stringify({ type: "NEW_BLOCK", seq, PAD }))
        ),
        unreadable: lost.filter(({ to }) => to > after),
      }),
  };
  const reader = new LogReader(log as unknown as EventLog, {});
  const codec = new DeflateCodec(new CompressionBudget(clock));
  const client = (after: number, { batch = true, epoch = "e" } = {}) => {
    const frames: Frame[] = [];
    const outbox = new Outbox(
      { bufferedAmount: 0, send: (frame) => void frames.push(frame) },
      codec,
      {
        clock,
        envelope,
        pace: new Pace(clock),
        progress: new Progress(clock),
        filters: new FilterBudget(),
        readPage: (...range) => reader.page(...range),
        readOldest: () => Promise.resolve(1),
      },
      FREE,
    );
    outbox.batch = batch;
    outbox.attach(stream, { epoch, seq: after });
    return frames;
  };
  return { clock, client };
}

/** The numbers in frames, `-n` for a gap of n events. */
function numbersIn(frames: readonly Frame[]): number[] {
  return frames.flatMap((frame) => {
    const parsed = JSON.parse(
      typeof frame === "string" ? frame : inflated(frame),
    );
    if (parsed.type === "gap") {
      return [parsed.payload.from - parsed.payload.to - 1];
    }
    if (parsed.type !== "BATCH_UPDATE") return [parsed.seq];
    return parsed.payload.updates.map(({ seq }: { seq: number }) => seq);
  });
}

Deno.test("a page that several clients read together is compressed once for them", async () => {
  const { clock, client } = bench(100);
  const clients = [client(0), client(0), client(0), client(0)] as const;
  await pass(clock, 1);
  const [alone, second, third, fourth] = clients;
  assert(alone.every((frame) => typeof frame === "string"));
  assert(second.every((frame) => typeof frame !== "string"));
  for (const [i, frame] of second.entries()) {
    assert.equal(third[i], frame, "the very same");
    assert.equal(fourth[i], frame);
  }
  for (const frames of clients) {
    assert.deepEqual(numbersIn(frames), numbersIn(alone));
    assert.equal(numbersIn(frames).length, 100);
  }
});

Deno.test("clients that catch up receive every event once, with any other readers", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.record({ after: fc.nat(400), batch: fc.boolean() }), {
      minLength: 1,
      maxLength: 6,
    }),
    fc.option(
      fc.record({ from: fc.integer({ min: 1, max: 400 }), more: fc.nat(20) }),
    ),
    async (positions, hole) => {
      const lost = hole
        ? [{ from: hole.from, to: Math.min(400, hole.from + hole.more) }]
        : [];
      const { clock, client } = bench(400, lost);
      const clients = positions.map(({ after, batch }) =>
        client(after, { batch })
      );
      for (let i = 0; i < 20; i++) await pass(clock, 1);
      for (const [i, frames] of clients.entries()) {
        let at = positions[i]!.after;
        for (const number of numbersIn(frames)) {
          if (number < 0) at -= number;
          else assert.equal(number, ++at);
        }
        assert.equal(at, 400);
      }
    },
  ));
});
