import assert from "node:assert/strict";
import { MAX_BATCH_MESSAGES } from "../../protocol/decode.ts";
import type { AnyMessage, Message } from "../../protocol/messages.ts";
import { Refusal } from "../../protocol/refusals.ts";
import {
  DEFAULT_MAX_MESSAGE_BYTES,
  MAX_BATCH_BYTES,
  MAX_RETRY_AFTER_MS,
  RETRY,
  RetryingPublisher,
} from "../../sources/retrying_publisher.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { keptLog, MemoryPublisher } from "../fakes/publisher.ts";

function alert(id: string, message = "x"): AnyMessage {
  return {
    type: "ALERT_TRIGGERED",
    id,
    payload: { type: "t", severity: "info", message },
  };
}

function alerts(count: number): AnyMessage[] {
  return Array.from({ length: count }, (_, index) => alert(`a${index}`));
}

/** A block whose transactions each carry this much call data. */
function block(
  id: string,
  transactions: number,
  dataBytes: number,
): Message<"NEW_BLOCK"> {
  return {
    type: "NEW_BLOCK",
    id,
    payload: {
      blockId: id,
      height: 1,
      timestamp: "2025-08-07T10:00:00.000Z",
      transactions: Array.from({ length: transactions }, (_, nonce) => ({
        txId: `tx${nonce}`,
        from: "0x1",
        to: "0x2",
        amount: "1",
        gasPrice: "1",
        gasLimit: 1,
        nonce,
        data: `0x${"ab".repeat(dataBytes)}`,
        status: "confirmed" as const,
        timestamp: "2025-08-07T10:00:00.000Z",
      })),
    },
  };
}

function setup() {
  const publisher = new MemoryPublisher();
  const clock = new ManualClock();
  const { log, entries } = keptLog();
  const stop = new AbortController();
  const feed = new RetryingPublisher({
    publisher,
    log,
    clock,
    random: () => 0.5,
  });
  const ids = () => publisher.events.map(({ id }) => id);
  return { publisher, clock, entries, stop, feed, ids };
}

Deno.test("RetryingPublisher.send() publishes a hundred messages in a call, and no more", async () => {
  const { publisher, stop, feed, ids } = setup();

  await feed.send(alerts(MAX_BATCH_MESSAGES), stop.signal);
  await feed.send([], stop.signal);
  const rest = alerts(2 * MAX_BATCH_MESSAGES + 2).slice(MAX_BATCH_MESSAGES);
  await feed.send(rest, stop.signal);

  assert.deepEqual(publisher.calls, [100, 100, 2]);
  assert.deepEqual(ids(), alerts(202).map(({ id }) => id));
});

Deno.test("RetryingPublisher.send() keeps a call within its bytes", async () => {
  const { publisher, stop, feed } = setup();
  const bytes = (message: AnyMessage) => JSON.stringify(message).length;
  const messages = Array.from(
    { length: 40 },
    (_, index) => block(`b${index}`, 60, 300),
  );
  assert.ok(bytes(messages[0]!) > 40_000 && bytes(messages[0]!) < 65_536);

  await feed.send(messages, stop.signal);

  const fit = Math.floor(MAX_BATCH_BYTES / bytes(messages[0]!));
  assert.ok(publisher.calls.every((count) => count <= fit + 1));
  assert.equal(publisher.events.length, 40);
});

Deno.test("RetryingPublisher.send() retries, in order, after the requested delay", async () => {
  const { publisher, clock, entries, stop, feed, ids } = setup();
  publisher.faults.push(
    {
      error: new Refusal("RATE_LIMITED", undefined, { retryAfterMs: 5_000 }),
    },
    { error: new TypeError("connection refused"), kept: true },
  );

  const sent = Promise.all([
    feed.send(alerts(2), stop.signal),
    feed.send([alert("later")], stop.signal),
  ]);
  await pass(clock, 5_000);
  assert.equal(publisher.calls.length, 1, "it has not come back too early");
  await pass(clock, 2_000);
  await sent;

  assert.deepEqual(ids(), ["a0", "a1", "later"]);
  assert.deepEqual(entries.map(({ fields }) => fields["waitMs"]), [
    5_000 + RETRY.baseMs / 2,
    RETRY.baseMs,
  ]);
});

Deno.test("RetryingPublisher.send() waits at most a minute, whatever delay a server names", async () => {
  const { publisher, entries, stop, feed, clock } = setup();
  const error = new Refusal("RATE_LIMITED", undefined, { retryAfterMs: 1e12 });
  publisher.faults.push({ error });

  const sent = feed.send(alerts(1), stop.signal);
  await pass(clock, MAX_RETRY_AFTER_MS + RETRY.baseMs);
  await sent;

  assert.equal(
    entries[0]!.fields["waitMs"],
    MAX_RETRY_AFTER_MS + RETRY.baseMs / 2,
  );
});

Deno.test("RetryingPublisher.send() loses one bad message, not those around it", async () => {
  const { entries, stop, feed, ids } = setup();
  const bad = alert("bad");
  (bad.payload as Record<string, unknown>)["severity"] = "loud";

  await feed.send([...alerts(2), bad, alert("after")], stop.signal);

  assert.deepEqual(ids(), ["a0", "a1", "after"]);
  assert.equal(entries.length, 1);
  assert.equal(entries[0]!.event, "source_message_refused");
  assert.equal(entries[0]!.fields["id"], "bad");
  assert.equal(entries[0]!.fields["code"], "INVALID_PAYLOAD");
  assert.match(JSON.stringify(entries[0]!.fields["issues"]), /severity/);
});

Deno.test("RetryingPublisher.send() gives up a message whose id belongs to another", async () => {
  const { publisher, entries, stop, feed, ids } = setup();
  const error = new Refusal("ID_CONFLICT");
  publisher.faults.push({ error }, { error });

  await feed.send(alerts(2), stop.signal);

  assert.deepEqual(ids(), ["a1"]);
  assert.equal(entries.length, 1);
  assert.equal(entries[0]!.event, "source_message_refused");
  assert.equal(entries[0]!.fields["code"], "ID_CONFLICT");
});

Deno.test("RetryingPublisher.send() sends a block that is too large with less in it, and marks it", async () => {
  const { publisher, entries, stop, feed } = setup();
  const size = (message: AnyMessage) => JSON.stringify(message).length;
  const spare = DEFAULT_MAX_MESSAGE_BYTES - size(block("exact", 1, 0));
  const exact = block("exact", 1, Math.floor(spare / 2));
  exact.payload.blockId += "x".repeat(DEFAULT_MAX_MESSAGE_BYTES - size(exact));
  assert.equal(size(exact), DEFAULT_MAX_MESSAGE_BYTES);
  const over = block("over", 1, Math.floor(spare / 2) + 9);

  await feed.send([exact, over, block("many", 1_000, 4)], stop.signal);

  const [whole, shorter, bare] = publisher.events.map(({ payload }) =>
    payload as Message<"NEW_BLOCK">["payload"]
  );
  assert.deepEqual(whole, exact.payload);
  assert.equal(shorter!.transactions![0]!.txId, "tx0");
  assert.equal("data" in shorter!.transactions![0]!, false);
  assert.equal(
    shorter!.transactions![0]!["dataOmitted"],
    Math.floor(spare / 2) + 9,
  );
  assert.equal(bare!.blockId, "many");
  assert.equal("transactions" in bare!, false);
  assert.equal(bare!.transactionIds!.length, 1_000);
  assert.equal(bare!.transactionCount, 1_000);
  assert.deepEqual(entries.map(({ event }) => event), [
    "source_message_shortened",
    "source_message_shortened",
  ]);
});

Deno.test("RetryingPublisher.send() shortens also what a stricter server finds too large", async () => {
  const { publisher, stop, feed, ids, entries } = setup();
  publisher.maxBytes = 1_000;
  const transaction: AnyMessage = {
    type: "TX_RECEIVED",
    id: "tx",
    payload: block("b", 1, 2_000).payload.transactions![0]!,
  };

  await feed.send([
    alert("a"),
    block("big", 3, 500),
    transaction,
    alert("long", "x".repeat(2_000)),
    alert("z"),
  ], stop.signal);

  assert.deepEqual(ids(), ["a", "big", "tx", "z"]);
  assert.equal(
    (publisher.events[2]!.payload as Record<string, unknown>)["dataOmitted"],
    2_000,
  );
  assert.equal(entries.at(-1)!.event, "source_message_refused");
  assert.equal(entries.at(-1)!.fields["id"], "long");
});

Deno.test("RetryingPublisher.send() ends when this publisher may not publish", async () => {
  for (
    const code of ["UNAUTHENTICATED", "TOKEN_EXPIRED", "FORBIDDEN"] as const
  ) {
    const { publisher, stop, feed } = setup();
    publisher.faults.push({ error: new Refusal(code) });

    await assert.rejects(feed.send(alerts(1), stop.signal), { code });
  }
});

Deno.test("RetryingPublisher.send() gives up at once when aborted, and so do those that wait", async () => {
  const { publisher, stop, feed } = setup();
  publisher.faults.push({ error: new Refusal("STORE_UNAVAILABLE") });

  const sent = feed.send(alerts(1), stop.signal);
  const next = feed.send(alerts(1), stop.signal);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  stop.abort(new Error("enough"));

  await assert.rejects(sent, /enough/);
  await assert.rejects(next, /enough/);
  assert.equal(publisher.events.length, 0);
});

Deno.test("RetryingPublisher.page() reads again until it is answered", async () => {
  const { publisher, clock, stop, feed } = setup();
  await feed.send(alerts(5), stop.signal);
  let failures = 2;
  const { page } = publisher;
  publisher.page = (channel, options) =>
    failures-- > 0
      ? Promise.reject(new Refusal("STORE_UNAVAILABLE"))
      : page.call(publisher, channel, options);

  const read = feed.page("alerts", { limit: 2 }, stop.signal);
  await pass(clock, 1_000);

  assert.deepEqual((await read).map(({ id }) => id), ["a3", "a4"]);
});

Deno.test("RetryingPublisher.send() fills what the service misses, deeper each time, and sends the rest again", async () => {
  const { clock, stop } = setup();
  const { log, entries } = keptLog();
  const calls: string[][] = [];
  const asked: [number, number][] = [];
  const height = (message: AnyMessage) =>
    (message.payload as { height: number }).height;
  const at = (height: number): AnyMessage => ({
    type: "NEW_BLOCK",
    id: `n${height}`,
    payload: {
      blockId: `b${height}`,
      height,
      previousHash: `b${height - 1}`,
      timestamp: "2025-08-07T10:00:00.000Z",
    },
  });
  // Knows blocks up to 4, and names only the height before each.
  let known = 4;
  const retrying = new RetryingPublisher({
    publisher: {
      publish: (messages) => {
        calls.push(messages.map(({ id }) => id!));
        return Promise.resolve(messages.map((message) => {
          const tip = height(message);
          const isNext = tip <= known + 1;
          if (isNext) known = Math.max(known, tip);
          return isNext ? {} : { missing: { from: tip - 1, to: tip - 1 } };
        }));
      },
      page: () => Promise.resolve([]),
    },
    log,
    clock,
    random: () => 0,
    fill: ({ from, to }) => {
      asked.push([from, to]);
      const count = to - from + 1;
      return Promise.resolve(
        Array.from({ length: count }, (_, i) => at(from + i)),
      );
    },
  });
  await retrying.send([at(12)], stop.signal);
  assert.equal(known, 12);
  assert.deepEqual(asked, [[11, 11], [9, 10], [5, 8]]);
  // Every occurrence has an id of its own.
  const ids = calls.flat();
  assert.equal(new Set(ids).size, ids.length);
  // An unavailable block is requested once, and reported.
  const poor = new RetryingPublisher({
    publisher: {
      publish: (messages) =>
        Promise.resolve(messages.map(() => ({ missing: { from: 1, to: 2 } }))),
      page: () => Promise.resolve([]),
    },
    log,
    clock,
    fill: () => (asked.push([0, 0]), Promise.resolve([])),
  });
  asked.length = 0;
  await poor.send([at(3)], stop.signal);
  await poor.send([at(4)], stop.signal);
  assert.equal(asked.length, 1);
  assert.deepEqual(entries.map(({ event }) => event), [
    "source_blocks_missing",
  ]);
});
