/**
 * The preset dictionary of compressed frames.
 *
 * @module
 */
import { z } from "zod";
import type { Dictionary } from "../realtime/compression.ts";
import { send } from "./files.ts";
import { notFound } from "./refusals.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** What the route needs. */
export interface DictionaryParts {
  /** Makes the dictionary when it is first asked for. */
  dictionary: () => Promise<Dictionary>;
}

/** The content of a name never changes; pages of any origin may load it. */
const HEADERS = {
  "cache-control": "public, max-age=31536000, immutable",
  "access-control-allow-origin": "*",
  "cross-origin-resource-policy": "cross-origin",
};

/** Declares `GET /dictionary/:hash`. */
export function dictionaryRoutes({ dictionary }: DictionaryParts): Route[] {
  return [route({
    method: "get",
    path: "/dictionary/:hash",
    right: "dictionary",
    params: z.object({
      hash: z.string().max(64).meta({
        description: "As `connected` names it",
        example: "0123456789abcdef",
      }),
    }),
    describe: () => ({
      tag: "events",
      summary: "The preset dictionary of compressed frames",
      answers: [{
        status: 200,
        description: "Its bytes",
        type: "application/octet-stream",
      }, {
        status: 404,
        description: "Another build's: connect without compression",
      }],
    }),
    async handle(c, { params }) {
      const { bytes, hash } = await dictionary();
      if (params.hash !== hash) return notFound(c);
      const type = "application/octet-stream";
      return send(c, { body: bytes, type, etag: `"${hash}"` }, HEADERS);
    },
  })];
}
