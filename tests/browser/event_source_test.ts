import assert from "node:assert/strict";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";
import { browserTest, withPage } from "./browser.ts";

/** How many streams one page keeps open. */
const SOURCES = 5;

/** What the page keeps for the test. */
interface Shown {
  /** Heights received, by source. */
  readonly heights: number[][];
  /** State of each source: 0 connecting, 1 open, 2 closed permanently. */
  readonly states: number[];
  /** Refusals received, by code. */
  readonly refusals: string[];
}

/** Runs in the page: opens sources, and returns their events on request. */
function openSources({ url, count }: { url: string; count: number }): void {
  const heights: number[][] = [];
  const refusals: string[] = [];
  const sources = Array.from({ length: count }, (_, i) => {
    heights.push([]);
    const source = new EventSource(`${url}/sse?channels=blocks`);
    source.onmessage = ({ data }) =>
      heights[i]!.push(JSON.parse(data).payload.height);
    source.addEventListener("error", (event) => {
      if (event instanceof MessageEvent) {
        refusals.push(JSON.parse(event.data).code);
      }
    });
    return source;
  });
  Object.assign(globalThis, {
    shown: () => ({
      heights,
      refusals,
      states: sources.map(({ readyState }) => readyState),
    }),
    close: (i: number) => sources[i]!.close(),
  });
}

function block(height: number) {
  return {
    type: "NEW_BLOCK" as const,
    payload: {
      blockId: `b-${height}`,
      height,
      timestamp: "2025-08-07T10:00:00Z",
    },
  };
}

/** A page of another origin, whose policy forbids nothing. */
function blankPage(): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () =>
      new Response("<!doctype html>", {
        headers: { "content-type": "text/html" },
      }),
  );
}

browserTest(
  "every EventSource comes back after a restart, and misses nothing",
  async () => {
    await using blank = blankPage();
    await using server = await TestServer.start();
    await withPage(async ({ page }) => {
      const shown = () =>
        page.evaluate(() =>
          (globalThis as unknown as { shown(): Shown }).shown()
        );
      await page.goto(`http://127.0.0.1:${blank.addr.port}`);
      await page.evaluate(openSources, { url: server.url, count: SOURCES });
      await until(
        async () => (await shown()).states.every((state) => state === 1),
        "all sources open",
      );
      await server.publish([block(1)]);
      await until(
        async () => (await shown()).heights.every(({ length }) => length === 1),
        "the first block everywhere",
      );
      await server.stop("SIGTERM");
      await server.begin();
      await server.publish([block(2), block(3)]);
      await until(async () => {
        const { heights, states } = await shown();
        assert(states.every((state) => state < 2), "one gave up for good");
        return heights.every(({ length }) => length === 3);
      }, "the blocks of the new life everywhere");
      for (const heights of (await shown()).heights) {
        assert.deepEqual(heights, [1, 2, 3]);
      }
    }, { expectedErrors: /./ });
  },
);

browserTest(
  "an EventSource that is refused for a while connects when there is room",
  async () => {
    await using blank = blankPage();
    await using server = await TestServer.start({
      settings: { MAX_CONNECTIONS_PER_IP: "1" },
    });
    await withPage(async ({ page }) => {
      const shown = () =>
        page.evaluate(() =>
          (globalThis as unknown as { shown(): Shown }).shown()
        );
      await page.goto(`http://127.0.0.1:${blank.addr.port}`);
      await page.evaluate(openSources, { url: server.url, count: 2 });
      await until(
        async () => (await shown()).refusals.includes("TOO_MANY_CONNECTIONS"),
        "the refusal",
      );
      await server.publish([block(1)]);
      await until(
        async () => (await shown()).heights.some(({ length }) => length === 1),
        "the block at the one that is connected",
      );
      const first = (await shown()).heights.findIndex(({ length }) =>
        length > 0
      );
      await page.evaluate(
        (i) => (globalThis as unknown as { close(i: number): void }).close(i),
        first,
      );
      let height = 1;
      await until(async () => {
        await server.publish([block(++height)]);
        return (await shown()).heights[1 - first]!.length > 0;
      }, "a block at the other, once there is room");
    }, { expectedErrors: /./ });
  },
);
