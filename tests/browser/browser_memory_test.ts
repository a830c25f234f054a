/**
 * What a page holds after many events: no more than after few.
 */
import assert from "node:assert/strict";
import { build } from "../../client/build.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { browserTest, withPage } from "./browser.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";

/** Events after which everything bounded is full. */
const FILLED = 20_000;
const EVENTS = 100_000;
/** Events published together, at most what the service takes. */
const BATCH = 100;
/** How much more the page may hold then, in bytes. */
const MAX_GROWTH = 1_500_000;

/** One of many events: each names something new. */
function event(number: number): AnyMessage {
  const timestamp = new Date().toISOString();
  if (number % 10 === 0) {
    const payload = { blockId: `b${number}`, height: number, timestamp };
    return { type: "NEW_BLOCK", payload };
  }
  if (number % 10 < 4) {
    return {
      type: "DAG_UPDATE",
      payload: {
        updateType: "NODE_ADDED",
        nodeId: `v${number}`,
        relatedNodes: [`v${number - 1}`, `v${number - 7}`],
        timestamp,
      },
    };
  }
  return {
    type: "TX_RECEIVED",
    payload: {
      txId: `t${number}`,
      from: "0xa",
      to: "0xb",
      amount: "1",
      gasPrice: "1",
      gasLimit: 21_000,
      nonce: number,
      status: number % 10 < 7 ? "pending" : "confirmed",
      timestamp,
    },
  };
}

browserTest(
  "the live page's memory stays flat over 100,000 events, its toolbar open",
  async (t) => {
    await build();
    await using server = await TestServer.start();
    await withPage(async ({ page, context }) => {
      await page.goto(server.url);
      await page.getByRole("button", { name: "DevToolbar" }).click();
      await page.locator("kaldrix-devtoolbar").getByText("connected").waitFor();
      await page.evaluate(`window.toolbar =
      document.querySelector("kaldrix-devtoolbar")`);
      const devtools = await context.newCDPSession(page);
      await devtools.send("Performance.enable");

      let published = 0;
      const publishUntil = async (total: number) => {
        const publisher = async () => {
          while (published < total) {
            const first = published;
            published += BATCH;
            await server.publish(
              Array.from({ length: BATCH }, (_, i) => event(first + i)),
            );
          }
        };
        await Promise.all([publisher(), publisher(), publisher()]);
        await until(
          async () =>
            await page.evaluate("toolbar.client.state.received") === total,
          `${total} events`,
        );
      };
      const held = async () => {
        // Garbage with finalizers takes a second round.
        await devtools.send("HeapProfiler.collectGarbage");
        await devtools.send("HeapProfiler.collectGarbage");
        const { metrics } = await devtools.send("Performance.getMetrics");
        const of = (name: string) =>
          metrics.find((each) => each.name === name)!.value;
        return { heap: of("JSHeapUsedSize"), nodes: of("Nodes") };
      };

      await publishUntil(FILLED);
      const before = await held();
      await publishUntil(EVENTS);
      await t.step(
        `holds no more after ${EVENTS} events than after ${FILLED}`,
        () =>
          // What the page still draws of the burst holds the old for a moment.
          until(async () => {
            const { heap, nodes } = await held();
            return heap - before.heap < MAX_GROWTH &&
              nodes < before.nodes * 1.2 + 100;
          }, `memory as before: ${JSON.stringify(before)}`),
      );
      assert.deepEqual(
        await page.evaluate(
          "[toolbar.client.state.gaps, toolbar.client.state.reconnects]",
        ),
        [0, 0],
      );
    });
  },
);
