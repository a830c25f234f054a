import assert from "node:assert/strict";
import fc from "fast-check";
import { pageOf, placeIn } from "../../monitoring/paging.ts";
import type { Place } from "../../monitoring/paging.ts";

const place = fc.record({
  value: fc.oneof(fc.nat(5), fc.nat(5)),
  id: fc.string({ minLength: 1, maxLength: 3 }),
});

Deno.test("pages hold every row once and in order, however long they are", () => {
  fc.assert(fc.property(
    fc.uniqueArray(place, { selector: ({ id }) => id, maxLength: 40 }),
    fc.integer({ min: 1, max: 7 }),
    fc.boolean(),
    (rows, limit, isDescending) => {
      const whole = pageOf(rows, (it) => it, { isDescending, limit: 100 });
      assert.equal(whole.next, null);
      const turned: Place[] = [];
      let after: Place | undefined;
      for (;;) {
        const page = pageOf(rows, (it) => it, { isDescending, limit, after });
        turned.push(...page.rows);
        assert(page.rows.length <= limit);
        if (page.next === null) break;
        after = placeIn(page.next);
        assert(after, "its own cursor is not understood");
      }
      assert.deepEqual(turned, whole.rows);
      const sign = isDescending ? -1 : 1;
      for (const [i, { value }] of turned.entries()) {
        assert(
          i === 0 || sign * (value as number) >=
              sign * (turned[i - 1]!.value as number),
        );
      }
    },
  ));
});

Deno.test("a row that vanishes between two pages shifts no other", () => {
  const rows = ["a", "b", "c", "d"].map((id) => ({ value: 0, id }));
  const range = { isDescending: true, limit: 2 };
  const first = pageOf(rows, (it) => it, range);
  const second = pageOf(rows.slice(1), (it) => it, {
    ...range,
    after: placeIn(first.next!),
  });
  assert.deepEqual(second.rows.map(({ id }) => id), ["c", "d"]);
});

Deno.test("what is no cursor is refused", () => {
  const text = (value: unknown) =>
    new TextEncoder().encode(JSON.stringify(value))
      .toBase64({ alphabet: "base64url", omitPadding: true });
  for (const value of [null, [1], [1, 2], [{}, "a"], "ab", 7]) {
    assert.equal(placeIn(text(value)), undefined, JSON.stringify(value));
  }
  for (const cursor of ["", "!", "A".repeat(4_000)]) {
    assert.equal(placeIn(cursor), undefined);
  }
  assert.deepEqual(placeIn(text(["ж", "a"])), { value: "ж", id: "a" });
});
