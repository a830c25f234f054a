/**
 * The terminal program: `deno task kaldrix <command>`.
 *
 * @module
 */
import { checkCommand } from "./check.ts";
import { completionCommand } from "./completion.ts";
import { inspectCommand } from "./inspect.ts";
import { measureCommands } from "./measure.ts";
import { kaldrix } from "./program.ts";
import { publishCommand } from "./publish.ts";
import { storeCommand } from "./store.ts";
import { tailCommand } from "./tail.ts";
import { run } from "./terminal.ts";
import { tokenCommand } from "./token.ts";

await run(kaldrix([
  tailCommand,
  publishCommand,
  inspectCommand,
  checkCommand,
  tokenCommand,
  storeCommand,
  measureCommands,
  completionCommand,
]));
