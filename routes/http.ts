/**
 * What routes share about HTTP.
 *
 * @module
 */
import type { Context } from "hono";
import { Refusal } from "../protocol/refusals.ts";

/** Somebody at the door. */
export interface Visitor {
  /** Address. */
  readonly ip: string;
  /** Who it is, for limits: the address, or its network. */
  readonly bucket: string;
}

/** The budgets of an address: new connections, frames and events, requests. */
export type LimitName = "connections" | "messages" | "http";

/**
 * What `Deno.serve` tells Hono about a connection, and what is found out on
 * the way through the gate.
 */
export type Env = {
  Bindings: Deno.ServeHandlerInfo<Deno.NetAddr>;
  Variables: {
    /** Who came, once looked at. */
    visitor?: Visitor;
    /** Which budget was asked. */
    limit?: LimitName;
    /** The request's name, as its answer bears it. */
    requestId?: string;
    /** Whether its answer will get what all answers have. */
    hasHeaders?: boolean;
  };
};

/** The token of an `Authorization: Bearer` header, if there is one. */
export function bearerOf(c: Context<Env>): string | undefined {
  const header = c.req.header("authorization");
  return header && /^bearer +(\S+) *$/i.exec(header)?.[1];
}

/**
 * Reads a body as text, giving up as soon as it is too long.
 *
 * @param maxBytes longest body accepted.
 * @throws {Refusal} `MESSAGE_TOO_LARGE`; `INVALID_JSON` when it is empty or
 * not UTF-8.
 */
export async function textOf(
  request: Request,
  maxBytes: number,
): Promise<string> {
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > maxBytes) throw tooLong(maxBytes);
  if (!request.body) throw new Refusal("INVALID_JSON", "Body is empty");
  // An announced length is the server's to enforce, and reading all at once
  // costs a fraction of reading piece by piece.
  const isMeasured = announced > 0 && !request.headers.has("transfer-encoding");
  const bytes = isMeasured
    ? await request.arrayBuffer()
    : await gather(request.body, maxBytes);
  if (bytes.byteLength > maxBytes) throw tooLong(maxBytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Refusal("INVALID_JSON", "Body is not UTF-8 text", { cause });
  }
}

/** Reads what comes, and no more than one piece too many. */
async function gather(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  maxBytes: number,
): Promise<ArrayBuffer> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLong(maxBytes);
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
