import assert from "node:assert/strict";
import fc from "fast-check";
import { GONE_BLOCKS, Spine, TAIL_BLOCKS } from "../../chain/spine.ts";
import type { Block } from "../../chain/spine.ts";

function block(key: string, height: number, previous?: string): Block {
  return { blockId: key, key, height, previous };
}

/** Blocks `name0` to `nameN`, each on the one before. */
function branch(name: string, from: number, to: number, on?: string): Block[] {
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const height = from + i;
    return block(
      `${name}${height}`,
      height,
      i === 0 ? on : `${name}${height - 1}`,
    );
  });
}

/** Applies the verdict, and publishes it as events do. */
function publish(spine: Spine, block: Block): string[] {
  const verdict = spine.judge(block);
  if (verdict.kind === "stands") return [`= ${verdict.block.key}`];
  const reported: string[] = [];
  for (const { blockId } of verdict.reverts) {
    spine.revert(blockId);
    reported.push(`- ${blockId}`);
  }
  if (verdict.reset) {
    spine.reset(verdict.reset.keeps);
    reported.push(`! ${verdict.reset.keeps?.blockId} ${verdict.reset.reason}`);
  }
  spine.add(block);
  const { gapBefore } = verdict;
  const gap = gapBefore ? ` (${gapBefore.from}..${gapBefore.to})` : "";
  return [...reported, `+ ${block.key}${gap}`];
}

function published(spine: Spine, blocks: readonly Block[]): string[] {
  return blocks.flatMap((each) => publish(spine, each));
}

Deno.test("Spine accepts any first block, and its children in order", () => {
  const spine = new Spine();
  assert.deepEqual(published(spine, branch("a", 5, 7, "elsewhere")), [
    "+ a5",
    "+ a6",
    "+ a7",
  ]);
  assert.equal(spine.tip?.key, "a7");
});

Deno.test("Spine requires reverts, newest first, before another branch", () => {
  const spine = new Spine();
  published(spine, branch("a", 1, 5));
  assert.deepEqual(published(spine, branch("b", 4, 5, "a3")), [
    "- a5",
    "- a4",
    "+ b4",
    "+ b5",
  ]);
  assert.deepEqual(published(spine, branch("a", 4, 4, "a3")), [
    "- b5",
    "- b4",
    "+ a4",
  ]);
});

Deno.test("Spine recognises a current block, and accepts a reverted one again", () => {
  const spine = new Spine();
  published(spine, branch("a", 1, 3));
  assert.deepEqual(publish(spine, block("a2", 2, "a1")), ["= a2"]);
  published(spine, branch("b", 3, 3, "a2"));
  assert.deepEqual(publish(spine, block("a3", 3, "a2")), ["- b3", "+ a3"]);
});

Deno.test("Spine names the missing heights, and heals when they are published", () => {
  const spine = new Spine();
  published(spine, branch("a", 1, 3));
  assert.deepEqual(publish(spine, block("a7", 7, "a6")), ["+ a7 (4..6)"]);
  assert.deepEqual(published(spine, branch("a", 4, 7, "a3")), [
    "- a7",
    "+ a4",
    "+ a5",
    "+ a6",
    "+ a7",
  ]);
});

Deno.test("Spine walks back to a fork that was not published", () => {
  const spine = new Spine();
  published(spine, branch("a", 1, 6));
  // The fork is at 2; its publisher begins in the middle.
  assert.deepEqual(publish(spine, block("b6", 6, "b5")), [
    "- a6",
    "- a5",
    "+ b6 (5..5)",
  ]);
  assert.deepEqual(publish(spine, block("b5", 5, "b4")), [
    "- b6",
    "- a4",
    "+ b5 (4..4)",
  ]);
  assert.deepEqual(published(spine, branch("b", 3, 6, "a2")), [
    "- b5",
    "- a3",
    "+ b3",
    "+ b4",
    "+ b5",
    "+ b6",
  ]);
});

Deno.test("Spine resets where no known block would remain, or final blocks are reverted", () => {
  const spine = new Spine();
  published(spine, branch("a", 10, 12, "a9"));
  assert.deepEqual(publish(spine, block("z3", 3, "z2")), [
    "! undefined deeper_than_kept",
    "+ z3 (2..2)",
  ]);
  published(spine, branch("z", 4, 8, "z3"));
  spine.finalize(6);
  spine.finalize(5);
  assert.equal(spine.final, 6);
  assert.deepEqual(publish(spine, block("y6", 6, "z5")), [
    "! z5 finality_broken",
    "+ y6",
  ]);
  assert.equal(spine.final, 5);
  spine.finalize(6, "safe");
  assert.deepEqual([spine.safe, spine.final], [6, 5]);
  assert.deepEqual(publish(spine, block("x6", 6, "z5")), [
    "! z5 finality_broken",
    "+ x6",
  ]);
  assert.deepEqual([spine.safe, spine.final], [5, 5]);
});

Deno.test("Spine does not judge a block without a parent's name", () => {
  const spine = new Spine();
  assert.deepEqual(
    published(spine, [block("x", 5), block("y", 4), block("z", 5)]),
    ["+ x", "+ y", "+ z"],
  );
});

Deno.test("Spine remembers a bounded number of blocks", () => {
  const spine = new Spine();
  published(spine, branch("a", 1, TAIL_BLOCKS + 10));
  assert.equal(spine.tail.length, TAIL_BLOCKS);
  assert.equal(spine.standing("a10"), undefined);
  assert.equal(spine.standing("a11")?.height, 11);
});

Deno.test("Spine remembers a bounded number of blocks that left", () => {
  const spine = new Spine();
  const side = (n: number) => block(`s${n}`, 2, "a1");
  published(spine, branch("a", 1, 1));
  for (let n = 0; n <= GONE_BLOCKS; n++) {
    spine.add(side(n));
    spine.revert(`s${n}`);
  }
  assert.equal(spine.standingOf("s0", 2), "unknown");
  assert.equal(spine.standingOf("s1", 2), "gone");
  assert.equal(spine.standingOf(`s${GONE_BLOCKS}`, 2), "gone");
  spine.add(side(1));
  assert.equal(spine.standingOf("s1", 2), "stands");
  // A block at its height decides what memory no longer holds.
  assert.equal(spine.standingOf("s0", 2), "gone");
});

Deno.test("a reset keeps blocks up to its height, whichever block it names", () => {
  const spine = new Spine();
  published(spine, branch("a", 1, 6));
  spine.reset({ blockId: "never", height: 4 });
  assert.equal(spine.tip?.key, "a4");
  assert.deepEqual(publish(spine, block("a4", 4, "a3")), ["= a4"]);
  spine.reset(null);
  assert.equal(spine.tip, undefined);
});

Deno.test("a reset voids blocks that are no longer stored too", () => {
  const spine = new Spine();
  published(spine, branch("a", 1, TAIL_BLOCKS + 10));
  assert.equal(spine.standingOf("a5", 5), "old");
  spine.reset({ blockId: "a4", height: 4 });
  assert.equal(spine.standingOf("a5", 5), "gone");
  assert.equal(spine.standingOf(`a${TAIL_BLOCKS}`, TAIL_BLOCKS), "gone");
  assert.equal(spine.standingOf("a4", 4), "unknown");
  published(spine, branch("b", 5, 6, "a4"));
  assert.equal(spine.standingOf("a4", 4), "old");
  assert.equal(spine.standingOf("a5", 5), "gone");
  assert.equal(spine.standingOf("b5", 5), "stands");
});

Deno.test("what was only tried on a Spine leaves no trace", () => {
  const step = fc.record({
    what: fc.constantFrom("add", "add", "revert", "reset", "finalize"),
    name: fc.constantFrom("a", "b", "c"),
    height: fc.integer({ min: 0, max: 5 }),
  });
  type Step = { what: string; name: string; height: number };
  const make = (spine: Spine, { what, name, height }: Step) => {
    const blockId = `${name}${height}`;
    if (what === "add") spine.add(block(blockId, height));
    if (what === "revert") spine.revert(blockId);
    if (what === "reset") spine.reset({ blockId, height });
    if (what === "finalize") {
      spine.finalize(height, name === "a" ? "safe" : "final");
    }
  };
  const seen = (spine: Spine) => ({
    tail: spine.tail.map(({ key }) => key),
    levels: [spine.safe, spine.final],
    standing: ["a", "b", "c"].flatMap((name) =>
      [0, 1, 2, 3, 4, 5].map((height) =>
        spine.standingOf(`${name}${height}`, height)
      )
    ),
  });
  const steps = fc.array(step, { maxLength: 12 });
  fc.assert(
    fc.property(steps, steps, (before, tried) => {
      const spine = new Spine();
      for (const each of before) make(spine, each);
      const state = seen(spine);
      spine.undoLog.begin();
      for (const each of tried) make(spine, each);
      spine.undoLog.end();
      assert.deepEqual(seen(spine), state);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("the fold of a Spine is the publisher's chain once it was published whole, after any events", () => {
  // A random tree, published in any order with holes; then its longest branch.
  const tree = fc.array(fc.nat(1_000), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(tree, fc.array(fc.nat(1_000), { maxLength: 80 }), (
      parents,
      order,
    ) => {
      const blocks: Block[] = [block("n0", 0)];
      for (const [i, choice] of parents.entries()) {
        const parent = blocks[choice % blocks.length]!;
        blocks.push(block(`n${i + 1}`, parent.height + 1, parent.key));
      }
      const spine = new Spine();
      publish(spine, blocks[0]!);
      const held: string[] = ["n0"];
      const fold = (events: readonly string[]) => {
        for (const event of events) {
          const [sign, name] = event.split(" ") as [string, string];
          if (sign === "+") held.push(name);
          if (sign === "-") assert.equal(held.pop(), name, "newest first");
          if (sign === "!") {
            while (held.length > 0 && held.at(-1) !== name) held.pop();
          }
        }
      };
      for (const choice of order) {
        fold(publish(spine, blocks[choice % blocks.length]!));
        assert.deepEqual(held, spine.tail.map(({ key }) => key));
        // Only a hole may stand between two blocks, never another branch.
        for (const [i, each] of spine.tail.entries()) {
          const before = spine.tail[i - 1];
          if (before) assert(before.height < each.height);
          if (before?.height === each.height - 1) {
            assert.equal(each.previous, before.key);
          }
        }
      }
      const tip = blocks.reduce((a, b) => b.height > a.height ? b : a);
      const branch: Block[] = [];
      for (
        let at: Block | undefined = tip;
        at;
        at = blocks.find(({ key }) => key === at!.previous)
      ) branch.unshift(at);
      for (const each of branch) fold(publish(spine, each));
      const after = publish(spine, block("end", tip.height + 1, tip.key));
      fold(after);
      assert.deepEqual(
        held.slice(-branch.length - 1),
        [...branch.map(({ key }) => key), "end"],
      );
    }),
    { numRuns: 2_000 },
  );
});
