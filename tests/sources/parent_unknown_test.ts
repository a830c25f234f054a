/**
 * Publishing to a service that refuses a block whose parent it does not know
 * (`CHAIN_CHECK=refuse`): what is missing is filled, or the error names it.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { AnyMessage } from "../../protocol/messages.ts";
import { Refusal } from "../../protocol/refusals.ts";
import { HttpPublisher } from "../../sources/http_publisher.ts";
import {
  MAX_FILLS,
  MAX_PARENT_TRIES,
  RetryingPublisher,
} from "../../sources/retrying_publisher.ts";
import type { Fill } from "../../sources/retrying_publisher.ts";
import type { Publisher } from "../../sources/source.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { keptLog, MemoryPublisher } from "../fakes/publisher.ts";
import { openTestService, tokenOf } from "../test_service.ts";
import { until } from "../until.ts";
import { foldBlocks } from "./chain_folds.ts";
import { begin, withoutLevels } from "./evm_truth.ts";

interface Named {
  readonly name: string;
  readonly height: number;
  readonly on: string;
}

let serial = 0;

function message({ name, height, on }: Named): AnyMessage {
  return {
    type: "NEW_BLOCK",
    id: `m${++serial}`,
    payload: {
      blockId: name,
      height,
      previousHash: on,
      timestamp: "2026-01-01T00:00:00.000Z",
    },
  };
}

/** A branch: blocks of one letter, the first on another. */
function branch(letter: string, from: number, to: number, on: string): Named[] {
  return Array.from({ length: to - from + 1 }, (_, i) => ({
    name: `${letter}${from + i}`,
    height: from + i,
    on: i === 0 ? on : `${letter}${from + i - 1}`,
  }));
}

async function refusing() {
  const service = await openTestService({ env: { CHAIN_CHECK: "refuse" } });
  const http = new HttpPublisher({
    base: "http://service.test",
    token: await tokenOf("publisher"),
    fetch: (url, init) => service.request(new URL(String(url)).href, init),
  });
  const open = (fill?: Fill) => {
    const { log, entries } = keptLog();
    const publisher = new RetryingPublisher({ publisher: http, log, fill });
    const { signal } = new AbortController();
    return {
      entries,
      send: (blocks: readonly Named[]) =>
        publisher.send(blocks.map(message), signal),
    };
  };
  const standing = async () =>
    foldBlocks(await http.page("blocks", { limit: 1_000 }))
      .map(({ hash }) => hash);
  return { service, http, open, standing };
}

Deno.test("what a service refuses since others are missing is filled, however deep the fork, and sent again", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 0, max: 12 }),
      fc.integer({ min: 1, max: 3 }),
      async (length, fork, more, last) => {
        const { service, open, standing } = await refusing();
        await using _service = service;
        const trunk = branch("a", 1, length, "a0");
        const at = Math.min(fork, length);
        const real = [
          ...trunk.slice(0, at),
          ...branch("b", at + 1, length + more + last, `a${at}`),
        ];
        await open().send(trunk);

        const { send } = open(({ from, to }) =>
          Promise.resolve(
            real.filter(({ height }) => height >= from && height <= to)
              .map(message),
          )
        );
        await send(real.slice(-last));

        assert.deepEqual(await standing(), real.map(({ name }) => name));
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("a publisher without the missing blocks gives up, naming them, and continues with the next", async () => {
  const { service, open, standing } = await refusing();
  await using _service = service;
  let node: readonly Named[] = [];
  const { send, entries } = open(({ from, to }) =>
    Promise.resolve(
      node.filter(({ height }) => height >= from && height <= to).map(message),
    )
  );
  const real = branch("a", 1, 6, "a0");
  await send(real.slice(0, 2));
  for (let times = 0; times < 2; times++) {
    await assert.rejects(send(real.slice(5)), {
      code: "PARENT_UNKNOWN",
      message: "Blocks 3 to 5 are missing and cannot be had",
      missing: { from: 3, to: 5 },
    });
  }
  assert.deepEqual(entries.map(({ event }) => event), [
    "source_blocks_missing",
    "source_blocks_missing",
  ]);
  await send(real.slice(2, 3));
  assert.deepEqual(await standing(), ["a1", "a2", "a3"]);
  node = real;
  await send(real.slice(5));
  assert.deepEqual(await standing(), real.map(({ name }) => name));
});

Deno.test("a message that never fits is retried a bounded number of times", async () => {
  const { log } = keptLog();
  const refusal = new Refusal("PARENT_UNKNOWN", undefined, {
    missing: { from: 5, to: 8 },
  });
  let asked = 0;
  const publisher = new RetryingPublisher({
    publisher: {
      publish: () => Promise.reject(refusal),
      page: () => Promise.resolve([]),
    },
    log,
    fill: () => {
      asked++;
      return Promise.resolve([message({ name: "x", height: 8, on: "y" })]);
    },
  });
  const { signal } = new AbortController();
  await assert.rejects(
    publisher.send([message({ name: "z", height: 9, on: "x" })], signal),
    { code: "PARENT_UNKNOWN", cause: refusal },
  );
  assert.equal(asked, MAX_FILLS);
});

Deno.test("where others publish what is missing a block waits for them, and not for ever", async () => {
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const { log } = keptLog();
  const { signal } = new AbortController();
  const publisher = new RetryingPublisher({
    publisher: store,
    log,
    clock,
    random: () => 0.5,
  });
  const error = new Refusal("PARENT_UNKNOWN", undefined, {
    missing: { from: 1, to: 2 },
  });
  const refuse = (times: number) =>
    store.faults.push(...Array.from({ length: times }, () => ({ error })));
  const ids = () => store.events.map(({ payload }) => payload["blockId"]);
  const [a3, a4] = branch("a", 3, 4, "a2").map(message);

  // The two together, then each alone.
  refuse(1 + 3);
  const sent = publisher.send([a3!, a4!], signal);
  await pass(clock, 10_000);
  await sent;
  assert.deepEqual(ids(), ["a3", "a4"]);

  const calls = store.calls.length;
  refuse(MAX_PARENT_TRIES);
  const [a9] = branch("a", 9, 9, "a8").map(message);
  const refused = publisher.send([a9!], signal);
  refused.catch(() => {});
  await pass(clock, 600_000);
  await assert.rejects(refused, {
    code: "PARENT_UNKNOWN",
    message: "Blocks 1 to 2 are missing and cannot be had",
  });
  assert.equal(store.calls.length - calls, MAX_PARENT_TRIES);
});

Deno.test("evmSource() reads the chain again where the service misses blocks, and ends where that does not help", async () => {
  const node = withoutLevels();
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const error = new Refusal("PARENT_UNKNOWN", undefined, {
    missing: { from: 1, to: 2 },
  });
  let refusals = 0;
  const publisher: Publisher = {
    publish(messages) {
      const isBlock = messages.some(({ type }) => type === "NEW_BLOCK");
      if (!isBlock || refusals === 0) return store.publish(messages);
      refusals--;
      return Promise.reject(error);
    },
    page: (channel, options) => store.page(channel, options),
  };
  node.mine(3);
  const source = begin(node, store, clock, { publisher });
  const isThere = () =>
    foldBlocks(store.of("blocks")).at(-1)?.hash === node.tip.hash;
  // Its modules are loaded in a time that the clock does not own.
  const later = (is: () => boolean, what: string) =>
    until(async () => {
      await pass(clock, 1_000);
      return is();
    }, what);
  await later(isThere, "the first blocks");
  refusals = 2 * MAX_PARENT_TRIES;
  node.mine(1);
  await later(isThere, "the block in the end");
  assert.equal(refusals, 0);
  const events = source.entries.map(({ event }) => event);
  assert(events.includes("source_blocks_missing"));
  assert(!events.includes("source_node_lost"), "the node is well");

  refusals = Infinity;
  node.mine(1);
  let failure: Refusal | undefined;
  source.running.catch((error) => failure = error);
  await later(() => failure !== undefined, "the end of the source");
  assert.equal(failure!.code, "PARENT_UNKNOWN");
  assert.deepEqual(failure!.missing, { from: 1, to: 2 });
});
