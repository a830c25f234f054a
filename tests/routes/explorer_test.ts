import assert from "node:assert/strict";
import type { AnyMessage } from "../../protocol/messages.ts";
import { MAX_SEARCHED_EVENTS } from "../../realtime/address_search.ts";
import { MAX_TRACKS_PER_ADDRESS } from "../../realtime/tracks.ts";
import { openTestService } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { txReceived } from "../transactions.ts";

const timestamp = "2026-01-01T00:00:00.000Z";

function block(name: string, height: number, ids: string[] = []): AnyMessage {
  return {
    type: "NEW_BLOCK",
    payload: {
      blockId: name,
      height,
      previousHash: height === 3 && name === "b3" ? "a2" : `a${height - 1}`,
      timestamp,
      transactionIds: ids,
    },
  };
}

function tx(txId: string, status: "pending" | "confirmed" | "failed", at?: {
  blockId: string;
  height: number;
}): AnyMessage {
  const place = at ? { blockId: at.blockId, blockHeight: at.height } : {};
  return txReceived({ txId, status, timestamp, ...place });
}

function final(name: string, height: number): AnyMessage {
  return {
    type: "FINALITY",
    payload: { level: "final", blockId: name, height, timestamp },
  };
}

async function get(
  service: TestService,
  path: string,
  init?: RequestInit,
  // deno-lint-ignore no-explicit-any -- tests look into answers freely.
): Promise<any> {
  const response = await service.request(path, init);
  assert.equal(response.status, 200, path);
  return await response.json();
}

Deno.test("GET /api/blocks returns a block's status, finality and transactions", async () => {
  await using service = await openTestService();
  const { publisher } = service;
  await publisher.publish([
    block("a1", 1),
    block("a2", 2, ["x", "y", "unheard"]),
    tx("x", "confirmed", { blockId: "a2", height: 2 }),
    tx("y", "failed", { blockId: "a2", height: 2 }),
    block("a3", 3),
    block("b3", 3),
    final("a2", 2),
  ]);
  const second = await get(service, "/api/blocks/2");
  assert.equal(second.event.payload.blockId, "a2");
  assert.equal(second.status, "standing");
  assert.equal(second.finality, "final");
  assert.equal(second.total, 3);
  assert.deepEqual(
    second.transactions.map((it: AnyMessage) => it.payload),
    [
      tx("x", "confirmed", { blockId: "a2", height: 2 }).payload,
      tx("y", "failed", { blockId: "a2", height: 2 }).payload,
    ],
  );
  assert.equal(second.next, null);
  const page = await get(service, "/api/blocks/a2?limit=1");
  assert.deepEqual([page.transactions.length, page.next], [1, 0]);
  const rest = await get(service, "/api/blocks/a2?after=0&limit=1");
  assert.equal(rest.transactions[0].payload.txId, "y");
  const orphan = await get(service, "/api/blocks/a3");
  assert.deepEqual([orphan.status, orphan.finality], ["reverted", "none"]);
  const tip = await get(service, "/api/blocks/3");
  assert.equal(tip.event.payload.blockId, "b3");
  assert.deepEqual([tip.status, tip.finality], ["standing", "none"]);
  assert.equal((await get(service, "/api/blocks/77")).status, "unknown");
});

Deno.test("a block's answer is kept once it is final, and not sent again unchanged", async () => {
  await using service = await openTestService();
  await service.publisher.publish([block("a1", 1), block("a2", 2)]);
  const first = await service.request("/api/blocks/1");
  await first.body?.cancel();
  assert.match(first.headers.get("cache-control")!, /no-cache/);
  const etag = first.headers.get("etag")!;
  const init = { headers: { "if-none-match": etag } };
  assert.equal((await service.request("/api/blocks/1", init)).status, 304);
  await service.publisher.publish([final("a1", 1)]);
  const then = await service.request("/api/blocks/1", init);
  await then.body?.cancel();
  assert.equal(then.status, 200);
  assert.match(then.headers.get("cache-control")!, /immutable/);
});

Deno.test("GET /api/transactions/:id follows a transaction through its states", async () => {
  await using service = await openTestService();
  const { publisher } = service;
  const state = async () =>
    (await get(service, "/api/transactions/x")).state as string;
  assert.equal(await state(), "unknown");
  await publisher.publish([block("a1", 1), block("a2", 2)]);
  await publisher.publish([tx("x", "pending")]);
  assert.equal(await state(), "seen");
  const at = { blockId: "a3", height: 3 };
  await publisher.publish([tx("x", "confirmed", at)]);
  assert.equal(await state(), "included");
  await publisher.publish([block("a3", 3, ["x"])]);
  assert.equal(await state(), "included");
  // Reverted by the service, which takes the transaction back.
  await publisher.publish([block("b3", 3)]);
  assert.equal(await state(), "reverted");
  await publisher.publish([block("a3", 3, ["x"]), tx("x", "failed", at)]);
  await publisher.publish([block("a4", 4)]);
  const { event, ...rest } = await get(service, "/api/transactions/x");
  assert.deepEqual(rest, {
    txId: "x",
    state: "confirmed",
    ok: false,
    blockId: "a3",
    height: 3,
  });
  assert.equal(event.payload.status, "failed");
  await publisher.publish([final("a3", 3)]);
  assert.equal(await state(), "final");
});

Deno.test("wait answers once the state is reached, or at the timeout", async () => {
  await using service = await openTestService();
  const { publisher } = service;
  await publisher.publish([block("a1", 1)]);
  const waiting = get(service, "/api/transactions/x?wait=final&timeout=60");
  const at = { blockId: "a2", height: 2 };
  await publisher.publish([tx("x", "pending")]);
  await publisher.publish([block("a2", 2, ["x"]), tx("x", "confirmed", at)]);
  await publisher.publish([final("a2", 2)]);
  assert.equal((await waiting).state, "final");
  const late = await get(
    service,
    "/api/transactions/nothing?wait=included&timeout=1",
  );
  assert.equal(late.state, "unknown");
  const bad = await service.request("/api/transactions/x?wait=soon");
  assert.equal(bad.status, 400);
  await bad.body?.cancel();
});

Deno.test("one address waits for a bounded number of transactions", async () => {
  await using service = await openTestService();
  const { tracks } = service.session;
  const options = {
    until: "final" as const,
    address: "a",
    moved: () => {},
  };
  const open: Disposable[] = [];
  for (let i = 0; i < MAX_TRACKS_PER_ADDRESS; i++) {
    open.push(await tracks.track({ ...options, txId: `t${i % 7}` }));
  }
  await assert.rejects(tracks.track({ ...options, txId: "x" }), {
    code: "TOO_MANY_SUBSCRIPTIONS",
  });
  open.push(await tracks.track({ ...options, address: "b", txId: "x" }));
  for (const each of open) each[Symbol.dispose]();
  (await tracks.track({ ...options, txId: "x" }))[Symbol.dispose]();
  assert.equal(service.hub.subscribers("transactions"), 0);
});

Deno.test("GET /api/addresses/:address/transactions answers each transaction once, newest first, page by page", async () => {
  await using service = await openTestService();
  const { publisher } = service;
  const of = (txId: string, from: string, to: string) => {
    const message = tx(txId, "pending");
    return {
      ...message,
      payload: { ...message.payload, from, to },
    } as AnyMessage;
  };
  await publisher.publish([block("a1", 1), of("x", "0xAA", "0xbb")]);
  await publisher.publish([
    of("other", "0xcc", "0xdd"),
    of("y", "0xcc", "0xaa"),
  ]);
  const confirmed = tx("x", "confirmed", { blockId: "a2", height: 2 });
  await publisher.publish([
    block("a2", 2, ["x"]),
    {
      ...confirmed,
      payload: { ...confirmed.payload, from: "0xAA", to: "0xbb" },
    } as AnyMessage,
    of("z", "0xee", "0xff"),
  ]);
  const path = "/api/addresses/0xaA/transactions";
  const all = await get(service, path);
  assert.deepEqual(
    all.transactions.map((it: { txId: string; state: string }) =>
      `${it.txId} ${it.state}`
    ),
    ["x included", "y seen"],
  );
  assert.equal(all.transactions[0].event.payload.status, "confirmed");
  assert.deepEqual([all.address, all.next], ["0xaA", null]);
  const found: string[] = [];
  for (let next = "", i = 0; next !== null && i < 9; i++) {
    const before = next === "" ? "" : `&before=${next}`;
    const page = await get(service, `${path}?limit=1${before}`);
    assert(page.transactions.length <= 1);
    found.push(...page.transactions.map((it: { txId: string }) => it.txId));
    next = page.next;
  }
  assert.deepEqual(found, ["x", "y"]);
  for (const bad of ["?before=x", "?before=else:3", "?limit=0", "?after=1"]) {
    const response = await service.request(`${path}${bad}`);
    await response.body?.cancel();
    assert.equal(response.status, 400, bad);
  }
});

Deno.test("one query about an address reads a bounded part of the log", async () => {
  await using service = await openTestService({
    env: { RETENTION_EVENTS: "10000" },
  });
  const { publisher } = service;
  const wanted = tx("wanted", "pending");
  await publisher.publish([wanted]);
  for (let i = 0; i < MAX_SEARCHED_EVENTS; i += 100) {
    await publisher.publish(
      Array.from({ length: 100 }, (_, j) => {
        const message = tx(`t${i + j}`, "pending");
        return {
          ...message,
          payload: { ...message.payload, from: "0x1", to: "0x2" },
        } as AnyMessage;
      }),
    );
  }
  const first = await get(service, "/api/addresses/f/transactions");
  assert.deepEqual(first.transactions, []);
  const second = await get(
    service,
    `/api/addresses/f/transactions?before=${first.next}`,
  );
  assert.equal(second.transactions[0].txId, "wanted");
  assert.equal(second.next, null);
});

Deno.test("a block's answer holds the contract logs of its transactions, not those of another block", async () => {
  await using service = await openTestService();
  const logs = (txId: string, blockId: string): AnyMessage => ({
    type: "TX_LOGS",
    payload: {
      txId,
      blockId,
      blockHeight: 2,
      logs: [{ address: "0xc0", topics: ["0x1"] }],
    },
  });
  const at = { blockId: "a2", height: 2 };
  await service.publisher.publish([
    block("a1", 1),
    block("a2", 2, ["x", "y"]),
    tx("x", "confirmed", at),
    tx("y", "confirmed", at),
    logs("x", "a2"),
    logs("y", "elsewhere"),
  ]);
  const { logs: found } = await get(service, "/api/blocks/a2");
  assert.deepEqual(
    found.map((it: AnyMessage) => it.payload),
    [logs("x", "a2").payload],
  );
});
