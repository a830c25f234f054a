/**
 * The service described for programs and people: AsyncAPI, OpenAPI, the page
 * that shows both, and the operator's page. Documents are made when first
 * asked for.
 *
 * @module
 */
import { Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import type { Env } from "./http.ts";
import type { PageParts } from "./pages.ts";

/** Longest `Host` that a document repeats, in characters. */
const MAX_HOST_LENGTH = 255;
/** Stands for the host in the document that is kept. */
const ANY_HOST = "host.invalid";

/** Pages and the file each is; their scripts are served like all bundles. */
const PAGES = { "/docs": "/docs.html", "/admin": "/admin.html" } as const;

/** Mounts `/asyncapi.json`, `/openapi.json`, `/docs` and `/admin`. */
export function documentRoutes({ assets }: PageParts): Hono<Env> {
  const app = new Hono<Env>();
  const asyncText = once(async () => {
    const { asyncApi } = await import("../describe/asyncapi.ts");
    return JSON.stringify(asyncApi(ANY_HOST));
  });
  const openText = once(async () => {
    const { openApi } = await import("../describe/openapi.ts");
    const { ENDPOINTS } = await import("./endpoints.ts");
    return JSON.stringify(openApi(ENDPOINTS));
  });

  app.get("/asyncapi.json", async (c) => {
    const text = (await asyncText()).replaceAll(ANY_HOST, hostOf(c.req.url));
    return json(text);
  });
  app.get("/openapi.json", async () => json(await openText()));

  const secure = secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'self'"],
      imgSrc: ["'self'", "data:"],
      objectSrc: ["'none'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
    xFrameOptions: "DENY",
    referrerPolicy: "no-referrer",
  });
  for (const [path, file] of Object.entries(PAGES)) {
    app.get(path, secure, (c) => {
      const asset = assets.get(file);
      if (!asset) {
        return c.text(
          "The page is not built yet: run `deno task build`.\n",
          503,
        );
      }
      const { body, type, etag } = asset;
      c.header("etag", etag);
      c.header("cache-control", "no-cache");
      if (c.req.header("if-none-match") === etag) return c.body(null, 304);
      c.header("content-type", type);
      return c.body(body);
    });
  }
  return app;
}

function json(text: string): Response {
  return new Response(text, {
    headers: {
      "content-type": "application/json",
      "cache-control": "no-cache",
      // Tools on other pages may read what is described here.
      "access-control-allow-origin": "*",
    },
  });
}

/** The host as it was asked for; a URL holds nothing that JSON would escape. */
function hostOf(url: string): string {
  return new URL(url).host.slice(0, MAX_HOST_LENGTH);
}

/** Makes a text on the first call, and remembers it. */
function once(make: () => Promise<string>): () => Promise<string> {
  let text: Promise<string> | undefined;
  return () => text ??= make();
}
