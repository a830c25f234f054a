/**
 * What browsers load: pages and the client bundles, as `deno task build` made
 * them.
 *
 * @module
 */
import type { Context } from "hono";
import { assetOf, ENCODINGS, notBuilt, send, versionOf } from "./files.ts";
import type { Asset } from "./files.ts";
import type { Env } from "./http.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

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

/** Pages and the file each is; their scripts are served like all bundles. */
const PAGES: Readonly<Record<string, { file: string; isClosed?: true }>> = {
  "/": { file: "/index.html" },
  "/block/:id": { file: "/explorer.html" },
  "/tx/:id": { file: "/explorer.html" },
  "/address/:id": { file: "/explorer.html" },
  "/docs": { file: "/docs.html", isClosed: true },
  "/admin": { file: "/admin.html", isClosed: true },
};

/**
 * Headers of files besides those of all answers. The host stays with TLS once
 * it was used; other hosts of the domain are not ours to bind.
 */
const FILE_HEADERS = {
  "strict-transport-security": "max-age=15552000",
  "cross-origin-opener-policy": "same-origin",
  "origin-agent-cluster": "?1",
  "x-dns-prefetch-control": "off",
  "x-download-options": "noopen",
  "x-frame-options": "SAMEORIGIN",
  "x-permitted-cross-domain-policies": "none",
  "x-xss-protection": "0",
} as const;

/** What a page may load: its own files, and data from this service. */
function policy(more: string): string {
  return `default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; ${more}`;
}

/** Headers of `/docs` and `/admin`, which are never framed nor kept. */
const CLOSED_HEADERS = {
  ...FILE_HEADERS,
  "content-security-policy": policy("form-action 'none'"),
  "x-frame-options": "DENY",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-cache",
};

/** Headers of the public pages and of bundles, which pages anywhere may load. */
const SHARED_HEADERS = {
  ...FILE_HEADERS,
  "content-security-policy": policy("connect-src 'self' ws: wss:"),
  "cross-origin-resource-policy": "cross-origin",
  "cache-control": "public, max-age=0, must-revalidate",
};

/**
 * Of a file whose content its address names, as pages refer to it. Another
 * build's reference gets what this one has, and may not keep it.
 */
const KEPT = { "cache-control": "public, max-age=31536000, immutable" };

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
      const encoded = await encodedIn(directory, name);
      const asset = await assetOf(body, type);
      assets.set(`/${name}`, encoded.size > 0 ? { ...asset, encoded } : asset);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return assets;
}

/** What the build compressed of a file. */
async function encodedIn(
  directory: URL,
  name: string,
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const encoded = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [ending, encoding] of Object.entries(ENCODINGS)) {
    try {
      const file = new URL(`${name}.${ending}`, directory);
      encoded.set(encoding, await Deno.readFile(file));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return encoded;
}

/** Declares the pages, and every built file under its name. */
export function pageRoutes({ assets }: PageParts): Route[] {
  const page = (path: string, handle: (c: Context<Env>) => Response) =>
    route({ method: "get", path, right: "page", handle });
  return [
    ...Object.entries(PAGES).map(([path, { file, isClosed }]) =>
      page(path, (c) => {
        const asset = assets.get(file);
        if (!asset) return notBuilt(c);
        return send(c, asset, isClosed ? CLOSED_HEADERS : SHARED_HEADERS);
      })
    ),
    ...[...assets].map(([path, asset]) => {
      const headers = { ...SHARED_HEADERS, ...scriptHeaders(path, assets) };
      return page(path, (c) => {
        const isNamed = c.req.query("v") === versionOf(asset);
        return send(c, asset, isNamed ? { ...headers, ...KEPT } : headers);
      });
    }),
  ];
}

function scriptHeaders(
  path: string,
  assets: PageParts["assets"],
): Record<string, string> {
  if (!path.endsWith(".js")) return {};
  const types = path.replace(/\.js$/, ".d.ts");
  return {
    "access-control-allow-origin": "*",
    // Deno and editors find the types by it.
    ...(assets.has(types) ? { "x-typescript-types": `.${types}` } : {}),
  };
}
