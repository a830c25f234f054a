/**
 * Publishing over HTTP.
 *
 * @module
 */
import { Hono } from "hono";
import { decodePublications } from "../protocol/decode.ts";
import { Refusal } from "../protocol/refusals.ts";
import { requireRight } from "../security/principal.ts";
import type { Hub } from "../realtime/hub.ts";
import type { Gate } from "./gate.ts";
import { textOf } from "./http.ts";
import type { Env } from "./http.ts";

/** Longest body of a publish, in bytes; what it holds must fit one commit. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** What the publish route needs. */
export interface PublishParts {
  /** Lets requests in. */
  gate: Gate;
  /** Takes the messages. */
  hub: Hub;
  /** Longest message accepted, in bytes. */
  maxMessageBytes: number;
}

/** Mounts `POST /api/publish`. */
export function publishRoutes(parts: PublishParts): Hono<Env> {
  return new Hono<Env>().post("/api/publish", async (c) => {
    const principal = await parts.gate.request(c);
    if (!principal.identity.isAuthenticated) {
      throw new Refusal(
        "UNAUTHENTICATED",
        "Publishing needs a token: Authorization: Bearer <token>",
      );
    }
    const text = await textOf(c.req.raw, MAX_BODY_BYTES);
    const publications = decodePublications(text, parts.maxMessageBytes);
    requireRight(principal, publications);
    parts.gate.publishing(c, principal, publications.length);
    return c.json({ accepted: await parts.hub.publish(publications) });
  });
}
