import assert from "node:assert/strict";
import { whichBrowser } from "./which_browser.ts";
import type { Platform } from "./which_browser.ts";

const platform = (
  os: string,
  arch: string,
  files: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Platform => ({
  os,
  arch,
  env: (name) => env[name],
  exists: (path) => files.includes(path),
});

Deno.test("whichBrowser() uses the npm package on Linux x64 only", () => {
  assert.deepEqual(whichBrowser(platform("linux", "x86_64")), { kind: "npm" });
  assert.equal(whichBrowser(platform("linux", "aarch64")).kind, "none");
});

Deno.test("whichBrowser() finds an installed browser elsewhere", () => {
  const chrome = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
  assert.deepEqual(
    whichBrowser(platform("darwin", "aarch64", [chrome])),
    { kind: "installed", path: chrome },
  );
  assert.deepEqual(
    whichBrowser(platform("linux", "aarch64", ["/usr/bin/chromium"], {
      PATH: "/usr/local/bin:/usr/bin",
    })),
    { kind: "installed", path: "/usr/bin/chromium" },
  );
});

Deno.test("whichBrowser() prefers CHROME_PATH, and reports when it names no file", () => {
  const env = { CHROME_PATH: "/opt/chrome" };
  assert.deepEqual(
    whichBrowser(platform("linux", "x86_64", ["/opt/chrome"], env)),
    { kind: "installed", path: "/opt/chrome" },
  );
  const choice = whichBrowser(platform("linux", "x86_64", [], env));
  assert.ok(choice.kind === "none" && choice.reason.includes("/opt/chrome"));
});

Deno.test("whichBrowser() reports why there is none", () => {
  const choice = whichBrowser(platform("freebsd", "x86_64"));
  assert.ok(choice.kind === "none");
  assert.match(choice.reason, /no Chromium for freebsd x86_64/);
});
