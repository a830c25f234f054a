/**
 * The explorer's pages: their parts alone, and the whole of them in a real
 * Chromium before the real service.
 */
import assert from "node:assert/strict";
import { mock } from "node:test";
import type { Page } from "playwright-core";
import { build } from "../../client/build.ts";
import { AnswerError } from "../../client/page/answers.ts";
import type {
  BlockAnswer,
  TransactionAnswer,
} from "../../client/page/answers.ts";
import { DagLayout, MAX_LANES } from "../../client/page/dag_layout.ts";
import { PAST } from "../../client/page/address_page.tsx";
import { placeOf } from "../../client/page/explorer_page.tsx";
import { phaseOf } from "../../client/page/items.tsx";
import { markup } from "../../client/page/markup.ts";
import type { Vertex } from "../../client/page/rows.ts";
import { pathOf } from "../../client/page/search.tsx";
import {
  MAX_RETRY_MS,
  REST_MS,
  RETRY_MS,
  Subject,
} from "../../client/page/subject.ts";
import { sentenceOf } from "../../client/page/transaction_page.tsx";
import { transactionRow } from "../../client/page/transactions.ts";
import { brief, counted, exact } from "../../client/page/words.ts";
import type { AnyMessage, PayloadOf } from "../../protocol/messages.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";
import { browserTest, SERVER_LOST, withPage } from "./browser.ts";

const AT = "2025-08-07T10:00:00.000Z";
const OWNER = `0x${"a1".repeat(20)}`;
const OTHER = `0x${"b2".repeat(20)}`;
const CHAIN = "test:1";

function transaction(
  txId: string,
  status: PayloadOf<"TX_RECEIVED">["status"],
  more: Partial<PayloadOf<"TX_RECEIVED">> = {},
): PayloadOf<"TX_RECEIVED"> {
  return {
    txId,
    from: OWNER,
    to: OTHER,
    amount: "1234567",
    gasPrice: "1000",
    gasLimit: 21_000,
    nonce: 3,
    status,
    timestamp: AT,
    chain: CHAIN,
    ...more,
  };
}

Deno.test("the path of a page names what it is about", () => {
  assert.deepEqual(placeOf("/block/15420"), { kind: "block", id: "15420" });
  assert.deepEqual(placeOf("/tx/a%2Fb"), { kind: "tx", id: "a/b" });
  assert.deepEqual(placeOf("/address/0xA"), { kind: "address", id: "0xA" });
  for (const path of ["/", "/block", "/block/", "/toString/1", "/tx/%"]) {
    assert.equal(placeOf(path), undefined, path);
  }
});

Deno.test("the search leads to what has the name", async () => {
  const asked: string[] = [];
  const lookups = {
    readBlock: (block: string) => {
      asked.push(block);
      const status = block === "0xblock" ? "standing" : "unknown";
      return Promise.resolve({ status } as BlockAnswer);
    },
    readTransaction: (txId: string) => {
      const state = txId === "tx/1" ? "seen" : "unknown";
      return Promise.resolve({ state } as TransactionAnswer);
    },
  };
  const found = (text: string) => pathOf(text, lookups);
  assert.equal(await found(" 15,420 "), "/block/15420");
  assert.equal(await found("#7"), "/block/7");
  assert.equal(await found(OWNER), `/address/${OWNER}`);
  assert.deepEqual(asked, [], "the name alone says what it is");
  assert.equal(await found("0xblock"), "/block/0xblock");
  assert.equal(await found("tx/1"), "/tx/tx%2F1");
  assert.equal(await found("nothing"), undefined);
});

/** A subject whose readings the test answers, and the time that it sees. */
function readings() {
  let now = 0;
  const pending: PromiseWithResolvers<number>[] = [];
  let changes = 0;
  const subject = new Subject<number>({
    read: () => {
      const reading = Promise.withResolvers<number>();
      pending.push(reading);
      return reading.promise;
    },
    changed: () => void changes++,
    now: () => now,
  });
  return {
    subject,
    count: () => pending.length,
    changes: () => changes,
    async answer(result: number | Error) {
      const reading = pending.at(-1)!;
      if (result instanceof Error) reading.reject(result);
      else reading.resolve(result);
      await new Promise<void>((done) => setImmediate(done));
    },
    advance(ms: number) {
      now += ms;
      mock.timers.tick(ms);
    },
  };
}

Deno.test("a subject is read once at a time, and once more for what rang", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  using _timers = mock.timers;
  const { subject, count, changes, answer, advance } = readings();
  subject.ring();
  assert.equal(count(), 1);
  await answer(1);
  assert.deepEqual([subject.value, changes()], [1, 1]);
  advance(REST_MS - 1);
  for (let i = 0; i < 5; i++) subject.ring();
  assert.equal(count(), 1, "it rests between two readings");
  advance(1);
  assert.equal(count(), 2);
  for (let i = 0; i < 5; i++) subject.ring();
  await answer(2);
  advance(REST_MS);
  assert.equal(count(), 3, "what rang during a reading may not be in it");
  subject.end();
  await answer(3);
  subject.ring();
  advance(MAX_RETRY_MS);
  assert.deepEqual([count(), changes()], [3, 2]);
});

Deno.test("a reading that fails is tried again, later and later", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  using _timers = mock.timers;
  const { subject, count, answer, advance } = readings();
  subject.ring();
  await answer(1);
  subject.ring();
  advance(REST_MS);
  let wait = RETRY_MS;
  for (let i = 3; i < 10; i++) {
    await answer(new AnswerError("no"));
    assert.deepEqual([subject.value, subject.fault], [1, "no"]);
    advance(wait - 1);
    assert.equal(count(), i - 1);
    advance(1);
    assert.equal(count(), i);
    wait = Math.min(MAX_RETRY_MS, wait * 2);
  }
  await answer(new AnswerError("busy", 2 * MAX_RETRY_MS));
  advance(2 * MAX_RETRY_MS - 1);
  assert.equal(count(), 9, "the service says when");
  advance(1);
  await answer(2);
  assert.deepEqual([subject.value, subject.fault], [2, undefined]);
  subject.end();
});

Deno.test("a transaction is labelled by its status, or by the state of its block", () => {
  const row = (...made: Parameters<typeof transaction>) =>
    transactionRow(transaction(...made), 0);
  assert.equal(phaseOf(row("t", "pending"), "new"), "pending");
  assert.equal(phaseOf(row("t", "confirmed"), "safe"), "confirmed");
  assert.equal(phaseOf(row("t", "confirmed"), "final"), "final");
  assert.equal(phaseOf(row("t", "failed"), "final"), "failed");
  assert.equal(
    phaseOf(row("t", "pending", { cause: "reorg" }), "new"),
    "reverted",
  );
});

Deno.test("the history of a transaction is shown in sentences", () => {
  const said = (...made: Parameters<typeof transaction>) =>
    sentenceOf(transaction(...made));
  assert.deepEqual([
    said("t", "pending"),
    said("t", "confirmed", { blockHeight: 15_420 }),
    said("t", "failed", { blockHeight: 7 }),
    said("t", "pending", { cause: "reorg", left: { blockId: "b", height: 7 } }),
    said("t", "pending", { cause: "reorg" }),
    said("t", "replaced", { replacedBy: "u" }),
    said("t", "replaced"),
    said("t", "dropped"),
  ], [
    "Seen, waits for a block",
    "Succeeded in block 15,420",
    "Failed in block 7",
    "Pending again: block 7 left the chain",
    "Pending again: its block left the chain",
    "Replaced by u",
    "Replaced",
    "Dropped from the pool",
  ]);
});

Deno.test("vertices of a layer part, and each keeps its place", () => {
  const layout = new DagLayout();
  const vertices = new Map<string, Vertex>();
  const add = (id: string, layer: number) =>
    vertices.set(id, {
      id,
      layer,
      weight: 1,
      parents: new Set(),
      hasChildren: false,
      order: vertices.size,
    });
  for (let i = 0; i < MAX_LANES; i++) add(`a${i}`, 1);
  const places = () =>
    new Map([...layout.place(vertices)].map(([id, { lane }]) => [id, lane]));
  const first = places();
  const lanes = [...first.values()].sort((a, b) => a - b);
  for (const [i, lane] of lanes.entries()) {
    assert(Math.abs(lane) <= MAX_LANES / 2);
    assert(i === 0 || lane - lanes[i - 1]! > 0.3, "two are in one place");
  }
  vertices.delete("a0");
  add("b", 2);
  const second = places();
  assert(!second.has("a0"));
  assert.equal(second.get("a5"), first.get("a5"));
});

Deno.test("elements become the text of a document", () => {
  const node = (type: unknown, props: object) =>
    ({ type, props, key: null }) as unknown as Parameters<typeof markup>[0];
  const Fragment = ({ children }: { children: string }) => children;
  assert.equal(
    markup([
      node("link", { rel: "icon" }),
      node("p", { class: 'a"b', onClick() {}, hidden: false, children: "<&>" }),
      node("input", { maxLength: 3, required: true, "aria-busy": false }),
      node("g", { style: { color: "red" }, children: [1, null] }),
      node(Fragment, { children: "text" }),
      true,
      undefined,
    ]),
    `<link rel="icon">` +
      `<p class="a&quot;b">&lt;&amp;&gt;</p>` +
      `<input maxlength="3" required aria-busy="false">` +
      `<g>1</g>text`,
  );
});

Deno.test("numbers and names are written for people", () => {
  assert.equal(exact("1234567"), "1,234,567");
  assert.equal(exact("999"), "999");
  assert.equal(counted(1, "vertex", "vertices"), "1 vertex");
  assert.equal(counted(1_200, "tip"), "1,200 tips");
  assert.equal(brief("0x123456789", 6, 0), "0x1234…");
});

/** A block that contains transactions, and the events about those. */
function blockOf(
  height: number,
  transactions: readonly PayloadOf<"TX_RECEIVED">[] = [],
  id = `b${height}`,
  previousHash = `b${height - 1}`,
): AnyMessage[] {
  const place = { blockId: id, blockHeight: height };
  const held = transactions.map((it, index) => ({ ...it, ...place, index }));
  return [
    {
      type: "NEW_BLOCK",
      payload: {
        chain: CHAIN,
        blockId: id,
        height,
        previousHash,
        validator: "validator-7",
        size: 4_321,
        gasUsed: 21_000,
        gasLimit: 100_000,
        transactionCount: held.length,
        transactions: held,
        timestamp: AT,
      },
    },
    ...held.map((payload) => ({ type: "TX_RECEIVED" as const, payload })),
  ];
}

function finality(level: "safe" | "final", height: number): AnyMessage {
  const blockId = `b${height}`;
  return {
    type: "FINALITY",
    payload: { chain: CHAIN, level, height, blockId, timestamp: AT },
  };
}

const chipOf = (page: Page) => page.locator(".heading .chip");

async function chipIs(page: Page, text: string): Promise<void> {
  await until(
    async () => await chipOf(page).innerText() === text,
    `the page says ${text}`,
  );
}

const REVERTED = { chain: CHAIN, reason: "reorg", timestamp: AT };

browserTest("the explorer, in Chromium", async (t) => {
  await build();
  await using server = await TestServer.start();
  const confirmed = (txId: string) => transaction(txId, "confirmed");
  await server.publish([
    ...blockOf(1),
    { type: "TX_RECEIVED", payload: transaction("tx-1", "pending") },
    ...blockOf(2, [confirmed("tx-1"), transaction("tx-bad", "failed")]),
    ...blockOf(3, Array.from({ length: 30 }, (_, i) => confirmed(`many-${i}`))),
  ]);

  await t.step(
    "a block rises to final before one's eyes, and its neighbours are a key away",
    () =>
      withPage(async ({ page }) => {
        await page.goto(`${server.url}/block/2`);
        await chipIs(page, "stands");
        assert.equal(await page.title(), "Block 2 · KALDRIX");
        await page.locator("dd", { hasText: "1 block above it" }).waitFor();
        await page.getByText("21,000 of 100,000").waitFor();
        assert.equal(await page.locator(".transaction").count(), 2);
        await server.publish([finality("safe", 2)]);
        await chipIs(page, "safe");
        await server.publish([finality("final", 2)]);
        await chipIs(page, "final");
        await page.locator(".transaction .chip.final").waitFor();
        await page.keyboard.press("ArrowRight");
        await page.waitForURL("**/block/3");
        await page.getByRole("button", { name: "Show more" }).click();
        await until(
          async () => await page.locator(".transaction").count() === 30,
          "all of its transactions",
        );
        await page.getByRole("button", { name: "Show more" })
          .waitFor({ state: "hidden" });
        await page.getByRole("link", { name: "Previous" }).click();
        await page.waitForURL("**/block/2");
        await page.locator(".transaction a").first().click();
        await page.waitForURL("**/tx/tx-1");
        await chipIs(page, "final");
        await page.locator(".way .reached", { hasText: "Final" }).waitFor();
      }),
  );

  await t.step(
    "a transaction's life is shown as it happens, also when it is taken back",
    () =>
      withPage(async ({ page }) => {
        await page.goto(`${server.url}/tx/tx-2`);
        await chipIs(page, "not known");
        await page.getByText("Should it arrive, it is shown here").waitFor();
        const pending = transaction("tx-2", "pending");
        await server.publish([{ type: "TX_RECEIVED", payload: pending }]);
        await chipIs(page, "pending");
        await server.publish(blockOf(4, [confirmed("tx-2")]));
        await chipIs(page, "included");
        await server.publish([
          {
            type: "BLOCK_REVERTED",
            payload: {
              ...REVERTED,
              blockId: "b4",
              height: 4,
              previousHash: "b3",
            },
          },
          {
            type: "TX_RECEIVED",
            payload: {
              ...pending,
              cause: "reorg",
              left: { blockId: "b4", height: 4 },
            },
          },
        ]);
        await chipIs(page, "reverted");
        await page.getByText("The block that held it left the chain").waitFor();
        await server.publish([
          ...blockOf(4, [confirmed("tx-2")], "b4x"),
          ...blockOf(5, [], "b5", "b4x"),
        ]);
        await chipIs(page, "confirmed");
        const steps = page.locator(".happened li");
        await until(
          async () => (await steps.allInnerTexts()).length >= 4,
          "what happened",
        );
        const said = (await steps.allInnerTexts())
          .map((text) => text.split("\n").at(-1));
        assert.deepEqual(said, [
          "Succeeded in block 4",
          "Pending again: block 4 left the chain",
          "Succeeded in block 4",
          "Seen, waits for a block",
        ]);
        await page.getByRole("link", { name: OTHER }).click();
        await page.waitForURL(`**/address/${OTHER}`);
        await page.locator(".transaction").first().waitFor();
      }),
  );

  await t.step(
    "a reverted block says so, and where another stands",
    () =>
      withPage(async ({ page }) => {
        await page.goto(`${server.url}/block/b4`);
        await chipIs(page, "reverted");
        await page.getByText("This block left the chain (reorg)").waitFor();
        await page.getByRole("link", { name: "The block that stands at 4" })
          .click();
        await page.getByText("b4x").first().waitFor();
      }),
  );

  await t.step(
    "an address lists what it took part in, live, with its end",
    () =>
      withPage(async ({ page }) => {
        const own = `0x${"c3".repeat(20)}`;
        const sent = (txId: string, status: "pending" | "confirmed") =>
          transaction(txId, status, { from: own });
        await page.goto(`${server.url}/address/${own.toUpperCase()}`
          .replace("0X", "0x"));
        await page.getByText("None among the newest 1,000 events").waitFor();
        await server.publish([
          { type: "TX_RECEIVED", payload: sent("own-1", "pending") },
          { type: "TX_RECEIVED", payload: sent("own-2", "pending") },
          ...blockOf(6, [sent("own-1", "confirmed")]),
        ]);
        await page.locator(".transaction .chip.confirmed").waitFor();
        await page.getByText("1 pending · 1 confirmed").or(
          page.getByText("1 confirmed · 1 pending"),
        ).waitFor();
        await page.getByText("−1.2M").first().waitFor();
        await server.publish([
          finality("final", 6),
          {
            type: "TX_RECEIVED",
            payload: {
              ...sent("own-2", "pending"),
              status: "replaced",
              replacedBy: "own-3",
            },
          },
        ]);
        await page.locator(".transaction .chip.final").waitFor();
        await page.locator(".transaction .chip.replaced").waitFor();
        await page.locator(".transaction", { hasText: "replaced" }).click();
        await page.waitForURL("**/tx/own-2");
        await page.getByText("Another transaction took its place").waitFor();
        assert.deepEqual(
          await page.locator(".way .reached strong").allInnerTexts(),
          ["Seen"],
        );
        assert.equal(await page.locator(".way [aria-current]").count(), 0);
      }),
  );

  await t.step(
    "an address is followed further back than the page begins with",
    () =>
      withPage(async ({ page }) => {
        const own = `0x${"d4".repeat(20)}`;
        const others = Array.from({ length: PAST }, (_, i) => ({
          type: "TX_RECEIVED" as const,
          payload: transaction(`other-${i}`, "pending", { from: OTHER }),
        }));
        await server.publish([{
          type: "TX_RECEIVED",
          payload: transaction("long-ago", "pending", { from: own }),
        }]);
        for (let i = 0; i < PAST; i += 100) {
          await server.publish(others.slice(i, i + 100));
        }
        await page.goto(`${server.url}/address/${own}`);
        await page.getByText("None among the newest 1,000 events").waitFor();
        await page.getByRole("button", { name: "Look further back" }).click();
        await page.locator(".transaction .chip.pending").waitFor();
        await until(async () => {
          // In one turn, since the button leaves with the last page.
          await page.evaluate(
            "document.querySelector('.more:not([aria-busy=true])')?.click()",
          );
          return await page.getByText("all that are kept").isVisible();
        }, "the end of what is kept");
        await server.publish([{
          type: "TX_RECEIVED",
          payload: transaction("long-ago", "confirmed", { from: own }),
        }]);
        await page.locator(".transaction .chip.confirmed").waitFor();
        assert.equal(await page.locator(".transaction").count(), 1);
      }),
  );

  await t.step(
    "the search finds, and says what it does not find",
    () =>
      withPage(async ({ page }) => {
        await page.goto(server.url);
        await page.getByRole("status").getByText("Live").waitFor();
        await page.keyboard.press("/");
        await page.keyboard.type("nothing of the kind");
        await page.keyboard.press("Enter");
        await page.getByRole("alert").getByText("of this name is known")
          .waitFor();
        await page.getByRole("searchbox").fill("tx-1");
        await page.getByRole("alert").getByText("of this name is known")
          .waitFor({ state: "hidden" });
        await page.keyboard.press("Enter");
        await page.waitForURL("**/tx/tx-1");
      }),
  );

  await t.step(
    "a height that is not reached is shown once it is",
    () =>
      withPage(async ({ page }) => {
        await page.goto(`${server.url}/block/8`);
        await chipIs(page, "not known");
        await page.getByText("The chain has not got so far").waitFor();
        await page.getByRole("link", { name: "6", exact: true }).waitFor();
        await server.publish([...blockOf(7), ...blockOf(8)]);
        await chipIs(page, "stands");
        await page.locator("dd", { hasText: "the newest block" }).waitFor();
      }),
  );

  await t.step(
    "vertices of the DAG lead to their blocks",
    () =>
      withPage(async ({ page }) => {
        await server.publish(["b7", "b8"].map((nodeId, i) => ({
          type: "DAG_UPDATE" as const,
          payload: {
            updateType: "NODE_ADDED" as const,
            nodeId,
            relatedNodes: i === 0 ? [] : ["b7"],
            timestamp: AT,
          },
        })));
        await page.goto(server.url);
        await page.getByRole("link", { name: "Block b7, layer 0" }).click();
        await page.waitForURL("**/block/b7");
        await chipIs(page, "stands");
      }),
  );

  await t.step(
    "a service that is away is said to be, and is read again when it is back",
    () =>
      withPage(async ({ page }) => {
        await page.goto(`${server.url}/block/1`);
        await chipIs(page, "final");
        await server.stop("SIGKILL");
        await page.getByRole("status").getByText("Reconnecting").waitFor();
        await server.begin();
        await page.locator(".freshness:not(.bad)").waitFor();
        await server.publish([
          ...blockOf(9),
          finality("safe", 9),
        ]);
        await page.locator("dd", { hasText: "8 blocks above it" }).waitFor();
      }, { expectedErrors: SERVER_LOST }),
  );
});
