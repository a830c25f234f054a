/**
 * Maintains the store at `KV_PATH`: `deno task store backup --to FILE`,
 * `deno task store restore --from FILE`, `deno task store reset-log`.
 *
 * @module
 */
import type { Command } from "commander";
import { systemClock as clock } from "../platform/clock.ts";
import { idSource } from "../protocol/envelope.ts";
import { backUp, restore } from "../store/copies.ts";
import { IN_USE, isInUse } from "../store/in_use.ts";
import { isRemote, openStoreAt } from "../store/open.ts";
import { resetLog } from "../store/reset_log.ts";
import { PlaceError } from "../store/store_file.ts";
import { secretIn } from "../security/secret_file.ts";
import { FAILED, Failed, print, programOf, run } from "./terminal.ts";

/** Adds `store backup`, `store restore` and `store reset-log`. */
export function storeCommand(program: Command): void {
  keeping(program.command("store"));
}

/** Makes a command one that keeps the store. */
function keeping(store: Command): Command {
  store.description("keep the store at KV_PATH: copy it, bring it back");
  store.command("backup")
    .description("copy the store as of this moment, while the service runs")
    .requiredOption("--to <file>", "a file that does not exist yet")
    .action(({ to }: { to: string }) =>
      report(async () => {
        await backUp(fileOfStore(), to);
        return `copied to ${to}`;
      })
    );
  store.command("restore")
    .description(
      "put a copy in the place of the store of a stopped service. Blocks, revocations and records stay as they are now",
    )
    .requiredOption("--from <file>", "what `backup` made")
    .action(({ from }: { from: string }) =>
      report(async () => {
        const nextId = idSource();
        const path = fileOfStore();
        const replaced = await restore({ path, from, clock, nextId });
        return replaced === undefined
          ? `restored from ${from}; there was no store whose blocks and revocations could be kept`
          : `restored from ${from}; the store that was there is ${replaced}`;
      })
    );
  store.command("reset-log")
    .description(
      "delete all events of a stopped service. Blocks, revocations and records stay as they are",
    )
    .action(() =>
      report(async () => {
        const store = await openStoreAt(address(), { clock });
        try {
          if (await isInUse(store, clock)) throw new Failed(IN_USE);
          return `deleted ${await resetLog(store, clock)} rows of the log`;
        } finally {
          await store.close();
        }
      })
    );
  return store.addHelpText(
    "afterAll",
    `
Examples, each with KV_PATH in the environment:
  kaldrix store backup --to /backup/log-1.db
  kaldrix store restore --from /backup/log-1.db
  kaldrix store reset-log`,
  );
}

function address(): string {
  const path = Deno.env.get("KV_PATH_FILE");
  const address = Deno.env.get("KV_PATH") || (path && secretIn(path));
  if (address) return address;
  throw new RangeError(
    "KV_PATH is not set: set it to the file or address of the store",
  );
}

function fileOfStore(): string {
  const path = address();
  if (!isRemote(path)) return path;
  throw new RangeError(
    "KV_PATH is not a file: copy a database with its own tools (pg_dump)",
  );
}

/** Does the work and prints what was done. @throws {Failed} with the reason. */
async function report(work: () => Promise<string>): Promise<void> {
  try {
    print(await work());
  } catch (error) {
    throw error instanceof PlaceError ? new Failed(error.message) : error;
  }
}

if (import.meta.main) await run(keeping(programOf("store")), FAILED);
