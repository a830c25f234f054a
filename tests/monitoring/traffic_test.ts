import assert from "node:assert/strict";
import { Traffic } from "../../monitoring/traffic.ts";
import { DeflatedFrame } from "../../realtime/deflate_codec.ts";

Deno.test("frames count in bytes, on the wire and as text", () => {
  const traffic = new Traffic();
  const sums = () => [traffic.wireBytes, traffic.textBytes];
  const text = '{"a":"ü€😀"}';
  const { byteLength } = new TextEncoder().encode(text);
  traffic.add(text);
  assert.deepEqual(sums(), [byteLength, byteLength]);
  traffic.add(text);
  traffic.add("ascii");
  const bytes = 2 * byteLength + 5;
  assert.deepEqual(sums(), [bytes, bytes]);
  traffic.add(new Uint8Array(7));
  assert.deepEqual(sums(), [bytes + 7, bytes + 7], "binary, not compressed");
  const deflated = new DeflatedFrame(new ArrayBuffer(10));
  deflated.textBytes = 100;
  traffic.add(deflated);
  assert.deepEqual(sums(), [bytes + 17, bytes + 107]);
});
