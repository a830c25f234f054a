import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

async function read(path: string): Promise<string> {
  return await Deno.readTextFile(ROOT + path);
}

/** Modules of the project that these import, directly or not. */
async function modulesOf(...entries: string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const entry of entries) {
    const { success, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", entry],
      cwd: ROOT,
      stderr: "null",
    }).output();
    assert(success, entry);
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
      modules: { specifier: string }[];
    };
    const home = new URL("../../", import.meta.url).href;
    for (const { specifier } of modules) {
      if (specifier.startsWith(home)) found.add(specifier.slice(home.length));
    }
  }
  return [...found];
}

/** What each stage of the Dockerfile copies from the project, by its name. */
async function copied(): Promise<Map<string, string[]>> {
  const stages = new Map<string, string[]>();
  let stage: string[] = [];
  for (const line of (await read("deploy/Dockerfile")).split("\n")) {
    const from = /^FROM (\S+)(?: AS (\w+))?$/.exec(line);
    if (from) {
      stage = [...stages.get(from[1]!) ?? []];
      stages.set(from[2] ?? "last", stage);
    }
    const copy = /^COPY (?!--from)(.+) \S+$/.exec(line);
    if (copy) stage.push(...copy[1]!.split(" "));
  }
  return stages;
}

function outside(modules: readonly string[], paths: readonly string[]) {
  return modules.filter((module) =>
    !paths.some((path) => module === path || module.startsWith(`${path}/`))
  );
}

Deno.test("the image holds all that runs, and no tests, documents or history", async () => {
  const stages = await copied();
  const last = stages.get("last")!;
  const run = ["start.ts", "isolate.ts", "server/serve_args.ts"];
  assert.deepEqual(outside(await modulesOf(...run), last), []);
  assert.deepEqual(
    last.filter((path) => /^(?:\.|tests|docs|bench|cli|client$)/.test(path)),
    [],
  );
  const build = stages.get("build")!;
  assert.deepEqual(outside(await modulesOf("client/build.ts"), build), []);
});

Deno.test("the permission set and the process's rights name the same files", async () => {
  const { permissions } = JSON.parse(await read("deno.json"));
  const modules = await modulesOf("isolate.ts");
  assert.deepEqual(outside(modules, permissions.serve.read), []);
  assert(permissions.serve.read.includes("client/dist"));
});

Deno.test("systemd finds little that the unit leaves open", async (t) => {
  const path = `${ROOT}deploy/kaldrix-realtime.service`;
  const run = async (...args: string[]) => {
    const { success, stdout, stderr } = await new Deno.Command(
      "systemd-analyze",
      { args },
    ).output();
    const decoder = new TextDecoder();
    return { success, text: decoder.decode(stdout) + decoder.decode(stderr) };
  };
  try {
    await run("--version");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await t.step({
      name: "systemd-analyze is not installed: skipped",
      ignore: true,
      fn: () => {},
    });
    return;
  }
  // The threshold is in tenths: 2.0 of 10.
  const { success, text } = await run(
    "security",
    "--offline=true",
    "--threshold=20",
    path,
  );
  assert(success, text);
});
