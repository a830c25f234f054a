import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { readAssets } from "../../routes/pages.ts";
import { openTestService } from "../test_service.ts";

Deno.test("built files are served with a tag, revalidated, and guarded", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/index.html`, "<p>live</p>");
    await Deno.writeTextFile(`${directory}/client.js`, "export {};");
    await Deno.writeTextFile(`${directory}/notes.bin`, "not for browsers");
    const assets = await readAssets(pathToFileURL(`${directory}/`));
    await using service = await openTestService({ assets });

    const page = await service.request("/");
    assert.equal(await page.text(), "<p>live</p>");
    assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
    const policy = page.headers.get("content-security-policy")!;
    for (
      const rule of [
        "default-src 'self'",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
      ]
    ) {
      assert(policy.includes(rule), policy);
    }
    assert.equal(page.headers.get("x-content-type-options"), "nosniff");

    const script = await service.request("/client.js");
    assert.equal(await script.text(), "export {};");
    assert.equal(
      script.headers.get("content-type"),
      "text/javascript; charset=utf-8",
    );
    assert.equal(script.headers.get("access-control-allow-origin"), "*");
    const etag = script.headers.get("etag")!;
    assert.match(etag, /^"[\w-]{22}"$/);
    assert.notEqual(etag, page.headers.get("etag"));

    const again = await service.request("/client.js", {
      headers: { "if-none-match": etag },
    });
    assert.equal(again.status, 304);
    assert.equal(await again.text(), "");
    const changed = await service.request("/client.js", {
      headers: { "if-none-match": '"other"' },
    });
    assert.equal(changed.status, 200);
    await changed.body?.cancel();
    assert.equal((await service.request("/notes.bin")).status, 404);
    const head = await service.request("/client.js", { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a service without built files explains how to build them", async () => {
  const nowhere = new URL("../no/such/directory/", import.meta.url);
  const assets = await readAssets(nowhere);
  assert.equal(assets.size, 0);
  await using service = await openTestService({ assets });
  const response = await service.request("/");
  assert.equal(response.status, 503);
  assert.match(await response.text(), /deno task build/);
});
