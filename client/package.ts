/**
 * The folder that is published as a package: modules for bundlers, for
 * `require`, and for a plain `<script>`, each with its types and source map.
 *
 * @module
 */
import { posix } from "node:path";
import ts from "typescript";

/** Version of the package that applications install: that of the service. */
export const PACKAGE_VERSION = "1.0.0";

/** Name under which a plain `<script>` finds what the client exports. */
export const GLOBAL_NAME = "KaldrixRealtime";

/** A bundle and its source map. */
export interface Bundled {
  /** An ES module. */
  readonly code: string;
  /** Maps `code` to the sources, which it holds. */
  readonly map: string;
}

/** What a package is made of. */
export interface Contents {
  /** The modules that users import, by name; `client` is the package's own. */
  readonly modules: ReadonlyMap<string, Bundled>;
  /** Modules that those load by themselves, by name. */
  readonly loaded: ReadonlyMap<string, Bundled>;
  /** Declarations of each of `modules`, by name. */
  readonly types: ReadonlyMap<string, string>;
  /** The program that `npx` runs: a module without exports. */
  readonly program: { readonly name: string; readonly code: string };
}

/**
 * Lays out the package.
 *
 * @returns texts by path, but for what is only copied: licence and readme.
 * @throws {Error} the client's bundle does not end with its exports.
 */
export function layOut(
  { modules, loaded, types, program }: Contents,
): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const [name, { code, map }] of [...modules, ...loaded]) {
    files.set(`${name}.js`, `${code.trimEnd()}\n${mapComment(`${name}.js`)}\n`);
    files.set(`${name}.js.map`, tidied(map));
    files.set(`cjs/${name}.js`, common(code));
  }
  for (const [name, text] of types) {
    files.set(`${name}.d.ts`, text);
    // Its folder makes it the types of CommonJS.
    files.set(`cjs/${name}.d.ts`, text);
  }
  const { code, map } = modules.get("client")!;
  const script = "client.iife.js";
  files.set(script, `${classic(code)}\n${mapComment(script)}\n`);
  files.set(`${script}.map`, tidied(map));
  files.set(`${program.name}.js`, `#!/usr/bin/env node\n${program.code}`);
  files.set("cjs/package.json", json({ type: "commonjs" }));
  files.set("package.json", json(manifest([...modules.keys()], program.name)));
  return files;
}

function mapComment(name: string): string {
  return `//# sourceMappingURL=${name}.map`;
}

/** Names the sources as they lie in the repository, wherever it was built. */
function tidied(map: string): string {
  const { sources, ...rest } = JSON.parse(map) as { sources: string[] };
  return JSON.stringify({
    ...rest,
    sources: sources.map((source) =>
      posix.normalize(source).replace(/^(\.\.\/)+|^.*\/node_modules\//, "")
    ),
  });
}

/**
 * The same module for `require`; what it imports, it requires. Without an
 * address of its own, it has that of the page.
 */
function common(code: string): string {
  const address = "{url:globalThis.location?.href??'file:///'}";
  const placed = code.replaceAll("import.meta", `(${address})`);
  const { outputText } = ts.transpileModule(placed, {
    compilerOptions: {
      module: ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget.ES2022,
      removeComments: true,
    },
  });
  return outputText;
}

/**
 * The same module as a script. It begins in the line where the module does, so
 * that the source map holds but for the columns of that line.
 */
function classic(code: string): string {
  const ending = /export\{([^{}]*)\};?\s*$/.exec(code);
  if (!ending) throw new Error("The client does not end with its exports");
  const fields = ending[1]!.split(",").map((each) => {
    const [local, name = local] = each.trim().split(" as ");
    return `${name}:${local}`;
  });
  const body = code.slice(0, ending.index);
  return `var ${GLOBAL_NAME}=(()=>{${body}return{${fields.join()}}})();`;
}

function manifest(modules: readonly string[], program: string): object {
  const conditions = (name: string) => ({
    import: {
      types: `./${name}.d.ts`,
      // What development builds load warns of mistakes.
      ...(name === "client" && { development: "./dev.js" }),
      default: `./${name}.js`,
    },
    require: { types: `./cjs/${name}.d.ts`, default: `./cjs/${name}.js` },
  });
  return {
    name: "@kaldrix/realtime-client",
    version: PACKAGE_VERSION,
    description: "Real-time events of the KALDRIX blockchain, gap-free",
    keywords: ["kaldrix", "blockchain", "websocket", "realtime"],
    license: "MIT",
    repository: {
      type: "git",
      url: "git+https://github.com/kaldrix/realtime.git",
    },
    type: "module",
    main: "./cjs/client.js",
    module: "./client.js",
    types: "./client.d.ts",
    unpkg: "./client.iife.js",
    jsdelivr: "./client.iife.js",
    sideEffects: ["./devtoolbar.js", "./cjs/devtoolbar.js"],
    bin: { [program]: `./${program}.js` },
    exports: {
      ...Object.fromEntries(
        modules.map((name) => [
          name === "client" ? "." : `./${name}`,
          conditions(name),
        ]),
      ),
      "./package.json": "./package.json",
    },
    files: ["*.js", "*.js.map", "*.d.ts", "cjs"],
    engines: { node: ">=20" },
    peerDependencies: { react: ">=18", vue: ">=3.3" },
    peerDependenciesMeta: {
      react: { optional: true },
      vue: { optional: true },
    },
  };
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
