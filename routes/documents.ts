/**
 * The service described for programs: AsyncAPI and OpenAPI. Documents are
 * generated on the first request.
 *
 * @module
 */
import { z } from "zod";
import type { Endpoint } from "../describe/openapi.ts";
import { once } from "../platform/once.ts";
import { assetOf, send } from "./files.ts";
import type { Asset } from "./files.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** Longest `Host` that a document repeats, in characters. */
const MAX_HOST_LENGTH = 255;
/** Placeholder for the host in the cached document. */
const ANY_HOST = "host.invalid";

const HEADERS = {
  "cache-control": "no-cache",
  // Tools on other pages may read what is described here.
  "access-control-allow-origin": "*",
};

/**
 * Declares `/asyncapi.json` and `/openapi.json`.
 *
 * @param endpoints what to describe, asked once.
 */
export function documentRoutes(endpoints: () => readonly Endpoint[]): Route[] {
  const asyncText = once(async () => {
    const { asyncApi } = await import("../describe/asyncapi.ts");
    return JSON.stringify(asyncApi(ANY_HOST));
  });
  const openAsset = once(async () => {
    const { openApi } = await import("../describe/openapi.ts");
    return await json(JSON.stringify(openApi(endpoints())));
  });
  return [
    route({
      method: "get",
      path: "/asyncapi.json",
      right: "document",
      compresses: true,
      describe: () => ({
        tag: "documents",
        summary: "The WebSocket protocol as AsyncAPI",
        answers: [{
          status: 200,
          description: "AsyncAPI 3",
          schema: z.looseObject({
            asyncapi: z.string().describe("Version of AsyncAPI"),
          }),
        }],
      }),
      async handle(c) {
        const text = await asyncText();
        const host = hostOf(c.req.url);
        return send(c, await json(text.replaceAll(ANY_HOST, host)), HEADERS);
      },
    }),
    route({
      method: "get",
      path: "/openapi.json",
      right: "document",
      compresses: true,
      describe: () => ({
        tag: "documents",
        summary: "This document",
        answers: [{
          status: 200,
          description: "OpenAPI 3.1",
          schema: z.looseObject({
            openapi: z.string().describe("Version of OpenAPI"),
          }),
        }],
      }),
      handle: async (c) => send(c, await openAsset(), HEADERS),
    }),
  ];
}

async function json(text: string): Promise<Asset> {
  return await assetOf(new TextEncoder().encode(text), "application/json");
}

/** The host as it was asked for; `requireAddress` admits nothing that JSON would escape. */
function hostOf(url: string): string {
  return new URL(url).host.slice(0, MAX_HOST_LENGTH);
}
