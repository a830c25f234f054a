/**
 * Models that are generated from the AsyncAPI document, as its users make them.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import ts from "typescript";
import { asyncApi } from "../../describe/asyncapi.ts";

/** The lock file of the generator, whose types of Node must not be ours. */
const LOCK = new URL("modelina.lock", import.meta.url).pathname;

/** Makes models of `document.json` beside it. */
const GENERATE = `
import { PythonFileGenerator, TypeScriptFileGenerator } from "npm:@asyncapi/modelina@5.10.1";

const [generator, options] = {
  typescript: [new TypeScriptFileGenerator({ rawPropertyNames: true }), { exportType: "named" }],
  python: [new PythonFileGenerator(), { packageName: "kaldrix" }],
}[Deno.args[0]];
const document = JSON.parse(await Deno.readTextFile("document.json"));
const models = await generator.generateToFiles(document, Deno.cwd(), options);
await Deno.writeTextFile("names.json", JSON.stringify(models.map((it) => it.modelName)));
`;

/** Generates models into a folder. @returns their names. */
async function generate(
  home: string,
  language: "typescript" | "python",
): Promise<string[]> {
  await Deno.writeTextFile(join(home, "generate.mjs"), GENERATE);
  await Deno.writeTextFile(
    join(home, "document.json"),
    JSON.stringify(asyncApi("api.example.com")),
  );
  const command = ["run", "-A", "--no-config", `--lock=${LOCK}`, "--frozen"];
  await run(home, Deno.execPath(), ...command, "generate.mjs", language);
  const names = JSON.parse(
    await Deno.readTextFile(join(home, "names.json")),
  ) as string[];
  assert(names.length > 100, names.join(" "));
  return names;
}

/** Runs a program in a folder; nothing where it is not installed. */
async function run(
  cwd: string,
  command: string,
  ...args: string[]
): Promise<string | undefined> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(command, {
      args,
      cwd,
      env: { NO_COLOR: "1" },
    }).output();
    const text = [stdout, stderr].map((it) => new TextDecoder().decode(it));
    assert(success, text.join(""));
    return text.join("");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function inFolder(work: (home: string) => Promise<void>): Promise<void> {
  const home = await Deno.makeTempDir();
  try {
    await work(home);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

Deno.test("models generated for TypeScript compile, each named, a block with its height", () =>
  inFolder(async (home) => {
    const names = await generate(home, "typescript");
    assert(names.includes("NewBlock"), names.join(" "));
    assert(names.every((name) => !/anonymous/i.test(name)), names.join(" "));
    const use = `
      import { NewBlock } from "./NewBlock";
      export const height = (block: NewBlock): number => block.height;
      // @ts-expect-error a block has no such field
      export const hight = (block: NewBlock): number => block.hight;
    `;
    await Deno.writeTextFile(join(home, "use.ts"), use);
    const files = [...names, "use"].map((name) => join(home, `${name}.ts`));
    const program = ts.createProgram(files, {
      strict: true,
      noEmit: true,
      target: ts.ScriptTarget.ESNext,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      types: [],
    });
    const faults = ts.getPreEmitDiagnostics(program).map(({ messageText }) =>
      ts.flattenDiagnosticMessageText(messageText, "\n")
    );
    assert.deepEqual(faults, []);
  }));

Deno.test("models generated for Python compile", () =>
  inFolder(async (home) => {
    await generate(home, "python");
    const found = await run(home, "python3", "-m", "compileall", "-q", ".");
    if (found !== undefined) return;
    // deno-lint-ignore no-console -- a skipped test reports it.
    console.warn("python3 is not installed: its models are not compiled");
  }));
