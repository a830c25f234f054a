/**
 * The live page under a hand: lists stand still while they are pointed at,
 * pressed or focused, and the whole page while it is paused.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { build } from "../../client/build.ts";

import { pause, TestServer } from "../server.ts";
import { until } from "../until.ts";
import { browserTest, faults, withPage } from "./browser.ts";

/** Presses that must open what was pressed. */
const PRESSES = 100;
/** How long a press lasts, in milliseconds. */
const PRESS_MS = 100;
/** Time between two blocks, in milliseconds: 30 a second. */
const BLOCK_MS = 33;

/** Blocks that follow each other until it is disposed. */
class Flow implements AsyncDisposable {
  /** Height of the newest one. */
  height = 0;
  #isFlowing = true;
  readonly #end: Promise<void>;
  #failure: unknown;

  constructor(server: TestServer) {
    this.#end = this.#run(server).catch((error) => {
      this.#failure = error;
    });
  }

  /** Waits for `count` more blocks. */
  async more(count: number): Promise<void> {
    const from = this.height;
    await until(() => {
      if (this.#failure) throw this.#failure;
      return this.height >= from + count;
    }, `${count} more blocks`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isFlowing = false;
    await this.#end;
  }

  async #run(server: TestServer): Promise<void> {
    while (this.#isFlowing) {
      const height = this.height + 1;
      const timestamp = new Date().toISOString();
      await server.publish([{
        type: "NEW_BLOCK",
        payload: { blockId: `b${height}`, height, timestamp },
      }]);
      this.height = height;
      await pause(BLOCK_MS);
    }
  }
}

/**
 * Has the page note which row each press began on, and which one it opened.
 * Nothing opens, so that a hundred presses need one page.
 */
const NOTE_PRESSES = `
  window.presses = [];
  const rowOf = (event) =>
    event.target.closest("li")?.querySelector(".height")?.textContent;
  let pressed;
  addEventListener("pointerdown", (event) => pressed = rowOf(event), true);
  addEventListener("click", (event) => {
    event.preventDefault();
    event.stopPropagation();
    presses.push({ pressed, opened: rowOf(event) });
  }, true)`;

interface Press {
  readonly pressed: string | undefined;
  readonly opened: string | undefined;
}

const rowsOf = (page: Page) => page.locator(".panel.blocks li");

/** Waits until the list of blocks moves: its first row becomes another. */
async function moves(page: Page): Promise<void> {
  const before = await rowsOf(page).first().innerText();
  await until(
    async () => await rowsOf(page).first().innerText() !== before,
    "a list that moves",
  );
}

/** Where a row is, asked in one turn: its element may leave in the next. */
async function placeOf(
  page: Page,
  row: number,
): Promise<{ x: number; y: number }> {
  return await page.evaluate(`{
    const { x, y, height } = document.querySelectorAll(".panel.blocks li")[${row}]
      .getBoundingClientRect();
    ({ x: x + 40, y: y + height / 2 });
  }`);
}

/** Opens the page, its list of blocks full and moving. */
async function open(page: Page, server: TestServer): Promise<void> {
  await page.goto(server.url);
  await until(async () => await rowsOf(page).count() >= 9, "nine blocks");
  await moves(page);
}

browserTest("the live page under a hand, in Chromium", async (t) => {
  await build();
  await using server = await TestServer.start();
  await using flow = new Flow(server);

  await t.step(
    `${PRESSES} presses of ${PRESS_MS} ms open what was pressed`,
    () =>
      withPage(async ({ page }) => {
        await open(page, server);
        await page.evaluate(NOTE_PRESSES);
        for (let i = 0; i < PRESSES; i++) {
          // Away, so that the list moves on between two presses.
          await page.mouse.move(1, 1);
          if (i % 10 === 0) await moves(page);
          const { x, y } = await placeOf(page, i % 9);
          await page.mouse.move(x, y);
          await page.mouse.down();
          await page.waitForTimeout(PRESS_MS);
          await page.mouse.up();
        }
        const presses = await page.evaluate("presses") as Press[];
        assert.equal(presses.length, PRESSES);
        assert(presses.every(({ pressed }) => pressed !== undefined));
        assert.deepEqual(
          presses.filter(({ pressed, opened }) => pressed !== opened),
          [],
        );
      }),
  );

  await t.step(
    "a finger opens what it pressed, where nothing hovers",
    () =>
      withPage(async ({ page, context }) => {
        await open(page, server);
        await page.evaluate(NOTE_PRESSES);
        const devtools = await context.newCDPSession(page);
        const touch = (type: string, touchPoints: object[]) =>
          devtools.send(
            "Input.dispatchTouchEvent",
            { type, touchPoints } as Parameters<
              typeof devtools.send<"Input.dispatchTouchEvent">
            >[1],
          );
        for (let i = 0; i < 10; i++) {
          await moves(page);
          // Scrolled by the list, since no row of it stands still.
          await page.evaluate(
            "document.querySelector('.panel.blocks ol').scrollIntoView({ block: 'center' })",
          );
          await touch("touchStart", [await placeOf(page, i % 9)]);
          await page.waitForTimeout(PRESS_MS);
          await touch("touchEnd", []);
          await until(
            async () => await page.evaluate("presses.length") === i + 1,
            "a tap",
          );
        }
        const presses = await page.evaluate("presses") as Press[];
        assert.deepEqual(
          presses.filter(({ pressed, opened }) =>
            pressed === undefined || pressed !== opened
          ),
          [],
        );
        // After the last tap the list goes on by itself.
        await moves(page);
      }, {
        viewport: { width: 390, height: 844 },
        hasTouch: true,
        isMobile: true,
      }),
  );

  await t.step(
    "keyboard focus stays where it is, and the list goes on after",
    () =>
      withPage(async ({ page }) => {
        await open(page, server);
        await page.getByRole("button", { name: "Pause" }).focus();
        await until(async () => {
          await page.keyboard.press("Tab");
          return await page.evaluate(
            "document.activeElement.closest('.panel.blocks') !== null",
          ) as boolean;
        }, "focus in the blocks");
        const focused = () =>
          page.evaluate("document.activeElement.innerText") as Promise<string>;
        const before = await focused();
        await flow.more(30);
        assert.equal(await focused(), before);
        await page.evaluate("document.activeElement.blur()");
        await until(
          async () => !(await rowsOf(page).allInnerTexts()).includes(before),
          "newer blocks",
        );
      }),
  );

  await t.step(
    "Pause holds the whole page, and lets it go",
    () =>
      withPage(async ({ page }) => {
        await open(page, server);
        await page.getByRole("button", { name: "Pause" }).click();
        await page.mouse.move(1, 1);
        await page.getByRole("status").getByText("Paused").waitFor();
        const main = page.locator("main");
        const before = await main.innerText();
        await flow.more(30);
        // Longer than the page rests between two drawings.
        await page.waitForTimeout(1_500);
        assert.equal(await main.innerText(), before);
        assert.deepEqual(await faults(page), []);
        await page.getByRole("button", { name: "Resume" }).click();
        await page.getByRole("status").getByText("Live").waitFor();
        await moves(page);
      }),
  );
});
