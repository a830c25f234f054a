import assert from "node:assert/strict";
import fc from "fast-check";
import { backoffMs } from "../../platform/backoff.ts";

const GROWTH = { baseMs: 100, capMs: 10_000 };

Deno.test("backoffMs() stays below a ceiling that doubles up to the cap", () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 2_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, chance) => {
        const ms = backoffMs(attempt, GROWTH, () => chance);
        assert(ms >= 0);
        assert(ms <= GROWTH.capMs);
        assert(ms <= GROWTH.baseMs * 2 ** attempt);
      },
    ),
  );
});

Deno.test("backoffMs() uses the whole range, and chance of its own when none is given", () => {
  assert.equal(backoffMs(0, GROWTH, () => 0.5), 50);
  assert.equal(backoffMs(3, GROWTH, () => 0.5), 400);
  assert.equal(backoffMs(50, GROWTH, () => 0.5), 5_000);
  const waits = Array.from({ length: 20 }, () => backoffMs(9, GROWTH));
  assert(new Set(waits).size > 1);
});
