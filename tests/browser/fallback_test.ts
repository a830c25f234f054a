/**
 * The client in Chromium, behind a proxy that lets no socket pass.
 */
import { browserTest, withPage } from "./browser.ts";
import assert from "node:assert/strict";
import { build } from "../../client/build.ts";
import { Proxy } from "../client/proxy.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";

const block = (height: number) => ({
  type: "NEW_BLOCK" as const,
  payload: {
    blockId: `b${height}`,
    height,
    timestamp: "2025-08-07T10:00:00Z",
  },
});

browserTest(
  "a page behind a proxy that strips Upgrade has its events, and goes back to a socket",
  async () => {
    await build();
    await using server = await TestServer.start();
    await using proxy = new Proxy(server.url, { stripsUpgrade: true });
    await withPage(async ({ page }) => {
      await page.goto(`http://${proxy.host}/docs`);
      await page.evaluate(`
      import("/client.js").then(({ connect }) => {
        window.heights = [];
        window.client = connect("/ws");
        client.subscribe("NEW_BLOCK", ({ payload }) => {
          heights.push(payload.height);
        });
        client.joinChannel("blocks");
      })`);
      const state = (field: string) => page.evaluate(`client.state.${field}`);
      const heights = (count: number) =>
        until(
          async () => (await page.evaluate("heights.length")) === count,
          `${count} blocks`,
        );
      await until(
        async () =>
          await state('channels.blocks?.status === "joined"') === true,
        "joined",
      );
      assert.equal(await state("transport"), "sse");
      await server.publish([block(1), block(2)]);
      await heights(2);
      proxy.options = {};
      await page.evaluate("dispatchEvent(new Event('online'))");
      await until(async () => await state("transport") === "websocket", "back");
      await until(async () => await state("isConnected") === true, "connected");
      await server.publish([block(3)]);
      await heights(3);
      assert.deepEqual(await page.evaluate("heights"), [1, 2, 3]);
    }, { expectedErrors: /WebSocket connection to/ });
  },
);
