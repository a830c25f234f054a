/**
 * One isolate of several that share a port.
 *
 * @module
 */
import main, { settings } from "./main.ts";

Deno.serve({
  hostname: settings.HOST,
  port: settings.PORT,
  reusePort: true,
  onListen: main.onListen,
}, main.fetch);
