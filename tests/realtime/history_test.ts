import assert from "node:assert/strict";
import { decodePublications } from "../../protocol/decode.ts";
import { idSource } from "../../protocol/envelope.ts";
import type { Principal } from "../../security/principal.ts";
import { systemClock } from "../../platform/clock.ts";
import { History, MAX_ANSWER_BYTES } from "../../realtime/history.ts";
import { Hub } from "../../realtime/hub.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Store } from "../../store/store.ts";

const anybody: Principal = {
  identity: { isAuthenticated: false, user: null, role: "anonymous" },
  isRevoked: () => false,
  mayRead: ({ name }) => name !== "room:secret" && name !== "nodes",
  mayPublish: () => true,
};

const message = (id: string, height: number, pad = "") => ({
  type: "NEW_BLOCK",
  payload: { blockId: id, height, timestamp: "2025-01-01T00:00:00Z", pad },
});

function instanceOn(kv: Store) {
  const nextId = idSource();
  const clock = systemClock;
  const retention = () => ({ events: 1_000, ms: 3_600_000 });
  const log = new StoredEventLog({ store: kv, clock, nextId, retention });
  const hub = new Hub({ log, links: [], clock, nextId });
  const history = new History(hub);
  const publish = async (...messages: unknown[]) =>
    await hub.publish(decodePublications(JSON.stringify({ messages }), 1e6));
  return {
    hub,
    history,
    publish,
    [Symbol.dispose]: () => hub[Symbol.dispose](),
  };
}

const seqs = ({ events }: { events: Record<string, unknown>[] }) =>
  events.map(({ seq }) => seq);
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

Deno.test("query() pages forward and backward without a hole", async () => {
  await using kv = await openStore(":memory:");
  using at = instanceOn(kv);
  const empty = await at.history.query(
    { channel: "blocks", limit: 5 },
    anybody,
  );
  assert.deepEqual(empty, {
    channel: "blocks",
    epoch: null,
    seq: 0,
    events: [],
    more: false,
  });
  await at.publish(...range(1, 23).map((i) => message(`b${i}`, i)));
  const newest = await at.history.query(
    { channel: "blocks", limit: 5 },
    anybody,
  );
  assert.deepEqual([seqs(newest), newest.more, newest.seq], [
    range(19, 23),
    true,
    23,
  ]);
  const epoch = newest.epoch!;
  let found: unknown[] = [];
  for (let seq = 0, more = true; more;) {
    const after = { epoch, seq };
    const page = await at.history.query(
      { channel: "blocks", after, limit: 7 },
      anybody,
    );
    found.push(...seqs(page));
    seq = found.at(-1) as number;
    more = page.more;
  }
  assert.deepEqual(found, range(1, 23));
  found = [];
  for (let seq = 24, more = true; more;) {
    const before = { epoch, seq };
    const page = await at.history.query(
      { channel: "blocks", before, limit: 7 },
      anybody,
    );
    found.unshift(...seqs(page));
    seq = found[0] as number;
    more = page.more;
  }
  assert.deepEqual(found, range(1, 23));
  const between = await at.history.query({
    channel: "blocks",
    after: { epoch, seq: 3 },
    before: { epoch, seq: 6 },
    limit: 9,
  }, anybody);
  assert.deepEqual([seqs(between), between.more], [[4, 5], false]);
});

Deno.test("query() reports more when its bytes end a page, in either direction", async () => {
  await using kv = await openStore(":memory:");
  using at = instanceOn(kv);
  const pad = "x".repeat(MAX_ANSWER_BYTES / 3);
  for (let i = 1; i <= 7; i++) await at.publish(message(`b${i}`, i, pad));
  const newest = await at.history.query(
    { channel: "blocks", limit: 7 },
    anybody,
  );
  assert.deepEqual([seqs(newest), newest.more], [[5, 6, 7], true]);
  const after = { epoch: newest.epoch!, seq: 0 };
  const oldest = await at.history.query(
    { channel: "blocks", after, limit: 7 },
    anybody,
  );
  assert.deepEqual([seqs(oldest), oldest.more], [[1, 2, 3], true]);
});

Deno.test("query() refuses channels that a caller may not read, other epochs and what keeps nothing", async () => {
  await using kv = await openStore(":memory:");
  using at = instanceOn(kv);
  await at.publish(message("a", 1));
  const query = (rest: object) =>
    at.history.query({ channel: "blocks", limit: 5, ...rest }, anybody);
  await assert.rejects(query({ channel: "x" }), { code: "UNKNOWN_CHANNEL" });
  await assert.rejects(query({ channel: "room:secret" }), {
    code: "FORBIDDEN",
  });
  await assert.rejects(query({ channel: "metrics" }), {
    code: "INVALID_PAYLOAD",
  });
  await assert.rejects(query({ after: { epoch: "old", seq: 1 } }), {
    code: "INVALID_PAYLOAD",
  });
  const all = await query({ after: { epoch: "0", seq: 0 } });
  assert.deepEqual(seqs(all), [1], "before the first event of any log");
});

Deno.test("latest() is right on every instance as soon as a link reports, and after a restart", async () => {
  await using kv = await openStore(":memory:");
  using one = instanceOn(kv);
  using two = instanceOn(kv);
  const idAt = async (history: History, key: string) => {
    const data = await history.latest(key, anybody) as {
      payload: { blockId: string };
    } | null;
    return data && data.payload.blockId;
  };
  assert.equal(await idAt(one.history, "block:a"), null);
  await one.publish(message("a", 7), message("7", 8));
  assert.equal(await idAt(one.history, "block:a"), "a");
  assert.equal(await idAt(one.history, "block:8"), "7");
  await one.publish(message("b", 8));
  assert.equal(await idAt(one.history, "block:8"), "b", "after a reorg");
  assert.equal(await idAt(two.history, "block:8"), "b");
  using three = instanceOn(kv);
  assert.equal(await idAt(three.history, "block:b"), "b");
  const last = await three.history.latest("channel:blocks", anybody);
  assert.equal(last!["seq"], 3);
});

Deno.test("latest() refuses keys of no kind, and what may not be read", async () => {
  await using kv = await openStore(":memory:");
  using at = instanceOn(kv);
  for (const key of ["", "block", "block:", "nothing:1", "constructor:1"]) {
    await assert.rejects(at.history.latest(key, anybody), {
      code: "INVALID_PAYLOAD",
    }, key);
  }
  await assert.rejects(at.history.latest("node:1", anybody), {
    code: "FORBIDDEN",
  });
});
