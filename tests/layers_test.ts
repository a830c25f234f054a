import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Each folder may import itself and the folders listed; ARCHITECTURE.md draws this. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  platform: [],
  store: ["protocol", "platform"],
  security: ["store", "protocol", "platform"],
  chain: ["store", "protocol", "platform"],
  realtime: ["chain", "security", "store", "protocol", "platform"],
  monitoring: [
    "realtime",
    "chain",
    "security",
    "store",
    "protocol",
    "platform",
  ],
  describe: ["protocol", "platform"],
  routes: [
    "describe",
    "monitoring",
    "realtime",
    "chain",
    "security",
    "store",
    "protocol",
    "platform",
  ],
  server: [
    "routes",
    "describe",
    "monitoring",
    "realtime",
    "chain",
    "security",
    "store",
    "protocol",
    "platform",
  ],
  sources: ["protocol", "platform"],
  client: ["protocol"],
  cli: [
    "bench",
    "client",
    "server",
    "security",
    "store",
    "protocol",
    "platform",
  ],
  bench: ["client", "protocol"],
  // The files at the top.
  main: [
    "server",
    "routes",
    "monitoring",
    "realtime",
    "security",
    "store",
    "sources",
    "protocol",
    "platform",
  ],
};

/** Arrows that may carry types only: zod must not reach a browser. */
const TYPES_ONLY: readonly (readonly [string, string])[] = [
  ["client", "protocol"],
];

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const CONFIG = join(ROOT, "deno.json");
const IGNORED = new Set(["tests", "node_modules", "coverage", "dist", "docs"]);

/** What one module imports from its own project. */
interface Arrow {
  readonly from: string;
  readonly to: string;
  /** Whether nothing of it is left when the code runs. */
  readonly typeOnly: boolean;
}

interface ModuleInfo {
  readonly specifier: string;
  readonly error?: string;
  readonly dependencies?: readonly {
    readonly code?: { readonly specifier?: string };
    readonly type?: { readonly specifier?: string };
  }[];
}

async function modulesIn(directory: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isFile, isDirectory } of Deno.readDir(directory)) {
    const path = join(directory, name);
    if (isDirectory && !IGNORED.has(name) && !name.startsWith(".")) {
      found.push(...await modulesIn(path));
    }
    if (isFile && /\.tsx?$/.test(name) && !name.endsWith(".d.ts")) {
      found.push(path);
    }
  }
  return found;
}

/** All imports of one of a project's modules by another, as paths in it. */
async function arrowsOf(root: string): Promise<Arrow[]> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const modules = await modulesIn(root);
    await Deno.writeTextFile(
      entry,
      modules.map((path) => `import ${JSON.stringify(pathToFileURL(path))};\n`)
        .join(""),
    );
    const { success, stdout, stderr } = await new Deno.Command(
      Deno.execPath(),
      { args: ["info", "--json", "--config", CONFIG, entry] },
    ).output();
    assert(success, new TextDecoder().decode(stderr));
    const { modules: infos } = JSON.parse(
      new TextDecoder().decode(stdout),
    ) as { modules: ModuleInfo[] };
    const home = pathToFileURL(root).href;
    const local = (specifier: string | undefined) =>
      specifier?.startsWith(home) ? specifier.slice(home.length) : undefined;
    return infos.flatMap(({ specifier, error, dependencies = [] }) => {
      const from = local(specifier);
      if (from === undefined) return [];
      assert.equal(error, undefined, from);
      return dependencies.flatMap(({ code, type }) => {
        const to = local(code?.specifier ?? type?.specifier);
        return to === undefined ? [] : [{ from, to, typeOnly: !code }];
      });
    });
  } finally {
    await Deno.remove(entry);
  }
}

function layerOf(path: string): string {
  return path.includes("/") ? path.split("/")[0]! : "main";
}

function forbidden(arrows: readonly Arrow[]): string[] {
  return arrows.filter(({ from, to, typeOnly }) => {
    const [a, b] = [layerOf(from), layerOf(to)];
    if (a === b) return false;
    if (!MAY_IMPORT[a]?.includes(b)) return true;
    return !typeOnly && TYPES_ONLY.some(([x, y]) => x === a && y === b);
  }).map(({ from, to }) => `${from} -> ${to}`);
}

function cycles(arrows: readonly Arrow[]): string[] {
  const graph = new Map<string, string[]>();
  for (const { from, to } of arrows) {
    graph.set(from, [...graph.get(from) ?? [], to]);
  }
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (module: string, path: readonly string[]): void => {
    const begin = path.indexOf(module);
    if (begin >= 0) found.push([...path.slice(begin), module].join(" -> "));
    if (begin >= 0 || done.has(module)) return;
    for (const next of graph.get(module) ?? []) visit(next, [...path, module]);
    done.add(module);
  };
  for (const module of graph.keys()) visit(module, []);
  return found;
}

Deno.test("modules import downwards only, and nothing in a circle", async () => {
  const arrows = await arrowsOf(ROOT);
  const layers = new Set(arrows.map(({ from }) => layerOf(from)));
  for (const layer of ["main", "routes", "realtime", "security", "client"]) {
    assert(layers.has(layer), `saw no imports in ${layer}`);
  }
  assert.deepEqual(forbidden(arrows), []);
  assert.deepEqual(cycles(arrows), []);
});

Deno.test("an arrow up, code in the browser and a circle of types are seen", async () => {
  const root = await Deno.makeTempDir() + "/";
  const files = {
    "protocol/a.ts":
      'import type { B } from "./b.ts";\nexport type A = B;\nexport const a = 1;\n',
    "protocol/b.ts":
      'import type { A } from "./a.ts";\nexport type B = A | 1;\n',
    "realtime/up.ts": 'export { c } from "../routes/c.ts";\n',
    "routes/c.ts": "export const c = 1;\n",
    "client/types.ts": 'export type { A } from "../protocol/a.ts";\n',
    "client/code.ts": 'export { a } from "../protocol/a.ts";\n',
    "main.ts": 'import "./realtime/up.ts";\nawait import("./bench/load.ts");\n',
    "bench/load.ts": "export {};\n",
  };
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(join(root, path, ".."), { recursive: true });
      await Deno.writeTextFile(join(root, path), text);
    }
    const arrows = await arrowsOf(root);
    assert.deepEqual(forbidden(arrows).toSorted(), [
      "client/code.ts -> protocol/a.ts",
      "main.ts -> bench/load.ts",
      "realtime/up.ts -> routes/c.ts",
    ]);
    assert.deepEqual(cycles(arrows), [
      "protocol/a.ts -> protocol/b.ts -> protocol/a.ts",
    ]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
