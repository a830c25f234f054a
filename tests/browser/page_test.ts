/**
 * The live page: its model alone, and the whole of it in a real Chromium
 * before the real service.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { build } from "../../client/build.ts";
import {
  ANNOUNCE_MS,
  Freshness,
  REPLAY_QUIET_MS,
  seconds,
  STOPPED_INTERVALS,
  STOPPED_MS,
} from "../../client/page/freshness.ts";
import {
  ChainModel,
  MAX_ALERTS,
  MAX_SAMPLES,
  MAX_TRANSACTIONS,
  MAX_VERTICES,
} from "../../client/page/model.ts";
import { alone, columns, MAX_SILENCE } from "../../client/page/chart.tsx";
import { MAX_BLOCKS, MAX_CHAINS } from "../../client/page/blocks.ts";
import { HISTORY } from "../../client/page/history.ts";
import type { ClientState } from "../../client/types.ts";
import type { AnyEvent, PayloadOf } from "../../protocol/messages.ts";
import type { MessageType } from "../../protocol/messages.ts";
import { browserTest, faults, SERVER_LOST, withPage } from "./browser.ts";
import { pause, TestServer } from "../server.ts";
import { until } from "../until.ts";

const AT = "2025-08-07T10:00:00.000Z";
let position = 0;

function event<Type extends MessageType>(
  type: Type,
  payload: PayloadOf<Type>,
  more: Partial<AnyEvent> = {},
): AnyEvent {
  return {
    type,
    payload,
    id: `e${++position}`,
    timestamp: AT,
    version: "1.0.0",
    channel: "any",
    ...more,
  } as AnyEvent;
}

function block(height: number, more: object = {}): PayloadOf<"NEW_BLOCK"> {
  return { blockId: `b${height}`, height, timestamp: AT, ...more };
}

function transaction(
  txId: string,
  status: "pending" | "confirmed" | "failed",
): PayloadOf<"TX_RECEIVED"> {
  return {
    txId,
    from: "0xa",
    to: "0xb",
    amount: "1",
    gasPrice: "1",
    gasLimit: 1,
    nonce: 0,
    status,
    timestamp: AT,
  };
}

function vertex(
  nodeId: string,
  parents: string[],
  updateType: PayloadOf<"DAG_UPDATE">["updateType"] = "NODE_ADDED",
): PayloadOf<"DAG_UPDATE"> {
  return { updateType, nodeId, relatedNodes: parents, timestamp: AT };
}

Deno.test("the model counts every event and bounds what it keeps", () => {
  const model = new ChainModel();
  for (let i = 1; i <= MAX_BLOCKS + 1; i++) {
    model.take(event("NEW_BLOCK", block(i)));
  }
  for (let i = 0; i <= MAX_TRANSACTIONS; i++) {
    model.take(event("TX_RECEIVED", transaction(`t${i}`, "pending")));
  }
  for (let i = 0; i <= MAX_VERTICES; i++) {
    model.take(event("DAG_UPDATE", vertex(`v${i}`, i ? [`v${i - 1}`] : [])));
  }
  for (let i = 0; i <= MAX_ALERTS; i++) {
    model.take(event("ALERT_TRIGGERED", {
      type: "test",
      severity: "info",
      message: "m",
    }));
  }
  assert.equal(
    model.total,
    MAX_BLOCKS + MAX_TRANSACTIONS + MAX_VERTICES + MAX_ALERTS + 4,
  );
  assert.equal(model.blocks.rows.length, MAX_BLOCKS);
  assert.equal(model.blocks.rows[0]!.height, MAX_BLOCKS + 1);
  assert.equal(model.transactionCounts.pending, MAX_TRANSACTIONS);
  assert.equal(
    model.transactions(2 * MAX_TRANSACTIONS).length,
    MAX_TRANSACTIONS,
  );
  assert.equal(model.vertices.size, MAX_VERTICES);
  assert.equal(model.alerts.length, MAX_ALERTS);
});

Deno.test("a transaction settles once, whichever event reports it first", () => {
  const model = new ChainModel();
  model.take(event("TX_RECEIVED", transaction("t", "pending")));
  assert.deepEqual(model.transactionCounts, {
    pending: 1,
    confirmed: 0,
    failed: 0,
    replaced: 0,
    dropped: 0,
  });
  const transactions = [transaction("t", "confirmed")];
  model.take(event("NEW_BLOCK", block(1, { transactions })));
  model.take(event("TX_RECEIVED", transaction("t", "confirmed")));
  assert.deepEqual(model.transactionCounts, {
    pending: 0,
    confirmed: 1,
    failed: 0,
    replaced: 0,
    dropped: 0,
  });
});

Deno.test("blocks rise from new to final, or leave", () => {
  const model = new ChainModel();
  for (let i = 1; i <= 4; i++) model.take(event("NEW_BLOCK", block(i)));
  const settle = (level: "safe" | "final", height: number) =>
    model.take(event("FINALITY", {
      level,
      height,
      blockId: `b${height}`,
      timestamp: AT,
    }));
  settle("safe", 3);
  settle("final", 2);
  settle("final", 1);
  model.take(event("BLOCK_REVERTED", {
    blockId: "b4",
    height: 4,
    timestamp: AT,
  }));
  const levels = () =>
    model.blocks.rows.map((row) => `${row.id} ${model.blocks.level(row)}`);
  assert.deepEqual(levels(), [
    "b4 reverted",
    "b3 safe",
    "b2 final",
    "b1 final",
  ]);
  assert.equal(model.blocks.tip!.id, "b3");
  assert.equal(model.blocks.finalHeight(""), 2);

  model.take(event("NEW_BLOCK", block(4)));
  assert.equal(levels()[0], "b4 new", "a block that returns stands again");
  const reset = { keeps: { height: 1, blockId: "b1" }, timestamp: AT };
  model.take(event("CHAIN_RESET", reset, { channel: "transactions" }));
  assert.equal(
    model.blocks.tip!.id,
    "b4",
    "blocks have a channel of their own",
  );
  model.take(event("CHAIN_RESET", reset, { channel: "blocks" }));
  assert.deepEqual(levels(), [
    "b4 reverted",
    "b3 reverted",
    "b2 reverted",
    "b1 final",
  ]);
});

Deno.test("the finality of as many chains as are kept, and no more", () => {
  const model = new ChainModel();
  for (let i = 0; i <= MAX_CHAINS; i++) {
    model.take(event("FINALITY", {
      chain: `c${i}`,
      level: "final",
      height: 7,
      blockId: "b7",
      timestamp: AT,
    }));
  }
  assert.equal(model.blocks.finalHeight(`c${MAX_CHAINS - 1}`), 7);
  assert.equal(model.blocks.finalHeight(`c${MAX_CHAINS}`), undefined);
});

Deno.test("a transaction whose block left is pending again", () => {
  const model = new ChainModel();
  const at = { blockHeight: 1, blockId: "b1" };
  const confirmed = { ...transaction("t", "confirmed"), ...at };
  model.take(event("TX_RECEIVED", confirmed));
  model.take(event("TX_RECEIVED", {
    ...transaction("t", "pending"),
    cause: "reorg",
    left: { blockId: "b1", height: 1 },
  }));
  const [row] = model.transactions(1);
  assert(row!.isReverted);
  assert.equal(row!.height, undefined);
  assert.equal(model.transactionCounts.pending, 1);
  model.take(event("TX_RECEIVED", { ...confirmed, blockHeight: 2 }));
  assert.equal(model.transactions(1)[0]!.height, 2);
  model.take(event("TX_RECEIVED", { ...confirmed, blockHeight: 3 }));
  assert.equal(model.transactions(1)[0]!.height, 3, "in another block now");
  assert.equal(model.transactionCounts.confirmed, 1);
});

Deno.test("tips are the vertices that nothing builds upon", () => {
  const model = new ChainModel();
  const tips = () =>
    [...model.vertices.values()].filter((each) => !each.hasChildren)
      .map(({ id }) => id);
  model.take(event("DAG_UPDATE", vertex("a", [])));
  model.take(event("DAG_UPDATE", vertex("b", ["a"])));
  model.take(event("DAG_UPDATE", vertex("c", ["a"])));
  assert.deepEqual(tips(), ["b", "c"]);
  assert.equal(model.vertices.get("c")!.layer, 1);
  model.take(event("DAG_UPDATE", vertex("c", ["b"], "EDGE_ADDED")));
  assert.deepEqual(tips(), ["c"]);
  model.take(event("DAG_UPDATE", vertex("c", [], "NODE_REMOVED")));
  assert.deepEqual(tips(), ["b"]);
});

Deno.test("a node's way is remembered, repeated reports are not steps", () => {
  const model = new ChainModel();
  for (const status of ["OFFLINE", "SYNCING", "SYNCING", "ONLINE"] as const) {
    model.take(event("NODE_STATUS", { nodeId: "n", status, lastUpdate: AT }));
  }
  const [node] = model.nodes();
  assert.equal(node!.status, "ONLINE");
  assert.deepEqual(node!.way, ["OFFLINE", "SYNCING"]);
});

Deno.test("samples are seconds, including those without events", () => {
  const model = new ChainModel();
  model.tick(1_000_000);
  model.take(event("NEW_BLOCK", block(1)), 5);
  model.take(event("NEW_BLOCK", block(2)), 7);
  model.take(event("NEW_BLOCK", block(3), { replay: true }), 9000);
  model.tick(1_002_500);
  assert.deepEqual(model.samples, [
    { second: 1000, events: 2, latency: 7 },
    { second: 1001, events: 0, latency: undefined },
  ]);
  model.tick(1_003_500, false);
  assert.equal(model.samples.at(-1)!.latency, null);
  model.tick(9_000_000);
  assert.equal(model.samples.length, MAX_SAMPLES);
});

const CONNECTED = {
  status: "connected",
  isConnected: true,
  connectionError: null,
  reconnectAttempts: 0,
  clockOffsetMs: 0,
} as unknown as ClientState;

Deno.test("a wall clock that is set back does not prolong a catch-up", () => {
  const freshness = new Freshness();
  const HOUR_MS = 3_600_000;
  freshness.sawState(CONNECTED, 0);
  const replayed = event("NEW_BLOCK", block(1), { replay: true });
  freshness.sawEvent(replayed, 1_000);
  const wall = Date.parse(replayed.timestamp) - HOUR_MS;
  assert.equal(freshness.describe(1_000, wall).label, "Catching up");
  assert.equal(
    freshness.describe(1_000 + REPLAY_QUIET_MS, wall).label,
    "Live",
  );
});

Deno.test("a duration is negative of a clock that was set back, and long of an old chain", () => {
  const HOUR_MS = 3_600_000;
  assert.deepEqual(
    [-20, 400, -3_000, -HOUR_MS, 2 * HOUR_MS, 72 * HOUR_MS].map(seconds),
    ["0.0 s", "0.4 s", "−3.0 s", "−60 min", "2 h", "3 d"],
  );
});

Deno.test("a chain without a new block is not called live", () => {
  const NODE = { nodeId: "n", status: "ONLINE", lastUpdate: AT } as const;
  const t0 = Date.parse(AT);
  const saidOf = (everyMs: number, silentMs: number) => {
    const freshness = new Freshness();
    freshness.sawState(CONNECTED, t0);
    for (let i = 0; i < 5; i++) {
      const timestamp = new Date(t0 + i * everyMs).toISOString();
      freshness.sawEvent(event("NEW_BLOCK", block(i), { timestamp }), t0);
    }
    const now = t0 + 4 * everyMs + silentMs;
    freshness.sawEvent(event("NODE_STATUS", NODE), now);
    const { tone, label, detail } = freshness.describe(now, now);
    return `${tone}: ${label} ${detail}`;
  };
  const live = "good: Live last event 0.0 s ago";
  assert.equal(saidOf(1_000, STOPPED_MS), live);
  assert.equal(
    saidOf(1_000, STOPPED_MS + 1_000),
    "busy: No new block for 61 s",
  );
  // A chain of slow blocks may be silent for longer.
  const SLOW_MS = 600_000;
  const bound = STOPPED_INTERVALS * SLOW_MS;
  assert.equal(saidOf(SLOW_MS, bound), live);
  assert.equal(saidOf(SLOW_MS, bound + 1), "busy: No new block for 100 min");
  const ahead = new Freshness();
  ahead.sawState({ ...CONNECTED, clockOffsetMs: -STOPPED_MS }, t0);
  const timestamp = AT;
  ahead.sawEvent(event("NEW_BLOCK", block(1), { timestamp }), t0);
  assert.equal(ahead.stoppedMs(t0 + 2 * STOPPED_MS), undefined, "by its clock");
});

Deno.test("latencies are joined over a pause, not over a silence", () => {
  const sample = (second: number, latency?: number) => ({
    second,
    events: 0,
    latency,
  });
  const samples = Array.from({ length: 100 }, (_, second) => sample(second));
  for (const at of [0, 20, 90]) samples[at] = sample(at, at);
  const [, , line] = columns(samples);
  const values = [...line!];
  assert.deepEqual(values.slice(1, 20), Array(19).fill(undefined));
  assert.equal(values[20 + MAX_SILENCE], undefined);
  assert.equal(values[21 + MAX_SILENCE], null);
  assert.equal(values[89], null);
  assert.deepEqual(alone(values), [90], "drawn as a dot");
});

Deno.test("freshness is connecting, loaded, behind, caught up", () => {
  const t0 = Date.parse(AT);
  const freshness = new Freshness();
  assert.equal(freshness.describe(t0).label, "Connecting");
  freshness.sawState(CONNECTED, t0);
  freshness.sawEvent(event("NEW_BLOCK", block(1), { replay: true }), t0 + 3000);
  assert.deepEqual(freshness.describe(t0 + 3000), {
    tone: "busy",
    label: "Catching up",
    detail: "1 event · 3.0 s behind",
  });
  assert.equal(
    freshness.describe(t0 + 3000 + REPLAY_QUIET_MS).detail,
    "loaded 1 event",
  );
  freshness.sawState(
    {
      ...CONNECTED,
      isConnected: false,
      status: "reconnecting",
      reconnectAttempts: 2,
    },
    t0 + 5000,
  );
  assert.deepEqual(freshness.describe(t0 + 17_000), {
    tone: "bad",
    label: "Reconnecting",
    detail: "12 s behind · try 2",
  });
  freshness.sawState(CONNECTED, t0 + 20_000);
  for (let i = 0; i < 214; i++) {
    freshness.sawEvent(
      event("NEW_BLOCK", block(i), { replay: true }),
      t0 + 20_000,
    );
  }
  assert.equal(
    freshness.describe(t0 + 20_000 + REPLAY_QUIET_MS).detail,
    "caught up 214 events",
  );
  assert.equal(
    freshness.describe(t0 + 20_000 + ANNOUNCE_MS).detail,
    "last event 8.0 s ago",
  );
});

/** Blocks of consecutive heights, for publishing. */
function blocks(first: number, count: number) {
  return Array.from({ length: count }, (_, i) => ({
    type: "NEW_BLOCK" as const,
    payload: block(first + i, { hash: `0x${"ab".repeat(32)}` }),
  }));
}

/** The value of one of the tiles. */
async function tile(page: Page, name: string): Promise<string> {
  const text = await page.locator(".tile", { hasText: name }).locator("dd")
    .innerText();
  return text.split("\n")[0]!;
}

async function showsTile(page: Page, name: string, value: string) {
  await until(async () => await tile(page, name) === value, `${name} ${value}`);
}

/** The heights listed, all of one drawing, once `newest` is the first. */
async function listedFrom(page: Page, newest: string): Promise<string[]> {
  let heights: string[] = [];
  await until(async () => {
    heights = await page.locator(".block .height").allInnerTexts();
    return heights[0] === newest;
  }, `a list from ${newest}`);
  return heights;
}

/**
 * The page has received every event of its channels once. The service's own
 * alerts count, too. Holds while no channel was longer than the history that
 * the page begins with.
 */
async function showsAll(page: Page, server: TestServer): Promise<void> {
  await until(async () => {
    const { channels } = await server.json("/api/channels") as {
      channels: { channel: string; seq: number | null }[];
    };
    const published = channels
      .filter(({ channel }) => channel in HISTORY)
      .reduce((sum, { seq }) => sum + seq!, 0);
    if (await tile(page, "Events received") === String(published)) return true;
    // Reading the catalogue costs.
    await pause(100);
    return false;
  }, "every event");
}

browserTest("the live page, in Chromium", async (t) => {
  await build();
  await using server = await TestServer.start();
  await server.publish(blocks(1, 5));

  await t.step(
    "shows what happened and what happens",
    () =>
      withPage(async ({ page }) => {
        await page.goto(server.url);
        await showsTile(page, "Height", "5");
        await server.publish([
          ...blocks(6, 1),
          { type: "TX_RECEIVED", payload: transaction("tx-1", "pending") },
          { type: "DAG_UPDATE", payload: vertex("b6", []) },
          {
            type: "NODE_STATUS",
            payload: { nodeId: "node-1", status: "SYNCING", lastUpdate: AT },
          },
          {
            type: "VALIDATOR_EVENT",
            payload: {
              eventType: "PROPOSED",
              validatorId: "validator-1",
              timestamp: AT,
            },
          },
          {
            type: "ALERT_TRIGGERED",
            payload: {
              type: "test",
              severity: "warning",
              message: "Look here",
            },
          },
        ]);
        await showsTile(page, "Height", "6");
        await page.getByText("Look here").waitFor();
        await page.getByText("validator-1").waitFor();
        await page.locator(".node .chip.syncing").waitFor();
        await page.locator(".transaction.pending").waitFor();
        await page.getByRole("group", { name: "DAG: 1 vertex, 1 tip" })
          .waitFor();
        await page.getByRole("status").getByText("Live").waitFor();
        await server.publish([
          { type: "TX_RECEIVED", payload: transaction("tx-1", "confirmed") },
          {
            type: "NODE_STATUS",
            payload: { nodeId: "node-1", status: "ONLINE", lastUpdate: AT },
          },
        ]);
        await page.locator(".transaction.confirmed").waitFor();
        await page.getByText("syncing →").waitFor();
      }),
  );

  await t.step(
    "echoes, enters a room, breaks and catches up",
    () =>
      withPage(async ({ page }) => {
        await page.goto(server.url);
        await showsTile(page, "Height", "6");
        await page.getByRole("button", { name: "Send" }).click();
        await page.getByText(/"message":"Hello from a browser".* ms$/)
          .waitFor();

        await page.getByRole("button", { name: "Join" }).click();
        await server.publish([{
          type: "ROOM_MESSAGE",
          channel: "room:lobby",
          payload: { event: "greeting", data: "good morning" },
        }]);
        await page.getByText(`room:lobby greeting "good morning"`).waitFor();
        await page.getByRole("button", { name: "Leave" }).click();

        await page.getByRole("button", { name: "Break it" }).click();
        await page.getByText("Reconnecting").waitFor();
        await until(async () => {
          const { connectionStats } = await server.json("/api/metrics");
          return connectionStats.activeConnections === 0;
        }, "the server lost it");
        await server.publish(blocks(7, 3));
        await page.getByText("caught up 3 events").waitFor();
        await showsTile(page, "Height", "9");
      }),
  );

  await t.step(
    "puts the DevToolbar on its own connection, and takes it away",
    () =>
      withPage(async ({ page }) => {
        await page.goto(server.url);
        await showsTile(page, "Height", "9");
        const button = page.getByRole("button", { name: "DevToolbar" });
        await button.click();
        const bar = page.locator("kaldrix-devtoolbar");
        await bar.getByRole("tab", { name: "Channels" }).click();
        await bar.getByRole("cell", { name: "#9" }).first().waitFor();
        // The connections of earlier pages may still be ending.
        await until(async () => {
          const { connectionStats } = await server.json("/api/metrics");
          return connectionStats.activeConnections === 1;
        }, "one connection");
        await button.click();
        await bar.waitFor({ state: "detached" });
        await page.getByRole("status").getByText("Live").waitFor();
      }),
  );

  await t.step(
    "misses and repeats nothing through a killed server",
    () =>
      withPage(async ({ page }) => {
        await page.goto(server.url);
        await showsAll(page, server);
        await server.stop("SIGKILL");
        await page.getByText("Reconnecting").waitFor();
        await server.begin();
        await server.publish(blocks(10, 20));
        await showsTile(page, "Height", "29");
        await showsAll(page, server);
        // The tiles are drawn some frames before the list.
        const heights = await listedFrom(page, "29");
        assert.deepEqual(
          heights,
          Array.from({ length: heights.length }, (_, i) => String(29 - i)),
        );
      }, { expectedErrors: SERVER_LOST }),
  );

  await t.step(
    "takes every one of many events a second",
    () =>
      withPage(async ({ page }) => {
        await page.goto(server.url);
        await showsAll(page, server);
        for (let i = 0; i < 10; i++) {
          await server.publish(blocks(30 + i * 50, 50));
        }
        await showsTile(page, "Height", "529");
        await showsAll(page, server);
      }),
  );

  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [360, 1440]) {
      await t.step(
        `is accessible and fits, ${colorScheme}, ${width} px`,
        () =>
          withPage(async ({ page }) => {
            await page.goto(server.url);
            await showsTile(page, "Height", "529");
            assert.deepEqual(await faults(page), []);
            assert.equal(
              await page.evaluate("document.documentElement.scrollWidth"),
              width,
            );
          }, {
            colorScheme,
            viewport: { width, height: 800 },
            reducedMotion: "reduce",
          }),
      );
    }
  }
});
