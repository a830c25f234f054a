/**
 * Refusals over HTTP.
 *
 * @module
 */
import type { Context } from "hono";
import { accepts } from "hono/accepts";
import { REFUSALS } from "../protocol/refusals.ts";
import type { Refusal } from "../protocol/refusals.ts";
import type { Env } from "./http.ts";

/** The content of an answer that is no success. */
interface Fault {
  readonly code: string;
  readonly message: string;
  readonly [more: string]: unknown;
}

/** Media types of faults; the first one for callers that name none. */
const TYPES = ["application/json", "application/problem+json"];

/** The answer that a refusal is. */
export function refused(c: Context<Env>, refusal: Refusal): Response {
  const { retryAfterMs, kind, code } = refusal;
  const headers = new Headers();
  if (retryAfterMs !== undefined) {
    headers.set("retry-after", String(Math.ceil(retryAfterMs / 1_000)));
  }
  if (kind.http === 401) headers.set("www-authenticate", "Bearer");
  const fault = refusal.toJSON();
  return faultAnswer(c, fault, kind.http, REFUSALS[code].text, headers);
}

/** The answer to an unknown path; a page for browsers. */
export function notFound(c: Context<Env>): Response {
  const supports = [...TYPES, "text/html"];
  const [byDefault] = supports;
  const type = accepts(c, {
    header: "Accept",
    supports,
    default: byDefault!,
  });
  if (type === "text/html") {
    c.header("content-type", "text/html; charset=utf-8");
    c.header("content-security-policy", NOT_FOUND_POLICY);
    return c.body(NOT_FOUND_PAGE, 404);
  }
  const message = `No such path: ${c.req.path}`;
  const fault = { code: "NOT_FOUND", message };
  return faultAnswer(c, fault, 404, "Path is not known");
}

/**
 * The answer to a method that a path does not take.
 *
 * @param allow the methods it takes.
 * @param status as clients of the path expect it.
 */
export function otherMethod(
  c: Context<Env>,
  allow: readonly string[],
  status: 400 | 405 = 405,
): Response {
  const headers = new Headers({ allow: allow.join(", ") });
  if (c.req.raw.method === "OPTIONS") {
    return new Response(null, { status: 204, headers });
  }
  const message = `${c.req.path} takes ${allow.join(", ")}`;
  const fault = { code: "METHOD_NOT_ALLOWED", message };
  return faultAnswer(c, fault, status, "Method is not allowed", headers);
}

/**
 * As problem details for callers that ask for them.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9457}
 */
function faultAnswer(
  c: Context<Env>,
  fault: Fault,
  status: number,
  title: string,
  headers: Headers = new Headers(),
): Response {
  const type = accepts(c, {
    header: "Accept",
    supports: TYPES,
    default: TYPES[0]!,
  });
  const { code, message: detail, ...more } = fault;
  const text = JSON.stringify(
    type === TYPES[0]
      ? fault
      : { type: `urn:kaldrix:${code}`, title, status, detail, code, ...more },
  );
  const body = new TextEncoder().encode(text);
  headers.set("content-type", type);
  // Stays where `HEAD` takes the body away.
  headers.set("content-length", String(body.byteLength));
  return new Response(body, { status, headers });
}

/** What the page may load: only its styles. */
const NOT_FOUND_POLICY =
  "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const NOT_FOUND_PAGE = `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="dark light">
    <title>Not found · KALDRIX</title>
    <link rel="icon" href="/icon.svg" type="image/svg+xml">
    <link rel="stylesheet" href="/app.css">
  </head>
  <body>
    <header class="bar">
      <a class="brand" href="/">
        <img src="/icon.svg" alt="" width="26" height="26">
        KALDRIX <span>live</span>
      </a>
    </header>
    <main class="explorer">
      <h1>Not found</h1>
      <p>There is nothing at this address. <a href="/">Live page</a>, <a href="/docs">API</a>.</p>
    </main>
  </body>
</html>
`;
