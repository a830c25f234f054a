/**
 * The EVM source against the real service: what it published is read back from
 * the service's own log, in the process and over HTTP.
 */
import assert from "node:assert/strict";
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
