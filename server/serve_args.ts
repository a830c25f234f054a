/**
 * Prints the arguments with which Deno serves in production by the settings:
 * which program, and the least rights that it needs. Warns of variables that
 * look like misspelt settings. Flags that it is given are passed on
 * (`--cached-only`).
 *
 * @module
 */
import { fileLimit } from "./machine.ts";
import { rightsFor } from "./process_rights.ts";
import {
  readSettings,
  secretFiles,
  SettingsError,
  warnOfUnknownSettings,
} from "./settings.ts";

warnOfUnknownSettings();
const { rights, address } = bySettings();
const flags = [
  // What the lock file holds, and nothing else.
  "--lock=deno.lock",
  "--frozen",
  // Without a warning for every set of rights in the configuration.
  "-q",
  "-P=serve",
  // In MiB. V8 begins with one, and copies what a burst of connections leaves
  // alive again and again until it has grown: a quarter of what they cost.
  "--v8-flags=--min-semi-space-size=16",
  ...rights,
  ...Deno.args,
];
const files = await fileLimit();
const about = files === undefined ? [] : ["--files", String(files)];
// Only Linux deals connections out among those who share a port.
const args = Deno.build.os === "linux"
  ? ["run", "--unstable-net", ...flags, "start.ts", ...about]
  : ["serve", "--parallel", ...flags, ...address, "main.ts", ...about];
await Deno.stdout.write(new TextEncoder().encode(args.join(" ")));

/** Nothing where a setting is wrong: the service itself reports it. */
function bySettings(): { rights: string[]; address: string[] } {
  try {
    const settings = readSettings((name) => Deno.env.get(name), {
      dev: false,
    });
    const { HOST, PORT } = settings;
    return {
      rights: rightsFor(settings, secretFiles()),
      address: ["--host", HOST, "--port", String(PORT)],
    };
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return { rights: [], address: [] };
  }
}
