import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_DEPTH, unsoundness } from "../../protocol/json_limits.ts";

/** What `JSON.parse` may return, written and read again. */
const anyJson = fc.json({ maxDepth: 6 });

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < depth; level++) {
    value = level % 2 === 0 ? [value] : { inner: value };
  }
  return value;
}

Deno.test("what is found sound is kept by another round of JSON", () => {
  let sound = 0;
  fc.assert(
    fc.property(anyJson, (text) => {
      const value = JSON.parse(text) as unknown;
      if (unsoundness(value, true)) return;
      sound++;
      const again = JSON.stringify(value);
      assert(again.isWellFormed());
      assert.equal(JSON.stringify(JSON.parse(again)), again);
    }),
    { numRuns: 2_000 },
  );
  assert(sound > 500, `only ${sound} values were sound`);
});

Deno.test("values that JSON does not have are found, at any depth", () => {
  for (
    const value of [
      undefined,
      1n,
      Symbol("s"),
      () => {},
      new Date(0),
      new Uint8Array(2),
      new Map([["a", 1]]),
      Object.create({ inherited: 1 }),
    ]
  ) {
    assert.match(unsoundness(value, false)!.message, /not a JSON value/);
    const found = unsoundness({ a: [null, true, { b: value }] }, false)!;
    assert.deepEqual(found.path, "a.2.b");
  }
});

Deno.test("the bound on depth is exact", () => {
  assert.equal(unsoundness(nested(MAX_DEPTH), true), undefined);
  assert.match(
    unsoundness(nested(MAX_DEPTH + 1), true)!.message,
    /deeper than 32/,
  );
});

Deno.test("depth far beyond the bound does no harm", () => {
  assert(unsoundness(nested(100_000), true));
});

Deno.test("a fault is named by its path", () => {
  const cases: [string, string][] = [
    ['{"a":{"b":[0,{"c":1e999}]}}', "a.b.1.c"],
    ["1e999", ""],
    ['["x","\\ud800"]', "1"],
    ['{"a":{"\\ud800":1}}', "a"],
    ['{"a":[{"__proto__":{}}]}', "a.0"],
  ];
  for (const [text, path] of cases) {
    assert.equal(unsoundness(JSON.parse(text), true)?.path, path, text);
  }
});

Deno.test("keys that only look dangerous are kept", () => {
  const value = JSON.parse(
    '{"constructor":1,"prototype":{},"toString":"x","hasOwnProperty":null}',
  ) as unknown;
  assert.equal(unsoundness(value, true), undefined);
});

Deno.test("integers are kept up to the largest that a double represents exactly", () => {
  for (const good of [0, -1, 2 ** 53 - 1, -(2 ** 53 - 1), 0.1, 1e-7, 123.456]) {
    assert.equal(unsoundness(good, true), undefined, String(good));
  }
  for (const bad of [2 ** 53, -(2 ** 53), 1e21, Infinity, -Infinity]) {
    assert(unsoundness(bad, true), String(bad));
  }
});
