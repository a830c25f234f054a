/**
 * The tiny client: one connection that keeps itself, resumes where it stood
 * and says what was lost. Runs in browsers, Deno and Node 22.
 *
 * @module
 */
import type { Client, Options } from "./types.ts";

export type * from "./types.ts";
export { RequestError } from "./request_error.ts";

/**
 * Connects, and keeps the connection.
 *
 * @param url as `options.url`, which it overrides.
 * @param options how.
 * @returns at once; see `state` and `onState` for how it goes.
 * @throws {TypeError} the URL is none.
 */
export function connect(url?: string, options: Options = {}): Client {
  throw new Error(`not yet: ${url} ${Object.keys(options)}`);
}
