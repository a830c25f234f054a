/**
 * Publishing over HTTP.
 *
 * @module
 */
import { Hono } from "hono";
import { decodePublications } from "../protocol/decode.ts";
import { Refusal } from "../protocol/refusals.ts";
import { requireRight } from "../realtime/caller.ts";
import type { Hub } from "../realtime/hub.ts";
import { bearerOf } from "./http.ts";
import type { CallerParts, Env } from "./http.ts";

/** Longest body of a publish, in bytes; what it holds must fit one commit. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** What the publish route needs. */
export interface PublishParts extends CallerParts {
  /**
   * Lets callers in.
   * @throws {Refusal} `DRAINING` when nobody is let in any more.
   */
  admit: () => void;
  /** Takes the messages. */
  hub: Hub;
  /** Longest message accepted, in bytes. */
  maxMessageBytes: number;
}

/** Mounts `POST /api/publish`. */
export function publishRoutes(parts: PublishParts): Hono<Env> {
  return new Hono<Env>().post("/api/publish", async (c) => {
    parts.admit();
    const caller = await parts.identify(bearerOf(c));
    if (!caller.identity.isAuthenticated) {
      throw new Refusal(
        "UNAUTHENTICATED",
        "Publishing needs a token: Authorization: Bearer <token>",
      );
    }
    const text = await bodyOf(c.req.raw);
    const publications = decodePublications(text, parts.maxMessageBytes);
    requireRight(caller, publications);
    return c.json({ accepted: await parts.hub.publish(publications) });
  });
}

/** Reads a body as text, giving up as soon as it is too long. */
async function bodyOf(request: Request): Promise<string> {
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > MAX_BODY_BYTES) throw tooLong();
  if (!request.body) throw new Refusal("INVALID_JSON", "Body is empty");
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const chunk of request.body) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BODY_BYTES) throw tooLong();
    chunks.push(chunk);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(
      await new Blob(chunks).arrayBuffer(),
    );
  } catch (cause) {
    throw new Refusal("INVALID_JSON", "Body is not UTF-8 text", { cause });
  }
}

function tooLong(): Refusal {
  return new Refusal(
    "MESSAGE_TOO_LARGE",
    `A body may hold at most ${MAX_BODY_BYTES} bytes`,
  );
}
