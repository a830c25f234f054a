import assert from "node:assert/strict";
import fc from "fast-check";
import { Holdings } from "../../platform/holdings.ts";

Deno.test("holdings add up by caller and over all", () => {
  const step = fc.record({
    name: fc.constantFrom("a", "b", "c"),
    amount: fc.integer({ min: -9, max: 9 }),
  });
  fc.assert(fc.property(fc.array(step), (steps) => {
    const holdings = new Holdings();
    const held = new Map([["a", 0], ["b", 0], ["c", 0]]);
    for (const { name, amount } of steps) {
      const own = held.get(name)!;
      // No more is given back than is held.
      const by = Math.max(amount, -own);
      holdings.add(name, by);
      held.set(name, own + by);
    }
    for (const [name, own] of held) assert.equal(holdings.of(name), own);
    const total = [...held.values()].reduce((sum, each) => sum + each);
    assert.equal(holdings.total, total);
  }));
});
