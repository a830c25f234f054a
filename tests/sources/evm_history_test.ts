import assert from "node:assert/strict";
import type { AnyMessage } from "../../protocol/messages.ts";
import { PublishedHistory } from "../../sources/evm_history.ts";
import { Messages } from "../../sources/evm_messages.ts";
import { RetryingPublisher } from "../../sources/retrying_publisher.ts";
import { keptLog, MemoryPublisher } from "../fakes/publisher.ts";

const timestamp = "2025-08-07T10:00:00.000Z";

/** A block of one hexadecimal digit, its parent's digit, its height. */
function block(
  [digit, parent]: string,
  height: number,
  suffix = "",
): AnyMessage {
  const blockId = `0x${digit!.repeat(64)}`;
  return {
    type: "NEW_BLOCK",
    id: `evm:7:block:${blockId}${suffix}`,
    payload: {
      blockId,
      previousHash: `0x${parent!.repeat(64)}`,
      height,
      timestamp,
    },
  };
}

function reverted(digit: string, height: number): AnyMessage {
  const blockId = `0x${digit.repeat(64)}`;
  return {
    type: "BLOCK_REVERTED",
    id: `evm:7:reverted:${blockId}:${Math.random()}`,
    payload: { blockId, height, timestamp },
  };
}

async function historyOf(messages: readonly AnyMessage[]) {
  const publisher = new MemoryPublisher();
  await publisher.publish(messages);
  const { log } = keptLog();
  return new PublishedHistory(
    new RetryingPublisher({ publisher, log }),
    new Messages("evm:7"),
  );
}

const signal = new AbortController().signal;

Deno.test("PublishedHistory reads standing blocks back past reverts and resets", async () => {
  const keeps = { blockId: `0x${"2".repeat(64)}`, height: 2 };
  const history = await historyOf([
    block("10", 1),
    block("21", 2),
    block("32", 3),
    block("43", 4),
    {
      type: "CHAIN_RESET",
      id: "evm:7:reset",
      payload: { keeps, reason: "finality_broken", timestamp },
    },
    { ...block("99", 9), id: "evm:8:block:0x9" },
    block("a2", 3),
    reverted("a", 3),
    block("b2", 3),
    block("cb", 4),
    reverted("c", 4),
    block("cb", 4, ":1"),
  ]);

  const blocks = await Array.fromAsync(history.blocks(signal));
  const { tail } = await history.standing(signal);

  assert.deepEqual(
    blocks.map(({ hash, height }) => [hash[2], height]),
    [["c", 4], ["b", 3], ["2", 2], ["1", 1]],
  );
  assert.deepEqual(tail.above(-1).map(({ hash }) => hash[2]), [..."cb21"]);
});

Deno.test("PublishedHistory numbers occurrences by the ids of blocks, older reverts or not", async () => {
  const history = await historyOf([block("10", 1), block("21", 2, ":3")]);

  const { tail } = await history.standing(signal);

  assert.equal(tail.reverts(tail.tip!.hash), 3);
});

Deno.test("PublishedHistory reads nothing older than a reset that keeps nothing", async () => {
  const history = await historyOf([
    block("10", 1),
    {
      type: "CHAIN_RESET",
      id: "evm:7:reset",
      payload: { keeps: null, timestamp },
    },
  ]);

  assert.deepEqual(await Array.fromAsync(history.blocks(signal)), []);
  assert.equal((await history.standing(signal)).tail.tip, undefined);
});
