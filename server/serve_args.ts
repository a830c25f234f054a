/**
 * Prints the arguments with which Deno serves by the settings: which program,
 * where to listen, and the files that it may read and write. Flags that it
 * is given are passed on (`--cached-only`).
 *
 * @module
 */
import { bellsOf, isDatabase, witnessOf } from "../store/open.ts";
import { FILE_SETTING_NAMES, readSettings, SettingsError } from "./settings.ts";

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
    const files = [KV_PATH, bellsOf(KV_PATH), witnessOf(KV_PATH)]
      .filter((path) => path);
    return {
      address: ["--host", HOST, "--port", String(PORT)],
      store: isDatabase(KV_PATH)
        // The client of the database looks for what nobody set.
        ? ["--ignore-env", ...reading([])]
        : KV_PATH
        ? [...reading(files), `--allow-write=${files.join(",")}`]
        : reading([]),
    };
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return { address: [], store: [] };
  }
}

/** The service may read itself, `paths`, and the files that hold its secrets. */
function reading(paths: readonly (string | undefined)[]): string[] {
  const files = FILE_SETTING_NAMES.map((name) => Deno.env.get(name) ?? "")
    .filter(Boolean);
  const all = [...paths, ...files];
  return all.length === 0 ? [] : [`--allow-read=.,${all.join(",")}`];
}
