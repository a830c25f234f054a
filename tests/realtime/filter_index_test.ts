import assert from "node:assert/strict";
import fc from "fast-check";
import { FilterIndex, matchesFilter } from "../../realtime/filter_index.ts";
import type { Tags } from "../../protocol/messages.ts";
import type { Filter } from "../../realtime/filter_index.ts";

const FIELDS = ["address", "from", "status"];

const values = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), {
  minLength: 1,
  maxLength: 4,
});
const fields = fc.dictionary(fc.constantFrom(...FIELDS), values, {
  maxKeys: 3,
  noNullPrototype: true,
});
const clause = fields.filter((it) => Object.keys(it).length > 0);
const filter = fc.array(clause, { minLength: 1, maxLength: 4 });
const owner = fc.nat(5);
const step = fc.oneof(
  fc.record({ set: owner, filter }),
  fc.record({ delete: owner }),
  fc.record({ tags: fields }),
);

Deno.test("FilterIndex finds what a plain look at every filter finds, after any edits", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const index = new FilterIndex<{ name: number }>(FIELDS);
      const owners = Array.from({ length: 6 }, (_, name) => ({ name }));
      const plain = new Map<number, Filter>();
      for (const each of steps) {
        if ("set" in each) {
          index.set(owners[each.set]!, each.filter);
          plain.set(each.set, each.filter);
        } else if ("delete" in each) {
          index.delete(owners[each.delete]!);
          plain.delete(each.delete);
        } else {
          const found = [...index.match(each.tags)].map(({ name }) => name);
          const expected = [...plain].filter(([, it]) =>
            matchesFilter(it, each.tags as Tags)
          ).map(([name]) => name);
          assert.deepEqual(found.toSorted(), expected.toSorted());
          const asked = owners.filter((it) => index.matches(it, each.tags));
          assert.deepEqual(
            asked.map(({ name }) => name),
            expected.toSorted(),
          );
        }
        assert.equal(index.owners, plain.size);
      }
      for (const each of owners) index.delete(each);
      assert.deepEqual([index.size, index.owners], [0, 0]);
      assert.deepEqual([...index.match({ address: ["a", "b", "c", "d"] })], []);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("FilterIndex finds a clause by its rarest field", () => {
  const index = new FilterIndex<object>(FIELDS);
  const one = {};
  index.set(one, [{ status: ["pending", "failed"], address: ["0xa"] }]);
  assert.equal(index.size, 1);
  assert.equal(index.match({ status: ["pending"] }).size, 0);
  const tags = { status: ["pending"], address: ["0xb", "0xa"] };
  assert.deepEqual([...index.match(tags)], [one]);
});

Deno.test("FilterIndex names an owner once, however many clauses match", () => {
  const index = new FilterIndex<object>(FIELDS);
  index.set({}, [{ address: ["0xa", "0xb"] }, { from: ["0xa"] }]);
  const tags = { address: ["0xa", "0xb"], from: ["0xa"] };
  assert.equal(index.match(tags).size, 1);
});
