import assert from "node:assert/strict";
import { settled } from "../../client/settled.ts";
import type { SettledChange, SettledOptions } from "../../client/settled.ts";
import type { Client } from "../../client/client.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { txReceived } from "../transactions.ts";
import { until } from "../until.ts";
import { block, finality, openBench, timestamp } from "./iterating.ts";

const filter = { address: ["0xaa"] };

function tx(txId: string, height: number, name: string, to = "0xaa") {
  const at = { blockId: `${name}${height}`, blockHeight: height };
  return txReceived({ txId, to, status: "confirmed", timestamp, ...at });
}

/** A block, what it holds, and that this is all. */
function whole(
  name: string,
  height: number,
  on: string,
  ...transactions: AnyMessage[]
): AnyMessage[] {
  const blockId = `${name}${height}`;
  const ids = transactions.map(({ payload }) =>
    (payload as { txId: string }).txId
  );
  return [
    block(blockId, height, on, { transactionIds: ids }),
    ...transactions,
    {
      type: "BLOCK_COMPLETE",
      payload: { blockId, height, transactions: ids.length, timestamp },
    } as AnyMessage,
  ];
}

/** Follows, and collects what is yielded. */
function following(client: Client, options: Partial<SettledOptions> = {}) {
  const abort = new AbortController();
  const changes: SettledChange[] = [];
  const ended = (async () => {
    const { signal } = abort;
    for await (const each of settled(client, { filter, ...options, signal })) {
      changes.push(each);
    }
  })();
  ended.catch(() => {});
  const words = () =>
    changes.flatMap(({ added, reverted }) => [
      ...reverted.map((txId) => `-${txId}`),
      ...added.map(({ payload }) => `+${payload.txId}`),
    ]);
  return {
    changes,
    ended,
    begun: () => until(() => changes.length > 0, "the first change"),
    says: (...expected: string[]) =>
      until(() => words().length >= expected.length, `${expected}`)
        .then(() => assert.deepEqual(words(), expected)),
    async [Symbol.asyncDispose]() {
      abort.abort();
      await ended;
    },
  };
}

Deno.test("what matches is yielded once it is final, through lost connections, and taken back when even that falls", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  await using mine = following(client);
  await using other = following(client, { chain: "evm:1" });
  await mine.begun();
  await other.begun();

  await bench.publish(
    ...whole("a", 1, "a0", tx("x", 1, "a"), tx("y", 1, "a", "0xbb")),
    ...whole("a", 2, "a1", tx("z", 2, "a")),
  );
  bench.cut();
  // Another branch: what was not final is never yielded.
  await bench.publish(...whole("b", 2, "a1"), ...whole("b", 3, "b2"));
  await bench.publish(finality("final", "b2", 2));
  await mine.says("+x");
  const { block: place } = mine.changes.at(-1)!;
  assert.deepEqual(place, { blockId: "b2", height: 2 });

  bench.cut();
  await bench.publish(...whole("b", 4, "b3", tx("z", 4, "b")));
  await bench.publish(finality("final", "b4", 4));
  await mine.says("+x", "+z");
  // No chain should do that.
  await bench.publish(...whole("c", 4, "b3"));
  await mine.says("+x", "+z", "-z");
  assert(other.changes.every(({ added }) => added.length === 0));
});

Deno.test("it goes on after a cursor as if it had never ended", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  let after: SettledChange["cursor"];
  {
    await using first = following(client);
    await first.begun();
    await bench.publish(
      ...whole("a", 1, "a0", tx("x", 1, "a")),
      ...whole("a", 2, "a1", tx("y", 2, "a")),
    );
    await bench.publish(finality("final", "a1", 1));
    await first.says("+x");
    await until(
      () => "y" in first.changes.at(-1)!.cursor.held,
      "y is held",
    );
    after = JSON.parse(JSON.stringify(first.changes.at(-1)!.cursor));
  }
  await bench.publish(
    finality("final", "a2", 2),
    ...whole("a", 3, "a2", tx("z", 3, "a")),
  );
  await bench.publish(finality("final", "a3", 3));
  await using second = following(client, { after });
  await second.says("+y", "+z");
});

Deno.test("it ends where events are lost, a channel is refused, or the client is closed", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  await bench.publish(...whole("a", 1, "a0"));
  const elsewhere = { epoch: "gone", seq: 7 };
  const none = { held: {}, complete: [], added: {}, forgotten: -1 };
  const lost = following(client, {
    after: { transactions: elsewhere, blocks: elsewhere, ...none },
  });
  await assert.rejects(lost.ended, { code: "EVENTS_LOST" });

  const refused = following(await bench.client(), {
    filter: { colour: "red" } as never,
  });
  await assert.rejects(refused.ended, { code: "INVALID_SUBSCRIPTION" });

  const odd = following(await bench.client());
  await odd.begun();
  await bench.publish({
    type: "BLOCK_COMPLETE",
    payload: {
      ...{ blockId: "a1", height: 1, transactions: 1, timestamp },
      missing: ["receipts"],
    },
  } as AnyMessage);
  await assert.rejects(odd.ended, { code: "EVENTS_LOST" });

  const closed = following(client);
  await closed.begun();
  client.disconnect();
  await assert.rejects(closed.ended, { code: "CLOSED" });
});
