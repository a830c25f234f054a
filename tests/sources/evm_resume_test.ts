/**
 * Clients of the real service that were away, whatever they hold: from every
 * position of a log with branches, replaced and dropped transactions, each goes
 * on with exactly what it did not receive, filtered or not.
 */
import assert from "node:assert/strict";
import { clausesOf, concernsAll } from "../../protocol/filters.ts";
import type { Filter } from "../../protocol/filters.ts";
import { tagsOf } from "../../protocol/messages.ts";
import type { AnyEvent } from "../../protocol/messages.ts";
import { matchesFilter } from "../../realtime/filter_index.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { Outbox } from "../../realtime/outbox.ts";
import { ITSELF } from "../../realtime/publisher.ts";
import { subscribe } from "../../realtime/subscribe.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { FakePeer, FREE } from "../fakes/peer.ts";
import { MemoryPublisher } from "../fakes/publisher.ts";
import { openTestService } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";
import { foldBlocks, foldTransactions } from "./chain_folds.ts";
import { assertTruth, begin, withoutLevels } from "./evm_truth.ts";
import { account } from "./scripted_node.ts";
import type { ScriptedNode } from "./scripted_node.ts";

/** All that can happen to a chain, once each; returns what was published. */
async function history(node: ScriptedNode): Promise<MemoryPublisher> {
  const store = new MemoryPublisher();
  const clock = new ManualClock();
  const source = begin(node, store, clock);
  const submit = (from = 1) => node.submit({ from: account(from) });
  for (let made = 0; made < 4; made++) {
    node.mine(1, [submit(), submit(10 + made), submit(20)]);
    await pass(clock, 1_000);
  }
  const both = submit(11);
  const first = node.reorg(2, 1, [both]);
  await pass(clock, 2_000);
  const second = node.blocks.slice(first[0]!.height);
  node.restore(first);
  node.mine(1, [both]);
  await pass(clock, 2_000);
  node.restore(second);
  node.mine(2);
  await pass(clock, 2_000);
  const cheap = submit(12);
  await pass(clock, 1_000);
  node.mine(1, [node.submit({ ...cheap, price: 2 })]);
  node.drop(submit(13).hash);
  await pass(clock, 60_000);
  await source.end();
  return store;
}

/** What one client receives that begins after a position. */
async function receive(
  { hub }: TestService,
  channel: string,
  { after, filter }: {
    after: { epoch: string; seq: number };
    filter?: Filter | undefined;
  },
): Promise<number[]> {
  const peer = new FakePeer();
  const outbox = new Outbox(peer, JSON_CODEC, hub.outboxParts, FREE);
  await subscribe([{ channel, after, ...(filter ? { filter } : {}) }], {
    hub,
    outbox,
    principal: ITSELF,
    isOpen: () => true,
    subscribing: () => {},
    answer: ({ channels }) =>
      assert.deepEqual(channels.map(({ recovered }) => recovered), [true]),
    reportGap: () => assert.fail("nothing is lost"),
  });
  const [head] = await hub.heads([channel]);
  const isThere = () =>
    [...outbox.positions()].every(({ seq }) => seq >= head!.seq);
  await until(isThere, "all is delivered");
  outbox.close();
  return peer.seqs(channel);
}

const FILTERS: readonly (Filter | undefined)[] = [
  undefined,
  { address: [account(11), account(12), account(13)] },
  // Whom only the token's logs name.
  { address: account(51), status: ["confirmed", "pending"] },
];

Deno.test("from every position in between clients go on to the node's own truth", async () => {
  const node = withoutLevels();
  const published = await history(node);
  assertTruth(node, published);
  const reverts = published.of("blocks").filter(({ type }) =>
    type === "BLOCK_REVERTED"
  );
  assert.equal(reverts.length, 8, "to another branch, back, and there again");
  await using service = await openTestService();
  for (const { type, id, channel, payload } of published.events) {
    const message = { type, id, channel, payload } as never;
    await service.publisher.publish([message]);
  }
  for (const channel of ["blocks", "transactions"]) {
    const log: AnyEvent[] = await service.publisher.page(channel, {
      limit: 1_000,
    });
    assert.ok(log.length > 20 && log[0]!.seq === 1);
    for (const filter of channel === "blocks" ? [undefined] : FILTERS) {
      const clauses = filter && clausesOf(filter, "transactions");
      const due = log.filter(({ type, payload }) => {
        const tags = tagsOf(type, payload);
        return !clauses || concernsAll({ type, tags }) ||
          matchesFilter(clauses, tags);
      }).map(({ seq }) => seq!);
      const { epoch } = log[0]!;
      for (let seq = 0; seq <= log.length; seq++) {
        const after = { epoch: epoch!, seq };
        assert.deepEqual(
          await receive(service, channel, { after, filter }),
          due.filter((it) => it > seq),
          `${channel} after ${seq}`,
        );
      }
    }
    // What they then hold in all is the log, and so the node's own truth.
    if (channel === "blocks") foldBlocks(log);
    else foldTransactions(log);
    assert.deepEqual(
      log.map(({ type, payload }) => [type, payload]),
      published.of(channel).map(({ type, payload }) => [type, payload]),
    );
  }
  assert.deepEqual(service.bugs, []);
});
