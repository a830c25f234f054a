/**
 * The commands of `bench/`, which read their own arguments.
 *
 * @module
 */
import type { Command } from "commander";

/** Adds `bench` and `smoke`. */
export function measureCommands(program: Command): void {
  foreign(program, "bench", "measure a server under load", async (args) => {
    const { main } = await import("../bench/bench.ts");
    return await main(args);
  });
  foreign(program, "smoke", "look at a deployed service", async (args) => {
    const { main } = await import("../bench/smoke_main.ts");
    return await main(args);
  });
}

/** Adds a command that takes all arguments as they are, `--help` too. */
function foreign(
  program: Command,
  name: string,
  description: string,
  main: (args: string[]) => Promise<number>,
): void {
  program.command(name).description(description)
    .argument("[args...]", "see --help of the command")
    .allowUnknownOption().helpOption(false)
    .action(async (args: string[]) => Deno.exit(await main(args)));
}
