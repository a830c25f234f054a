/**
 * Prints the arguments with which Deno serves by the settings: which program,
 * where to listen, and the one file that the service may write. Flags that it
 * is given are passed on (`--cached-only`).
 *
 * @module
 */
import { isDatabase } from "../store/open.ts";
import { readSettings, SettingsError } from "./settings.ts";

const dev = Deno.args.includes("--dev");
const { address, store } = bySettings();
const flags = [
  // What the lock file holds, and nothing else.
  "--lock=deno.lock",
  "--frozen",
  "-P=serve",
  ...store,
  ...Deno.args.filter((flag) => flag !== "--dev"),
];
const args = dev
  ? ["serve", "--watch", ...flags, ...address, "main.ts", "--dev"]
  // Only Linux deals connections out among those who share a port.
  : Deno.build.os === "linux"
  ? ["run", "--unstable-net", ...flags, "start.ts"]
  : ["serve", "--parallel", ...flags, ...address, "main.ts"];
await Deno.stdout.write(new TextEncoder().encode(args.join(" ")));

/** Nothing where a setting is wrong: the service itself says what is. */
function bySettings(): { address: string[]; store: string[] } {
  try {
    const { HOST, PORT, KV_PATH } = readSettings((name) => Deno.env.get(name), {
      dev,
    });
    return {
      address: ["--host", HOST, "--port", String(PORT)],
      store: isDatabase(KV_PATH)
        // The client of the database looks for what nobody set.
        ? ["--ignore-env"]
        : KV_PATH
        ? [`--allow-read=.,${KV_PATH}`, `--allow-write=${KV_PATH}`]
        : [],
    };
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return { address: [], store: [] };
  }
}
