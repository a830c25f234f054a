import assert from "node:assert/strict";
import fc from "fast-check";
import {
  MAX_REVERTED_BLOCKS,
  MAX_TAIL_BLOCKS,
  Tail,
} from "../../sources/tail.ts";
import type { Placed } from "../../sources/tail.ts";

/** A block of a chain whose names contain heights and branches. */
function block(height: number, branch = "a"): Placed {
  return {
    hash: `${branch}${height}`,
    parentHash: `${branch}${height - 1}`,
    height,
  };
}

Deno.test("Tail is a stack of blocks, for any order of events", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: -3, max: 3 }), { maxLength: 60 }),
    (moves) => {
      const tail = new Tail();
      const model: Placed[] = [];
      for (const move of moves) {
        if (move >= 0) {
          const next = block((model.at(-1)?.height ?? 0) + 1);
          model.push(next);
          tail.add(next);
        } else {
          for (const { hash } of model.splice(move).reverse()) {
            const before = tail.reverts(hash);
            tail.revert(hash);
            assert.equal(tail.reverts(hash), before + 1);
          }
        }
        assert.deepEqual(tail.tip, model.at(-1));
        assert.deepEqual(tail.above(0), model.toReversed());
        for (const it of model) assert.deepEqual(tail.at(it.height), it);
        assert.equal(tail.at((model.at(-1)?.height ?? 0) + 1), undefined);
      }
    },
  ));
});

Deno.test("Tail begins again with a block that does not fit, and extends downwards", () => {
  const tail = new Tail();
  for (let height = 1; height <= 5; height++) tail.add(block(height));
  tail.add(block(9, "b"));
  assert.deepEqual(tail.above(-1), [block(9, "b")]);

  assert.equal(tail.extend([block(6, "b"), block(7, "x"), block(8, "b")]), 1);
  assert.equal(tail.extend([block(5, "b"), block(6, "b"), block(7, "b")]), 3);
  assert.equal(tail.oldest!.height, 5);
  tail.reset(6);
  assert.deepEqual(tail.tip, block(6, "b"));
  assert.equal(tail.reverts("b9"), 1);
  assert.equal(tail.reverts("b6"), 0);
  tail.reset();
  assert.equal(tail.tip, undefined);
});

Deno.test("Tail remembers a bounded number of blocks and reverts", () => {
  const tail = new Tail();
  for (let height = 1; height <= MAX_TAIL_BLOCKS + 1; height++) {
    tail.add(block(height));
  }
  assert.equal(tail.size, MAX_TAIL_BLOCKS);
  assert.equal(tail.oldest!.height, 2);

  for (let at = 0; at <= MAX_REVERTED_BLOCKS; at++) tail.revert(`gone${at}`);
  assert.equal(tail.reverts("gone0"), 0);
  assert.equal(tail.reverts("gone1"), 1);
});
