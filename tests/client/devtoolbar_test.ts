/**
 * The DevToolbar: its recording alone, and the element on a hostile page in a
 * real Chromium before the real service.
 */
import assert from "node:assert/strict";
import { mock } from "node:test";
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import { build } from "../../client/build.ts";
import { gradeOf } from "../../client/devtoolbar/health.ts";
import {
  MAX_IMPORTED_CHARACTERS,
  MAX_RECORDED,
  MAX_RECORDED_CHARACTERS,
  MAX_SECONDS,
  Recording,
} from "../../client/devtoolbar/recording.ts";
import { MAX_PAUSE_MS, replay } from "../../client/devtoolbar/replay.ts";
import type { TappedFrame } from "../../client/types.ts";
import { axe, browserTest, withPage } from "../browser/browser.ts";
import type { StageOptions } from "../browser/browser.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";

const T0 = Date.UTC(2025, 7, 7, 10);

function tapped(
  frame: Record<string, unknown>,
  { at = T0, direction = "in", length = 100, ...more }: Partial<TappedFrame> =
    {},
): TappedFrame {
  return { frame, at, direction, length, ...more };
}

function received(channel: string, travelledMs: number, at = T0) {
  const timestamp = new Date(at - travelledMs).toISOString();
  return { type: "NEW_BLOCK", payload: {}, channel, timestamp };
}

Deno.test("grades begin and end at the thresholds", () => {
  const at = [0, 9.99, 10, 49.9, 50, 99.9, 100, 5000];
  assert.deepEqual(at.map(gradeOf), [
    "Excellent",
    "Excellent",
    "Good",
    "Good",
    "Acceptable",
    "Acceptable",
    "Poor",
    "Poor",
  ]);
  assert.equal(gradeOf(null), undefined);
});

Deno.test("a recording keeps the newest messages, bounded by number", () => {
  const recording = new Recording();
  for (let i = 0; i <= MAX_RECORDED; i++) {
    recording.add(tapped({ type: "PING", payload: {} }));
  }
  assert.equal(recording.total, MAX_RECORDED + 1);
  assert.equal(recording.messages.length, MAX_RECORDED);
  assert.equal(recording.messages[0]!.number, 2);
});

Deno.test("a recording is bounded by length, too", () => {
  const recording = new Recording();
  const length = MAX_RECORDED_CHARACTERS / 4;
  for (let i = 0; i < 5; i++) {
    recording.add(tapped({ type: "BIG", payload: {} }, { length }));
  }
  assert.equal(recording.messages.length, 4);
  recording.clear();
  recording.add(tapped({ type: "BIG", payload: {} }, { length }));
  assert.equal(recording.messages.length, 1);
});

Deno.test("a recording sums up what was received, on the wire and as text", () => {
  const recording = new Recording();
  const frame = { type: "PING", payload: {} };
  recording.add(tapped(frame, { length: 900, wireBytes: 200 }));
  recording.add(tapped(frame, { length: 100 }));
  recording.add(tapped(frame, { length: 50, direction: "out" }));
  assert.deepEqual([recording.wireBytes, recording.textBytes], [300, 1_000]);
  recording.clear();
  assert.equal(recording.textBytes, 1_000, "as measurements stay");
});

Deno.test("a batch is recorded as the messages in it", () => {
  const recording = new Recording();
  const updates = [received("blocks", 4), received("dag", 6)];
  recording.add(tapped({ type: "BATCH_UPDATE", payload: { updates } }));
  assert.deepEqual(
    recording.messages.map(({ type, channel }) => [type, channel]),
    [["NEW_BLOCK", "blocks"], ["NEW_BLOCK", "dag"]],
  );
  assert.deepEqual(recording.latency(T0 + 500), { p50: 4, p95: 6, max: 6 });
});

Deno.test("latency leaves replays out and corrects the clock", () => {
  const recording = new Recording();
  recording.add(tapped({ ...received("blocks", 9000), replay: true }));
  assert.equal(recording.latency(T0), undefined);
  recording.add(tapped(received("blocks", 40)), -30);
  assert.deepEqual(recording.latency(T0), { p50: 10, p95: 10, max: 10 });
});

Deno.test("throughput is that of whole seconds", () => {
  const recording = new Recording();
  for (let i = 0; i < 10; i++) {
    recording.add(tapped({ type: "A", payload: {} }, { at: T0 + i * 100 }));
  }
  const sent = { at: T0 + 500, direction: "out" as const };
  recording.add(tapped({ type: "B", payload: {} }, sent));
  recording.add(tapped({ type: "A", payload: {} }, { at: T0 + 1000 }));
  assert.deepEqual(recording.throughput(T0 + 1900, 1), {
    received: 10,
    sent: 1,
  });
  for (let i = 0; i <= MAX_SECONDS; i++) {
    const at = T0 + 5000 + i * 1000;
    recording.add(tapped({ type: "A", payload: {} }, { at }));
  }
  assert.equal(recording.seconds.length, MAX_SECONDS);
});

Deno.test("a filter looks at type, channel and content, newest first", () => {
  const recording = new Recording();
  recording.add(tapped({ type: "NEW_BLOCK", channel: "blocks", payload: {} }));
  recording.add(tapped({ type: "TEST", payload: { say: "Blocks!" } }));
  recording.add(tapped({ type: "ping", payload: {} }, { direction: "out" }));
  const types = (text: string, direction: "in" | "out" | "both", limit = 9) =>
    recording.matching({ text, direction }, limit).map(({ type }) => type);
  assert.deepEqual(types(" BLOCKS", "both"), ["TEST", "NEW_BLOCK"]);
  assert.deepEqual(types("", "out"), ["ping"]);
  assert.deepEqual(types("", "both", 1), ["ping"]);
  assert.deepEqual(types("nothing like it", "both"), []);
});

Deno.test("what was exported is read again, anything else is refused", () => {
  const recording = new Recording();
  recording.add(tapped(received("blocks", 4)));
  recording.add(tapped({ type: "ping", payload: {} }, { direction: "out" }));
  const exported = recording.export(null, T0);
  const read = Recording.read(JSON.stringify(exported));
  const contentOf = ({ messages }: Recording) =>
    messages.map(({ at, direction, type, channel, frame }) => (
      { at, direction, type, channel, frame }
    ));
  assert.deepEqual(contentOf(read), contentOf(recording));

  const [message] = exported.messages;
  const having = (messages: unknown) =>
    JSON.stringify({ ...exported, messages });
  const damaged = [
    null,
    { ...message, at: "noon" },
    { ...message, at: 1e16 },
    { ...message, direction: "up" },
    { ...message, frame: {} },
  ];
  for (const each of damaged) {
    assert.throws(
      () => Recording.read(having([message, each])),
      /^TypeError: Message 2 of the recording is damaged/,
    );
  }
  for (const text of ["", "null", "[]", "{}", having({})]) {
    assert.throws(() => Recording.read(text), /not a recording/, text);
  }
  const many = having(Array(MAX_RECORDED + 1).fill(message));
  assert.equal(Recording.read(many).messages.length, MAX_RECORDED);
  const longest = having([]).padEnd(MAX_IMPORTED_CHARACTERS);
  assert.equal(Recording.read(longest).total, 0);
  assert.throws(() => Recording.read(longest + " "), /too long/);
});

Deno.test("a replay keeps the rhythm, shortens long silence, and stops", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const recording = new Recording();
    const at = [0, 1000, 1000 + MAX_PAUSE_MS * 10];
    for (const ms of at) {
      recording.add(tapped({ type: "A", payload: {} }, { at: T0 + ms }));
    }
    recording.add(tapped({ type: "B", payload: {} }, { direction: "out" }));
    const played: number[] = [];
    let done = 0;
    const play = () =>
      replay(recording.messages, {
        speed: 1,
        play: ({ number }) => played.push(number),
        done: () => done++,
      });
    play();
    mock.timers.tick(1);
    assert.deepEqual(played, [1]);
    mock.timers.tick(1000);
    assert.deepEqual(played, [1, 2]);
    mock.timers.tick(MAX_PAUSE_MS);
    assert.deepEqual(played, [1, 2, 3]);
    assert.equal(done, 1);
    const stop = play();
    mock.timers.tick(1);
    stop();
    mock.timers.tick(100_000);
    assert.deepEqual(played, [1, 2, 3, 1]);
    assert.equal(done, 1);
  } finally {
    mock.timers.reset();
  }
});

const HOSTILE = `<!doctype html><html lang="en"><head><title>Host</title>
<link rel="stylesheet" href="/host.css"><script src="/host.js"></script>
<script type="module" src="TOOLBAR"></script></head>
<body><h1 id="host">Host</h1></body></html>`;

const HOSTILE_CSS = `* { all: unset !important; color: red !important;
  font-size: 60px !important; visibility: hidden !important }`;

const HOSTILE_JS = `window.typed = [];
addEventListener("keydown", (event) => typed.push(event.key));`;

/** A page of another origin that allows as little as the toolbar can live with. */
function hostilePage(service: TestServer): Deno.HttpServer<Deno.NetAddr> {
  const csp = `default-src 'none'; script-src 'self' ${service.url}; ` +
    `style-src 'self'; connect-src ${service.url} ` +
    `${service.socketUrl.replace(/\/ws$/, "")}; ` +
    `require-trusted-types-for 'script'`;
  const page = HOSTILE.replace("TOOLBAR", `${service.url}/devtoolbar.js`);
  return Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    ({ url }) => {
      const [body, type] = url.endsWith(".css")
        ? [HOSTILE_CSS, "text/css"]
        : url.endsWith(".js")
        ? [HOSTILE_JS, "text/javascript"]
        : url.endsWith("/")
        ? [page, "text/html"]
        : [null, "text/plain"];
      return new Response(body, {
        status: body === null ? 204 : 200,
        headers: { "content-type": type, "content-security-policy": csp },
      });
    },
  );
}

function toolbar(page: Page) {
  return page.locator("kaldrix-devtoolbar");
}

async function opened(page: Page, url: string) {
  await page.goto(url);
  const element = toolbar(page);
  await element.getByRole("button", { name: "KALDRIX toolbar" }).click();
  await element.getByRole("status").getByText("connected", { exact: true })
    .waitFor();
  return element;
}

browserTest("the DevToolbar on a hostile page, in Chromium", async (t) => {
  await build();
  await using server = await TestServer.start();
  await using host = hostilePage(server);
  // The first event of all begins the log, and clients resume on it.
  await server.publish([{ type: "NEW_BLOCK", payload: block(0) }]);
  const url = `http://127.0.0.1:${host.addr.port}/`;
  const onPage = (
    act: (page: Page) => Promise<void>,
    options: StageOptions = {},
  ) => withPage(({ page }) => act(page), options);

  await t.step(
    "looks as it should and leaves the page alone",
    () =>
      onPage(async (page) => {
        await page.goto(url);
        const pill = toolbar(page).getByRole("button");
        await pill.waitFor();
        const style = await pill.evaluate(
          "(() => { const { fontSize, visibility, color } = getComputedStyle(document.querySelector('kaldrix-devtoolbar').shadowRoot.querySelector('button')); return { fontSize, visibility, red: color === 'rgb(255, 0, 0)' } })()",
        );
        assert.deepEqual(style, {
          fontSize: "13px",
          visibility: "visible",
          red: false,
        });
        const box = (await pill.boundingBox())!;
        assert.ok(box.x > 1000 && box.y > 700, JSON.stringify(box));
        assert.equal(
          await page.evaluate("document.body.children.length"),
          2,
        );
        assert.equal(await page.evaluate("document.styleSheets.length"), 1);
      }),
  );

  await t.step(
    "shows the page's connection, a hook's too, and opens none beside it",
    () =>
      onPage(async (page) => {
        let sockets = 0;
        page.on("websocket", () => sockets++);
        // A page whose client comes before the toolbar has looked for one.
        await using app = Deno.serve(
          { port: 0, hostname: "127.0.0.1", onListen() {} },
          () =>
            new Response("<!doctype html><title>App</title><body></body>", {
              headers: { "content-type": "text/html" },
            }),
        );
        await page.goto(`http://127.0.0.1:${app.addr.port}/`);
        await page.evaluate(`(async () => {
          await import("${server.url}/devtoolbar.js");
          const { connect } = await import("${server.url}/client.js");
          window.client = connect("${server.socketUrl}");
        })()`);
        const bar = toolbar(page);
        const isShown = (what: string) =>
          page.evaluate<boolean>(
            `document.querySelector("kaldrix-devtoolbar").client === ${what}`,
          );
        await until(() => isShown("window.client"), "the page's client");
        await bar.getByRole("button", { name: "KALDRIX toolbar" }).click();
        await bar.getByRole("status").getByText("connected", { exact: true })
          .waitFor();
        assert.equal(sockets, 1);
        await page.evaluate(`(async () => {
          const { connect } = await import("${server.url}/client.js");
          window.other = connect("${server.socketUrl}");
          const hook = { state: other.state, get client() { return other } };
          document.querySelector("kaldrix-devtoolbar").client = hook;
        })()`);
        assert.ok(await isShown("window.other"));
        await until(
          () => page.evaluate<boolean>("window.other.state.isConnected"),
          "the other is connected",
        );
        assert.equal(sockets, 2);
      }),
  );

  await t.step(
    "gives up its own connection when the page makes one later",
    () =>
      onPage(async (page) => {
        let closed = 0;
        page.on("websocket", (socket) => socket.on("close", () => closed++));
        await opened(page, url);
        await page.evaluate(`(async () => {
          const { connect } = await import("${server.url}/client.js");
          window.client = connect("${server.socketUrl}");
        })()`);
        await until(
          () =>
            page.evaluate<boolean>(
              "document.querySelector('kaldrix-devtoolbar').client === window.client",
            ),
          "the page's client",
        );
        await until(() => closed === 1, "the end of its own");
      }),
  );

  await t.step(
    "joins, shows, filters, pauses, inspects and leaves",
    () =>
      onPage(async (page) => {
        const bar = await opened(page, url);
        await bar.getByRole("tab", { name: "Channels" }).click();
        await bar.getByLabel("Channel to join").fill("blocks");
        await bar.getByRole("button", { name: "Join" }).click();
        await bar.getByRole("cell", { name: "joined" }).waitFor();

        await server.publish([
          { type: "NEW_BLOCK", payload: block(1) },
          { type: "NEW_BLOCK", payload: block(2) },
        ]);
        await bar.getByRole("cell", { name: "#3" }).waitFor();
        await bar.getByRole("tab", { name: "Log" }).click();
        const rows = bar.locator(".list button");
        await bar.getByLabel("Filter").fill("new_block");
        await until(async () => await rows.count() === 2, "two rows");
        await rows.first().click();
        await bar.getByText(`"blockId": "block-2"`).waitFor();

        await bar.getByRole("button", { name: "Pause" }).click();
        await server.publish([{ type: "NEW_BLOCK", payload: block(3) }]);
        await bar.getByRole("button", { name: /Paused, [1-9]/ }).waitFor();
        assert.equal(await rows.count(), 2);
        await bar.getByRole("button", { name: /Paused/ }).click();
        await until(async () => await rows.count() === 3, "three rows");

        await bar.getByRole("tab", { name: "Overview" }).click();
        await bar.getByText(/^(Excellent|Good|Acceptable|Poor)$/).first()
          .waitFor();
        await bar.getByRole("tab", { name: "Channels" }).click();
        await bar.getByRole("button", { name: "Leave blocks" }).click();
        await bar.getByText("No channel joined.").waitFor();
      }),
  );

  await t.step("exports JSON and plays it again", () =>
    onPage(async (page) => {
      const bar = await opened(page, url);
      await bar.getByRole("tab", { name: "Channels" }).click();
      await bar.getByLabel("Channel to join").fill("blocks");
      await bar.getByLabel("How many").fill("3");
      await bar.getByRole("button", { name: "Join" }).click();
      await bar.getByRole("cell", { name: "#4" }).waitFor();

      await bar.getByRole("tab", { name: "Log" }).click();
      const download = page.waitForEvent("download");
      await bar.getByRole("button", { name: "Export" }).click();
      const exported = JSON.parse(
        await readFile(await (await download).path(), "utf8"),
      );
      assert.equal(exported.format, "kaldrix-devtoolbar/1");
      assert.equal(exported.state.isConnected, true);
      const seqs = (messages: { frame: { type: string; seq: number } }[]) =>
        messages.map(({ frame }) => frame)
          .filter(({ type }) => type === "NEW_BLOCK").map(({ seq }) => seq);
      assert.deepEqual(seqs(exported.messages), [2, 3, 4]);

      await page.evaluate(`window.played = [];
        document.querySelector("kaldrix-devtoolbar").addEventListener(
          "replay", ({ detail }) => played.push(detail.message));`);
      await bar.getByLabel("Replay speed").selectOption("at once");
      await bar.getByRole("button", { name: "Replay" }).click();
      await until(
        async () => seqs(await page.evaluate("played")).length === 3,
        "three played",
      );
      assert.deepEqual(seqs(await page.evaluate("played")), [2, 3, 4]);
    }));

  await t.step(
    "plays what was exported elsewhere, and refuses the rest",
    () =>
      onPage(async (page) => {
        const recording = new Recording();
        for (let i = 1; i <= 3; i++) {
          const frame = { ...received("blocks", 5), seq: i };
          recording.add(tapped(frame, { at: T0 + i }));
        }
        const exported = JSON.stringify(recording.export(null, T0));
        const bar = await opened(page, url);
        await bar.getByRole("tab", { name: "Log" }).click();
        const choose = (name: string, text: string) =>
          bar.getByLabel("Recording to import").setInputFiles({
            name,
            mimeType: "application/json",
            buffer: Buffer.from(text),
          });
        const rows = bar.locator(".list button");

        await choose("holiday.json", `{"pictures":[]}`);
        await bar.getByRole("alert")
          .getByText("holiday.json: The file is not a recording").waitFor();
        await choose("monday.json", exported);
        await bar.getByText("monday.json, 3 messages").waitFor();
        await bar.getByRole("alert").waitFor({ state: "detached" });
        assert.equal(await rows.count(), 3);

        await page.evaluate(`window.played = [];
        document.querySelector("kaldrix-devtoolbar").addEventListener(
          "replay", ({ detail }) => played.push(detail.message.frame.seq));`);
        await bar.getByRole("button", { name: "Replay" }).click();
        await until(
          async () => (await page.evaluate("played") as unknown[]).length === 3,
          "three played",
        );
        assert.deepEqual(await page.evaluate("played"), [1, 2, 3]);

        await bar.getByRole("button", { name: "Back to the connection" })
          .click();
        await rows.getByText("connected").first().waitFor();
      }),
  );

  await t.step(
    "is operated by keys that the page does not receive",
    () =>
      onPage(async (page) => {
        await page.goto(url);
        await toolbar(page).getByRole("button").waitFor();
        await page.keyboard.press("Tab");
        await page.keyboard.press("Enter");
        await toolbar(page).getByRole("tablist").waitFor();
        const selected = toolbar(page).locator("[aria-selected=true]");
        await page.keyboard.press("ArrowRight");
        await until(async () => await selected.innerText() === "Log", "Log");
        await page.keyboard.press("Tab");
        await page.keyboard.press("Escape");
        await toolbar(page).getByRole("button", { name: "KALDRIX toolbar" })
          .waitFor();
        assert.deepEqual(await page.evaluate("typed"), ["Tab"]);
      }),
  );

  await t.step(
    "counts reconnects of a server that was killed",
    () =>
      onPage(async (page) => {
        const bar = await opened(page, url);
        await server.stop("SIGKILL");
        await bar.getByRole("status").getByText("reconnecting").waitFor();
        await server.begin();
        await bar.getByRole("status").getByText("connected", { exact: true })
          .waitFor();
        const wire = bar.locator(".facts div", { hasText: "On the wire" });
        assert.match(await wire.innerText(), /\d (B|kB)$/);
        const reconnects = bar.locator(".facts div", { hasText: "Reconnects" });
        assert.equal(await reconnects.locator("dd").innerText(), "1");
      }, { expectedErrors: /WebSocket|ERR_CONNECTION_REFUSED/ }),
  );

  for (const colorScheme of ["light", "dark"] as const) {
    await t.step(
      `is accessible, ${colorScheme}`,
      () =>
        withPage(async ({ page }) => {
          // The live page's own policy and looks, for axe to run in.
          await page.goto(server.url);
          await page.evaluate(`import("/devtoolbar.js")`);
          const bar = toolbar(page);
          await bar.getByRole("button", { name: "KALDRIX toolbar" }).click();
          await page.evaluate(await axe());
          for (const tab of ["Overview", "Log", "Channels"]) {
            await bar.getByRole("tab", { name: tab }).click();
            const { violations } = await page.evaluate(
              `axe.run("kaldrix-devtoolbar")`,
            ) as {
              violations: { id: string; impact: string; nodes: unknown }[];
            };
            assert.deepEqual(
              violations.filter(({ impact }) =>
                impact === "serious" || impact === "critical"
              ),
              [],
            );
          }
        }, { colorScheme, reducedMotion: "reduce" }),
    );
  }
});

function block(height: number) {
  return {
    blockId: `block-${height}`,
    height,
    timestamp: new Date(T0).toISOString(),
  };
}
