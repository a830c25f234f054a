/**
 * Prints the flags with which `deno serve` follows the settings: where to
 * listen, and the one file that the service may write.
 *
 * @module
 */
import { readSettings, SettingsError } from "./settings.ts";

try {
  const dev = Deno.args.includes("--dev");
  const { HOST, PORT, KV_PATH } = readSettings((name) => Deno.env.get(name), {
    dev,
  });
  const flags = ["--host", HOST, "--port", String(PORT)];
  if (KV_PATH) {
    flags.push(`--allow-read=.,${KV_PATH}`, `--allow-write=${KV_PATH}`);
  }
  await Deno.stdout.write(new TextEncoder().encode(flags.join(" ")));
} catch (error) {
  // The service itself says what is wrong.
  if (!(error instanceof SettingsError)) throw error;
  Deno.exit(1);
}
