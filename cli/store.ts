/**
 * Looks after the store at `KV_PATH`: `deno task store backup --to FILE`,
 * `deno task store restore --from FILE`, `deno task store reset-log`.
 *
 * @module
 */
import { Command } from "commander";
import { systemClock as clock } from "../platform/clock.ts";
import { idSource } from "../protocol/envelope.ts";
import { backUp, restore } from "../store/copies.ts";
import { isDatabase, openStoreAt } from "../store/open.ts";
import { resetLog } from "../store/reset_log.ts";
import { PlaceError } from "../store/store_file.ts";
import { secretIn } from "../server/settings.ts";

const program = new Command("store")
  .description("Looks after the store at KV_PATH")
  .configureOutput({
    // Asking about colours would take rights that nothing else here needs.
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });

program.command("backup")
  .description("Copies the store as of this moment, while the service runs")
  .requiredOption("--to <file>", "a file that does not exist yet")
  .action(({ to }: { to: string }) =>
    run(async () => {
      await backUp(fileOfStore(), to);
      return `copied to ${to}`;
    })
  );

program.command("restore")
  .description(
    "Puts a copy in the place of the store; stop the service before. Blocks, revocations and records stay as they are now",
  )
  .requiredOption("--from <file>", "what `backup` made")
  .action(({ from }: { from: string }) =>
    run(async () => {
      const nextId = idSource();
      const path = fileOfStore();
      const replaced = await restore({ path, from, clock, nextId });
      return replaced === undefined
        ? `restored from ${from}; there was no store whose blocks and revocations could be kept`
        : `restored from ${from}; the store that was there is ${replaced}`;
    })
  );

program.command("reset-log")
  .description(
    "Deletes all events; stop the service before. Blocks, revocations and records stay as they are",
  )
  .action(() =>
    run(async () => {
      const store = await openStoreAt(address(), { clock });
      try {
        return `deleted ${await resetLog(store, clock)} rows of the log`;
      } finally {
        await store.close();
      }
    })
  );

await program.parseAsync(Deno.args, { from: "user" });

function address(): string {
  const path = Deno.env.get("KV_PATH_FILE");
  const address = Deno.env.get("KV_PATH") || (path && secretIn(path));
  if (address) return address;
  throw new RangeError("KV_PATH is not set: it says where the store is");
}

function fileOfStore(): string {
  const path = address();
  if (!isDatabase(path) && !/^https?:/.test(path)) return path;
  throw new RangeError(
    "KV_PATH is not a file: copy a database with its own tools (pg_dump)",
  );
}

/** Prints what was done, or why it was not. */
async function run(work: () => Promise<string>): Promise<void> {
  try {
    const done = await work();
    await Deno.stdout.write(new TextEncoder().encode(`${done}\n`));
  } catch (error) {
    const isKnown = error instanceof RangeError || error instanceof PlaceError;
    if (!isKnown) throw error;
    await Deno.stderr.write(new TextEncoder().encode(`${error.message}\n`));
    Deno.exit(1);
  }
}
