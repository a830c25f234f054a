import assert from "node:assert/strict";
import { openStore } from "../../store/deno_kv.ts";
import { readState } from "../../store/latest_states.ts";
import { seal } from "../../store/seal.ts";

Deno.test("a latest state is read whatever its checksum begins with", async () => {
  await using kv = await openStore(":memory:");
  const seen = new Set<number>();
  for (let i = 0; seen.size < 256; i++) {
    const frame = JSON.stringify({ i });
    const sealed = seal(frame);
    if (seen.has(sealed[0]!)) continue;
    seen.add(sealed[0]!);
    await kv.set(["state", "key"], sealed);
    assert.equal(await readState(kv, "key"), frame);
  }
});

Deno.test("a latest state of an earlier version is read, a damaged one is not", async () => {
  await using kv = await openStore(":memory:");
  const bytes = new TextEncoder().encode('{"type":"NEW_BLOCK"}');
  await kv.set(["state", "key"], bytes);
  assert.equal(await readState(kv, "key"), '{"type":"NEW_BLOCK"}');
  await kv.set(["state", "key"], bytes.subarray(0, 9));
  assert.equal(await readState(kv, "key"), undefined);
});
