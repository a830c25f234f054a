/**
 * Answers that are files: known as a whole before anyone asks, and sent again
 * only when they have changed.
 *
 * @module
 */
import type { Context } from "hono";
import type { Env } from "./http.ts";

/** One file, as it is served. */
export interface Asset {
  /** The file's content. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** Its media type. */
  readonly type: string;
  /** Changes with the content; quoted, as HTTP wants it. */
  readonly etag: string;
}

/**
 * A file of some content.
 *
 * @param body what it holds.
 * @param type its media type.
 */
export async function assetOf(
  body: Uint8Array<ArrayBuffer>,
  type: string,
): Promise<Asset> {
  const digest = await crypto.subtle.digest("SHA-256", body);
  const text = new Uint8Array(digest).toBase64({ alphabet: "base64url" });
  return { body, type, etag: `"${text.slice(0, 22)}"` };
}

/**
 * Answers with a file, or that the caller has it already.
 *
 * @param headers besides its type and tag.
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2}
 */
export function send(
  c: Context<Env>,
  { body, type, etag }: Asset,
  headers: Readonly<Record<string, string>>,
): Response {
  const all = { ...headers, etag };
  if (holds(c.req.header("if-none-match"), etag)) return c.body(null, 304, all);
  return c.body(body, 200, { ...all, "content-type": type });
}

/** Proxies that compress make tags weak, which changes nothing here. */
function holds(known: string | undefined, etag: string): boolean {
  if (known === undefined) return false;
  if (known.trim() === "*") return true;
  return known.split(",").some((tag) =>
    tag.trim().replace(/^W\//, "") === etag
  );
}

/** What is answered while a page is not built. */
export function notBuilt(c: Context<Env>): Response {
  return c.text("The page is not built yet: run `deno task build`.\n", 503);
}
