/**
 * Makes one file of all that a module imports, by the bundler that Deno brings
 * and, shorter, by terser.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { Bundled } from "./package.ts";

/** What a bundle is made of. */
export interface Bundle {
  /** The module it begins with, from this folder. */
  readonly entry: string;
  /** Name of its file. */
  readonly name: string;
  /** Imports left as they are. */
  readonly external?: readonly string[];
  /** Whether it carries what the client loads later. */
  readonly isWhole?: boolean;
}

/** What is loaded only when it is needed. */
export const LAZY = [
  "inflate",
  "sending",
  "fallback",
  "track",
  "chain",
  "watch",
  "shared",
] as const;
/** What pages load later, too. */
const LAZIEST = ["inflate", "shared", "uplot"] as const;

/** The program that the package brings, below the repository's root. */
export const PROGRAM = { name: "kaldrix", entry: "cli/packaged.ts" } as const;

/** Before the source map that ends a bundle. */
const MAP = "//# sourceMappingURL=data:application/json;base64,";

const here = new URL("./", import.meta.url);

/**
 * Makes the program of the package, for every Node that the package is for.
 *
 * @throws {Error} it does not build, with the output of the bundler.
 */
export async function programText(): Promise<string> {
  const root = new URL("../", here);
  const code = await bundlerOutput(PROGRAM.name, [
    "--minify",
    "--platform=deno",
    fileURLToPath(new URL(PROGRAM.entry, root)),
  ]);
  const { default: ts } = await import("typescript");
  const { outputText } = ts.transpileModule(code, {
    compilerOptions: {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2022,
    },
  });
  const { minify } = await import("terser");
  return (await minify(outputText, { module: true, ecma: 2020 })).code!;
}

/**
 * Makes a bundle and its source map.
 *
 * @throws {Error} it does not build, with the output of the bundler.
 */
export async function bundled(
  { entry, name, external = [], isWhole }: Bundle,
): Promise<Bundled> {
  const output = await bundlerOutput(name, [
    "--minify",
    "--sourcemap=inline",
    "--platform=browser",
    ...[
      ...external,
      ...(isWhole ? LAZIEST : LAZY).map((each) => `./${each}.ts`),
    ]
      .map((each) => `--external=${each}`),
    fileURLToPath(new URL(entry, here)),
  ]);
  const [plain, map] = output.split(MAP);
  // Classes are those of the client, wherever they are thrown.
  const code = plain!
    .replace(/"\.\/(client|failure)\.ts"/g, `"./client.js"`)
    .replaceAll(`"./connections.ts"`, `"./connections.js"`)
    .replace(/import\("\.\/(\w+)\.ts"\)/g, `import("./$1.js")`);
  // Shorter by a thirtieth than what the bundler makes.
  const { minify } = await import("terser");
  const shortened = await minify(code, {
    module: true,
    ecma: 2020,
    // React's "use client" is no standard directive.
    compress: { passes: 3, directives: false, hoist_funs: true },
    sourceMap: {
      content: new TextDecoder().decode(Uint8Array.fromBase64(map!.trim())),
      includeSources: true,
    },
  });
  return { code: shortened.code!, map: shortened.map as string };
}

/** What the bundler that Deno brings writes. @throws {Error} what it says. */
async function bundlerOutput(
  name: string,
  args: readonly string[],
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--lock=deno.lock", "--frozen", ...args],
    cwd: fileURLToPath(new URL("../", here)),
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).output();
  const output = new TextDecoder().decode(stderr).trim();
  if (!success) throw new Error(`${name} does not build:\n${output}`);
  return new TextDecoder().decode(stdout);
}
