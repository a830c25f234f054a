/**
 * The service on all cores of a machine: one instance a core, each in an
 * isolate with a listener of its own on one port, so that the system deals
 * connections out evenly. `deno serve --parallel` gives all isolates one
 * listener, and the quicker one takes the connection.
 *
 * Needs `--unstable-net`, and Linux. `DENO_JOBS` is the number of instances, as
 * for `deno serve`.
 *
 * @module
 */
import { systemClock as clock } from "./platform/clock.ts";
import { readCommandLine } from "./server/command_line.ts";
import {
  answerAndExit,
  exitIfTaken,
  exitWith,
  storeOrExit,
} from "./server/exits.ts";
import { beginTogether, remote } from "./server/lockstep.ts";
import { instanceCount } from "./server/machine.ts";
import { settingsOrExit } from "./server/settings.ts";
import { placeAt } from "./store/open.ts";

const commandLine = readCommandLine(Deno.args);
answerAndExit(commandLine);
const { HOST: hostname, PORT: port, KV_PATH } = settingsOrExit(commandLine);
// Before anything is built: a start that fails leaves nothing behind.
exitIfTaken({ hostname, port });
await storeOrExit(placeAt(KV_PATH, { clock }));

const workers = Array.from(
  { length: instanceCount() - 1 },
  () => new Worker(new URL("isolate.ts", import.meta.url), { type: "module" }),
);
// Workers answer while this instance is built.
const others = workers.map(remote);
const { member } = await import("./isolate.ts");
try {
  await beginTogether([member, ...others]);
} catch (error) {
  exitWith(error instanceof Error ? error.message : String(error));
}
