/**
 * What routes share about HTTP.
 *
 * @module
 */
import type { Context } from "hono";
import { Refusal } from "../protocol/refusals.ts";
import type { Principal } from "../security/principal.ts";

/** A caller, identified by its address only. */
export interface Visitor {
  /** Address. */
  readonly ip: string;
  /** Who it is, for limits: the address, or its network. */
  readonly bucket: string;
  /**
   * Whether a page of another site made the caller's browser send this. What
   * such a page does wrong is not held against the address: its user may
   * know nothing of it.
   */
  readonly isCrossSite: boolean;
}

/** The budgets of an address: new connections, frames and events, requests. */
export type LimitName = "connections" | "messages" | "http";

/**
 * What `Deno.serve` passes to Hono with a request, and what the gate adds.
 */
export type Env = {
  Bindings: Deno.ServeHandlerInfo<Deno.NetAddr>;
  Variables: {
    /** The caller, once looked at. */
    visitor?: Visitor;
    /** Who it is, once its token was verified. */
    principal?: Principal;
    /** Whether its handler has begun. */
    isHandled?: boolean;
    /** Which budget was charged. */
    limit?: LimitName;
    /** The request id, as its answer carries it. */
    requestId?: string;
    /** Whether its answer will get what all answers have. */
    hasHeaders?: boolean;
  };
};

/**
 * A host as `Host` may hold it: a name, an IPv4 address, or an IPv6 address in
 * brackets, perhaps with a port.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-7.2}
 */
const HOST =
  /^(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{0,5})?$/;

/**
 * Makes sure that the host which a request is addressed to is one: documents
 * repeat it.
 *
 * @throws {Refusal} `INVALID_MESSAGE`.
 */
export function requireAddress({ url, headers }: Request): void {
  const host = headers.get("host");
  // A target may name another host than the header does.
  const target = URL.parse(url)?.host ?? "";
  if ((!host || HOST.test(host)) && HOST.test(target)) return;
  throw new Refusal("INVALID_MESSAGE", "Host or request target is malformed");
}

/**
 * The token of an `Authorization: Bearer` header, if there is a header.
 *
 * @throws {Refusal} `INVALID_MESSAGE` when it is anything else: a caller
 * that sends one expects to be identified, and must not count as anonymous.
 */
export function bearerOf(c: Context<Env>): string | undefined {
  const header = c.req.header("authorization");
  if (header === undefined) return undefined;
  // Repeated headers arrive joined by commas, which no token holds.
  const token = /^bearer +([^\s,]+) *$/i.exec(header)?.[1];
  if (token !== undefined) return token;
  throw new Refusal(
    "INVALID_MESSAGE",
    "Authorization is malformed: send one header, Bearer <token>",
  );
}

/**
 * Whether a browser sent a request on behalf of a page of another site.
 *
 * @param headers of the request.
 * @see {@link https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header}
 */
export function isCrossSite(headers: Headers): boolean {
  const site = headers.get("sec-fetch-site");
  if (site !== null) return site === "cross-site" || site === "same-site";
  const origin = headers.get("origin");
  return origin !== null && URL.parse(origin)?.host !== headers.get("host");
}

/**
 * Reads a body as text, and stops as soon as it is too long.
 *
 * @param maxBytes longest body accepted.
 * @param take called with each length, in bytes, before that part is read; an
 * error that it throws ends the reading.
 * @throws {Refusal} `MESSAGE_TOO_LARGE`; `INVALID_JSON` when it is empty, ends
 * early or is not UTF-8.
 */
export async function textOf(
  request: Request,
  maxBytes: number,
  take: (bytes: number) => void = () => {},
): Promise<string> {
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > maxBytes) throw tooLong(maxBytes);
  if (!request.body) throw new Refusal("INVALID_JSON", "Body is empty");
  const bytes = await bytesOf(request, request.body, {
    announced,
    maxBytes,
    take,
  });
  if (bytes.byteLength > maxBytes) throw tooLong(maxBytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Refusal("INVALID_JSON", "Body is not UTF-8 text", { cause });
  }
}

/** A failure to read a body is the sender's fault, never a bug of ours. */
async function bytesOf(
  request: Request,
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  { announced, maxBytes, take }: {
    announced: number;
    maxBytes: number;
    take: (bytes: number) => void;
  },
): Promise<ArrayBuffer> {
  // An announced length is the server's to enforce, and reading all at once
  // costs a fraction of reading piece by piece.
  const isMeasured = announced > 0 && !request.headers.has("transfer-encoding");
  try {
    if (!isMeasured) return await gather(body, maxBytes, take);
    take(announced);
    return await request.arrayBuffer();
  } catch (cause) {
    if (cause instanceof Refusal) throw cause;
    throw new Refusal("INVALID_JSON", "Body ended early", { cause });
  }
}

/** Reads pieces until they are too many. */
async function gather(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  maxBytes: number,
  take: (bytes: number) => void,
): Promise<ArrayBuffer> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLong(maxBytes);
    take(chunk.byteLength);
    chunks.push(chunk);
  }
  return await new Blob(chunks).arrayBuffer();
}

function tooLong(maxBytes: number): Refusal {
  return new Refusal(
    "MESSAGE_TOO_LARGE",
    `A body may hold at most ${maxBytes} bytes`,
  );
}
