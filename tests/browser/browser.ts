/**
 * A real Chromium for tests. On Linux x64 it comes from npm alone:
 * `@sparticuz/chromium` brings the program and the libraries that it needs, so
 * no system package is used. Elsewhere an installed browser is used, and
 * without one the tests are ignored, with the reason printed.
 * `playwright-core` drives it, without a display and without network but for
 * the pages a test opens.
 *
 * Needs permission to read, to write below the temporary directory, and to use
 * `env`, `sys` and `run` (of any program: a child started with its own
 * `LD_LIBRARY_PATH` needs the whole of it). The driver speaks to the browser
 * over pipes, so a test needs `net` only for its own server.
 *
 * @module
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type {
  Browser,
  BrowserContext,
  BrowserContextOptions,
  Page,
} from "playwright-core";
import { whichBrowser } from "./which_browser.ts";

const choice = whichBrowser({
  ...Deno.build,
  env: (name) => Deno.env.get(name),
  exists: fs.existsSync,
});
if (choice.kind === "none") {
  // deno-lint-ignore no-console -- a test run must report what it leaves out.
  console.warn(`Browser tests ignored: ${choice.reason}`);
}

/** Registers a test that needs a browser; ignored where there is none. */
export function browserTest(
  name: string,
  test: (t: Deno.TestContext) => void | Promise<void>,
): void {
  Deno.test({ name, ignore: choice.kind === "none", fn: test });
}

/** Longest a single step in a page may take, in milliseconds. */
export const STEP_TIMEOUT_MS = 15_000;

/** What a test is given. */
export interface Stage {
  /** An empty tab. */
  readonly page: Page;
  /** What the tab belongs to: opens further tabs, goes offline. */
  readonly context: BrowserContext;
  /** Errors the page reported so far: console errors, uncaught exceptions. */
  readonly errors: readonly string[];
}

/**
 * What Chromium reports of requests and sockets whose server ends: it refuses
 * with 503 while it drains.
 */
export const SERVER_LOST =
  /WebSocket|status of 503|net::ERR_(?:CONNECTION|SOCKET|EMPTY|INCOMPLETE|INTERNET|NETWORK)/;

/** How the page is shown, and what may go wrong in it. */
export interface StageOptions extends BrowserContextOptions {
  /** Errors a test brings about itself; all others fail it. */
  readonly expectedErrors?: RegExp;
}

/**
 * Opens an empty page in a browser of its own, runs `act`, closes everything.
 *
 * @param act the test.
 * @param options size, colours, offline and the like; defaults to 1280 x 800.
 * @returns what `act` returned.
 * @throws {AssertionError} when the page reported an unexpected error.
 */
export async function withPage<Result>(
  act: (stage: Stage) => Promise<Result>,
  { expectedErrors, ...options }: StageOptions = {},
): Promise<Result> {
  const browser = await launch();
  try {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 800 },
      locale: "en-US",
      ...options,
    });
    context.setDefaultTimeout(STEP_TIMEOUT_MS);
    const errors: string[] = [];
    context.on("console", (message) => {
      if (message.type() === "error") {
        errors.push(`${message.text()} (${message.location().url})`);
      }
    });
    context.on("weberror", (thrown) => {
      errors.push(String(thrown.error().stack));
    });
    const page = await context.newPage();
    const result = await act({ page, context, errors });
    assert.deepEqual(
      errors.filter((error) => !expectedErrors?.test(error)),
      [],
      "the page reported errors",
    );
    return result;
  } finally {
    await browser.close();
  }
}

/** The text of axe-core, for a page to evaluate. */
export async function axe(): Promise<string> {
  // Importing anything of a package has Deno fetch all of it.
  await import("axe-core/package.json", { with: { type: "json" } });
  return await Deno.readTextFile(
    new URL(import.meta.resolve("axe-core/axe.min.js")),
  );
}

/** Faults that axe-core calls serious or critical. */
export async function faults(page: Page): Promise<string[]> {
  return (await findings(page))
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ text }) => text);
}

/**
 * What axe-core finds, of every level.
 *
 * @param within selects the part of the page that is looked at.
 */
export async function findings(
  page: Page,
  within = "html",
): Promise<{ readonly impact: string; readonly text: string }[]> {
  if (!await page.evaluate("'axe' in window")) await page.evaluate(await axe());
  const { violations } = await page.evaluate(
    `axe.run(${
      JSON.stringify(within)
    }, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })`,
  ) as {
    violations: { id: string; impact: string; nodes: { html: string }[] }[];
  };
  return violations.map(({ id, impact, nodes }) => ({
    impact,
    text: `${id}: ${nodes.map(({ html }) => html).join()}`,
  }));
}

/** Most stops of the keyboard that are looked at. */
const MAX_STOPS = 150;

/**
 * What the keyboard cannot show: goes through the page by Tab, once around.
 *
 * @returns what had the focus without showing it, or under something else.
 */
export async function hiddenFocus(page: Page): Promise<string[]> {
  const hidden: string[] = [];
  await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
  let stops = 0;
  for (; stops < MAX_STOPS; stops++) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(LOOK_AT_FOCUS) as
      | { readonly what: string; readonly isShown: boolean }
      | null;
    if (stop === null) break;
    if (!stop.isShown) hidden.push(stop.what);
  }
  assert(stops > 0, "nothing takes the focus");
  return hidden;
}

/** The element with the focus; `null` when it went back to the window. */
const LOOK_AT_FOCUS = `(() => {
  const it = document.activeElement;
  if (it === null || it === document.body) return null;
  const { left, right, top, bottom } = it.getBoundingClientRect();
  const inView = (from, to, most) =>
    Math.min(Math.max((from + to) / 2, Math.max(from, 0) + 1), most - 1);
  const at = document.elementFromPoint(
    inView(left, right, innerWidth),
    inView(top, bottom, innerHeight),
  );
  // Lines of SVG mark the focus by what they hold.
  const marked = [it, it.parentElement, ...it.children].some((each) => {
    const { outlineStyle, outlineWidth, boxShadow, stroke } =
      getComputedStyle(each);
    return outlineStyle !== "none" && parseFloat(outlineWidth) > 0 ||
      it instanceof SVGElement && stroke !== "none";
  });
  return {
    what: it.outerHTML.slice(0, 160),
    isShown: marked && at !== null && (it.contains(at) || at.contains(it)),
  };
})()`;

/** Colours and widths in which pages are looked at. */
const MODES = (["light", "dark"] as const).flatMap((colorScheme) =>
  [390, 1440].map((width) => ({ colorScheme, width }))
);

/** Resolves once the page was drawn as it is now. */
const DRAWN =
  "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))";

/**
 * Asserts that there is no finding of any level, and nothing wider than the
 * window, in all modes; the last one stays.
 *
 * @param what names the page and its state.
 * @param within as for {@link findings}.
 */
export async function isGood(
  page: Page,
  what: string,
  within?: string,
): Promise<void> {
  for (const { colorScheme, width } of MODES) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width, height: 844 });
    await page.waitForFunction(
      `matchMedia("(prefers-color-scheme: ${colorScheme})").matches &&
        innerWidth === ${width}`,
    );
    // Until a frame is drawn, some colours may still be those of the last mode.
    await page.evaluate(DRAWN);
    const where = `${what}, ${colorScheme}, ${width} px`;
    assert.deepEqual(
      (await findings(page, within)).map(({ text }) => text),
      [],
      where,
    );
    const wide = await page.evaluate("document.documentElement.scrollWidth");
    assert.equal(wide, width, where);
  }
}

async function launch(): Promise<Browser> {
  const { chromium } = await driver();
  const args = [
    "--no-sandbox",
    "--no-pings",
    "--disable-domain-reliability",
    "--font-render-hinting=none",
  ];
  if (choice.kind === "none") throw new Error(choice.reason);
  if (choice.kind === "installed") {
    return await chromium.launch({ executablePath: choice.path, args });
  }
  const home = await unpacked();
  return await chromium.launch({
    executablePath: join(home, "chromium"),
    env: {
      HOME: home,
      LANG: "en_US.UTF-8",
      LD_LIBRARY_PATH: join(home, "al2023", "lib"),
      FONTCONFIG_FILE: join(home, "fonts.conf"),
    },
    args,
  });
}

/**
 * Loads playwright, which on loading asks whether a file below `/proc` exists.
 * Deno answers that with an exception unless everything is allowed; Node
 * promises that `existsSync` never throws, so that promise is kept meanwhile.
 */
async function driver(): Promise<typeof import("playwright-core")> {
  const { existsSync } = fs;
  fs.existsSync = (path) => {
    try {
      return existsSync(path);
    } catch {
      return false;
    }
  };
  try {
    return await import("playwright-core");
  } finally {
    fs.existsSync = existsSync;
  }
}

/**
 * The directory of the unpacked browser, shared by all runs on this machine.
 * It is unpacked beside its place and moved there whole, so an interrupted or
 * simultaneous run never leaves half a browser.
 */
async function unpacked(): Promise<string> {
  const packed = join(
    dirname(fileURLToPath(import.meta.resolve("@sparticuz/chromium"))),
    "..",
  );
  const { version } = JSON.parse(
    await Deno.readTextFile(join(packed, "package.json")),
  ) as { version: string };
  const home = join(tmpdir(), `kaldrix-chromium-${version}-${Deno.uid()}`);
  if (await isOurs(home)) return home;

  const staging = await Deno.makeTempDir({ prefix: "kaldrix-chromium-" });
  const before = Deno.env.get("TMPDIR");
  // The only way to choose where the package unpacks.
  Deno.env.set("TMPDIR", staging);
  try {
    const { inflate } = await import("@sparticuz/chromium");
    await Promise.all(
      ["chromium.br", "al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br"]
        .map((name) => inflate(join(packed, "bin", name))),
    );
  } finally {
    if (before === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", before);
  }
  await Deno.writeTextFile(
    join(staging, "fonts.conf"),
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<dir>${home}/fonts</dir><dir>/usr/share/fonts</dir>
<cachedir>${home}/fonts-cache</cachedir></fontconfig>`,
  );
  try {
    await Deno.rename(staging, home);
  } catch (error) {
    await Deno.remove(staging, { recursive: true });
    if (!await isOurs(home)) throw error;
  }
  return home;
}

/** Whether `home` is there and no other user could have put a program in it. */
async function isOurs(home: string): Promise<boolean> {
  try {
    const { isDirectory, uid } = await Deno.lstat(home);
    if (isDirectory && uid === Deno.uid()) return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
  throw new Error(`${home} is not a directory of this user; remove it`);
}
