import assert from "node:assert/strict";
import { TestServer } from "../server.ts";
import type { Any } from "../socket_io_bench.ts";
import { until } from "../until.ts";
import { browserTest, withPage } from "./browser.ts";

/** What the page keeps for the test. */
interface Shown {
  /** Heights received. */
  readonly heights: number[];
  /** What else arrived, by event. */
  readonly events: Record<string, unknown[]>;
  /** How packets travel now. */
  readonly transport: string;
  /** What `socket.recovered` was at each connect. */
  readonly recovered: boolean[];
}

/** Runs in the page: the reference's own snippets. */
function follow({ url, token }: { url: string; token: string }): void {
  const heights: number[] = [];
  const recovered: boolean[] = [];
  const events: Record<string, unknown[]> = {};
  // deno-lint-ignore no-explicit-any -- the library's global.
  const { io } = globalThis as any;
  const socket = io(url, {
    auth: {
      token: token,
    },
  });
  socket.on("connect", () => {
    recovered.push(socket.recovered);
    if (!socket.recovered) {
      socket.emit("subscribe", { channels: ["blocks", "validator_updates"] });
      socket.emit("subscribe", { channels: ["room:specific_room"] });
    }
    socket.emit("request_metrics", { type: "channels" });
  });
  socket.on("NEW_BLOCK", (message: { payload: { height: number } }) => {
    heights.push(message.payload.height);
  });
  for (
    const name of [
      "metrics_response",
      "data_response",
      "query_result",
      "VALIDATOR_EVENT",
      "ROOM_MESSAGE",
      "subscribed",
      "error",
      "connect_error",
      "disconnect",
    ]
  ) {
    events[name] = [];
    socket.on(name, (first: unknown) => {
      events[name]!.push(
        first instanceof Error
          ? { message: first.message, ...(first as { data?: unknown }) }
          : first,
      );
    });
  }
  Object.assign(globalThis, {
    ask(): void {
      socket.emit("request_data", "block:1");
      socket.emit("query", { channel: "blocks" });
      socket.emit("update", { room: "specific_room", data: { a: 1 } });
      socket.emit("subscribe", { channels: [] });
    },
    shown: () => ({
      heights,
      events,
      recovered,
      transport: socket.io.engine?.transport.name,
    }),
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

const validator = {
  type: "VALIDATOR_EVENT" as const,
  payload: {
    eventType: "JOINED" as const,
    validatorId: "validator_123",
    stake: "1000000",
    timestamp: "2025-08-07T10:00:00Z",
  },
};

/** The client's own bundle for browsers. */
async function bundle(): Promise<string> {
  // Importing anything of a package has Deno fetch all of it.
  await import("socket.io-client");
  return await Deno.readTextFile(
    new URL(import.meta.resolve("socket.io-client/dist/socket.io.js")),
  );
}

browserTest(
  "a page of another origin that uses the reference's snippets is served, and recovers",
  async () => {
    const script = await bundle();
    await using blank = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () =>
        new Response("<!doctype html>", {
          headers: { "content-type": "text/html" },
        }),
    );
    await using server = await TestServer.start({ instances: 2 });
    await withPage(async ({ page }) => {
      const shown = () =>
        page.evaluate(() =>
          (globalThis as unknown as { shown(): Shown }).shown()
        );
      await page.goto(`http://127.0.0.1:${blank.addr.port}`);
      await page.addScriptTag({ content: script });
      const token = await server.token("user");
      await page.evaluate(follow, { url: server.url, token });
      await until(
        async () => (await shown()).events.subscribed!.length === 2,
        "the subscriptions",
      );
      await server.publish([block(1), block(2), validator]);
      await until(
        async () => (await shown()).heights.length === 2,
        "the first blocks",
      );
      await page.evaluate(() =>
        (globalThis as unknown as { ask(): void }).ask()
      );
      const answers = async () => {
        const { events } = await shown();
        return [
          "data_response",
          "query_result",
          "VALIDATOR_EVENT",
          "ROOM_MESSAGE",
          "error",
        ].map((name) => events[name]!.length).join();
      };
      await until(async () => await answers() === "1,1,1,1,1", "the answers");
      const { events: asked } = await shown();
      const [data] = asked.data_response as Any[];
      assert.equal(data.payload.data.payload.height, 1);
      const [page1] = asked.query_result as Any[];
      assert.equal(page1.payload.events.length, 2);
      const [{ payload: joined }] = asked.VALIDATOR_EVENT as Any[];
      assert.equal(joined.validatorId, "validator_123");
      const [update] = asked.ROOM_MESSAGE as Any[];
      assert.deepEqual(update.payload, { event: "update", data: { a: 1 } });
      const [refusal] = asked.error as Any[];
      assert.equal(refusal.payload.code, "INVALID_SUBSCRIPTION");

      await server.stop("SIGTERM");
      await server.begin();
      await server.publish([block(3), block(4)]);
      await until(
        async () => (await shown()).heights.length >= 4,
        "the blocks of the new life",
      );
      const { heights, recovered, events } = await shown();
      assert.deepEqual(heights, [1, 2, 3, 4]);
      assert.deepEqual(recovered, [false, true]);
      assert.equal(events.error!.length, 1);
      assert(events.metrics_response!.length >= 1);

      await page.reload();
      await page.addScriptTag({ content: script });
      await page.evaluate(follow, { url: server.url, token: "x.y.z" });
      await until(
        async () => (await shown()).events.connect_error!.length > 0,
        "the refusal",
      );
      const [refused] = (await shown()).events.connect_error as {
        message: string;
        data: { code: string };
      }[];
      assert.equal(refused!.data.code, "UNAUTHENTICATED");
      assert(refused!.message.length > 10);
    }, { expectedErrors: /./ });
  },
);
