/**
 * How good the public pages are, in every state that they can be in: what is
 * painted when, what moves, what it costs to load, and whether all people can
 * use them.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { build } from "../../client/build.ts";
import { NEEDS_TOKEN } from "../../client/page/words.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";
import { browserTest, hiddenFocus, isGood, withPage } from "./browser.ts";

const AT = "2025-08-07T10:00:00.000Z";
const OWNER = `0x${"a1".repeat(20)}`;

/** Everything that the pages can show. */
function everything(): AnyMessage[] {
  const held = (height: number) =>
    (["confirmed", "failed"] as const).map((status, index) => ({
      txId: `tx-${height}-${status}`,
      from: OWNER,
      to: `0x${"b2".repeat(20)}`,
      amount: "1234567",
      gasPrice: "1000",
      gasLimit: 21_000,
      nonce: height,
      status,
      timestamp: AT,
      blockId: `b${height}`,
      blockHeight: height,
      index,
      fee: "21000000",
      transfers: [{
        asset: "erc20" as const,
        token: `0x${"c3".repeat(20)}`,
        from: OWNER,
        to: `0x${"b2".repeat(20)}`,
        amount: "5",
      }],
    }));
  const hashOf = (height: number) => `0x${"ab".repeat(30)}${1_000 + height}`;
  const [sample] = held(1);
  const chain = Array.from({ length: 12 }, (_, i): AnyMessage[] => {
    const height = i + 1;
    const transactions = held(height);
    return [
      {
        type: "NEW_BLOCK",
        payload: {
          blockId: `b${height}`,
          height,
          hash: hashOf(height),
          previousHash: i === 0 ? undefined : hashOf(i),
          validator: "validator-7",
          size: 4_321,
          gasUsed: 21_000,
          gasLimit: 100_000,
          transactionCount: 2,
          transactions,
          timestamp: AT,
        },
      },
      ...transactions.map((payload) => ({
        type: "TX_RECEIVED" as const,
        payload,
      })),
      {
        type: "DAG_UPDATE",
        payload: {
          updateType: "NODE_ADDED",
          nodeId: hashOf(height),
          relatedNodes: i === 0 ? [] : [hashOf(i)],
          timestamp: AT,
        },
      },
    ] as AnyMessage[];
  }).flat();
  const states = (["pending", "replaced", "dropped"] as const).map((
    status,
  ) => ({
    type: "TX_RECEIVED" as const,
    payload: { ...sample!, txId: `tx-${status}`, status },
  }));
  const validators =
    (["JOINED", "LEFT", "SLASHED", "REWARDED", "PROPOSED", "VOTED"] as const)
      .map((eventType, i) => ({
        type: "VALIDATOR_EVENT" as const,
        payload: {
          eventType,
          validatorId: `validator-${i}`,
          stake: "1000",
          timestamp: AT,
          metadata: { uptime: 99.5 },
        },
      }));
  const nodes = (["ONLINE", "OFFLINE", "SYNCING", "ERROR"] as const).map((
    status,
    i,
  ) => ({
    type: "NODE_STATUS" as const,
    payload: {
      nodeId: `node-${i}`,
      status,
      region: "eu",
      peers: 7,
      blockHeight: 12,
      lastUpdate: AT,
    },
  }));
  const alerts = (["info", "warning", "critical"] as const).map((severity) => ({
    type: "ALERT_TRIGGERED" as const,
    payload: { type: "test", severity, message: "Look here" },
  }));
  return [
    ...chain,
    ...states,
    ...validators,
    ...nodes,
    ...alerts,
    {
      type: "FINALITY",
      payload: { level: "safe", height: 8, blockId: "b8", timestamp: AT },
    },
    {
      type: "FINALITY",
      payload: { level: "final", height: 6, blockId: "b6", timestamp: AT },
    },
    {
      type: "BLOCK_REVERTED",
      payload: { blockId: "b12", height: 12, reason: "reorg", timestamp: AT },
    },
    {
      type: "TX_RECEIVED",
      payload: {
        ...sample!,
        txId: "tx-12-confirmed",
        status: "pending",
        cause: "reorg",
        left: { blockId: "b12", height: 12 },
        blockId: undefined,
        blockHeight: undefined,
        index: undefined,
      },
    },
  ] as AnyMessage[];
}

/** A page in a state, and what shows that it is in it. */
interface State {
  readonly path: string;
  readonly shows: string;
}

const EMPTY: readonly State[] = [
  { path: "/", shows: ".freshness.good" },
  { path: "/block/7", shows: ".notice" },
  { path: "/tx/tx-1", shows: ".notice" },
  { path: `/address/${OWNER}`, shows: ".empty" },
  { path: "/nothing-is-here", shows: "main.explorer" },
];
const FULL: readonly State[] = [
  { path: "/", shows: ".chip.left" },
  { path: "/block/5", shows: ".transaction" },
  { path: "/block/b12", shows: ".notice" },
  { path: "/block/99", shows: ".notice" },
  { path: "/tx/tx-5-confirmed", shows: ".happened" },
  { path: "/tx/tx-5-failed", shows: ".notice" },
  { path: "/tx/tx-replaced", shows: ".notice" },
  { path: "/tx/tx-12-confirmed", shows: ".notice" },
  { path: `/address/${OWNER}`, shows: ".transaction" },
];

async function areGood(page: Page, url: string, states: readonly State[]) {
  for (const { path, shows } of states) {
    await page.goto(url + path);
    await page.locator(shows).first().waitFor();
    await isGood(page, path);
  }
}

const LOST = /WebSocket|ERR_CONNECTION|ERR_SOCKET|ERR_EMPTY|ERR_FAILED|403/;
/** What browsers report of a page that is not there. */
const MISSING = /status of 404/;

browserTest("the public pages in every state, in Chromium", async (t) => {
  await build();
  await using server = await TestServer.start();

  await t.step(
    "are good while they are empty",
    () =>
      withPage(({ page }) => areGood(page, server.url, EMPTY), {
        expectedErrors: MISSING,
      }),
  );

  await t.step(
    "are good while they load, and where the service says no",
    () =>
      withPage(async ({ page }) => {
        // Neither code nor data come: this is what the documents hold.
        await page.route(/\.js(\?|$)/, () => {});
        for (const path of ["/", "/block/5"]) {
          await page.goto(server.url + path, { waitUntil: "commit" });
          await page.locator("main").waitFor();
          await isGood(page, `${path} without code`);
        }
        await page.unroute(/\.js(\?|$)/);
        let answer: Promise<void> = new Promise(() => {});
        await page.route("**/api/**", async (route) => {
          await answer;
          await route.fulfill({
            status: 403,
            json: { code: "FORBIDDEN", message: "This needs a token" },
          });
        });
        for (const path of ["/block/5", "/tx/tx-1"]) {
          answer = new Promise(() => {});
          await page.goto(server.url + path);
          await page.locator(".freshness.good").waitFor();
          await page.locator(".loading").waitFor();
          await isGood(page, `${path} without data`);
          answer = Promise.resolve();
          await page.reload();
          await page.getByRole("alert").getByText("This needs a token")
            .waitFor();
          await isGood(page, `${path} refused`);
        }
      }, { expectedErrors: LOST }),
  );

  await t.step(
    "are good, and say why they show nothing, where a token is needed",
    async () => {
      await using closed = await TestServer.start({
        settings: { REQUIRE_AUTH: "true" },
      });
      await withPage(async ({ page }) => {
        for (const path of ["/", "/block/5", "/tx/tx-1", `/address/${OWNER}`]) {
          await page.goto(closed.url + path);
          await page.getByRole("alert").getByText(NEEDS_TOKEN).waitFor();
          await page.getByRole("status").getByText("Disconnected").waitFor();
          await isGood(page, `${path} without a token`);
        }
        await page.goto(closed.url);
        await page.getByText("Not known").first().waitFor();
        assert.equal(await page.getByText("No alerts").count(), 0);
      }, { expectedErrors: /status of 401/ });
    },
  );

  await t.step(
    "are good, and say so, where the service went away before they knew it",
    async () => {
      await using gone = await TestServer.start();
      await withPage(async ({ page, context }) => {
        const dead = Promise.withResolvers<void>();
        const fetched: string[] = [];
        await context.route(/\.js(\?|$)/, async (route) => {
          const response = await route.fetch();
          const body = await response.body();
          fetched.push(route.request().url());
          await dead.promise;
          await route.fulfill({ response, body });
        });
        const address = await context.newPage();
        await address.goto(`${gone.url}/address/${OWNER}`, {
          waitUntil: "commit",
        });
        await page.goto(gone.url, { waitUntil: "commit" });
        await until(
          () =>
            ["/app.js", "/explorer.js"].every((name) =>
              fetched.some((url) => url.includes(name))
            ),
          "their code",
        );
        await gone.stop("SIGKILL");
        dead.resolve();
        await address.getByRole("alert")
          .getByText("The service does not answer").waitFor();
        await isGood(address, "/address, never known");
        await page.locator(".freshness.bad").waitFor();
        await page.getByText("Not known").first().waitFor();
        await isGood(page, "/, never known");
      }, { expectedErrors: LOST });
    },
  );

  await server.publish(everything());
  await t.step(
    "are good while they are full",
    () => withPage(({ page }) => areGood(page, server.url, FULL)),
  );

  await t.step(
    "show where the keyboard is, all the way round",
    () =>
      withPage(async ({ page }) => {
        for (const { path, shows } of FULL) {
          await page.goto(server.url + path);
          await page.locator(shows).first().waitFor();
          assert.deepEqual(await hiddenFocus(page), [], path);
        }
      }, { viewport: { width: 390, height: 844 } }),
  );

  await t.step(
    "are good while the service is away",
    () =>
      withPage(async ({ page, context }) => {
        const pages = [page];
        const states = FULL.filter(({ shows }) => shows !== ".notice");
        while (pages.length < states.length) {
          pages.push(await context.newPage());
        }
        for (const [i, { path, shows }] of states.entries()) {
          await pages[i]!.goto(server.url + path);
          await pages[i]!.locator(shows).first().waitFor();
        }
        await server.stop("SIGKILL");
        for (const [i, { path }] of states.entries()) {
          await pages[i]!.locator(".freshness.bad").waitFor();
          await isGood(pages[i]!, `${path}, stale`);
        }
        await server.begin();
      }, { expectedErrors: LOST }),
  );
});

/** Bytes a second of a poor connection: 400 kbit/s. */
const POOR = 50_000;
/** Most bytes until a page is painted: about one round trip's worth. */
const MAX_FIRST_BYTES = 14_600;
/** Most bytes of code until a page lives. */
const MAX_CODE_BYTES = 30_000;
/** Most bytes of a page with everything that it loads. */
const MAX_BYTES = 140_000;
/** Largest sum of layout shifts that counts as good. */
const MAX_SHIFT = 0.1;
/** Least height and width of what is pressed, in pixels (WCAG 2.5.8). */
const MIN_TARGET = 24;

/** A file that a page loaded. */
interface Loaded {
  readonly name: string;
  readonly encodedBodySize: number;
  readonly renderBlockingStatus: string;
}

/** What the page measured of itself. */
interface Measured {
  readonly shift: number;
  readonly document: number;
  readonly loaded: readonly Loaded[];
  readonly small: readonly string[];
  readonly tiny: number;
  readonly head: Readonly<Record<string, string | null>>;
  readonly unsized: number;
}

const MEASURE = `(async () => {
  const shifts = await new Promise((resolve) => {
    new PerformanceObserver((list) => resolve(list.getEntries()))
      .observe({ type: "layout-shift", buffered: true });
    // Nothing shifted at all.
    setTimeout(() => resolve([]), 500);
  });
  const [page] = performance.getEntriesByType("navigation");
  const targets = [...document.querySelectorAll("a, button, input")]
    .filter((it) => it.checkVisibility() && !it.closest("p, svg, .skip, dd, td"));
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let all = 0, tiny = 0;
  while (texts.nextNode()) {
    const { length } = texts.currentNode.data.trim();
    const size = parseFloat(getComputedStyle(texts.currentNode.parentElement).fontSize);
    all += length;
    if (size < 11) tiny += length;
  }
  const attribute = (selector, name) =>
    document.querySelector(selector)?.getAttribute(name) ?? null;
  return {
    shift: shifts.filter((it) => !it.hadRecentInput)
      .reduce((sum, it) => sum + it.value, 0),
    document: page.encodedBodySize,
    loaded: performance.getEntriesByType("resource").map((it) => ({
      name: new URL(it.name).pathname,
      encodedBodySize: it.encodedBodySize,
      renderBlockingStatus: it.renderBlockingStatus,
    })),
    small: targets.filter((it) => {
      const { width, height } = it.getBoundingClientRect();
      return width < ${MIN_TARGET} || height < ${MIN_TARGET};
    }).map((it) => it.outerHTML.slice(0, 120)),
    tiny: tiny / Math.max(1, all),
    head: {
      title: document.title,
      language: document.documentElement.lang,
      description: attribute("meta[name=description]", "content"),
      viewport: attribute("meta[name=viewport]", "content"),
      icon: attribute("link[rel=icon]", "href"),
    },
    unsized: [...document.images].filter((it) => !it.hasAttribute("width")).length,
  };
})()`;

/** What is wrong, in words; nothing when all is well. */
function judged(measured: Measured): string[] {
  const { shift, document, loaded, small, tiny, head } = measured;
  const of = (ending: string) =>
    loaded.filter(({ name }) => name.endsWith(ending));
  const sum = (files: readonly Loaded[]) =>
    files.reduce((bytes, file) => bytes + file.encodedBodySize, 0);
  const code = of(".js").filter(({ name }) => name !== "/uplot.js");
  const first = document + sum(of(".css"));
  const checks: readonly (readonly [string, boolean])[] = [
    [`${first} bytes until it is painted`, first <= MAX_FIRST_BYTES],
    [`${sum(code)} bytes of code`, sum(code) <= MAX_CODE_BYTES],
    [`${document + sum(loaded)} bytes`, document + sum(loaded) <= MAX_BYTES],
    [`layout shifts of ${shift}`, shift <= MAX_SHIFT],
    [
      "code blocks the painting",
      code.every((it) => it.renderBlockingStatus !== "blocking"),
    ],
    [`too small to press: ${small.join(" ")}`, small.length === 0],
    [`a share of ${tiny} of the text is tiny`, tiny < 0.1],
    [`images without a size: ${measured.unsized}`, measured.unsized === 0],
    ...Object.entries(head).map(([name, value]) =>
      [`no ${name}`, value !== null && value !== ""] as const
    ),
  ];
  return checks.filter(([, isGood]) => !isGood).map(([fault]) => fault);
}

browserTest("the public pages on a poor connection, in Chromium", async (t) => {
  await build();
  await using server = await TestServer.start();
  await server.publish(everything());
  for (const { path, shows } of FULL.filter((it) => it.shows !== ".notice")) {
    for (const width of [390, 1440]) {
      await t.step(
        `${path} is painted at once, and stands still, ${width} px`,
        () =>
          withPage(async ({ page, context }) => {
            const devtools = await context.newCDPSession(page);
            await devtools.send("Network.enable");
            await devtools.send("Network.emulateNetworkConditions", {
              offline: false,
              latency: 100,
              downloadThroughput: POOR,
              uploadThroughput: POOR,
            });
            // No code arrives before the page is painted, however long it takes.
            const painted = Promise.withResolvers<void>();
            await page.route(/\.js(\?|$)/, async (route) => {
              await painted.promise;
              await route.continue();
            });
            await page.goto(server.url + path, { waitUntil: "commit" });
            await until(
              async () =>
                await page.evaluate(
                  "performance.getEntriesByName('first-contentful-paint').length",
                ) === 1,
              "painted without its code",
            );
            painted.resolve();
            await page.locator(shows).first().waitFor();
            await page.waitForLoadState("networkidle");
            const measured = await page.evaluate(MEASURE) as Measured;
            assert.deepEqual(judged(measured), []);
          }, { viewport: { width, height: 844 } }),
      );
    }
  }
});
