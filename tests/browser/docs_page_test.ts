/**
 * The API page in a real Chromium before the real service: what it finds, and
 * what it tries over a connection of its own.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { build } from "../../client/build.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";
import {
  browserTest,
  hiddenFocus,
  isGood,
  SERVER_LOST,
  withPage,
} from "./browser.ts";

/** Opens the page, its reference drawn. */
async function open(page: Page, server: TestServer): Promise<void> {
  await page.goto(`${server.url}/docs`);
  await page.locator("article#subscribe").waitFor();
}

/** The frames that are listed, of one type. */
function framesOf(page: Page, type: string) {
  return page.locator(".frames li").filter({
    has: page.locator("strong").getByText(type, { exact: true }),
  });
}

/** Chooses a form of the chapter. */
async function choose(page: Page, way: string): Promise<void> {
  await page.getByRole("radio", { name: way }).check();
}

/** Sends the form that is shown. */
async function send(page: Page, way: string): Promise<void> {
  await page.locator("form.trial").getByRole("button", { name: way }).click();
}

function transaction(txId: string, from: string) {
  return {
    type: "TX_RECEIVED" as const,
    payload: {
      txId,
      from,
      to: "0xb2",
      amount: "1",
      gasPrice: "1",
      gasLimit: 21_000,
      nonce: 1,
      status: "pending" as const,
      timestamp: "2025-08-07T10:00:00.000Z",
    },
  };
}

browserTest("the API page, in Chromium", async (t) => {
  await build();
  await using server = await TestServer.start();

  await t.step(
    "finds its way through the API",
    () =>
      withPage(async ({ page }) => {
        await page.goto(`${server.url}/docs#refusals`);
        await page.getByRole("cell", { name: "4008" }).waitFor();
        await page.keyboard.press("/");
        await page.keyboard.type("block an address or a network");
        await page.getByText("POST", { exact: true }).first().waitFor();
        await until(
          async () => await page.locator("article").count() < 8,
          "few entries",
        );
        await page.locator("article", { hasText: "Block an address" }).first()
          .getByText("198.51.100.7").first().waitFor();
        await page.keyboard.press("Escape");
        await page.locator("article#subscribe").waitFor();
        await page.keyboard.press("/");
        await page.keyboard.type("no such thing");
        await page.getByText("No entries match").waitFor();
      }),
  );

  await t.step(
    "shows the API page's contents on a phone, wherever one is",
    () =>
      withPage(async ({ page }) => {
        await page.goto(`${server.url}/docs#refusals`);
        await page.getByRole("cell", { name: "4008" }).waitFor();
        await page.getByRole("button", { name: "Contents" }).click();
        const contents = page.getByRole("navigation", { name: "Contents" });
        const { y, height } = (await contents.boundingBox())!;
        assert.deepEqual({ y, height }, { y: 0, height: 844 });
        await contents.getByRole("link", { name: "Channels", exact: true })
          .click();
        await contents.waitFor({ state: "hidden" });
        await until(async () => {
          const heading = await page.locator("#channels").boundingBox();
          const bar = await page.locator(".bar").boundingBox();
          return heading!.y >= bar!.height && heading!.y < 844;
        }, "the heading below the bar");
      }, { viewport: { width: 390, height: 844 }, reducedMotion: "reduce" }),
  );

  await t.step(
    "opens no connection before something is tried",
    () =>
      withPage(async ({ page }) => {
        let opened = 0;
        page.on("websocket", () => opened++);
        await open(page, server);
        await page.getByText("Not connected").waitFor();
        await choose(page, "Request");
        assert.equal(opened, 0);
        await page.getByLabel("Verb", { exact: true }).selectOption("ping");
        await send(page, "Request");
        await page.getByText(/^Answered after/).waitFor();
        await page.getByText("Connected as anonymous").waitFor();
        assert.equal(opened, 1);
        // What was sent, and what answered it.
        await framesOf(page, "ping").first().waitFor();
        await framesOf(page, "pong").first().waitFor();
      }),
  );

  await t.step(
    "follows a channel by a filter, and edits it",
    () =>
      withPage(async ({ page }) => {
        await open(page, server);
        await page.getByLabel("Channel", { exact: true }).fill("transactions");
        await page.getByLabel(/^Filter/).fill('{ "address": ["0xa1"] ');
        await send(page, "Subscribe");
        await page.getByRole("alert").getByText("The filter is not JSON")
          .waitFor();
        await page.getByLabel(/^Filter/).fill('{ "address": ["0xa1"] }');
        await send(page, "Subscribe");
        const followed = page.getByRole("list", { name: "Subscriptions" });
        await followed.getByText("joined").waitFor();
        await server.publish([
          transaction("tx-other", "0xc3"),
          transaction("tx-mine", "0xa1"),
        ]);
        await framesOf(page, "TX_RECEIVED").first().waitFor();
        assert.equal(await framesOf(page, "TX_RECEIVED").count(), 1);

        await choose(page, "Watch");
        await page.getByLabel(/^Values to add/).fill("0xc3, 0xd4");
        await send(page, "Watch");
        await page.getByText("Added 2 values, removed 0").waitFor();
        await server.publish([transaction("tx-third", "0xd4")]);
        await until(
          async () => await framesOf(page, "TX_RECEIVED").count() === 2,
          "the transaction of the added address",
        );
        await framesOf(page, "TX_RECEIVED").first().locator("summary").click();
        await page.getByText('"txId": "tx-third"').waitFor();

        await followed.getByRole("button", { name: /^Unsubscribe/ }).click();
        await framesOf(page, "unsubscribed").waitFor();
        await followed.waitFor({ state: "detached" });
      }),
  );

  await t.step(
    "publishes with the token that is typed in, and says what is refused",
    () =>
      withPage(async ({ page }) => {
        await open(page, server);
        await page.getByLabel("Channel", { exact: true }).fill("room:lobby");
        await send(page, "Subscribe");
        await choose(page, "Publish");
        await page.getByLabel("Message", { exact: true }).selectOption(
          "ROOM_MESSAGE",
        );
        await send(page, "Publish");
        await page.getByRole("alert").getByText("FORBIDDEN").waitFor();

        const token = page.getByLabel(/^Token/);
        await token.fill("nonsense");
        await page.getByRole("button", { name: "Use it" }).click();
        await page.getByRole("alert").getByText("UNAUTHENTICATED").waitFor();
        await token.fill(await server.token("user", { user: "ada" }));
        await page.getByRole("button", { name: "Use it" }).click();
        await page.getByText("Connected as ada, user").waitFor();

        const text = page.getByLabel(/^What is sent/);
        await text.fill((await text.inputValue()).replace("Good", "Very good"));
        await send(page, "Publish");
        await page.getByText(/^Accepted after/).waitFor();
        await framesOf(page, "published").waitFor();
        await framesOf(page, "ROOM_MESSAGE").first().locator("summary").click();
        await page.getByText('"text": "Very good morning"').first().waitFor();
        const kept = await page.evaluate(
          "JSON.stringify([{...localStorage}, {...sessionStorage}, location.href, document.documentElement.outerHTML])",
        ) as string;
        assert(!kept.includes(await token.inputValue()), "the token is kept");
      }),
  );

  await t.step(
    "is used by keyboard alone, from an entry of the reference",
    () =>
      withPage(async ({ page }) => {
        await open(page, server);
        await page.getByRole("button", { name: "Try it: block", exact: true })
          .focus();
        await page.keyboard.press("Enter");
        const verb = page.getByLabel("Verb", { exact: true });
        await until(
          async () => await verb.inputValue() === "block",
          "the verb in the form",
        );
        await until(
          async () =>
            await page.evaluate("document.activeElement.id") === "try-name",
          "the focus at the form",
        );
        // Over the text to the button.
        await page.keyboard.press("Tab");
        await page.keyboard.press("Tab");
        await page.keyboard.press("Enter");
        await page.getByText(/^Answered after/).waitFor();
        await framesOf(page, "block").waitFor();
        await page.getByRole("button", { name: "Pause" }).focus();
        await page.keyboard.press("Space");
        const before = await page.locator(".frames li").count();
        await page.getByRole("radio", { name: "Request" }).focus();
        await page.keyboard.press("ArrowLeft");
        await page.getByRole("radio", { name: "Publish", checked: true })
          .waitFor();
        await page.getByLabel("Message", { exact: true })
          .selectOption("NEW_BLOCK");
        await send(page, "Publish");
        await page.getByRole("alert").getByText("FORBIDDEN").waitFor();
        assert.equal(await page.locator(".frames li").count(), before);
      }),
  );

  await t.step(
    "is good while it is empty, full, refused and without an answer",
    () =>
      withPage(async ({ page }) => {
        await open(page, server);
        // All chapters, then the whole page with entries of every kind: all of
        // its entries at once take minutes.
        await isGood(page, "/docs", "#start, #try, #channels, #refusals");
        assert.deepEqual(await hiddenFocus(page), []);
        await page.evaluate("scrollTo(0, document.body.scrollHeight)");
        await page.locator("#sought").fill("block an address");
        await page.getByText(/\d found/).waitFor();
        await until(
          async () => await page.evaluate("scrollY") === 0,
          "the first entry that is found",
        );
        await isGood(page, "/docs, searched");
        await page.locator("#sought").fill("nothing of the kind");
        await page.getByRole("heading", { name: "No entries match" }).waitFor();
        await isGood(page, "/docs, nothing found");
        await page.locator("#sought").fill("");
        await page.getByLabel("Channel", { exact: true }).fill("transactions");
        await page.getByLabel(/^Filter/).fill('{ "from": "0xa1" }');
        await send(page, "Subscribe");
        await page.getByText("joined", { exact: true }).waitFor();
        await page.locator(".frames summary").first().click();
        await choose(page, "Watch");
        await isGood(page, "/docs, watching", "#try");
        await choose(page, "Publish");
        await page.getByLabel("Message", { exact: true })
          .selectOption("NEW_BLOCK");
        await send(page, "Publish");
        await page.getByRole("alert").getByText("FORBIDDEN").waitFor();
        await isGood(page, "/docs, refused", "#try");
        await server.stop("SIGKILL");
        await page.getByText(/^reconnecting/).waitFor();
        await isGood(page, "/docs, without an answer", "#try");
        await server.begin();
        await page.getByText("Connected as anonymous").waitFor();

        await page.route("**/openapi.json", (route) => route.abort());
        await page.goto(`${server.url}/docs`);
        await page.getByText("The documents cannot be read").waitFor();
        await isGood(page, "/docs, failed");
        // A document that never arrives, and none that fails.
        await page.unroute("**/openapi.json");
        await page.route("**/asyncapi.json", () => {});
        await page.goto(`${server.url}/docs`, { waitUntil: "commit" });
        await page.getByText("Loading the reference").waitFor();
        await isGood(page, "/docs, loading");
      }, {
        expectedErrors: new RegExp(`${SERVER_LOST.source}|net::ERR_FAILED`),
      }),
  );
});
