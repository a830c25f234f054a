/**
 * Files as the build made them: compressed for those who accept that, and kept
 * by browsers for as long as pages refer to the same content.
 */
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import {
  brotliCompressSync,
  brotliDecompressSync,
  gunzipSync,
  gzipSync,
} from "node:zlib";
import { readAssets } from "../../routes/pages.ts";
import { openTestService } from "../test_service.ts";

const TEXT = "export const words = 'the same words, the same words';\n".repeat(
  20,
);

/** A service that was built with one bundle and one font. */
async function built() {
  const directory = await Deno.makeTempDir();
  const write = (name: string, content: Uint8Array) =>
    Deno.writeFile(`${directory}/${name}`, content);
  const bytes = new TextEncoder().encode(TEXT);
  await write("client.js", bytes);
  await write("client.js.br", brotliCompressSync(bytes));
  await write("client.js.gz", gzipSync(bytes));
  await write("font.woff2", bytes);
  const assets = await readAssets(pathToFileURL(`${directory}/`));
  await Deno.remove(directory, { recursive: true });
  return await openTestService({ assets });
}

const NEGOTIATED = {
  "gzip, deflate, br": "br",
  "gzip": "gzip",
  "GZIP;q=0.5, identity": "gzip",
  "br;q=0, gzip;q=1.0": "gzip",
  "br;q=0.0": undefined,
  "zstd": undefined,
  "": undefined,
};
for (const [accepted, encoding] of Object.entries(NEGOTIATED)) {
  Deno.test(`accept-encoding "${accepted}" gets ${encoding ?? "the file as it is"}`, async () => {
    await using service = await built();
    const headers = { "accept-encoding": accepted };
    const response = await service.request("/client.js", { headers });
    assert.equal(response.headers.get("content-encoding"), encoding ?? null);
    assert.match(response.headers.get("vary")!, /accept-encoding/i);
    assert.match(response.headers.get("content-type")!, /^text\/javascript/);
    const body = await response.bytes();
    const read = encoding === "br"
      ? brotliDecompressSync(body)
      : encoding === "gzip"
      ? gunzipSync(body)
      : body;
    assert.equal(new TextDecoder().decode(read), TEXT);
  });
}

Deno.test("each encoding has a tag of its own, and is sent once", async () => {
  await using service = await built();
  const tags = new Set<string>();
  for (const encoding of ["br", "gzip", "identity"]) {
    const ask = async (more: Record<string, string> = {}) => {
      const headers = { "accept-encoding": encoding, ...more };
      const response = await service.request("/client.js", { headers });
      await response.body?.cancel();
      return response;
    };
    const etag = (await ask()).headers.get("etag")!;
    const again = await ask({ "if-none-match": etag });
    assert.equal(again.status, 304);
    assert.equal(again.headers.get("etag"), etag);
    for (const other of tags) {
      assert.equal((await ask({ "if-none-match": other })).status, 200);
    }
    tags.add(etag);
  }
  assert.equal(tags.size, 3);
});

Deno.test("what was not compressed has one form, and compressed files no path", async () => {
  await using service = await built();
  const headers = { "accept-encoding": "br, gzip" };
  const font = await service.request("/font.woff2", { headers });
  assert.equal(font.headers.get("content-encoding"), null);
  await font.body?.cancel();
  const raw = await service.request("/client.js.br", { headers });
  assert.equal(raw.status, 404);
  await raw.body?.cancel();
});

Deno.test("what pages refer to is named by its content, and kept; other names are asked for again", async () => {
  const assets = await readAssets(
    new URL("../../client/dist/", import.meta.url),
  );
  await using service = await openTestService({ assets });
  const cacheOf = async (path: string) => {
    const response = await service.request(path);
    assert.equal(response.status, 200, path);
    await response.body?.cancel();
    return response.headers.get("cache-control")!;
  };
  const seen = new Set<string>();
  for (const path of ["/", "/docs", "/admin"]) {
    const page = await (await service.request(path)).text();
    assert.doesNotMatch(await cacheOf(path), /immutable/, path);
    const styles = [...page.matchAll(/href="([^"]+\.css[^"]*)"/g)];
    const sheets = await Promise.all(
      styles.map(async ([, href]) =>
        await (await service.request(href!)).text()
      ),
    );
    const references = (page + sheets.join("")).matchAll(
      /(?:href="|src="|url\(")(\/[^"]+\.(?:js|css|woff2|svg)(?:\?[^"]*)?)"/g,
    );
    for (const [, reference] of references) {
      assert.match(await cacheOf(reference!), /max-age=31536000, immutable/);
      seen.add(reference!);
    }
  }
  const names = [...seen].map((each) => each.split("?")[0]!);
  for (const name of ["/app.js", "/docs.js", "/admin.js", "/app.css"]) {
    assert(names.includes(name), name);
  }
  assert(
    names.some((name) => name.endsWith(".woff2")),
    "what styles load, too",
  );
  assert.equal(new Set(names).size, seen.size, "each by one name");
  for (const name of names) {
    for (const other of ["", "?v=", `?v=${"A".repeat(22)}`]) {
      assert.match(await cacheOf(name + other), /must-revalidate/);
    }
  }
});
