/**
 * The service for hosts that run an entry point, as Deno Deploy does, instead
 * of `deno serve main.ts`.
 *
 * @module
 */
import main from "./main.ts";

// The host decides where to listen.
Deno.serve({ onListen: main.onListen }, main.fetch);
