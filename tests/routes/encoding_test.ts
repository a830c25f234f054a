/**
 * Files as they were compressed by the build, for those who accept that.
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
