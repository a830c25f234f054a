import assert from "node:assert/strict";
import { Messages } from "../../sources/evm_messages.ts";
import {
  GONE_MS,
  MAX_GONE,
  MAX_POOL,
  MISSES,
  Pool,
  RECHECK_MS,
} from "../../sources/evm_pool.ts";
import { MAX_QUEUE, PoolWatch } from "../../sources/evm_pool_watch.ts";
import { readTransaction } from "../../sources/evm_read.ts";
import type { EvmNode } from "../../sources/evm_view.ts";
import type { ChainWriter } from "../../sources/evm_writer.ts";
import { ManualClock, settle } from "../fakes/clock.ts";
import { account } from "./scripted_node.ts";

const at = (ms = 0) => ({ now: ms, monotonic: ms });

/** A pending transaction, each of a sender of its own. */
function tx(number: number, nonce = 0, gasPrice = "0x1") {
  return readTransaction({
    hash: `0x${number.toString(16).padStart(64, "0")}`,
    from: account(number),
    to: account(2),
    value: "0x1",
    gas: "0x1",
    gasPrice,
    nonce: `0x${nonce.toString(16)}`,
    input: "0x",
  })!;
}

function full(): Pool {
  const pool = new Pool(new Messages("evm:1"));
  for (let made = 0; made < MAX_POOL; made++) pool.add(tx(made + 1), at());
  return pool;
}

Deno.test("Pool reports no new transactions when it is full, and keeps all that it reported", () => {
  const pool = full();
  assert.equal(pool.size, MAX_POOL);
  assert.ok(pool.isFull);

  assert.deepEqual(pool.add(tx(MAX_POOL + 1), at()), []);
  assert.ok(pool.knows(tx(1).hash));
  for (let misses = 0; misses < MISSES; misses++) {
    pool.checked(tx(1).hash, undefined, at());
  }
  assert.equal(pool.add(tx(MAX_POOL + 1), at()).length, 1);
});

Deno.test("Pool requests every transaction in turn, and missing ones for a limited time", () => {
  const pool = new Pool(new Messages("evm:1"));
  for (let made = 1; made <= 5; made++) pool.add(tx(made), at());
  assert.deepEqual(pool.due(at(RECHECK_MS - 1), 9), []);
  const first = pool.due(at(RECHECK_MS), 2);
  assert.deepEqual(first, [tx(1).hash, tx(2).hash]);
  for (const hash of first) pool.checked(hash, tx(1), at(RECHECK_MS));
  assert.deepEqual(
    pool.due(at(RECHECK_MS), 9),
    [tx(3).hash, tx(4).hash, tx(5).hash],
  );
  for (let misses = 0; misses < MISSES; misses++) {
    pool.checked(tx(3).hash, undefined, at(RECHECK_MS));
  }
  const later = RECHECK_MS + GONE_MS;
  assert.ok(pool.due(at(later), 9).includes(tx(3).hash));
  assert.deepEqual(pool.checked(tx(3).hash, undefined, at(later)), []);
  assert.ok(!pool.due(at(2 * later), 9).includes(tx(3).hash));
});

Deno.test("Pool requests a bounded number of missing transactions", () => {
  const pool = new Pool(new Messages("evm:1"));
  for (let made = 1; made <= MAX_GONE + 1; made++) {
    pool.add(tx(made), at());
    for (let misses = 0; misses < MISSES; misses++) {
      pool.checked(tx(made).hash, undefined, at());
    }
  }
  assert.equal(pool.size, 0);
  const due = pool.due(at(RECHECK_MS), 2 * MAX_GONE);
  assert.equal(due.length, MAX_GONE);
  assert.ok(!due.includes(tx(1).hash));
});

Deno.test("Pool accepts a replacement for a higher price only, unless it is mined", () => {
  const pool = new Pool(new Messages("evm:1"));
  const of = (number: number, price: string) => ({
    ...tx(number, 0, price),
    from: account(77),
  });
  pool.add(of(1, "0x5"), at());
  assert.deepEqual(pool.add(of(2, "0x5"), at()), []);
  const [pending, replaced] = pool.add(of(3, "0x6"), at());
  assert.equal(pending!.payload.txId, tx(3).hash);
  assert.equal(replaced!.payload.txId, tx(1).hash);
  assert.equal(replaced!.payload.replacedBy, tx(3).hash);

  // The node holds the replaced one after all.
  const back = pool.checked(tx(1).hash, of(1, "0x5"), at(RECHECK_MS));
  assert.deepEqual(
    back.map(({ payload }) => [payload.txId, payload.status]),
    [[tx(1).hash, "pending"], [tx(3).hash, "replaced"]],
  );
  pool.checked(tx(3).hash, of(3, "0x6"), at(RECHECK_MS));

  const mined = new Messages("evm:1").pending(of(2, "0x5"), 0, 1).payload;
  const [late] = pool.mine([{ ...mined, status: "confirmed" }], at());
  assert.equal(late!.payload.txId, tx(3).hash);
  assert.equal(late!.payload.replacedBy, tx(2).hash);
  assert.equal(pool.size, 0);
});

Deno.test("PoolWatch lets the oldest of too many reported transactions go", async () => {
  const clock = new ManualClock();
  const watch = new PoolWatch({ clock, log: () => {} });
  for (let made = 0; made <= MAX_QUEUE; made++) watch.add(tx(made));
  const seen: string[] = [];
  let checks = 0;
  const writer = {
    pool: { knows: () => false },
    due: () => (checks++, []),
    pending: (some: { hash: string }[]) => {
      seen.push(...some.map(({ hash }) => hash));
      return Promise.resolve();
    },
  };
  const stop = new AbortController();
  const running = watch.run(
    {} as EvmNode,
    () => writer as unknown as ChainWriter,
    stop.signal,
  );
  for (let turn = 0; turn < 100; turn++) await settle();
  stop.abort();
  await running;

  assert.equal(checks, 1, "however many are reported, one look a second");
  assert.equal(seen.length, MAX_QUEUE);
  assert.equal(seen[0], tx(1).hash);
});
