/**
 * The statements of the documents about the project: where links lead, which
 * commands there are, how versions relate. `docs_test.ts` checks what
 * PROTOCOL.md states about the code.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PACKAGE_VERSION } from "../client/package.ts";
import { SERVICE_VERSION } from "../platform/version.ts";
import { decode, decodePublications } from "../protocol/decode.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const IGNORED = new Set(["node_modules", "coverage", "dist", "tests"]);
const MAX_README_LINES = 130;
const MAX_MESSAGE_BYTES = 65_536;

const { tasks } = JSON.parse(
  await Deno.readTextFile(join(ROOT, "deno.json")),
) as {
  readonly tasks: Readonly<Record<string, { readonly command?: string }>>;
};
const documents = new Map(
  await Promise.all(
    (await documentsBelow(ROOT)).map(async (path) =>
      [path.slice(ROOT.length), await Deno.readTextFile(path)] as const
    ),
  ),
);

async function documentsBelow(directory: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isFile, isDirectory } of Deno.readDir(directory)) {
    const path = join(directory, name);
    const isHidden = name.startsWith(".") && name !== ".github";
    if (isDirectory && !IGNORED.has(name) && !isHidden) {
      found.push(...await documentsBelow(path));
    }
    if (isFile && name.endsWith(".md")) found.push(path);
  }
  return found;
}

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsOf(text: string): Set<string> {
  return new Set(
    [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title!.toLowerCase().replace(/[^\w\s-]/g, "").replaceAll(" ", "-")
    ),
  );
}

/** What is wrong with the links of a document. */
async function brokenLinks(path: string, text: string): Promise<string[]> {
  const broken: string[] = [];
  for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target!)) continue;
    const [file, anchor] = target!.split("#");
    const there = file === ""
      ? path
      : join(dirname(path), file!).replace(/\/$/, "");
    const exists = await Deno.stat(join(ROOT, there)).then(
      () => true,
      () => false,
    );
    const page = documents.get(there);
    if (
      !exists || (anchor && (!page || !anchorsOf(page).has(anchor)))
    ) broken.push(`${path}: ${target}`);
  }
  return broken;
}

Deno.test("every link of every document leads somewhere", async () => {
  assert(documents.size > 20, `${documents.size} documents`);
  const broken = await Promise.all(
    [...documents].map(([path, text]) => brokenLinks(path, text)),
  );
  assert.deepEqual(broken.flat(), []);
});

Deno.test("a link to a file or heading that is not there is seen", async () => {
  const text = "[a](nowhere.md) [b](../README.md#nowhere) [c](../README.md)";
  assert.deepEqual(await brokenLinks("docs/x.md", text), [
    "docs/x.md: nowhere.md",
    "docs/x.md: ../README.md#nowhere",
  ]);
});

Deno.test("every task that a document names exists", () => {
  for (const [path, text] of documents) {
    const named = text.matchAll(
      /\b(?:deno|deno@[\d.]+) task (?:-\w+ )*(?!\.\.\.)([a-z][\w:]*)/g,
    );
    for (const [, task] of named) {
      assert(task! in tasks, `${path} names deno task ${task}`);
    }
  }
});

Deno.test("CONTRIBUTING.md has every task, and the steps of ok in order", () => {
  const text = documents.get("CONTRIBUTING.md")!;
  const missing = Object.keys(tasks).filter((task) =>
    !text.includes(`\`deno task ${task}\``) && !text.includes(`\`${task}\``)
  );
  assert.deepEqual(missing, []);
  const row = /^\| `deno task ok` *\| (.*?),? one after/m.exec(text)?.[1];
  const steps = [...row!.matchAll(/`([\w:]+)`/g)].map(([, step]) => step);
  assert.deepEqual(
    steps.map((step) => `deno task ${step}`).join(" && "),
    tasks["ok"]!.command,
  );
});

Deno.test("what a reader is to send is understood", () => {
  let frames = 0;
  let bodies = 0;
  for (const [path, text] of documents) {
    if (path === "PROTOCOL.md") continue;
    const sent = [
      ...text.matchAll(/^> (\{.*\})$/gm),
      ...text.matchAll(/`(\{"type":"(?:connect|subscribe|query)".*?\})`/g),
    ];
    for (const [, frame] of sent) {
      if (frame!.includes("...")) continue;
      assert.doesNotThrow(() => decode(frame!, MAX_MESSAGE_BYTES), path);
      frames++;
    }
    for (const [, body] of text.matchAll(/-d '(\{"type":.*?\})'/g)) {
      assert.doesNotThrow(
        () => decodePublications(body!, MAX_MESSAGE_BYTES),
        path,
      );
      bodies++;
    }
  }
  assert(frames >= 3 && bodies >= 1, `${frames} frames, ${bodies} bodies`);
});

Deno.test("every file that ARCHITECTURE.md names exists", async () => {
  const text = documents.get("ARCHITECTURE.md")!;
  const paths = [...text.matchAll(/`((?:\w+\/)+\w+\.ts)`/g)].map(([, path]) =>
    path!
  );
  assert(paths.length > 20, `${paths.length} files`);
  for (const path of paths) {
    await assert.doesNotReject(Deno.stat(join(ROOT, path)), path);
  }
});

Deno.test("the README is short", () => {
  const lines = documents.get("README.md")!.trimEnd().split("\n").length;
  assert(lines <= MAX_README_LINES, `${lines} lines`);
});

Deno.test("service and package have one version, which CHANGELOG.md describes", () => {
  assert.equal(PACKAGE_VERSION, SERVICE_VERSION);
  const [newest] = [
    ...documents.get("CHANGELOG.md")!.matchAll(
      /^## (\d+\.\d+\.\d+) · \d{4}-\d{2}-\d{2}$/gm,
    ),
  ];
  assert.equal(newest?.[1], SERVICE_VERSION);
});
