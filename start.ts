/**
 * The service on all cores of a machine: an isolate a core, each with a
 * listener of its own on one port, so that the system deals connections out
 * evenly. `deno serve --parallel` gives all isolates one listener, and whoever
 * is quicker takes the connection.
 *
 * Needs `--unstable-net`, and Linux. `DENO_JOBS` says how many isolates, as it
 * does for `deno serve`.
 *
 * @module
 */
import { settings } from "./main.ts";

const { HOST: hostname, PORT: port } = settings;
const jobs = Number(Deno.env.get("DENO_JOBS"));
const isolates = Number.isInteger(jobs) && jobs > 0
  ? jobs
  : navigator.hardwareConcurrency;

// A port that another program listens on would be shared with it in silence.
try {
  Deno.listen({ hostname, port }).close();
} catch (error) {
  // deno-lint-ignore no-console -- for whoever starts it, as wrong settings are.
  console.error(
    `Cannot start: cannot listen on HOST ${hostname}, PORT ${port}. Set others, or end what listens there. ${error}`,
  );
  Deno.exit(1);
}
for (let i = 1; i < isolates; i++) {
  new Worker(new URL("isolate.ts", import.meta.url), { type: "module" });
}
await import("./isolate.ts");
