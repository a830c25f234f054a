/**
 * One of several instances that share a port, in an isolate of its own.
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
