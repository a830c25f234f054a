/**
 * The client in a real Chromium before the real service, through what
 * networks, tabs and tokens do to it.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { build } from "../../client/build.ts";
import type { ClientState } from "../../client/types.ts";
import { browserTest, SERVER_LOST, withPage } from "./browser.ts";
import type { Stage, StageOptions } from "./browser.ts";
import { readAssets } from "../../routes/pages.ts";
import { CLOCK_SKEW_MS } from "../../security/tokens.ts";
import { listen, openTestService, tokenOf } from "../test_service.ts";
import { pause, TestServer } from "../server.ts";
import { until } from "../until.ts";

/** What browsers report of sockets that break. */
const MINUTE_MS = 60_000;

/** An empty page on an origin of its own; the client comes from the service. */
function emptyPages(): Deno.HttpServer<Deno.NetAddr> {
  const html = `<!doctype html><title>Test</title><link rel=icon href=data:,>`;
  return Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response(html, { headers: { "content-type": "text/html" } }),
  );
}

/** Where a service is. */
type Service = Pick<TestServer, "url" | "socketUrl">;

/** A client in a page, and the heights of the blocks that it delivered. */
class Tab<Server extends Service> {
  constructor(readonly page: Page, readonly server: Server) {}

  /**
   * Opens `url` and connects.
   *
   * @param options the client's, as JavaScript.
   * @param onBlock statements to run for each block.
   */
  async open(url: string, options = "{}", onBlock = ""): Promise<void> {
    await this.page.goto(url);
    await this.page.evaluate(`
      import("${this.server.url}/client.js").then(({ connect }) => {
        window.heights = [];
        window.gaps = [];
        window.client = connect("${this.server.socketUrl}", ${options});
        client.subscribe("NEW_BLOCK", ({ payload }) => {
          heights.push(payload.height);
          ${onBlock}
        });
        client.onGap((gap) => gaps.push(gap));
        client.joinChannel("blocks");
      })`);
    await until(
      async () => (await this.state()).channels["blocks"]?.status === "joined",
      "joined",
    );
  }

  state(): Promise<ClientState> {
    return this.page.evaluate("client.state");
  }

  heights(): Promise<number[]> {
    return this.page.evaluate("heights");
  }

  async received(count: number): Promise<void> {
    await until(
      async () => await this.page.evaluate("heights.length") as number >= count,
      `${count} blocks`,
    );
  }

  /** Each of the blocks up to `last` was delivered once, in order. */
  async assertComplete(last: number): Promise<void> {
    assert.deepEqual(await this.heights(), numbers(last));
    assert.deepEqual(await this.page.evaluate("gaps"), []);
  }
}

function numbers(last: number): number[] {
  return Array.from({ length: last }, (_, i) => i + 1);
}

/** Blocks of consecutive heights, for publishing. */
function blocks(first: number, count: number, more: object = {}) {
  return Array.from({ length: count }, (_, i) => ({
    type: "NEW_BLOCK" as const,
    payload: {
      blockId: `b${first + i}`,
      height: first + i,
      timestamp: new Date().toISOString(),
      ...more,
    },
  }));
}

/** Runs `act` with a tab that is connected to a service of its own. */
async function withTab(
  act: (tab: Tab<TestServer>, stage: Stage, url: string) => Promise<void>,
  options: StageOptions = {},
): Promise<void> {
  await using server = await TestServer.start();
  await using host = emptyPages();
  const url = `http://127.0.0.1:${host.addr.port}/`;
  await withPage(async (stage) => {
    await act(new Tab(stage.page, server), stage, url);
  }, options);
}

Deno.test.beforeAll(async () => {
  await build();
});

browserTest(
  "a page that goes offline notices, and online it catches up at once",
  () =>
    withTab(async (tab, { page, context }, url) => {
      await page.clock.install();
      await tab.open(url);
      await tab.server.publish(blocks(1, 3));
      await tab.received(3);

      await context.setOffline(true);
      await tab.server.publish(blocks(4, 5));
      // The socket is not closed, it falls silent: the client has to find out.
      await until(async () => {
        await page.clock.fastForward(1_000);
        return (await tab.state()).status === "reconnecting";
      }, "reconnecting");
      const { connectionError, reconnectAttempts } = await tab.state();
      assert.ok(connectionError);
      assert.equal(reconnectAttempts, 0, "tries while offline do not count");
      assert.deepEqual(await tab.heights(), [1, 2, 3]);

      // No timer runs from here on: it comes back since it is online again.
      await page.clock.pauseAt(Date.now() + 10 * MINUTE_MS);
      await context.setOffline(false);
      await tab.received(8);
      await tab.server.publish(blocks(9, 1));
      await tab.received(9);
      await tab.assertComplete(9);
      assert.equal((await tab.state()).reconnects, 1);
    }, { expectedErrors: SERVER_LOST }),
);

browserTest(
  "a tab that slept comes back to the same connection and all events",
  () =>
    withTab(async (tab, { page, context }, url) => {
      // With a heartbeat of a second, seven are what minutes are to the real one.
      await tab.open(
        url,
        `{ WebSocket: class extends WebSocket {
        set onmessage(take) {
          super.onmessage = take && (({ data }) =>
            take({ data: data.replace(/"heartbeatMs":\\d+/, '"heartbeatMs":1000') }));
        }
      } }`,
      );
      await tab.server.publish(blocks(1, 1));
      await tab.received(1);
      const { sessionId } = await tab.state();

      // The debugger holds the page's thread; sockets and time go on.
      const devtools = await context.newCDPSession(page);
      await devtools.send("Debugger.enable");
      const held = new Promise((resolve) =>
        devtools.once("Debugger.paused", resolve)
      );
      await devtools.send("Debugger.pause");
      await tab.server.publish(blocks(2, 50));
      await held;
      await pause(7_000);
      const { result } = await devtools.send("Runtime.evaluate", {
        expression: "heights.length",
      });
      assert.equal(result.value, 1, "a held page runs nothing");
      await devtools.send("Debugger.disable");

      await tab.received(51);
      await tab.server.publish(blocks(52, 1));
      await tab.received(52);
      await tab.assertComplete(52);
      // As long as a server that does not answer would be given, and more.
      await pause(6_500);
      const state = await tab.state();
      assert.equal(state.sessionId, sessionId);
      assert.equal(state.reconnects, 0);
      assert.ok(state.isConnected);
    }),
);

browserTest(
  "timers that run once a minute are not taken for a dead server",
  () =>
    withTab(async (tab, { page }, url) => {
      await page.clock.install();
      await tab.open(url);
      await page.clock.pauseAt(Date.now() + MINUTE_MS);
      for (let minute = 0; minute < 5; minute++) {
        // What Chromium does to pages hidden for long: timers wait for the full
        // minute, messages do not.
        await tab.server.publish(blocks(1 + minute * 2, 2));
        await tab.received(2 + minute * 2);
        await page.clock.fastForward(MINUTE_MS);
        await pause(100);
      }
      await tab.assertComplete(10);
      const { isConnected, reconnects } = await tab.state();
      assert.deepEqual({ isConnected, reconnects }, {
        isConnected: true,
        reconnects: 0,
      });
    }),
);

browserTest(
  "a server that falls silent is found by a tab whose timers are late",
  () =>
    withTab(async (tab, { page }, url) => {
      await page.clock.install();
      await tab.open(url);
      await tab.server.publish(blocks(1, 1));
      await tab.received(1);
      tab.server.signal("SIGSTOP");
      try {
        for (let minute = 0; minute < 4; minute++) {
          await page.clock.fastForward(MINUTE_MS);
          await pause(50);
        }
        assert.equal((await tab.state()).status, "reconnecting");
      } finally {
        tab.server.signal("SIGCONT");
      }
      await page.clock.fastForward(MINUTE_MS);
      await until(async () => (await tab.state()).isConnected, "connected");
      await tab.server.publish(blocks(2, 1));
      await tab.received(2);
      await tab.assertComplete(2);
    }, { expectedErrors: SERVER_LOST }),
);

browserTest(
  "a page that takes 50 ms an event slows no other page, and misses nothing",
  () =>
    withTab(async (fast, _, url) => {
      const { server } = fast;
      await fast.open(url);
      await withPage(async ({ page, context }) => {
        const slow = new Tab(page, server);
        await slow.open(
          url,
          "{}",
          "for (const end = performance.now() + 50; performance.now() < end;);",
        );
        const devtools = await context.newCDPSession(page);
        await devtools.send("Debugger.enable");
        const handled = async () =>
          (await devtools.send("Runtime.evaluate", {
            expression: "heights.length",
          })).result.value as number;
        // More than the sockets between them hold.
        const padding = "x".repeat(55_000);
        const publish = (first: number) =>
          server.publish(blocks(first, 5, { padding }));
        await publish(1);
        await slow.received(1);

        // It takes one event for as long as the fast page takes all others.
        const held = new Promise((resolve) =>
          devtools.once("Debugger.paused", resolve)
        );
        await devtools.send("Debugger.pause");
        await publish(6);
        await held;
        const before = await handled();
        for (let i = 2; i < 12; i++) await publish(1 + i * 5);
        await fast.received(60);
        await fast.assertComplete(60);
        assert.equal(await handled(), before);
        await devtools.send("Debugger.disable");
        await slow.received(60);
        await slow.assertComplete(60);
      });
    }),
);

browserTest(
  "a page through a killed server delivers each event once",
  () =>
    withTab(async (tab, _, url) => {
      const { server } = tab;
      await tab.open(url);
      for (let round = 0; round < 2; round++) {
        await server.publish(blocks(1 + round * 40, 20));
        await server.stop(round === 1 ? "SIGTERM" : "SIGKILL");
        await server.begin();
        await server.publish(blocks(21 + round * 40, 20));
        await tab.received(40 + round * 40);
      }
      await tab.assertComplete(80);
      // A busy server may begin too slowly for a first try.
      const { reconnects } = await tab.state();
      assert.ok(reconnects >= 2, `${reconnects} times`);
    }, { expectedErrors: SERVER_LOST }),
);

browserTest(
  "short-lived tokens are renewed in place; when that fails, the page comes back with a new one",
  async () => {
    const LIFE_S = 3;
    await using service = await openTestService({
      env: { REQUIRE_AUTH: "true" },
      assets: await readAssets(new URL("../../client/dist/", import.meta.url)),
    });
    await using listener = listen(service);
    const { port } = listener.addr;
    const server = {
      url: `http://127.0.0.1:${port}`,
      socketUrl: `ws://127.0.0.1:${port}/ws`,
    };
    const publish = async (first: number, count: number) => {
      const response = await service.request("/api/publish", {
        method: "POST",
        headers: {
          "content-type": "application/json",
          authorization: `Bearer ${await tokenOf("publisher")}`,
        },
        body: JSON.stringify({ messages: blocks(first, count) }),
      });
      assert.equal(response.status, 200, await response.text());
    };
    await using host = emptyPages();
    await withPage(async ({ page }) => {
      let given = 0;
      let isLoginDown = false;
      await page.exposeFunction("freshToken", () => {
        if (isLoginDown) throw new Error("login is down");
        given++;
        // Expired by its own words, but for the skew that clocks are granted.
        return tokenOf("user", LIFE_S, () => Date.now() - CLOCK_SKEW_MS);
      });
      const tab = new Tab(page, server);
      const url = `http://127.0.0.1:${host.addr.port}/`;
      await tab.open(
        url,
        `{ auth: { token: () => freshToken() }, onError() {} }`,
      );
      const opened = await tab.state();
      assert.equal(opened.identity?.user, "user");

      await pause(LIFE_S * 1_000 + 500);
      await publish(1, 1);
      await tab.received(1);
      const renewed = await tab.state();
      assert.equal(renewed.sessionId, opened.sessionId);
      assert.ok(
        Date.parse(renewed.identity!.expiresAt!) > Date.now() - CLOCK_SKEW_MS,
        "the identity is of the new token",
      );
      assert.ok(given >= 3 && given <= 9, `${given} tokens`);

      isLoginDown = true;
      await until(async () => !(await tab.state()).isConnected, "ended");
      await publish(2, 3);
      isLoginDown = false;
      await tab.received(4);
      await tab.assertComplete(4);
      assert.equal((await tab.state()).reconnects, 1);
    }, { expectedErrors: /WebSocket/ });
  },
);
