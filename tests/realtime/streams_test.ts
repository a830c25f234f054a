import assert from "node:assert/strict";
import { channelNamed } from "../../protocol/channels.ts";
import { Refusal } from "../../protocol/refusals.ts";
import { POLL_MS } from "../../realtime/repair.ts";
import {
  MAX_STREAMS,
  MAX_STREAMS_PER_ADDRESS,
  STREAM_IDLE_MS,
} from "../../realtime/streams.ts";
import { pass } from "../fakes/clock.ts";
import { Bench, blocks, metrics, range, Reader, update } from "./hub_bench.ts";
import type { Cursor } from "../../realtime/cursor.ts";

for (const channel of [blocks, metrics]) {
  Deno.test(`${channel.name} is forgotten when idle, and can be opened again`, async () => {
    const bench = new Bench();
    using hub = bench.instance();
    const reader = bench.client(hub);
    await reader.follow({ channel: channel.name });
    const stream = await hub.open(channel);
    await pass(bench.clock, 2 * STREAM_IDLE_MS);
    assert(hub.holds(stream), "someone follows it");
    reader.outbox.close();
    await pass(bench.clock, STREAM_IDLE_MS + 2 * POLL_MS);
    assert(!hub.holds(stream));
    assert.deepEqual([...hub.channels], []);
    // It once never came back: give it a time.
    const again = await hub.open(channel);
    assert(hub.holds(again));
  });
}

/** A cursor that stays where it is. */
const idle = (): Cursor => ({
  seq: 0,
  epoch: "0",
  replayUntil: 0,
  behind: false,
  advance: () => {},
});

Deno.test("a channel without retention is live only", async () => {
  const bench = new Bench();
  using one = bench.instance();
  using two = bench.instance();
  const readers = [bench.client(one), bench.client(two)];
  for (const reader of readers) await reader.follow({ channel: "metrics" });
  const published = one.publish(update());
  await pass(bench.clock, 0);
  const [accepted] = await published;
  assert.deepEqual(Object.keys(accepted!).sort(), ["channel", "id"]);
  for (const { peer } of readers) {
    assert.equal(peer.texts.length, 1);
    assert.deepEqual(peer.seqs(), []);
  }
});

Deno.test("an instance follows a bounded number of channels, forgets the idle for new ones, and refuses beyond", async () => {
  const bench = new Bench();
  using hub = bench.instance();
  const open = (i: number) => hub.open(channelNamed(`room:${i}`)!);
  const cursor = idle();
  const streams = await Promise.all(range(1, MAX_STREAMS).map(open));
  for (const { cursors } of streams) cursors.add(cursor);
  const refused = { code: "TOO_MANY_SUBSCRIPTIONS" };
  await assert.rejects(async () => await open(0), refused);
  const fixed = await hub.open(channelNamed("dag")!);
  assert(hub.holds(fixed), "a fixed channel is never refused");
  streams[4]!.cursors.delete(cursor);
  await pass(bench.clock, POLL_MS);
  await open(0);
  assert(!hub.holds(streams[4]!));
});

Deno.test("one address opens a bounded number of rooms, without affecting others", async () => {
  const bench = new Bench();
  using hub = bench.instance();
  const open = (name: string, address: string) =>
    hub.open(channelNamed(name)!, address);
  const own = range(1, MAX_STREAMS_PER_ADDRESS).map((i) => `room:${i}`);
  const streams = await Promise.all(own.map((name) => open(name, "a")));
  const cursor = idle();
  for (const { cursors } of streams) cursors.add(cursor);
  const refused = await open("room:more", "a").catch((error) => error);
  assert.equal(refused.code, "TOO_MANY_SUBSCRIPTIONS");
  assert.equal(refused.kind.http, 503);
  assert(refused.retryAfterMs > 0);
  assert.equal(new Refusal("TOO_MANY_SUBSCRIPTIONS").kind.http, 400);
  await open("dag", "a");
  await open("room:1", "a");
  await open("room:other", "b");

  // A command gets what there is room for.
  const reader = new Reader(bench, hub, "a");
  await reader.follow(
    ...["blocks", "room:none", "room:2"].map((channel) => ({ channel })),
  );
  const [answer] = reader.answers;
  assert.deepEqual(
    answer.channels.map(({ channel }: { channel: string }) => channel),
    ["blocks", "room:2"],
  );
  assert.deepEqual(answer.rejected, [{
    channel: "room:none",
    code: "TOO_MANY_SUBSCRIPTIONS",
    retryAfterMs: refused.retryAfterMs,
  }]);

  // What is closed leaves its share.
  streams[4]!.cursors.delete(cursor);
  await pass(bench.clock, POLL_MS);
  await open("room:more", "a");
  await assert.rejects(() => open("room:most", "a"), {
    code: "TOO_MANY_SUBSCRIPTIONS",
  });
});

Deno.test("many addresses together leave space for a later one", async () => {
  const bench = new Bench();
  const full: [number, string | undefined][] = [];
  using hub = bench.instance({
    observer: { roomsFull: (used, address) => full.push([used, address]) },
  });
  const open = (name: string, address: string) =>
    hub.open(channelNamed(name)!, address).then(({ cursors }) => {
      cursors.add(idle());
    });
  /** Opens rooms for an address until it is refused. */
  const fill = async (address: string) => {
    for (let i = 0;; i++) {
      try {
        await open(`room:${address}-${i}`, address);
      } catch {
        return i;
      }
    }
  };
  const taken: number[] = [];
  for (const i of range(1, 40)) taken.push(await fill(`a${i}`));
  assert.equal(taken[0], MAX_STREAMS_PER_ADDRESS);
  const used = taken.reduce((a, b) => a + b);
  assert(used < MAX_STREAMS, `${used} rooms`);
  // Who asked for little finds space, whatever the others hold.
  for (const i of range(1, 5)) await open(`room:newcomer-${i}`, "newcomer");
  assert.deepEqual(full, [[MAX_STREAMS_PER_ADDRESS, "a1"]]);
});

Deno.test("channels that are opened at once count before they are open", async () => {
  const bench = new Bench();
  using hub = bench.instance();
  const opened = await Promise.allSettled(
    range(0, MAX_STREAMS).map((i) => hub.open(channelNamed(`room:${i}`)!)),
  );
  const refused = opened.filter(({ status }) => status === "rejected");
  assert.equal(refused.length, 1);
});
