import assert from "node:assert/strict";
import { systemRandom } from "../../platform/random.ts";

Deno.test("systemRandom() is spread over [0, 1)", () => {
  const seen = Array.from({ length: 10_000 }, systemRandom);
  assert(seen.every((value) => value >= 0 && value < 1));
  for (let tenth = 0; tenth < 10; tenth++) {
    const within = seen.filter((value) => Math.floor(value * 10) === tenth);
    assert(within.length > 500, `${tenth}: ${within.length} of 10,000`);
  }
});
