/**
 * Answers that are files: complete before the first request, and sent again
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
  /** Changes with the content; quoted, as HTTP requires. */
  readonly etag: string;
  /** The content compressed, by the name of its encoding; the best first. */
  readonly encoded?: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/** Encodings in which files are kept, by the ending of their names; best first. */
export const ENCODINGS = { br: "br", gz: "gzip" } as const;

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

/** Identifies a file's content where pages refer to it. */
export function versionOf({ etag }: Asset): string {
  return etag.slice(1, -1);
}

/**
 * Answers with a file, or that the caller has it already.
 *
 * @param headers besides its type and tag.
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2}
 */
export function send(
  c: Context<Env>,
  { body, type, etag, encoded }: Asset,
  headers: Readonly<Record<string, string>>,
): Response {
  const accepted = encodingsIn(c.req.header("accept-encoding"));
  const [encoding, bytes] =
    [...encoded ?? []].find(([name]) => accepted.has(name)) ?? [];
  const tag = encoding === undefined
    ? etag
    : `${etag.slice(0, -1)}-${encoding}"`;
  const all = {
    ...headers,
    etag: tag,
    ...(encoded ? { vary: "accept-encoding" } : {}),
  };
  if (holds(c.req.header("if-none-match"), tag)) return c.body(null, 304, all);
  return c.body(bytes ?? body, 200, {
    ...all,
    "content-type": type,
    ...(encoding === undefined ? {} : { "content-encoding": encoding }),
  });
}

/**
 * The encodings that a header names and does not refuse by a weight of zero.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3}
 */
export function encodingsIn(header = ""): ReadonlySet<string> {
  const names = header.toLowerCase().split(",").flatMap((each) => {
    const [name, ...parameters] = each.split(";").map((part) => part.trim());
    const isRefused = parameters.some((it) => /^q=0(\.0*)?$/.test(it));
    return name && !isRefused ? [name] : [];
  });
  return new Set(names);
}

/** Proxies that compress make tags weak, which changes nothing here. */
function holds(known: string | undefined, etag: string): boolean {
  if (known === undefined) return false;
  if (known.trim() === "*") return true;
  return known.split(",").some((tag) =>
    tag.trim().replace(/^W\//, "") === etag
  );
}

/** The answer while a page is not built. */
export function notBuilt(c: Context<Env>): Response {
  return c.text("The page is not built yet: run `deno task build`.\n", 503);
}
