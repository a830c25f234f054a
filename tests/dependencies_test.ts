import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const IGNORED = new Set(["node_modules", "coverage", "dist"]);
/** Types that TypeScript finds by the name of the package they belong to. */
const TYPES = /^@types\//;

const { imports, scopes, lock, unstable, tasks } = JSON.parse(
  await Deno.readTextFile(join(ROOT, "deno.json")),
) as {
  readonly imports: Readonly<Record<string, string>>;
  readonly scopes: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly lock: unknown;
  readonly unstable: readonly string[];
  readonly tasks: Readonly<Record<string, { readonly command?: string }>>;
};

async function filesBelow(directory: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isFile, isDirectory } of Deno.readDir(directory)) {
    const path = join(directory, name);
    if (isDirectory && !IGNORED.has(name) && !name.startsWith(".")) {
      found.push(...await filesBelow(path));
    }
    if (isFile && /\.(tsx?|css)$/.test(name)) found.push(path);
  }
  return found;
}

/**
 * The packages among these that a text names as an import does: in quotes, or,
 * where each system has a package of its own, by the name that they share.
 */
function named(text: string, packages: readonly string[]): string[] {
  return packages.filter((name) =>
    text.includes(`"${name}"`) || text.includes(`"${name}/`) ||
    text.includes(`npm:${name.replace(/linux-(x64|amd64)$/, "${")}`)
  );
}

/** Which of the packages the chosen files name. */
async function namedBy(
  choose: (path: string) => boolean,
  packages: readonly string[],
): Promise<Set<string>> {
  const paths = (await filesBelow(ROOT))
    .map((path) => path.slice(ROOT.length)).filter(choose);
  assert(paths.length > 0);
  const found = new Set<string>();
  for (const path of paths) {
    const text = await Deno.readTextFile(join(ROOT, path));
    for (const name of named(text, packages)) found.add(name);
  }
  return found;
}

const isServed = (path: string) => !/^(tests|docs)\//.test(path);

Deno.test("deno.json imports what is served, run or built, and nothing else", async () => {
  const packages = Object.keys(imports).filter((name) => !TYPES.test(name));
  const used = await namedBy(isServed, packages);
  assert.deepEqual(packages.filter((name) => !used.has(name)), []);
});

Deno.test("what a scope of deno.json holds is used below its folder", async () => {
  for (const [folder, pins] of Object.entries(scopes)) {
    const packages = Object.keys(pins).filter((name) => !TYPES.test(name));
    const used = await namedBy(
      (path) => path.startsWith(folder.slice("./".length)),
      packages,
    );
    assert.deepEqual(packages.filter((name) => !used.has(name)), [], folder);
  }
});

Deno.test("every version is exact, and in the lock file", async () => {
  const { specifiers } = JSON.parse(
    await Deno.readTextFile(join(ROOT, "deno.lock")),
  ) as { readonly specifiers: Readonly<Record<string, string>> };
  const pins = [imports, ...Object.values(scopes)].flatMap((each) =>
    Object.values(each)
  );
  for (const pin of pins) {
    assert.match(pin, /^npm:(@[\w.-]+\/)?[\w.-]+@\d+\.\d+\.\d+[\w.-]*$/);
    assert(pin in specifiers, `${pin} is not in deno.lock: deno task lock`);
  }
});

Deno.test("tasks fetch what they import: they alone name the lock file", () => {
  assert.equal(lock, false);
  assert(unstable.includes("npm-lazy-caching"));
  for (const [name, { command = "" }] of Object.entries(tasks)) {
    for (const [line] of command.matchAll(/deno (run|check|test|serve)\b.*/g)) {
      assert.match(line, /--lock=deno\.lock/, name);
    }
  }
});

/** Most packages that a first start fetches, with what they need in turn. */
const MAX_FETCHED = 40;

Deno.test("a first start fetches few packages", async () => {
  const { specifiers, npm } = JSON.parse(
    await Deno.readTextFile(join(ROOT, "deno.lock")),
  ) as {
    readonly specifiers: Readonly<Record<string, string>>;
    readonly npm: Readonly<
      Record<string, { readonly dependencies?: readonly string[] }>
    >;
  };
  // The lock file leaves a version out where there is only one.
  const find = (name: string) =>
    Object.keys(npm).find((key) => key.split("_")[0] === name) ??
      Object.keys(npm).find((key) => key.startsWith(`${name}@`))!;
  const fetched = new Set<string>();
  const add = (name: string) => {
    if (fetched.has(name)) return;
    fetched.add(name);
    for (const needed of npm[name]!.dependencies ?? []) add(find(needed));
  };
  for (const pin of Object.values(imports)) {
    const name = pin.slice("npm:".length, pin.lastIndexOf("@"));
    add(find(`${name}@${specifiers[pin]}`));
  }
  assert(fetched.size <= MAX_FETCHED, [...fetched].join(", "));
});
