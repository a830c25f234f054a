/**
 * The operator's page and the API page: their models alone, and the whole of
 * them in a real Chromium before the real service.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import type { ChannelInfo } from "../../client/admin/api.ts";
import {
  bytes,
  few,
  HISTORY_MS,
  MAX_SAMPLES,
  Memory,
  RATE_MS,
  sampleOf,
  span,
} from "../../client/admin/model.ts";
import type { Sample } from "../../client/admin/model.ts";
import { findings, isStale, STALE_MS } from "../../client/admin/worst.ts";
import type { Known } from "../../client/admin/worst.ts";
import { build } from "../../client/build.ts";
import { referenceOf, wordsOf } from "../../client/docs/model.ts";
import type {
  AsyncDocument,
  OpenDocument,
} from "../../client/docs/documents.ts";
import { boundsOf, typeOf } from "../../client/docs/schema.ts";
import { asyncApi } from "../../describe/asyncapi.ts";
import { STALE_HEAD_MS } from "../../monitoring/alerts.ts";
import { CHAIN_BLOCKS } from "../../monitoring/freshness.ts";
import { MESSAGES } from "../../protocol/messages.ts";
import { openApi } from "../../describe/openapi.ts";
import {
  browserTest,
  faults,
  hiddenFocus,
  isGood,
  SERVER_LOST,
  withPage,
} from "./browser.ts";
import { kaldrix } from "../cli/kaldrix.ts";
import { TestServer } from "../server.ts";
import { openTestService } from "../test_service.ts";
import { until } from "../until.ts";

const AT = "2025-08-07T10:00:00.000Z";

function sample(at: number, connections = 1): Sample {
  return {
    at,
    connections,
    published: 0,
    delivered: 0,
    deliveryMs: undefined,
    memory: 0,
  };
}

function channel(seq: number | null, epoch = "a"): ChannelInfo {
  const summary = "";
  return {
    channel: "blocks",
    summary,
    retention: "log",
    epoch,
    seq,
    subscribers: 0,
  };
}

Deno.test("samples of the last hour are kept, and no more", () => {
  const memory = new Memory();
  memory.take(sample(0));
  memory.take(sample(HISTORY_MS - 1));
  assert.equal(memory.samples.length, 2);
  memory.take(sample(HISTORY_MS));
  assert.deepEqual(memory.samples.map(({ at }) => at), [
    HISTORY_MS - 1,
    HISTORY_MS,
  ]);
  for (let at = 1; at <= MAX_SAMPLES + 5; at++) {
    memory.take(sample(HISTORY_MS + at));
  }
  assert.equal(memory.samples.length, MAX_SAMPLES);
});

Deno.test("the past is put before the present, and never twice", () => {
  const memory = new Memory();
  memory.take(sample(100, 5));
  memory.recall([sample(90), sample(100, 7), sample(110, 7)]);
  assert.deepEqual(
    memory.samples.map(({ at, connections }) => [at, connections]),
    [[90, 1], [100, 5]],
  );
});

Deno.test("a channel's rate is of its own log, over the last seconds", () => {
  const memory = new Memory();
  assert.equal(memory.rate(channel(10)), undefined);
  memory.mark(0, [channel(10)]);
  assert.equal(memory.rate(channel(10)), undefined, "seen only once");
  memory.mark(RATE_MS / 2, [channel(30)]);
  memory.mark(RATE_MS, [channel(110)]);
  assert.equal(memory.rate(channel(110)), 10);
  memory.mark(RATE_MS + 5_000, [channel(110)]);
  assert.equal(memory.rate(channel(110)), 8, "the oldest look is forgotten");
  assert.equal(memory.rate(channel(3, "b")), undefined, "another log");
  assert.equal(memory.rate(channel(null)), undefined);
});

Deno.test("instances are added up, the memory of their process is not", () => {
  const throughput = {
    messagesPerSecond: 1,
    eventsPerSecond: 20,
    broadcastsPerSecond: 3,
  };
  const one = {
    id: "a",
    startedAt: 0,
    at: 0,
    connections: 4,
    totalConnections: 9,
    memoryUsage: 100,
    throughput,
  };
  assert.deepEqual(sampleOf(7, [one, { ...one, memoryUsage: 120 }], 1.5), {
    at: 7,
    connections: 8,
    published: 6,
    delivered: 40,
    deliveryMs: 1.5,
    memory: 120,
  });
  assert.equal(sampleOf(7, [], undefined).memory, 0);
});

Deno.test("numbers are written in few words", () => {
  assert.deepEqual([0, 99_400, 600_000, 7_200_000, 40 * 86_400_000].map(span), [
    "0 s",
    "99 s",
    "10 min",
    "2 h",
    "40 d",
  ]);
  // A clock that was set back shows as what it is, not as "just now".
  assert.deepEqual([-400, -3_000, -3_600_000].map(span), [
    "0 s",
    "−3 s",
    "−60 min",
  ]);
  assert.deepEqual([0, 0.42, 12.5, 1250].map(few), ["0", "0.4", "13", "1,250"]);
  assert.deepEqual([5_000, 144_891_904, 2.5e9].map(bytes), [
    "5 kB",
    "145 MB",
    "2.5 GB",
  ]);
});

Deno.test("the top of the page shows the worst problem, and whether the data is old", () => {
  const alert = (severity: string, message: string) => ({
    id: message,
    type: "t",
    severity,
    message,
    startedAt: 0,
  });
  const view = {
    ready: true,
    checks: {
      store: { ok: true, detail: "fine" },
      link: { ok: true, degraded: true, detail: "late" },
    },
    active: [alert("warning", "slow"), alert("critical", "no block")],
    instances: [],
    unread: ["alerts: the store is away"],
  };
  const said = (known: Known) =>
    findings(known).map(({ tone, label, detail }) =>
      `${tone} ${label} ${detail}`
    );
  const fresh = { view, fault: "", ageMs: 0 };
  assert.deepEqual(said(fresh), [
    "bad Not known alerts: the store is away",
    "bad Critical no block",
    "busy Alert slow",
    "busy Degraded link: late",
  ]);
  const down = { store: { ok: false, detail: "cannot be written" } };
  assert.deepEqual(
    said({ ...fresh, view: { ...view, ready: false, checks: down } })[0],
    "bad Not ready store: cannot be written",
  );
  assert.equal(
    said({ ...fresh, fault: "No answer: gone" })[0],
    "bad No answer gone",
  );
  assert.equal(said({ ...fresh, ageMs: STALE_MS })[0], "bad No answer for 3 s");
  assert.deepEqual(
    [STALE_MS - 1, STALE_MS].map((ageMs) => isStale({ ...fresh, ageMs })),
    [false, true],
  );
  const well = { ...view, checks: {}, active: [], unread: [] };
  assert.deepEqual(said({ ...fresh, view: well }), ["good Ready 0 instances"]);
  const nothing = { view: undefined, fault: "", ageMs: 9_000 };
  assert.deepEqual(said(nothing), ["busy Loading "]);
  assert(!isStale(nothing));
});

Deno.test("the API page shows every message, verb, endpoint and refusal", async () => {
  await using service = await openTestService();
  const endpoints = service.endpoints();
  const reference = referenceOf(
    asyncApi("h") as unknown as AsyncDocument,
    openApi(endpoints) as unknown as OpenDocument,
    "https://rt.example.com",
  );
  assert.equal(reference.socket, "wss://rt.example.com/ws");
  const entries = reference.sections.flatMap((section) => section.entries);
  const ids = entries.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, "an anchor is there twice");
  const all = entries.map((it) => wordsOf(it, reference.resolve)).join(" ");
  for (const type of Object.keys(MESSAGES)) {
    assert(all.includes(type.toLowerCase()), type);
  }
  for (const { method, path } of endpoints) {
    const name = method.toUpperCase();
    assert(entries.some((it) => it.badge === name && it.name === path), path);
  }
  const publish = entries.find(({ name }) => name === "/api/publish")!;
  const [call] = publish.parts.find(({ title }) => title === "Send")!.examples;
  assert.match(call!.text, /^curl -X POST 'https:\/\/rt\.example\.com\/api/);
  assert.match(call!.text, /authorization: Bearer \$TOKEN/);
});

Deno.test("a schema is shown in words", () => {
  assert.equal(
    typeOf({ type: "array", items: { type: "integer" } }),
    "integer[]",
  );
  assert.equal(
    typeOf({ type: "array", items: { type: ["integer", "null"] } }),
    "(integer | null)[]",
  );
  assert.equal(typeOf({ enum: ["a", "b"] }), "a | b");
  assert.match(
    typeOf({ enum: Array.from({ length: 9 }, String) }),
    /… 1 more$/,
  );
  assert.equal(
    typeOf({ type: "string", format: "date-time" }),
    "ISO 8601 instant",
  );
  assert.equal(typeOf({}), "any JSON");
  assert.equal(
    boundsOf({ minLength: 1, maxLength: 64, pattern: "^a" }),
    "1 to 64 characters, ^a",
  );
  assert.equal(
    boundsOf({ exclusiveMinimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    "1 or more",
  );
});

async function enter(page: Page, server: TestServer): Promise<string> {
  const token = await server.token("admin");
  await page.goto(`${server.url}/admin`);
  await page.getByLabel("Token with the role admin").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator(".tiles").waitFor();
  return token;
}

const REFUSED = /status of 40[13]/;

browserTest("the operator's page, in Chromium", async (t) => {
  await build();
  await using server = await TestServer.start();
  await server.publish([{
    type: "ALERT_TRIGGERED",
    payload: {
      type: "test",
      severity: "critical",
      message: "Node 7 is on fire",
    },
  }]);

  await t.step(
    "admits only admins, and shows why not",
    () =>
      withPage(async ({ page }) => {
        await page.goto(`${server.url}/admin`);
        const field = page.getByLabel("Token with the role admin");
        await field.fill("nonsense");
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByRole("alert").getByText("Token is malformed").waitFor();
        await field.fill(await server.token("publisher"));
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByRole("alert").getByText("needs the role admin")
          .waitFor();
        assert.notEqual(
          await field.inputValue(),
          "",
          "what was written is gone",
        );
        assert.equal(await field.getAttribute("type"), "password");
      }, { expectedErrors: REFUSED }),
  );

  await t.step(
    "keeps the token in memory alone, unless it is asked to keep it in the tab",
    () =>
      withPage(async ({ page, context }) => {
        const token = await enter(page, server);
        const kept = await page.evaluate(
          "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, document.documentElement.outerHTML])",
        ) as string;
        assert(!kept.includes(token), "the token can be found in the page");
        assert.deepEqual(await context.cookies(), []);
        await page.reload();
        await page.getByLabel("Token with the role admin").fill(token);
        await page.getByLabel("Keep it in this tab").check();
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.locator(".tiles").waitFor();
        await page.reload();
        await page.locator(".tiles").waitFor();
        await page.getByRole("button", { name: "Sign out" }).click();
        await page.getByLabel("Token with the role admin").waitFor();
        assert.equal(await page.evaluate("sessionStorage.length"), 0);
      }),
  );

  await t.step(
    "signs in by the link of deno task dev, and keeps nothing of it",
    () =>
      withPage(async ({ page }) => {
        const token = await server.token("admin");
        await page.goto(`${server.url}/admin#token=${token}`);
        await page.locator(".tiles").waitFor();
        const kept = await page.evaluate(
          "JSON.stringify([location.href, history.length, document.documentElement.outerHTML])",
        ) as string;
        assert(!kept.includes(token), "the token can be found in the page");
      }),
  );

  await t.step(
    "shows channels, health, instances and alerts",
    () =>
      withPage(async ({ page }) => {
        await enter(page, server);
        await page.getByText("Node 7 is on fire").waitFor();
        const row = page.getByRole("region", { name: "Channels, table" })
          .getByRole("row", { name: /^alerts/ });
        await until(
          async () => /alerts\s+1\s/.test(await row.innerText()),
          "one event of the channel",
        );
        await page.locator(".checks li", { hasText: "store" })
          .getByText("ok", { exact: true }).waitFor();
        await until(
          async () => await page.locator(".line canvas").count() === 4,
          "four lines",
        );
        await page.locator(".freshness strong", { hasText: "Ready" }).waitFor();
      }),
  );

  await t.step(
    "finds a session and sends it away",
    () =>
      withPage(async ({ page }) => {
        const socket = new WebSocket(`${server.url.replace("http", "ws")}/ws`);
        const closed = new Promise<number>((resolve) => {
          socket.onclose = ({ code }) => resolve(code);
        });
        await new Promise((resolve) => socket.onopen = resolve);
        socket.send('{"type":"connect","payload":{"client":"find-me/1"}}');
        socket.send('{"type":"subscribe","payload":{"channels":["dag"]}}');
        await enter(page, server);
        await page.getByLabel("Search sessions").fill("find-me dag");
        const row = page.getByRole("row", { name: /find-me\/1/ });
        await row.waitFor();
        await row.getByRole("button", { name: /details/ }).click();
        const shown = page.getByRole("dialog", { name: /^anonymous/ });
        await shown.getByRole("row", { name: /^dag/ }).waitFor();
        await page.keyboard.press("Escape");
        await row.getByRole("button", { name: /^Disconnect anonymous/ })
          .click();
        const dialog = page.getByRole("dialog", { name: /^Disconnect/ });
        await dialog.getByText("Closes this one session").waitFor();
        assert.deepEqual(await faults(page), []);
        await dialog.getByRole("button", { name: "Disconnect" }).click();
        assert(await closed >= 4_500, "it may come back by itself");
        await page.getByRole("region", { name: "Sessions", exact: true })
          .getByText(/None match\.|No client is connected\./).waitFor();
      }),
  );

  await t.step(
    "blocks and unblocks an address",
    () =>
      withPage(async ({ page }) => {
        await enter(page, server);
        const address = page.getByLabel("Address or CIDR");
        const panel = page.getByRole("region", {
          name: "Blocked addresses",
          exact: true,
        });
        await address.fill("not an address");
        await page.getByLabel("Reason", { exact: true }).fill("scraping");
        await panel.getByRole("button", { name: "Block", exact: true }).click();
        await panel.getByRole("alert").getByText("ip is neither").waitFor();
        assert.equal(await address.inputValue(), "not an address");
        await address.fill("198.51.100.0/24");
        await panel.getByRole("button", { name: "Block", exact: true }).click();
        const dialog = page.getByRole("dialog", {
          name: "Block 198.51.100.0/24",
        });
        await dialog.getByText("Closes no session").waitFor();
        await dialog.getByText("for 10 minutes").waitFor();
        await dialog.getByRole("button", { name: "Cancel" }).click();
        assert.equal(await address.inputValue(), "198.51.100.0/24");
        await panel.getByRole("button", { name: "Block", exact: true }).click();
        await dialog.getByRole("button", { name: "Block", exact: true })
          .click();
        const row = panel.getByRole("row", { name: /198\.51\.100\.0\/24/ })
          .first();
        await row.getByText("scraping").waitFor();
        await until(
          async () => await address.inputValue() === "",
          "the form is empty again",
        );
        await row.getByRole("button", { name: "Unblock 198.51.100.0/24" })
          .click();
        await page.getByRole("dialog").getByRole("button", { name: "Unblock" })
          .click();
        await page.getByText("No address is blocked.").waitFor();
        const { blocks } = await server.json("/api/admin/blocks", {
          headers: { authorization: `Bearer ${await server.token("admin")}` },
        });
        assert.deepEqual(blocks, []);
      }, { expectedErrors: /status of 400/ }),
  );

  await t.step(
    "shows what fires, and silences it",
    async () => {
      await using stale = await TestServer.start({
        settings: { ALERT_MEMORY_MB: "64" },
      });
      await withPage(async ({ page }) => {
        await enter(page, stale);
        const type = "memory";
        // A busy machine may let other alerts fire beside it.
        const silence = page.locator(".active li", { hasText: "for" })
          .getByRole("button", { name: `Silence ${type}` });
        await until(
          async () => await silence.count() === 1,
          "an alert about memory",
        );
        await silence.click();
        const dialog = page.getByRole("dialog", { name: `Silence ${type}` });
        await dialog.getByLabel("Reason").fill("known");
        await dialog.getByRole("button", { name: "Silence" }).click();
        const silent = page.locator(".active li", { hasText: "silenced" });
        await silent.getByText(/memory by .*, 60 min left/).waitFor();
        await silent.getByText("known").waitFor();
        await silent.getByRole("button", { name: "Unsilence" }).click();
        await page.getByRole("dialog")
          .getByRole("button", { name: "Unsilence" }).click();
        await silent.waitFor({ state: "detached" });
      });
    },
  );

  await t.step(
    "revokes a user, and takes that back",
    () =>
      withPage(async ({ page }) => {
        await enter(page, server);
        const panel = page.getByRole("region", {
          name: "Revoked tokens",
          exact: true,
        });
        const dialog = page.getByRole("dialog");
        await page.getByLabel("User or token id").fill("mallory");
        await panel.getByRole("button", { name: "Revoke", exact: true })
          .click();
        await dialog.getByText("All tokens issued until now").waitFor();
        await dialog.getByRole("button", { name: "Revoke" }).click();
        const row = panel.getByRole("row", { name: /mallory/ });
        await row.waitFor();
        await row.getByRole("button", { name: "Restore user mallory" }).click();
        await dialog.getByRole("button", { name: "Restore" }).click();
        await row.waitFor({ state: "detached" });
        const events = page.getByRole("region", {
          name: "Security events",
          exact: true,
        });
        await events.getByLabel("Operators' orders only").check();
        await events.getByText("restore user mallory").waitFor();
      }),
  );

  await t.step(
    "says before a block whom it cuts off, the operator too",
    () =>
      withPage(async ({ page }) => {
        const sockets = Array.from(
          { length: 3 },
          () => new WebSocket(`${server.url.replace("http", "ws")}/ws`),
        );
        await Promise.all(
          sockets.map((it) => new Promise((resolve) => it.onopen = resolve)),
        );
        await enter(page, server);
        const panel = page.getByRole("region", {
          name: "Blocked addresses",
          exact: true,
        });
        await page.getByLabel("Address or CIDR").fill("127.0.0.0/8");
        await panel.getByRole("button", { name: "Block", exact: true }).click();
        const dialog = page.getByRole("dialog");
        await dialog.getByText(/Closes 3 sessions/).waitFor();
        await dialog.getByText("your own sessions end too").waitFor();
        await dialog.getByRole("button", { name: "Cancel" }).click();
        const closed = sockets.map((it) =>
          new Promise((resolve) => it.onclose = resolve)
        );
        for (const socket of sockets) socket.close();
        await Promise.all(closed);
      }),
  );

  await t.step(
    "lists rooms and sessions in pages, and holds them still under the pointer",
    () =>
      withPage(async ({ page }) => {
        await server.publish(
          Array.from({ length: 60 }, (_, i) => ({
            type: "ROOM_MESSAGE" as const,
            channel: `room:r${String(i).padStart(2, "0")}`,
            payload: { event: `hello ${i}` },
          })),
        );
        await enter(page, server);
        const panel = page.getByRole("region", { name: "Rooms", exact: true });
        await panel.getByText("1–50 of 60").waitFor();
        await panel.getByRole("button", { name: "Room", exact: true }).click();
        await panel.getByRole("row").nth(1).getByText("room:r59").waitFor();
        await panel.getByRole("button", { name: "Next" }).click();
        await panel.getByText("51–60 of 60").waitFor();
        await panel.getByLabel("Search rooms").fill("R07");
        const row = panel.getByRole("row", { name: /room:r07/ });
        await panel.getByText("1–1 of 1").waitFor();
        await row.hover();
        await panel.getByText(/held still/).waitFor();
        await row.getByRole("button", { name: /details/ }).click();
        const dialog = page.getByRole("dialog", { name: "room:r07" });
        await dialog.getByText("hello 7").waitFor();
        assert.deepEqual(await faults(page), []);
        await dialog.getByRole("button", { name: "Close" }).click();
        await page.getByLabel("Search rooms").fill("");
        await panel.getByText("1–50 of 60").waitFor();
      }),
  );

  await t.step(
    "shows that the service is away, and continues after",
    () =>
      withPage(async ({ page }) => {
        await enter(page, server);
        await server.stop("SIGKILL");
        await page.locator(".freshness strong", { hasText: "No answer" })
          .waitFor();
        await server.begin();
        await page.locator(".freshness strong", { hasText: "Ready" }).waitFor();
      }, { expectedErrors: SERVER_LOST }),
  );

  await t.step(
    "keeps a row's name in sight while its table scrolls on a phone",
    () =>
      withPage(async ({ page }) => {
        await enter(page, server);
        const table = page.getByRole("region", { name: "Instances, table" });
        const row = table.getByRole("row").nth(1);
        await row.waitFor();
        await page.evaluate(
          `document.querySelector('[aria-label="Instances, table"]').scrollLeft = 999`,
        );
        const box = await table.boundingBox();
        const name = await row.getByRole("rowheader").boundingBox();
        const next = await row.getByRole("cell").first().boundingBox();
        assert(next!.x < box!.x + name!.width, "the table does not scroll");
        assert.equal(name!.x, box!.x);
      }, { viewport: { width: 390, height: 844 } }),
  );
});

browserTest("the operator's page in every state, in Chromium", async (t) => {
  await build();
  await using server = await TestServer.start();

  await t.step(
    "is good while it loads, asks for a token and refuses one",
    () =>
      withPage(async ({ page }) => {
        const scripts = /\.js(\?|$)/;
        await page.route(scripts, () => {});
        await page.goto(`${server.url}/admin`, { waitUntil: "commit" });
        await page.getByText("Loading …").waitFor();
        await isGood(page, "/admin without code");
        await page.unroute(scripts);
        await page.goto(`${server.url}/admin`);
        const field = page.getByLabel("Token with the role admin");
        await field.waitFor();
        await isGood(page, "/admin, signed out");
        await field.fill("nonsense");
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByRole("alert").waitFor();
        await isGood(page, "/admin, refused");
      }, { expectedErrors: REFUSED }),
  );

  await t.step(
    "is good while it is empty, knows nothing yet, and knows only a part",
    () =>
      withPage(async ({ page }) => {
        await enter(page, server);
        await page.locator(".freshness.good").waitFor();
        await isGood(page, "/admin, empty");
        await page.route("**/api/admin/alerts", (route) =>
          route.fulfill({
            status: 503,
            json: { code: "STORE_UNAVAILABLE", message: "The store is away" },
          }));
        await page.locator(".worst").getByText(/^Not known/).waitFor();
        await isGood(page, "/admin, failed");
        await page.route("**/ready", () => {});
        await page.goto("about:blank");
        const token = await server.token("admin");
        await page.goto(`${server.url}/admin#token=${token}`);
        await page.locator(".freshness", { hasText: "Loading" }).waitFor();
        await isGood(page, "/admin without data");
      }, { expectedErrors: /status of 503/ }),
  );

  await t.step(
    "is good while it is full, shows a detail, and is stale",
    () =>
      withPage(async ({ page }) => {
        const authorization = `Bearer ${await server.token("admin")}`;
        const order = async (path: string, body: object) => {
          const response = await fetch(`${server.url}/api/admin/${path}`, {
            method: "POST",
            headers: { authorization, "content-type": "application/json" },
            body: JSON.stringify(body),
          });
          assert(response.ok, await response.text());
        };
        await order("blocks", { ip: "198.51.100.0/24", reason: "scraping" });
        await order("revocations", { user: "mallory" });
        await server.publish([
          ...Array.from({ length: 60 }, (_, i) => ({
            type: "ROOM_MESSAGE" as const,
            channel: `room:r${i}`,
            payload: { event: "hello" },
          })),
          {
            type: "ALERT_TRIGGERED",
            payload: { type: "test", severity: "critical", message: "Fire" },
          },
        ]);
        const socket = new WebSocket(server.socketUrl);
        await new Promise((resolve) => socket.onopen = resolve);
        socket.send('{"type":"subscribe","payload":{"channels":["dag"]}}');
        await enter(page, server);
        await page.getByText("1–50 of 60").waitFor();
        await page.getByText("mallory").first().waitFor();
        await isGood(page, "/admin, full");
        await page.getByRole("region", { name: "Sessions", exact: true })
          .getByRole("button", { name: /details/ }).first().click();
        await page.getByRole("dialog").getByRole("row").first().waitFor();
        await isGood(page, "/admin, a session");
        await page.keyboard.press("Escape");
        const closed = new Promise((resolve) => socket.onclose = resolve);
        await server.stop("SIGKILL");
        await closed;
        await page.locator("main.stale").waitFor();
        await isGood(page, "/admin, stale");
        assert.deepEqual(await hiddenFocus(page), []);
      }, { expectedErrors: SERVER_LOST }),
  );
});

browserTest("the top of the operator's page, in Chromium", async (t) => {
  await build();
  await using server = await TestServer.start({
    settings: { TRUSTED_PROXIES: "127.0.0.1" },
  });
  // Its chain stands still from here on.
  await using still = await TestServer.start();
  await still.publish(
    Array.from({ length: CHAIN_BLOCKS }, (_, i) => ({
      type: "NEW_BLOCK" as const,
      payload: { blockId: `b${i}`, height: i, timestamp: AT },
    })),
  );
  await withPage(async ({ page, context }) => {
    await enter(page, server);
    const pill = page.locator(".freshness");
    await t.step("says that all is well, and as of when", async () => {
      await pill.getByText(/as of \d\d:\d\d:\d\d/).waitFor();
      assert.equal(await page.locator(".worst").count(), 0);
    });
    await t.step("shows an alert that fires above all else", async () => {
      await Promise.all(
        Array.from({ length: 100 }, async (_, i) => {
          const response = await fetch(`${server.url}/api/channels`, {
            headers: {
              authorization: "Bearer no.good.token",
              "x-forwarded-for": `198.51.${i}.7`,
            },
          });
          await response.body?.cancel();
        }),
      );
      const top = page.locator(".worst").getByText(/tokens were not accepted/);
      await top.waitFor();
      assert((await top.boundingBox())!.y < 200, "it is not at the top");
      await pill.locator("strong", { hasText: "Alert" }).waitFor();
      assert.deepEqual(await faults(page), []);
      const { out } = await kaldrix(["check", "--url", server.url]);
      assert.match(out, /^warn +alerts .*failed_authentications/m);
      assert.match(server.log, /"alert"/);
    });
    await t.step("shows a store that can no longer be written", async () => {
      await Deno.rename(server.kvPath, `${server.kvPath}.gone`);
      const top = page.locator(".worst").getByText(/^Not ready store:/);
      await top.waitFor();
      assert((await top.boundingBox())!.y < 200, "it is not at the top");
      await until(async () => {
        const response = await fetch(`${server.url}/metrics`);
        return /^kaldrix_ready\{[^}]*\} 0$/m.test(await response.text());
      }, "the metrics say it");
      const { code, out } = await kaldrix(["check", "--url", server.url]);
      assert.equal(code, 1);
      assert.match(out, /^failed +store /m);
      await until(() => /store_unusable/.test(server.log), "the log says it");
      await Deno.rename(`${server.kvPath}.gone`, server.kvPath);
      await top.waitFor({ state: "detached" });
    });
    await t.step("shows a dead server, and greys what it knew", async () => {
      await server.stop("SIGKILL");
      await page.locator("main.stale").waitFor();
      const { code, out } = await kaldrix(["check", "--url", server.url]);
      assert.equal(code, 1);
      assert.match(out, /^failed +reachable .*nothing listens there$/m);
      await pill.locator("strong", { hasText: "No answer" }).waitFor();
      const grey = await page.evaluate(
        "getComputedStyle(document.querySelector('main')).filter",
      );
      assert.equal(grey, "grayscale(1)");
      assert.deepEqual(await faults(page), []);
    });
    await t.step("is fresh again with the server", async () => {
      await server.begin();
      await page.locator("main:not(.stale)").waitFor();
    });
    await t.step("shows a chain that stands still", async () => {
      const other = await context.newPage();
      await enter(other, still);
      const top = other.locator(".worst").getByText(/^Critical No block for/);
      await top.waitFor({ timeout: 2 * STALE_HEAD_MS });
      assert((await top.boundingBox())!.y < 200, "it is not at the top");
      assert.deepEqual(await faults(other), []);
      await until(async () => {
        const text = await (await fetch(`${still.url}/metrics`)).text();
        return /^kaldrix_alerts_firing\{[^}]*stale_head[^}]*\} 1$/m.test(
          text,
        ) &&
          /^kaldrix_head_age_seconds(?:\{[^}]*\})? (?:[6-9]\d|\d{3})/m.test(
            text,
          );
      }, "the metrics say it");
      const { out } = await kaldrix(["check", "--url", still.url]);
      assert.match(out, /^failed +alerts .*stale_head/m);
      assert.match(still.log, /"alert".*stale_head/);
    });
  }, {
    expectedErrors: new RegExp(`${SERVER_LOST.source}|${REFUSED.source}`),
  });
});
