/**
 * What routes share about HTTP.
 *
 * @module
 */
import type { Context } from "hono";
import type { Caller } from "../realtime/caller.ts";

/** What `Deno.serve` tells Hono about a connection. */
export type Env = { Bindings: Deno.ServeHandlerInfo<Deno.NetAddr> };

/** What a route needs to know who calls. */
export interface CallerParts {
  /**
   * Who shows `token`; a stranger without one.
   * @throws {Refusal} `UNAUTHENTICATED` or `TOKEN_EXPIRED`.
   */
  identify: (token: string | undefined) => Promise<Caller>;
}

/** The token of an `Authorization: Bearer` header, if there is one. */
export function bearerOf(c: Context<Env>): string | undefined {
  const header = c.req.header("authorization");
  return header && /^bearer +(\S+) *$/i.exec(header)?.[1];
}
