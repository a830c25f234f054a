import assert from "node:assert/strict";
import fc from "fast-check";
import { backoffMs, BASE_MS } from "../../client/backoff.ts";

Deno.test("the ceiling doubles from 500 ms up to the cap", () => {
  const almostOne = () => 0.999999;
  const ceilings = [0, 1, 2, 3, 4, 40].map((attempt) =>
    Math.ceil(backoffMs(attempt, 5_000, almostOne))
  );
  assert.deepEqual(ceilings, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
});

Deno.test("a cap below the first ceiling holds from the start", () => {
  assert.equal(backoffMs(0, 100, () => 0.5), 50);
});

Deno.test("every wait lies between nothing and its ceiling", () => {
  fc.assert(fc.property(
    fc.nat(2_000),
    fc.integer({ min: 1, max: 1e9 }),
    fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    (attempt, capMs, random) => {
      const wait = backoffMs(attempt, capMs, () => random);
      assert.ok(wait >= 0 && wait < Math.max(capMs, 1e-9));
      assert.ok(wait <= BASE_MS * 2 ** attempt);
    },
  ));
});

Deno.test("clients that lost the same server spread over the whole wait", () => {
  const waits = Array.from({ length: 2_000 }, () => backoffMs(3, 5_000));
  const firstQuarter = waits.filter((wait) => wait < 1_000).length;
  assert.ok(firstQuarter > 350 && firstQuarter < 650, `${firstQuarter}`);
});
