/**
 * The React hook and its documented examples in a real Chromium before the
 * real service, under StrictMode.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { buildIfStale } from "../../client/build.ts";
import { browserTest, withPage } from "./browser.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";
import { systemClock } from "../../platform/clock.ts";
import { pause } from "../../platform/pause.ts";

const HTML = `<!doctype html><title>React</title>
<link rel="icon" href="data:,"><div id="root"></div>
<script type="importmap">{"imports":{"react":"/page.js"}}</script>
<script>
  window.sockets = [];
  window.WebSocket = class extends WebSocket {
    constructor(url) { super(url); sockets.push(this); }
  };
</script>
<script type="module" src="/page.js"></script>`;

const { imports, scopes } = JSON.parse(
  await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
);
const pins = { ...imports, ...scopes["./tests/"] };

/** Libraries that the hook is for: `react` and `react-dom` of each. */
const LIBRARIES: Readonly<Record<string, readonly [string, string]>> = {
  "React 19": [pins["react"], pins["react-dom"]],
  "React 18": [pins["react-18"], pins["react-dom-18"]],
  "Preact": [`${pins["preact"]}/compat`, `${pins["preact"]}/compat`],
};

/** Serves the page; the hook and the client come from the service. */
async function reactPage(
  service: TestServer,
  [react, dom]: readonly [string, string] = LIBRARIES["React 19"]!,
): Promise<Deno.HttpServer<Deno.NetAddr>> {
  const map = await Deno.makeTempFile({ suffix: ".json" });
  await Deno.writeTextFile(
    map,
    JSON.stringify({
      imports: {
        "react": react,
        "react/jsx-runtime": `${react}/jsx-runtime`,
        "react-dom": dom,
        "react-dom/client": `${dom}/client`,
      },
    }),
  );
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--platform=browser",
      `--import-map=${map}`,
      "--external=../client/react.ts",
      "--external=../../client/react.ts",
      "--external=../../protocol/mod.ts",
      fileURLToPath(new URL("browser_react_page.tsx", import.meta.url)),
    ],
  }).output();
  await Deno.remove(map);
  assert.ok(success, new TextDecoder().decode(stderr));
  const script = new TextDecoder().decode(stdout)
    .replaceAll(/"[./]+\/client\/react\.ts"/g, `"${service.url}/react.js"`)
    .replaceAll(/"[./]+\/protocol\/mod\.ts"/g, `"${service.url}/protocol.js"`);
  return Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    ({ url }) => {
      const isScript = url.endsWith(".js");
      const type = isScript ? "text/javascript" : "text/html";
      return new Response(isScript ? script : HTML, {
        headers: { "content-type": `${type}; charset=utf-8` },
      });
    },
  );
}

function block(height: number) {
  const timestamp = new Date().toISOString();
  const payload = { blockId: `b${height}`, height, timestamp };
  return { type: "NEW_BLOCK" as const, payload };
}

function show(page: Page, names: string[], options: object): Promise<void> {
  return page.evaluate(
    `show(${JSON.stringify(names)}, ${JSON.stringify(options)})`,
  );
}

async function comesTrue(page: Page, expression: string): Promise<void> {
  await until(
    async () => await page.evaluate(expression) as boolean,
    expression,
  );
}

const OPEN = "sockets.filter(({ readyState }) => readyState < 2).length";

for (const [library, modules] of Object.entries(LIBRARIES)) {
  browserTest(
    `with ${library} the hook mounts, unmounts and mounts again without a socket or handler too many`,
    async () => {
      await buildIfStale();
      await using server = await TestServer.start();
      await using host = await reactPage(server, modules);
      const url = `http://127.0.0.1:${host.addr.port}/`;
      const options = { url: server.socketUrl };
      await withPage(async ({ page }) => {
        await page.goto(url);
        await comesTrue(page, `typeof show === "function"`);
        await show(page, ["Blocks", "Blocks"], options);
        await until(
          async () =>
            await page.getByText("joined", { exact: true }).count() === 2,
          "both joined",
        );
        assert.equal(
          await page.evaluate("seen.effects"),
          library === "Preact" ? 2 : 4,
          "React's StrictMode runs each effect twice",
        );
        assert.equal(await page.evaluate("sockets.length"), 1);
        await server.publish([block(1)]);
        await comesTrue(page, "seen.heights.length >= 2");

        await show(page, [], options);
        await comesTrue(page, `${OPEN} === 0`);
        await until(async () => {
          const { connectionStats } = await server.json("/api/metrics");
          return connectionStats.activeConnections === 0;
        }, "the server let go");
        await server.publish([block(2)]);

        for (let i = 0; i < 20; i++) {
          await show(page, ["Blocks"], options);
          await show(page, [], options);
        }
        await show(page, ["Blocks"], options);
        await page.getByText("joined", { exact: true }).waitFor();
        // Longer than a channel without holders is kept.
        await page.waitForTimeout(1_500);
        assert.equal(await page.evaluate(OPEN), 1);
        await server.publish([block(3)]);
        await comesTrue(page, "seen.heights.length >= 3");
        await page.waitForTimeout(100);
        assert.deepEqual(await page.evaluate("seen.heights"), [1, 1, 3]);
      });
    },
  );
}

browserTest("the React hook, in Chromium", async (t) => {
  await buildIfStale();
  await using server = await TestServer.start();
  await using host = await reactPage(server);
  const url = `http://127.0.0.1:${host.addr.port}/`;
  const options = { url: server.socketUrl };

  await t.step(
    "runs the documented examples",
    () =>
      withPage(async ({ page }) => {
        const sent: string[] = [];
        page.on("websocket", (socket) =>
          socket.on("framesent", ({ payload }) => {
            sent.push(String(payload));
          }));
        await page.goto(url);
        await comesTrue(page, `typeof show === "function"`);

        await show(page, ["Basic"], options);
        await page.getByText("Status: Connected").waitFor();
        await until(async () => {
          await server.publish([block(10)]);
          return await page.getByText("Height: 10").count() === 1;
        }, "a height");
        await page.getByRole("button", { name: "Send Test Message" }).click();
        await until(
          () => sent.some((frame) => frame.includes("Hello from client!")),
          "sent",
        );

        await show(page, ["BestPractices"], options);
        await until(async () => {
          await server.publish([block(11)]);
          return await page.getByText("11").count() === 1;
        }, "a height");

        await show(page, ["Latency", "BestPractices"], options);
        await until(async () => {
          await server.publish([block(12)]);
          return await page.getByText("number", { exact: true }).count() === 1;
        }, "a latency");

        const publisher = { token: await server.token("publisher") };
        await show(page, ["Builders"], { ...options, auth: publisher });
        await page.getByRole("button", { name: "Publish" }).click();
        await comesTrue(page, "seen.accepted.length === 3");
        assert.deepEqual(await page.evaluate("seen.valid"), [true, true, true]);
        assert.deepEqual(await page.evaluate("seen.accepted"), [
          "blocks",
          "validators",
          "alerts",
        ]);

        const token = await server.token("user", { user: "alice" });
        await show(page, ["Advanced"], { ...options, auth: { token } });
        await page.getByText("alice").waitFor();

        await show(page, ["Authentication"], { ...options, auth: { token } });
        await page.getByText("alice", { exact: true }).waitFor();

        await show(page, ["Optimized"], { ...options, auth: { token } });
        await page.getByText("UNKNOWN_CHANNEL", { exact: true }).waitFor();
        await page.getByRole("button", { name: "Batch" }).click();
        await page.getByText("UNKNOWN_TYPE", { exact: true }).waitFor();

        await show(page, ["ErrorHandling"], {
          ...options,
          autoReconnect: false,
          auth: { token: "no token at all" },
        });
        await page.getByRole("alert").getByText(/WebSocket error: /).waitFor();
        await page.getByRole("button", { name: "Connect", exact: true })
          .click();
        await page.getByRole("button", { name: "Disconnect" }).click();
        await show(page, [], options);
        await comesTrue(page, `${OPEN} === 0`);
      }),
  );
});

/** How long the token is rotated, in seconds; a minute by hand. */
const ROTATION_SECONDS = Number(Deno.env.get("ROTATION_SECONDS") ?? 3);
const ROTATION_RATE = 30;

browserTest(
  "a token rotated every second costs a component no event and no socket",
  async () => {
    await buildIfStale();
    await using server = await TestServer.start();
    await using host = await reactPage(server);
    await withPage(async ({ page }) => {
      await page.goto(`http://127.0.0.1:${host.addr.port}/`);
      await comesTrue(page, `typeof show === "function"`);
      const refreshes: string[] = [];
      page.on("websocket", (socket) =>
        socket.on("framesent", ({ payload }) => {
          if (String(payload).includes('"type":"refresh"')) refreshes.push("");
        }));
      let tokens = 0;
      const rotate = async () => {
        // Another life makes it another token.
        const expiresIn = `${60 + tokens++}m`;
        const token = await server.token("user", { user: "alice", expiresIn });
        const auth = { token };
        await show(page, ["Blocks"], { url: server.socketUrl, auth });
      };
      await rotate();
      await page.getByText("joined", { exact: true }).waitFor();
      const last = ROTATION_SECONDS * ROTATION_RATE;
      for (let height = 1; height <= last; height++) {
        if (height % ROTATION_RATE === 0) await rotate();
        await server.publish([block(height)]);
        await pause(systemClock, 1_000 / ROTATION_RATE);
      }
      await comesTrue(page, `seen.heights.at(-1) === ${last}`);
      await until(
        () => refreshes.length === tokens - 1,
        "every token is given",
      );
      const heights = await page.evaluate("seen.heights") as number[];
      assert.deepEqual(heights, Array.from({ length: last }, (_, i) => i + 1));
      assert.equal(await page.evaluate("sockets.length"), 1);
      assert.equal(tokens, ROTATION_SECONDS + 1);
    });
  },
);
