/**
 * The EVM source against the real service: what it published is read back from
 * the service's own log, in the process and over HTTP.
 */
import assert from "node:assert/strict";
import type { AnyEvent, Event } from "../../protocol/messages.ts";
import { History } from "../../realtime/history.ts";
import { ITSELF } from "../../realtime/publisher.ts";
import { evmSource } from "../../sources/evm.ts";
import { HttpPublisher } from "../../sources/http_publisher.ts";
import type { Publisher } from "../../sources/source.ts";
import { keptLog } from "../fakes/publisher.ts";
import { openTestService, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";
import {
  foldBlocks,
  foldDag,
  foldLogs,
  foldTransactions,
} from "./chain_folds.ts";
import { logOf, withoutLevels } from "./evm_truth.ts";
import type { ScriptedNode } from "./scripted_node.ts";

function follow(node: ScriptedNode, publisher: Publisher) {
  const stop = new AbortController();
  const running = evmSource({
    rpcUrl: "ws://node.test",
    publisher,
    log: keptLog().log,
    open: node.open,
    pollMs: 50,
    from: 1,
  }).run(stop.signal);
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

async function followed(node: ScriptedNode, publisher: Publisher) {
  await until(async () => {
    const [last] = await publisher.page("logs", { limit: 1 });
    return last?.payload["blockId"] === node.tip.hash &&
      last.type === "BLOCK_COMPLETE";
  }, "the newest block is complete");
}

async function over(
  service: TestService,
  http: boolean,
): Promise<Publisher & Disposable> {
  if (!http) {
    const { publisher } = service;
    return {
      publish: (messages) => publisher.publish(messages),
      page: (channel, options) => publisher.page(channel, options),
      [Symbol.dispose]() {},
    };
  }
  return new HttpPublisher({
    base: "http://service.test",
    token: await tokenOf("publisher"),
    fetch: (url, init) => service.request(new URL(String(url)).href, init),
  });
}

for (const http of [false, true]) {
  const way = http ? "over HTTP" : "in the process";
  Deno.test(`evmSource() takes back through the service's own log what a life before it published, ${way}`, async () => {
    await using service = await openTestService();
    using publisher = await over(service, http);
    const node = withoutLevels();
    {
      await using _source = follow(node, publisher);
      node.burst(40, 30);
      await followed(node, publisher);
    }
    const gone = node.rollback(35);
    node.pool.clear();
    node.mine(36);
    {
      await using _source = follow(node, publisher);
      await followed(node, publisher);
    }

    const blocks = foldBlocks(await logOf(publisher, "blocks"));
    const real = node.blocks.slice(1).map(({ hash }) => hash);
    assert.deepEqual(blocks.map(({ hash }) => hash), real);
    assert.deepEqual(foldDag(await logOf(publisher, "dag")), real);
    const logs = foldLogs(await logOf(publisher, "logs"));
    assert.deepEqual(
      [...logs.keys()],
      real.slice(0, 5),
    );
    const transactions = foldTransactions(
      await logOf(publisher, "transactions"),
    );
    const left = new Set(
      gone.flatMap((block) => block.transactions.map(({ hash }) => hash)),
    );
    assert.equal(transactions.size, 1_200);
    for (const [hash, { status }] of transactions) {
      if (left.has(hash)) assert.ok(/pending|dropped/.test(status), status);
      else assert.ok(/confirmed|failed/.test(status), status);
    }
    const history = new History(service.hub);
    const latest = (key: string) => history.latest(key, ITSELF);
    const orphan = gone[0]!;
    assert.equal(
      (await latest(`block:${orphan.hash}`))!["type"],
      "BLOCK_REVERTED",
    );
    const standing = await latest(`block:${orphan.height}`);
    assert.equal(standing!["type"], "NEW_BLOCK");
    assert.equal(
      (standing!["payload"] as Record<string, unknown>)["blockId"],
      node.blocks[orphan.height]!.hash,
    );
    assert.deepEqual(service.bugs, []);
  });
}

/** The current blocks; below a marked one others may be missing. */
function stack(events: readonly AnyEvent[]): string[] {
  const blocks: string[] = [];
  for (const { type, payload } of events) {
    if (type === "NEW_BLOCK") {
      if (payload.previousHash !== blocks.at(-1) && blocks.length > 0) {
        assert(
          payload.gapBefore,
          `nothing else is missing below ${payload.height}`,
        );
      }
      blocks.push(payload.blockId);
    }
    if (type === "BLOCK_REVERTED") assert.equal(blocks.pop(), payload.blockId);
    assert.notEqual(type, "CHAIN_RESET");
  }
  return blocks;
}

Deno.test("two sources of one chain, one held up across a reorganisation for longer than ids are known, end with the node's own truth", async () => {
  await using service = await openTestService();
  using publisher = await over(service, false);
  const node = withoutLevels();
  let gate = Promise.resolve();
  let latest: string | undefined;
  // Its ids are not those of the other: what was published stands all the same.
  const late: Publisher = {
    async publish(messages) {
      await gate;
      const kept = await publisher.publish(
        messages.map((each) => ({ ...each, id: `${each.id}~late` })),
      );
      for (const { type, payload } of messages) {
        if (type === "BLOCK_COMPLETE") latest = payload.blockId;
      }
      return kept;
    },
    page: (channel, options) => publisher.page(channel, options),
  };
  const isTrue = async () => {
    const standing = stack(await logOf(publisher, "blocks"));
    const newest = new Map<string, Event<"TX_RECEIVED">["payload"]>();
    for (const { type, payload } of await logOf(publisher, "transactions")) {
      if (type === "TX_RECEIVED") newest.set(payload.txId, payload);
    }
    const real = node.blocks.slice(1).map(({ hash }) => hash);
    return `${standing}` === `${real}` &&
      [...node.all.keys()].every((hash) => {
        const holder = node.holderOf(hash);
        const { status, blockId } = newest.get(hash) ?? {};
        if (!holder) return /pending|dropped|replaced/.test(String(status));
        const outcome = holder.failed.has(hash) ? "failed" : "confirmed";
        return status === outcome && blockId === holder.hash;
      });
  };
  {
    await using _quick = follow(node, publisher);
    await using _slow = follow(node, late);
    node.burst(5, 3);
    await followed(node, publisher);

    const { promise, resolve } = Promise.withResolvers<void>();
    gate = promise;
    node.mine(1, [node.submit()]);
    await followed(node, publisher);
    node.reorg(3, 1, [node.submit()]);
    node.mine(6);
    await followed(node, publisher);
    resolve();
    // What the late one takes back, it publishes again.
    for (let made = 0; made < 3; made++) {
      node.mine(1, [node.submit()]);
      await until(
        async () => latest === node.tip.hash && await isTrue(),
        "both end with the node's own truth",
      );
    }
  }
  assert(await isTrue());
  assert.deepEqual(service.bugs, []);
});
