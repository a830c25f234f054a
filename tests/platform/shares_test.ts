import assert from "node:assert/strict";
import fc from "fast-check";
import { Shares } from "../../platform/shares.ts";

Deno.test("one caller holds at most its share", () => {
  const shares = new Shares({ each: 10, all: 100 });
  shares.hold("a", 10);
  assert.equal(shares.excess("a", 0), undefined);
  assert.equal(shares.excess("a", 1), "each");
  assert.equal(shares.excess("b", 10), undefined);
  assert.equal(shares.excess("b", 11), "each");
  shares.hold("a", -1);
  assert.equal(shares.excess("a", 1), undefined);
});

Deno.test("beyond half of what all may hold, only those who hold nothing get more", () => {
  const shares = new Shares({ each: 30, all: 100 });
  shares.hold("a", 29);
  shares.hold("b", 20);
  assert.equal(shares.excess("a", 1), undefined);
  shares.hold("b", 1);
  assert.equal(shares.excess("a", 1), "all");
  assert.equal(shares.excess("c", 30), undefined);
  shares.hold("c", 30);
  assert.equal(shares.excess("d", 20), undefined);
  assert.equal(shares.excess("d", 21), "all");
});

Deno.test("whatever is held and given back, no bound is exceeded, and all is given back", () => {
  const step = fc.record({
    name: fc.constantFrom("a", "b", "c", "d", "e"),
    amount: fc.integer({ min: 1, max: 12 }),
    isBack: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step), (steps) => {
    const shares = new Shares({ each: 20, all: 50 });
    const held = new Map<string, number[]>();
    for (const { name, amount, isBack } of steps) {
      const own = held.get(name) ?? [];
      held.set(name, own);
      if (isBack) {
        const before = own.pop();
        if (before !== undefined) shares.hold(name, -before);
      } else if (shares.excess(name, amount) === undefined) {
        shares.hold(name, amount);
        own.push(amount);
      }
      const sums = [...held.values()].map((all) =>
        all.reduce((sum, each) => sum + each, 0)
      );
      assert(sums.every((sum) => sum <= 20));
      const total = sums.reduce((sum, each) => sum + each, 0);
      assert(total <= 50);
      assert.equal(shares.held, total);
    }
    for (const [name, own] of held) {
      for (const amount of own) shares.hold(name, -amount);
    }
    assert.equal(shares.held, 0);
    assert.equal(shares.excess("a", 20), undefined);
  }));
});
