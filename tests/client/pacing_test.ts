import assert from "node:assert/strict";
import fc from "fast-check";
import * as limits from "../../client/limits.ts";
import { live, outcome, rate, tick } from "./mocked_client.ts";
import type { Peer } from "./mocked_client.ts";

const numbers = (peer: Peer) => peer.of("TEST").map(({ payload }) => payload.n);

Deno.test("throttled, messages keep their distance, and none is left out", async () => {
  using parts = await live({ enableThrottle: true, throttleTime: 100 });
  const { client, peer } = parts;
  const all = [1, 2, 3].map((n) => client.sendMessage(rate(n)));
  assert.deepEqual(numbers(peer()), [1]);
  await tick(99);
  assert.deepEqual(numbers(peer()), [1]);
  await tick(1);
  assert.deepEqual(numbers(peer()), [1, 2]);
  await tick(100);
  assert.deepEqual(numbers(peer()), [1, 2, 3]);
  for (const { id, payload } of peer().of("TEST")) {
    peer().reply("TEST", payload, id);
  }
  assert.deepEqual(await Promise.all(all), [{ n: 1 }, { n: 2 }, { n: 3 }]);
  await tick(100);
  client.sendMessage(rate(4));
  assert.deepEqual(numbers(peer()), [1, 2, 3, 4]);
});

Deno.test("of messages with one key the newest is sent, the others reject with REPLACED", async () => {
  using parts = await live();
  const { client, peer } = parts;
  const all = [1, 2, 3, 4].map((n) =>
    client.sendMessage(rate(n), {
      enableThrottle: true,
      throttleTime: 50,
      key: "cursor",
    })
  );
  const other = client.sendMessage(rate(9), { enableThrottle: true, key: "b" });
  await tick(50);
  assert.deepEqual(numbers(peer()), [1, 9, 4]);
  for (const { id } of peer().of("TEST")) peer().reply("TEST", {}, id);
  assert.deepEqual(await Promise.all(all.map(outcome)), [
    "fulfilled",
    "REPLACED",
    "REPLACED",
    "fulfilled",
  ]);
  assert.equal(await outcome(other), "fulfilled");
});

Deno.test("in rooms the event distinguishes messages", async () => {
  using parts = await live({ enableThrottle: true });
  const { client, peer } = parts;
  const events = ["hello", "how", "are", "you", "typing"];
  for (const event of events) {
    client.sendMessage({
      type: "ROOM_MESSAGE",
      channel: "room:a",
      payload: { event },
    });
  }
  assert.deepEqual(
    peer().of("ROOM_MESSAGE").map(({ payload }) => payload.event),
    events,
  );
});

Deno.test("debounced, all go after the quiet, with a key the newest; an own id never waits", async () => {
  using parts = await live({ enableDebounce: true, debounceTime: 200 });
  const { client, peer } = parts;
  client.sendMessage(rate(1));
  client.sendMessage(rate(10), { key: "a" });
  await tick(150);
  client.sendMessage(rate(2));
  const newest = client.sendMessage(rate(20), { key: "a" });
  await tick(150);
  assert.deepEqual(numbers(peer()), []);
  client.sendMessage({ ...rate(3), id: "mine" });
  assert.deepEqual(numbers(peer()), [3]);
  await tick(50);
  assert.deepEqual(numbers(peer()), [3, 1, 2, 20]);
  const { id } = peer().of("TEST").at(-1)!;
  peer().reply("TEST", { ok: true }, id);
  assert.deepEqual(await newest, { ok: true });
});

Deno.test("throttled and debounced, messages go although it never falls quiet", async () => {
  using parts = await live({
    enableThrottle: true,
    enableDebounce: true,
    debounceTime: 200,
  });
  for (let n = 1; n <= 10; n++) {
    parts.client.sendMessage(rate(n), { key: "k" }).catch(() => {});
    await tick(50);
  }
  assert.deepEqual(numbers(parts.peer()), [4, 8]);
});

Deno.test("whatever the pace, a message resolves only if the server got it", async () => {
  const step = fc.record({
    waitMs: fc.nat(150),
    key: fc.option(fc.constantFrom("a", "b"), { nil: undefined }),
  });
  const pace = fc.record({
    enableThrottle: fc.boolean(),
    enableDebounce: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 20 }),
      pace,
      async (steps, pace) => {
        using parts = await live(pace);
        const all: Promise<string>[] = [];
        for (const [n, { waitMs, key }] of steps.entries()) {
          const options = key === undefined ? {} : { key };
          all.push(outcome(parts.client.sendMessage(rate(n), options)));
          await tick(waitMs);
        }
        await tick(5_000);
        const sent = new Set(numbers(parts.peer()));
        for (const { id } of parts.peer().of("TEST")) {
          parts.peer().reply("TEST", {}, id);
        }
        const outcomes = await Promise.all(all);
        for (const [n, outcome] of outcomes.entries()) {
          const isReplaceable = steps[n]!.key !== undefined;
          assert.equal(outcome, sent.has(n) ? "fulfilled" : "REPLACED");
          assert.ok(sent.has(n) || isReplaceable);
        }
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("what waits for its pace is bounded", async () => {
  using parts = await live({ enableThrottle: true });
  const all = Array.from(
    { length: limits.MAX_PENDING + 2 },
    (_, n) => outcome(parts.client.sendMessage(rate(n))),
  );
  assert.equal(await all.at(-1), "QUEUE_FULL");
});
