/**
 * What browsers load: the live page and the client bundles, as `deno task
 * build` made them.
 *
 * @module
 */
import { Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
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

/** What the page routes need. */
export interface PageParts {
  /** The built files, by the path they are served under. */
  assets: ReadonlyMap<string, Asset>;
}

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  ts: "text/plain; charset=utf-8",
  json: "application/json",
  map: "application/json",
  svg: "image/svg+xml",
  png: "image/png",
  woff2: "font/woff2",
};

/**
 * Reads the built files.
 *
 * @param directory where `deno task build` put them.
 * @returns them by path; none when nothing was built.
 */
export async function readAssets(
  directory: URL,
): Promise<ReadonlyMap<string, Asset>> {
  const assets = new Map<string, Asset>();
  try {
    for await (const { name, isFile } of Deno.readDir(directory)) {
      const type = TYPES[name.split(".").at(-1)!];
      if (!isFile || !type) continue;
      const body = await Deno.readFile(new URL(name, directory));
      const digest = await crypto.subtle.digest("SHA-256", body);
      const etag = `"${
        new Uint8Array(digest).toBase64({ alphabet: "base64url" }).slice(0, 22)
      }"`;
      const asset = { body, type, etag };
      assets.set(`/${name}`, asset);
      if (name === "index.html") assets.set("/", asset);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return assets;
}

/** Mounts every built file under its name, and the live page at `/`. */
export function pageRoutes({ assets }: PageParts): Hono<Env> {
  const app = new Hono<Env>();
  const secure = secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'self'"],
      connectSrc: ["'self'", "ws:", "wss:"],
      imgSrc: ["'self'", "data:"],
      objectSrc: ["'none'"],
      baseUri: ["'none'"],
      frameAncestors: ["'none'"],
    },
    // Pages anywhere may load the client.
    crossOriginResourcePolicy: "cross-origin",
  });
  for (const [path, { body, type, etag }] of assets) {
    app.get(path, secure, (c) => {
      c.header("etag", etag);
      c.header("cache-control", "public, max-age=0, must-revalidate");
      if (path.endsWith(".js")) {
        c.header("access-control-allow-origin", "*");
        // Deno and editors find the types by it.
        const types = path.replace(/\.js$/, ".d.ts");
        if (assets.has(types)) c.header("x-typescript-types", `.${types}`);
      }
      if (c.req.header("if-none-match") === etag) return c.body(null, 304);
      c.header("content-type", type);
      return c.body(body);
    });
  }
  if (!assets.has("/")) {
    app.get(
      "/",
      (c) => c.text("The page is not built yet: run `deno task build`.\n", 503),
    );
  }
  return app;
}
