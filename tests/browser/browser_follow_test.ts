/**
 * The client's own verbs that load what follows, in Chromium: their modules
 * come from beside the client's file.
 */
import assert from "node:assert/strict";
import { build } from "../../client/build.ts";
import { browserTest, withPage } from "./browser.ts";
import { TestServer } from "../server.ts";
import { txReceived } from "../transactions.ts";
import { until } from "../until.ts";

browserTest(
  "a page tracks a transaction, follows the chain and watches an address by verbs of its client",
  async () => {
    await build();
    await using server = await TestServer.start();
    const timestamp = "2025-08-07T10:00:00.000Z";
    const tx = txReceived({ txId: "t1", from: "0xa", status: "pending" });
    const block = (height: number) => ({
      type: "NEW_BLOCK" as const,
      payload: { blockId: `b${height}`, height, timestamp },
    });
    await withPage(async ({ page }) => {
      const loaded: string[] = [];
      page.on("request", (request) => {
        loaded.push(new URL(request.url()).pathname);
      });
      await page.goto(`${server.url}/docs`);
      const names = ["/track.js", "/chain.js", "/watch.js"];
      await page.evaluate(`
        import("/client.js").then(async ({ connect }) => {
          window.client = connect("/ws");
          await client.ready();
        })`);
      assert.deepEqual(names.filter((it) => loaded.includes(it)), []);
      await page.evaluate(`(async () => {
        window.seen = [];
        window.failed = (error) => seen.push(String(error));
        const { value } = await client.track("t1").next();
        seen.push(value.state);
        const chain = client.chain({ level: 0 });
        chain.next().then(({ value }) => {
          seen.push(value.block.payload.blockId);
        }).catch(failed);
        const filter = { from: "0xa" };
        window.mine = await client.watch("transactions", { filter });
        mine.on("TX_RECEIVED", ({ payload }) => seen.push(payload.txId));
      })()`);
      const isSo = async (said: string) => await page.evaluate(said) === true;
      await until(
        () =>
          isSo(`mine.status === "joined" &&
            client.state.channels.blocks?.status === "joined"`),
        "joined",
      );
      await server.publish([tx]);
      await server.publish([block(1), block(2)]);
      await until(() => isSo("seen.length === 3"), "all three");
      const seen = await page.evaluate("seen") as string[];
      assert.deepEqual(seen.toSorted(), ["b1", "t1", "unknown"]);
      assert.deepEqual(names.filter((it) => !loaded.includes(it)), []);
    });
  },
);
