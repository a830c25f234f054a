/**
 * Which Chromium the tests use on a platform.
 *
 * @module
 */
import { join } from "node:path";

/** The Chromium to use, or why there is none. */
export type Choice =
  | { readonly kind: "npm" }
  | { readonly kind: "installed"; readonly path: string }
  | { readonly kind: "none"; readonly reason: string };

/** What the choice depends on. */
export interface Platform {
  /** As `Deno.build.os`. */
  readonly os: string;
  /** As `Deno.build.arch`. */
  readonly arch: string;
  /** Reads an environment variable. */
  env(name: string): string | undefined;
  /** Whether a file exists. */
  exists(path: string): boolean;
}

/** Names of the program on a `PATH`, the most wanted first. */
const PROGRAMS = [
  "chromium",
  "chromium-browser",
  "google-chrome",
  "google-chrome-stable",
  "chrome",
  "microsoft-edge",
] as const;

const MAC = ["Google Chrome", "Chromium", "Microsoft Edge"] as const;
const WINDOWS = [
  "Google/Chrome/Application/chrome.exe",
  "Chromium/Application/chrome.exe",
  "Microsoft/Edge/Application/msedge.exe",
] as const;

/**
 * Chooses: `CHROME_PATH` if set, the npm package where it runs (Linux on x64),
 * else a Chrome, Chromium or Edge that is installed.
 */
export function whichBrowser(platform: Platform): Choice {
  const { os, arch, env, exists } = platform;
  const given = env("CHROME_PATH");
  if (given) {
    return exists(given)
      ? { kind: "installed", path: given }
      : { kind: "none", reason: `CHROME_PATH names no file: ${given}` };
  }
  if (os === "linux" && arch === "x86_64") return { kind: "npm" };
  const path = candidates(platform).find(exists);
  return path ? { kind: "installed", path } : {
    kind: "none",
    reason:
      `no Chromium for ${os} ${arch}: @sparticuz/chromium is for Linux on x64, and no Chrome, Chromium or Edge is installed (CHROME_PATH can name one)`,
  };
}

function candidates({ os, env }: Platform): string[] {
  if (os === "darwin") {
    return ["/", env("HOME") ?? "/"].flatMap((root) =>
      MAC.map((name) =>
        join(root, "Applications", `${name}.app`, "Contents", "MacOS", name)
      )
    );
  }
  if (os === "windows") {
    return ["ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA"]
      .flatMap((name) => env(name) ?? [])
      .flatMap((root) => WINDOWS.map((name) => join(root, name)));
  }
  return (env("PATH") ?? "").split(":").filter(Boolean)
    .flatMap((root) => PROGRAMS.map((name) => join(root, name)));
}
