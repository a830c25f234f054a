/**
 * The terminal program of the published package: `npx kaldrix <command>`. It
 * runs on Node, and has the commands that need only a running service.
 *
 * @module
 */
// First, because the commands use what it provides.
import "./on_node.ts";
import type { Command } from "commander";
import { completionCommand } from "./completion.ts";
import { inspectCommand } from "./inspect.ts";
import { kaldrix } from "./program.ts";
import { publishCommand } from "./publish.ts";
import { tailCommand } from "./tail.ts";
import { Failed, run } from "./terminal.ts";
import { tokenCommand } from "./token.ts";

/** Commands that need the service's own code, with descriptions. */
const ELSEWHERE = {
  check: "look for what would stop the service",
  store: "look after the store",
  bench: "measure a server under load",
  smoke: "look at a deployed service",
} as const;

/** Adds the commands of {@link ELSEWHERE}, which print where they are. */
function elsewhere(program: Command): void {
  for (const [name, description] of Object.entries(ELSEWHERE)) {
    program.command(name)
      .description(`${description} (in the service's repository only)`)
      .argument("[args...]", "as in the repository")
      .allowUnknownOption().helpOption(false)
      .action(() => {
        throw new Failed(
          `${name} needs the service's own code; in its repository run: deno task kaldrix ${name}`,
        );
      });
  }
}

// Node 20 has no WebSocket of its own.
globalThis.WebSocket ??= (await import("ws")).WebSocket as never;

await run(kaldrix([
  tailCommand,
  publishCommand,
  inspectCommand,
  tokenCommand,
  elsewhere,
  completionCommand,
]));
