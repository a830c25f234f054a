/**
 * Makes everything that a browser loads, in `client/dist`: the bundles, their
 * types, the live page, and a folder ready to publish as a package.
 *
 * Needs permission to read, to write `client/dist`, to use `env` and `sys`
 * (the TypeScript compiler asks), and to run the bundler that Deno brings.
 *
 * @module
 */
import geistMono from "@fontsource-variable/geist-mono/package.json" with {
  type: "json",
};
import geist from "@fontsource-variable/geist/package.json" with {
  type: "json",
};
import uplot from "uplot/package.json" with { type: "json" };
import { createHash } from "node:crypto";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { bundled, LAZY, PROGRAM, programText } from "./bundle.ts";
import type { Bundle } from "./bundle.ts";
import type { Bundled } from "./package.ts";

/** A file that was made. */
export interface Made {
  /** Path below the output directory. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes after gzip. */
  readonly gzipped: number;
}

/**
 * Receives how far a build is.
 *
 * @param done steps that are done, from 1.
 * @param all how many steps there are.
 * @param step what was made last.
 */
export type OnProgress = (done: number, all: number, step: string) => void;

const BUNDLES: readonly Bundle[] = [
  { entry: "client.ts", name: "client.js" },
  { entry: "inflate.ts", name: "inflate.js" },
  { entry: "sending.ts", name: "sending.js", external: ["./failure.ts"] },
  { entry: "shared.ts", name: "shared.js" },
  { entry: "fallback.ts", name: "fallback.js", external: ["./failure.ts"] },
  { entry: "dev.ts", name: "dev.js", external: ["./client.ts"] },
  {
    entry: "connections.ts",
    name: "connections.js",
    external: ["./client.ts"],
  },
  {
    entry: "react.ts",
    name: "react.js",
    external: ["react", "./client.ts", "./connections.ts"],
  },
  {
    entry: "svelte.ts",
    name: "svelte.js",
    external: ["./client.ts", "./connections.ts"],
  },
  {
    entry: "vue.ts",
    name: "vue.js",
    external: ["vue", "./client.ts", "./connections.ts"],
  },
  { entry: "watch.ts", name: "watch.js" },
  { entry: "../protocol/mod.ts", name: "protocol.js" },
  { entry: "track.ts", name: "track.js", external: ["./failure.ts"] },
  { entry: "chain.ts", name: "chain.js", external: ["./failure.ts"] },
  { entry: "settled.ts", name: "settled.js", external: ["./failure.ts"] },
  { entry: "devtoolbar/devtoolbar.ts", name: "devtoolbar.js", isWhole: true },
  {
    entry: "../sources/publisher.ts",
    name: "publisher.js",
    external: ["node:timers"],
  },
  { entry: "page/app.tsx", name: "app.js", isWhole: true },
  { entry: "page/explorer.tsx", name: "explorer.js", isWhole: true },
  { entry: "page/uplot.ts", name: "uplot.js" },
  { entry: "docs/docs.tsx", name: "docs.js", isWhole: true },
  { entry: "admin/admin.tsx", name: "admin.js", isWhole: true },
];

/** Each bundle, the program, the types, and all of it compressed. */
const STEPS = BUNDLES.length + 3;

/** What modules of the package import, and users do not. */
const BESIDE = ["connections"] as const;

/** Modules of the package, each a bundle with its types. */
export const MODULES = [
  "client",
  "watch",
  "track",
  "chain",
  "settled",
  "react",
  "svelte",
  "vue",
  "devtoolbar",
  "publisher",
  "protocol",
] as const;

/** Styles of the page, in order. */
const STYLES = ["page/fonts.css", "page/style.css"] as const;

/** Files of the pages that are served as they are. */
const ASSETS = [
  "page/icon.svg",
  "docs/docs.css",
  "admin/admin.css",
] as const;

const FONTS = [
  ["@fontsource-variable/geist", "geist-latin-wght-normal.woff2"],
  ["@fontsource-variable/geist-mono", "geist-mono-latin-wght-normal.woff2"],
] as const;

const here = new URL("./", import.meta.url);

/**
 * Builds into a directory, made when missing.
 *
 * @param dist where to; its files of the same names are replaced.
 * @param onProgress receives each step that is done.
 * @returns what was made, the package's copies left out.
 * @throws {Error} a bundle does not build, with the output of the bundler.
 */
export async function build(
  dist: URL = new URL("dist/", here),
  onProgress: OnProgress = () => {},
): Promise<Made[]> {
  // What an earlier layout left behind would be published.
  const folder = new URL("package/", dist);
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(new URL("cjs/", folder), { recursive: true });
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const add = (name: string, content: string | Uint8Array<ArrayBuffer>) =>
    files.set(
      name,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );

  const bundles = new Map<string, Bundled>();
  let done = 0;
  const step = (name: string) => onProgress(++done, STEPS, name);
  const addBundle = async (each: Bundle) => {
    const made = await bundled(each);
    bundles.set(each.name, made);
    add(each.name, made.code);
    step(each.name);
  };
  // The first alone: Deno fetches its bundler then, and several at a time would
  // fetch it over each other.
  const [first, ...rest] = BUNDLES;
  await addBundle(first!);
  const types = new Map<string, string>();
  let program = "";
  await Promise.all([
    programText().then((code) => {
      program = code;
      step(PROGRAM.name);
    }),
    ...rest.map(addBundle),
    ...FONTS.map(async ([from, name]) =>
      add(name, await Deno.readFile(packaged(from, `files/${name}`)))
    ),
    ...ASSETS.map(async (path) =>
      add(
        path.slice(path.lastIndexOf("/") + 1),
        await Deno.readTextFile(new URL(path, here)),
      )
    ),
    (async () => {
      const { prerendered } = await import("./page/prerender.tsx");
      const template = await Deno.readTextFile(new URL("page/page.html", here));
      for (const [name, text] of prerendered(template)) add(name, text);
    })(),
    stylesheet().then((css) => add("app.css", css)),
    (async () => {
      // The compiler takes longer to load than everything else when nothing
      // has to be made.
      const { declarations } = await import("./declarations.ts");
      const declared = await declarations(
        MODULES.map((name) => {
          const { entry } = BUNDLES.find((it) => it.name === `${name}.js`)!;
          return { name, entry };
        }),
      );
      for (const [name, text] of declared) {
        types.set(name, text);
        add(`${name}.d.ts`, text);
      }
      step("types");
    })(),
  ]);

  addVersions(files);

  const chosen = (names: readonly string[]) =>
    new Map(names.map((name) => [name, bundles.get(`${name}.js`)!]));
  const { layOut } = await import("./package.ts");
  const published = layOut({
    modules: chosen(MODULES),
    loaded: chosen([...LAZY, ...BESIDE, "dev"]),
    types,
    program: { name: PROGRAM.name, code: program },
  });
  await Promise.all([
    ...[...files].map(([name, content]) =>
      Deno.writeFile(new URL(name, dist), content)
    ),
    ...[...files].filter(([name]) => isCompressible(name))
      .flatMap(([name, content]) => [
        Deno.writeFile(
          new URL(`${name}.br`, dist),
          new Uint8Array(brotliCompressSync(content)),
        ),
        Deno.writeFile(
          new URL(`${name}.gz`, dist),
          new Uint8Array(gzipSync(content, { level: 9 })),
        ),
      ]),
    ...[...published].map(([name, content]) =>
      Deno.writeTextFile(new URL(`package/${name}`, dist), content)
    ),
    Deno.copyFile(
      new URL("PACKAGE.md", here),
      new URL("package/README.md", dist),
    ),
    Deno.copyFile(
      new URL("../LICENSE", here),
      new URL("package/LICENSE", dist),
    ),
  ]);
  step("compressed files");
  return [...files].map(measure);
}

/**
 * Makes one bundle.
 *
 * @param name of its file, `client.js` for example.
 * @throws {Error} it does not build, with the output of the bundler.
 */
export async function bundle(name: string): Promise<string> {
  const { code } = await bundled(BUNDLES.find((each) => each.name === name)!);
  return code;
}

/**
 * Names the content of each file where pages and then styles refer to it, so
 * that browsers keep it for as long as its reference stands. Styles first: what
 * they refer to is part of their own content.
 */
function addVersions(files: Map<string, Uint8Array<ArrayBuffer>>): void {
  for (const ending of [".css", ".html"]) {
    for (const [name, content] of files) {
      if (!name.endsWith(ending)) continue;
      const text = new TextDecoder().decode(content).replace(
        /(href="|src="|url\(")\/([^"?]+)"/g,
        (reference, before, to) => {
          const target = files.get(to);
          return target ? `${before}/${to}?v=${versionOf(target)}"` : reference;
        },
      );
      files.set(name, new TextEncoder().encode(text));
    }
  }
}

/** As the service names a file in its `ETag`, which a test checks. */
function versionOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("base64url").slice(0, 22);
}

/** Fonts are compressed already. */
function isCompressible(name: string): boolean {
  return !name.endsWith(".woff2");
}

async function stylesheet(): Promise<string> {
  const sheets = await Promise.all([
    Deno.readTextFile(packaged("uplot", "dist/uPlot.min.css")),
    ...STYLES.map((name) => Deno.readTextFile(new URL(name, here))),
  ]);
  return sheets.join("\n");
}

/** A file of an installed package. */
function packaged(from: string, path: string): URL {
  return new URL(import.meta.resolve(`${from}/${path}`));
}

function measure(
  [name, content]: readonly [string, Uint8Array<ArrayBuffer>],
): Made {
  const gzipped = gzipSync(content, { level: 9 }).byteLength;
  return { name, size: content.byteLength, gzipped };
}

/** Remembers, beside what was made, what it was made from. */
const STAMP = "stamp.json";

/** What {@link STAMP} holds. */
interface Stamp {
  /** Fingerprint of everything that goes into a build. */
  readonly source: string;
  /** Names of the files that it produced. */
  readonly names: readonly string[];
}

/**
 * Builds, unless what is there was made from the same sources.
 *
 * @param dist as for {@link build}.
 * @param onProgress as for {@link build}; nothing when it is all there.
 * @returns what was made; nothing when it was all there.
 * @throws {Error} as {@link build}.
 */
export async function buildIfStale(
  dist: URL = new URL("dist/", here),
  onProgress?: OnProgress,
): Promise<Made[] | undefined> {
  const source = await fingerprint();
  if (await isThere(source, dist)) return undefined;
  onProgress?.(0, STEPS, "the first time, Deno's bundler is fetched");
  const made = await build(dist, onProgress);
  const stamp: Stamp = { source, names: made.map(({ name }) => name) };
  await Deno.writeTextFile(new URL(STAMP, dist), JSON.stringify(stamp));
  return made;
}

async function isThere(source: string, dist: URL): Promise<boolean> {
  try {
    const text = await Deno.readTextFile(new URL(STAMP, dist));
    const stamp: Stamp = JSON.parse(text);
    if (stamp.source !== source) return false;
    await Promise.all(
      stamp.names.map((name) => Deno.stat(new URL(name, dist))),
    );
    return true;
  } catch {
    return false;
  }
}

/** Of all sources that a build reads, and the versions of packages. */
async function fingerprint(): Promise<string> {
  const root = new URL("../", here);
  const files = [
    new URL("deno.json", root),
    new URL("deno.lock", root),
    ...await filesIn(here),
    ...await filesIn(new URL("protocol/", root)),
    ...await filesIn(new URL("sources/", root)),
    ...await filesIn(new URL("cli/", root)),
    ...await filesIn(new URL("platform/", root)),
    ...await filesIn(new URL("security/", root)),
  ];
  const hash = createHash("sha256").update(Deno.version.deno);
  for (const file of files) {
    hash.update(`\n${file.href.slice(root.href.length)}\n`);
    hash.update(await Deno.readFile(file));
  }
  return hash.digest("hex");
}

async function filesIn(directory: URL): Promise<URL[]> {
  const entries = await Array.fromAsync(Deno.readDir(directory));
  const files: URL[] = [];
  for (
    const { name, isDirectory } of entries.toSorted((a, b) =>
      a.name < b.name ? -1 : 1
    )
  ) {
    if (name === "dist" && directory.href === here.href) continue;
    if (!isDirectory) files.push(new URL(name, directory));
    else files.push(...await filesIn(new URL(`${name}/`, directory)));
  }
  return files;
}

/** One line a file, the largest first. */
export function report(made: readonly Made[]): string {
  const width = Math.max(...made.map(({ name }) => name.length));
  return [...made]
    .sort((a, b) => b.gzipped - a.gzipped)
    .map(({ name, size, gzipped }) =>
      `${name.padEnd(width)} ${String(size).padStart(8)} B ${
        String(gzipped).padStart(7)
      } B gzip`
    ).join("\n");
}

/** Shows progress on standard error: on a terminal, on one line. */
function show(done: number, all: number, step: string): void {
  const line = `Building: ${done} of ${all} (${step})`;
  const isLast = done === all;
  const text = Deno.stderr.isTerminal()
    ? `\r\x1b[K${isLast ? "" : line}`
    : `${line}\n`;
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}

if (import.meta.main) {
  const made = await buildIfStale(undefined, show);
  const versions =
    `styles of uPlot ${uplot.version}, fonts Geist ${geist.version}, Geist Mono ${geistMono.version}`;
  const summary = made
    ? `${report(made)}\n${versions}\n`
    : "client/dist is up to date\n";
  await Deno.stdout.write(new TextEncoder().encode(summary));
}
