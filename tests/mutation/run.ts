/**
 * Runs all mutations, or those of files whose path holds the first argument,
 * in a temporary copy of the project.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { MUTATIONS } from "./list.ts";
import { tried } from "./mutation.ts";
import type { Workbench } from "./mutation.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** The longest run of one test file, in milliseconds; hanging is noticing. */
const RUN_MS = 120_000;

/** Copies what git tracks; the copy is removed when disposed. */
async function openWorkbench(): Promise<Workbench & AsyncDisposable> {
  const copy = await Deno.makeTempDir({ prefix: "kaldrix-mutation-" });
  const { stdout } = await new Deno.Command("git", {
    args: ["ls-files", "-z"],
    cwd: ROOT,
  }).output();
  const paths = new TextDecoder().decode(stdout).split("\0").filter(Boolean);
  for (const path of paths) {
    await Deno.mkdir(join(copy, dirname(path)), { recursive: true });
    await Deno.copyFile(join(ROOT, path), join(copy, path));
  }
  return {
    read: (path) => Deno.readTextFile(join(copy, path)),
    write: (path, text) => Deno.writeTextFile(join(copy, path), text),
    async passes(tests) {
      try {
        const { success } = await new Deno.Command(Deno.execPath(), {
          args: ["test", "-P", "--no-check", "--quiet", ...tests],
          cwd: copy,
          stdout: "null",
          stderr: "null",
          signal: AbortSignal.timeout(RUN_MS * tests.length),
        }).output();
        return success;
      } catch (error) {
        if (error instanceof DOMException) return false;
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => Deno.remove(copy, { recursive: true }),
  };
}

const wanted = Deno.args[0] ?? "";
const chosen = MUTATIONS.filter(({ file }) => file.includes(wanted));
const bench = await openWorkbench();
const files = [...new Set(chosen.flatMap(({ tests }) => tests))];
// A test that fails anyway notices nothing.
if (!await bench.passes(files)) {
  // deno-lint-ignore no-console -- a terminal program.
  console.error("These tests fail without a mutation: mend them first.");
  Deno.exit(1);
}
let failed = 0;
for (const [i, mutation] of chosen.entries()) {
  const outcome = await tried(mutation, bench);
  if (outcome !== "killed") failed++;
  const { file, fault } = mutation;
  // deno-lint-ignore no-console -- a terminal program.
  console.log(`${i + 1}/${chosen.length} ${outcome}: ${file}: ${fault}`);
}
// deno-lint-ignore no-console -- a terminal program.
console.log(`${chosen.length - failed} passed, ${failed} failed`);
await bench[Symbol.asyncDispose]();
Deno.exit(failed === 0 && chosen.length > 0 ? 0 : 1);
