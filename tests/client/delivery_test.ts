import assert from "node:assert/strict";
import fc from "fast-check";
import { block, joined, live, setup, tick } from "./mocked_client.ts";

Deno.test("events come in order, a double is dropped, handlers undo themselves", async () => {
  using parts = await live();
  const { client, heights, peer } = parts;
  const undo = client.on("NEW_BLOCK", () => heights.push(-1));
  peer().event(11);
  undo();
  peer().event(11);
  peer().event(10);
  peer().event(12);
  assert.deepEqual(heights, [11, -1, 12]);
  await tick(1_000);
  assert.equal(peer().of("subscribe").length, 1, "a double is no hole");
  assert.equal(client.state.channels["blocks"]?.seq, 12);
  assert.equal(client.state.received, 2);
});

Deno.test("the first event of a channel names its log, and is no hole", async () => {
  using parts = await setup();
  const { client, heights, peer } = parts;
  client.joinChannel("blocks");
  peer().welcome();
  peer().subscribed(joined("0", 0));
  peer().event(1);
  peer().event(2);
  await tick(1_000);
  assert.deepEqual(heights, [1, 2]);
  assert.equal(peer().of("subscribe").length, 1);
  assert.equal(client.state.channels["blocks"]?.epoch, "e1");
});

Deno.test("a batch is its frames, replies among them", async () => {
  using parts = await live();
  const { id } = parts.peer().of("subscribe")[0]!;
  const sent = parts.client.sendMessage({ type: "TEST", payload: { a: 1 } });
  const ref = parts.peer().of("TEST")[0]!.id;
  parts.peer().reply("BATCH_UPDATE", {
    updates: [
      block(11),
      { type: "TEST", ref, payload: { a: 1 } },
      { type: "error", ref: id, payload: { code: "INTERNAL", message: "" } },
      block(12),
    ],
  });
  assert.deepEqual(await sent, { a: 1 });
  assert.deepEqual(parts.heights, [11, 12]);
});

Deno.test("a hole is asked for once, and what follows waits for it", async () => {
  using parts = await live();
  const { heights, peer } = parts;
  peer().event(11);
  peer().event(13);
  peer().event(14);
  await tick(0);
  peer().event(15);
  await tick(1_000);
  assert.equal(peer().of("subscribe").length, 2);
  assert.deepEqual(peer().of("subscribe")[1]!.payload.channels, [
    { channel: "blocks", after: { epoch: "e1", seq: 11 } },
  ]);
  peer().subscribed(joined("e1", 11));
  for (const seq of [12, 13, 14, 15]) peer().event(seq, { replay: true });
  assert.deepEqual(heights, [11, 12, 13, 14, 15]);
  assert.equal(parts.client.state.channels["blocks"]?.caughtUp, 4);
});

Deno.test("what fills the hole before the answer is not delivered twice", async () => {
  using parts = await live();
  const { heights, peer } = parts;
  peer().event(12);
  await tick(0);
  peer().event(11);
  peer().subscribed(joined("e1", 10));
  for (const seq of [11, 12]) peer().event(seq, { replay: true });
  assert.deepEqual(heights, [11, 12]);
});

Deno.test("a hole before a gap is asked for, not counted as lost", async () => {
  using parts = await live();
  const { gaps, peer } = parts;
  const gap = { channel: "blocks", to: 20, epoch: "e1", reason: "retention" };
  peer().reply("gap", { ...gap, from: 15 });
  await tick(0);
  assert.deepEqual(gaps, []);
  assert.deepEqual(peer().of("subscribe")[1]!.payload.channels, [
    { channel: "blocks", after: { epoch: "e1", seq: 10 } },
  ]);
});

Deno.test("the answer to an earlier joining is not taken for the present one", async () => {
  using parts = await live();
  const { client, heights, peer } = parts;
  client.leaveChannel("blocks");
  client.joinChannel("blocks");
  const early = peer().of("subscribe")[1]!.id;
  client.leaveChannel("blocks");
  client.joinChannel("blocks", { last: 1 });
  const channels = [joined("e1", 30)];
  peer().reply("subscribed", { channels, rejected: [] }, early);
  assert.equal(client.state.channels["blocks"]?.status, "joining");
  peer().subscribed(joined("e1", 29));
  peer().event(30, { replay: true });
  assert.deepEqual(heights, [30]);
});

Deno.test("asking again without effect slows down", async () => {
  using parts = await live();
  const { peer } = parts;
  for (let i = 0; i < 600; i++) {
    peer().event(20);
    await tick(100);
    peer().subscribed(joined("e1", 10));
  }
  const count = peer().of("subscribe").length;
  assert.ok(count > 5 && count < 100, `${count} in a minute`);
});

Deno.test("a reconnect resumes after the last event delivered", async () => {
  using parts = await live();
  const { heights, gaps, peer } = parts;
  peer().event(11);
  peer().drop();
  await tick(500);
  peer().welcome();
  assert.deepEqual(peer().of("subscribe")[0]!.payload.channels, [
    { channel: "blocks", after: { epoch: "e1", seq: 11 } },
  ]);
  peer().subscribed(joined("e1", 11));
  peer().event(12, { replay: true });
  peer().event(13);
  assert.deepEqual(heights, [11, 12, 13]);
  assert.deepEqual(gaps, []);
});

Deno.test("what retention lost is reported, and the rest follows", async () => {
  using parts = await live();
  const { client, heights, gaps, peer } = parts;
  const gap = {
    channel: "blocks",
    from: 11,
    to: 20,
    epoch: "e1",
    reason: "retention" as const,
  };
  peer().reply("gap", gap);
  peer().event(21);
  peer().drop();
  await tick(500);
  peer().welcome();
  peer().subscribed({ ...joined("e1", 30, false), reason: "retention" });
  peer().reply("gap", { ...gap, from: 22, to: 30 });
  peer().event(31);
  assert.deepEqual(heights, [21, 31]);
  assert.deepEqual(gaps, [gap, { ...gap, from: 22, to: 30 }]);
  assert.equal(client.state.gaps, 2);
  assert.equal(client.state.channels["blocks"]?.recovered, false);
});

Deno.test("a new epoch is taken over, live and on resume", async () => {
  using parts = await live();
  const { heights, gaps, peer } = parts;
  peer().reply("gap", {
    channel: "blocks",
    from: 1,
    to: 4,
    epoch: "e2",
    reason: "epoch_changed",
  });
  peer().event(5, { epoch: "e2" });
  peer().drop();
  await tick(500);
  peer().welcome();
  peer().subscribed({ ...joined("e3", 0, false), reason: "epoch_changed" });
  peer().reply("gap", {
    channel: "blocks",
    from: 1,
    to: 0,
    epoch: "e3",
    reason: "epoch_changed",
  });
  peer().event(1, { epoch: "e3" });
  assert.deepEqual(heights, [5, 1]);
  assert.equal(gaps.length, 2);
});

Deno.test("a log that lost its end is followed back", async () => {
  using parts = await live();
  const { heights, gaps, peer } = parts;
  peer().drop();
  await tick(500);
  peer().welcome();
  peer().subscribed({ ...joined("e1", 7, false), reason: "position_unknown" });
  peer().reply("gap", {
    channel: "blocks",
    from: 8,
    to: 10,
    epoch: "e1",
    reason: "position_unknown",
  });
  peer().event(8);
  assert.deepEqual(heights, [8]);
  assert.equal(gaps.length, 1);
});

Deno.test("a channel without retention delivers without numbers", async () => {
  using parts = await setup();
  const { client, peer } = parts;
  const seen: unknown[] = [];
  client.on("ALERT_TRIGGERED", (message) => seen.push(message.seq));
  peer().welcome();
  client.joinChannel("metrics");
  peer().subscribed({
    channel: "metrics",
    epoch: null,
    seq: null,
    recovered: false,
    reason: "no_retention",
  });
  peer().say({ type: "ALERT_TRIGGERED", channel: "metrics", payload: {} });
  assert.deepEqual(seen, [undefined]);
});

/**
 * A log and a server of it that, after a reconnect or an asking, is honest,
 * but whose live frames a bad way drops, doubles and swaps.
 */
type Deed =
  | { readonly kind: "publish"; readonly count: number }
  | { readonly kind: "mangle"; readonly seed: number }
  | { readonly kind: "cut" }
  | { readonly kind: "trim"; readonly keep: number };

const deeds = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("publish" as const), count: fc.nat(8) }),
    fc.record({ kind: fc.constant("mangle" as const), seed: fc.nat() }),
    fc.record({ kind: fc.constant("cut" as const) }),
    fc.record({ kind: fc.constant("trim" as const), keep: fc.nat(4) }),
  ),
  { maxLength: 30 },
);

Deno.test("whatever the network does, each number arrives once, in order, or is reported lost", async () => {
  await fc.assert(
    fc.asyncProperty(deeds, async (plan: Deed[]) => {
      using parts = await live();
      const { heights, gaps, peer } = parts;
      let head = 10;
      let first = 1;
      let due: number[] = [];
      let answeredTo = 1;

      /** Answers every `subscribe` that waits. */
      const serve = () => {
        const asked = peer().of("subscribe");
        for (const { id, payload } of asked.slice(answeredTo)) {
          const after = payload.channels[0].after.seq as number;
          const start = Math.max(after, first - 1);
          due = [];
          peer().reply("subscribed", {
            channels: [joined("e1", start, start === after)],
            rejected: [],
          }, id);
          if (start > after) {
            peer().reply("gap", {
              channel: "blocks",
              from: after + 1,
              to: start,
              epoch: "e1",
              reason: "retention",
            });
          }
          const updates = [];
          for (let seq = start + 1; seq <= head; seq++) {
            updates.push(block(seq, { replay: true }));
          }
          if (updates.length) peer().reply("BATCH_UPDATE", { updates });
        }
        answeredTo = asked.length;
      };
      const flush = () => {
        for (const seq of due.splice(0)) peer().event(seq);
      };

      for (const deed of plan) {
        if (deed.kind === "publish") {
          for (let i = 0; i < deed.count; i++) due.push(++head);
        } else if (deed.kind === "trim") {
          first = Math.max(first, head - deed.keep + 1);
        } else if (deed.kind === "mangle") {
          const { seed } = deed;
          due = due.flatMap((seq, i) =>
            [[seq], [seq, seq], []][(seed >> (i % 16)) % 3]!
          );
          if (seed % 2) due.reverse();
          flush();
          await tick(seed % 3 ? 0 : 700);
          serve();
        } else {
          flush();
          peer().drop();
          due = [];
          await tick(5_000);
          peer().welcome();
          answeredTo = 0;
          serve();
        }
      }
      flush();
      // The next event shows what is still missing.
      for (let i = 0; i < 20 && (heights.at(-1) ?? 10) < head || i < 1; i++) {
        peer().event(++head);
        await tick(6_000);
        serve();
      }
      const lost = gaps.flatMap(({ from, to }) =>
        Array.from({ length: to - from + 1 }, (_, i) => from + i)
      );
      assert.deepEqual(heights, [...new Set(heights)].sort((a, b) => a - b));
      assert.deepEqual(
        [...heights, ...lost].sort((a, b) => a - b),
        Array.from({ length: head - 10 }, (_, i) => 11 + i),
      );
    }),
    { numRuns: 300 },
  );
});
