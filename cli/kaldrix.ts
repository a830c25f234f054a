/**
 * The terminal program: `deno task kaldrix <command>`.
 *
 * @module
 */
import { SERVICE_VERSION } from "../platform/version.ts";
import { checkCommand } from "./check.ts";
import { completionCommand } from "./completion.ts";
import { inspectCommand } from "./inspect.ts";
import { measureCommands } from "./measure.ts";
import { publishCommand } from "./publish.ts";
import { storeCommand } from "./store.ts";
import { tailCommand } from "./tail.ts";
import { programOf, run } from "./terminal.ts";
import { tokenCommand } from "./token.ts";

const program = programOf("kaldrix")
  .description("KALDRIX Realtime in the terminal")
  .version(SERVICE_VERSION, "-V, --version", "print the version")
  .helpOption("-h, --help", "print help, also of a command")
  .addHelpText(
    "after",
    `
Exit codes: 0 done, 1 failed, 2 called wrongly.

Examples:
  kaldrix tail blocks --last 5
  kaldrix publish ROOM_MESSAGE '{"event":"hello"}' --channel room:lobby
  kaldrix help tail`,
  );

const COMMANDS = [
  tailCommand,
  publishCommand,
  inspectCommand,
  checkCommand,
  tokenCommand,
  storeCommand,
  measureCommands,
  completionCommand,
];
for (const add of COMMANDS) add(program);

await run(program);
