/**
 * The terminal program that contains the commands.
 *
 * @module
 */
import type { Command } from "commander";
import { SERVICE_VERSION } from "../platform/version.ts";
import { programOf } from "./terminal.ts";

/**
 * The program `kaldrix`.
 *
 * @param commands each adds one; in the order of the help.
 */
export function kaldrix(
  commands: readonly ((program: Command) => void)[],
): Command {
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
  for (const add of commands) add(program);
  return program;
}
