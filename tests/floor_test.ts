import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Rooms whose code is served or run beside what is served. */
const ROOMS = [
  ".",
  "chain",
  "cli",
  "describe",
  "monitoring",
  "protocol",
  "realtime",
  "routes",
  "security",
  "server",
  "sources",
  "store",
];

/** What only `platform/` may use: time and chance come in as parts. */
const FLOOR =
  /\bDate\.now\b|\bperformance\.now\b|\bMath\.random\b|(?<![.\w])set(?:Timeout|Interval)\(|\bDeno\.addSignalListener\b/g;

/**
 * The only exceptions, each with the uses that it may have. `protocol/` stands
 * beside the floor, not on it: its builders are also bundled for browsers.
 */
const MAY: Readonly<Record<string, readonly string[]>> = {
  "protocol/builders.ts": ["Date.now", "Date.now"],
  "protocol/envelope.ts": ["Math.random"],
  // A program of its own, which ends by its signals.
  "sources/evm_main.ts": [
    "setTimeout(",
    "Deno.addSignalListener",
    "Deno.addSignalListener",
  ],
};

/** The code alone: comments and texts may name what code must not use. */
function codeOf(source: string): string {
  return source
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, '""')
    .replace(/\/\/.*$/gm, "");
}

function usesOf(source: string): string[] {
  return codeOf(source).match(FLOOR) ?? [];
}

async function sources(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const visit = async (folder: string, isDeep: boolean): Promise<void> => {
    for await (
      const { name, isFile, isDirectory } of Deno.readDir(
        join(ROOT, folder),
      )
    ) {
      const path = folder === "." ? name : `${folder}/${name}`;
      if (isDirectory && isDeep) await visit(path, true);
      if (isFile && /\.tsx?$/.test(name)) {
        found.set(path, await Deno.readTextFile(join(ROOT, path)));
      }
    }
  };
  for (const room of ROOMS) await visit(room, room !== ".");
  return found;
}

Deno.test("served code takes time and chance from platform/ alone", async () => {
  const all = await sources();
  for (const path of ["main.ts", "monitoring/monitor.ts", "realtime/hub.ts"]) {
    assert(all.has(path), `saw ${path}`);
  }
  const used = Object.fromEntries(
    [...all].map(([path, source]) => [path, usesOf(source)] as const)
      .filter(([, uses]) => uses.length > 0),
  );
  assert.deepEqual(used, MAY);
});

Deno.test("uses of the floor are seen in code, not in comments and texts", () => {
  assert.deepEqual(
    usesOf(`
      // Date.now() in a comment
      /** performance.now() in another */
      const text = "Math.random()";
      clock.setTimeout(1); AbortSignal.timeout(5);
      const now = Date.now(), random = Math.random;
      setTimeout(() => performance.now(), 5); setInterval(f, 1);
    `),
    [
      "Date.now",
      "Math.random",
      "setTimeout(",
      "performance.now",
      "setInterval(",
    ],
  );
});
