import assert from "node:assert/strict";
import { z } from "zod";
import { MAX_ISSUES, Shape } from "../../protocol/shape.ts";
import type { Issue } from "../../protocol/refusals.ts";

class Refused extends Error {
  constructor(readonly issues: Issue[]) {
    super("refused");
  }
}

function issuesOf(shape: Shape, value: unknown): Issue[] {
  try {
    shape.check(value, (issues) => {
      throw new Refused(issues);
    });
    return [];
  } catch (error) {
    assert(error instanceof Refused, String(error));
    return error.issues;
  }
}

Deno.test("a value that fits is returned with its defaults", () => {
  const shape = new Shape(z.strictObject({ limit: z.int().default(100) }));
  const refuse = () => assert.fail("refused");
  assert.deepEqual(shape.check({}, refuse), { limit: 100 });
});

Deno.test("all issues of a short value are named, and sixteen of a long one", () => {
  const shape = new Shape(z.array(z.int()));
  assert.deepEqual(issuesOf(shape, [1, "a", 2, "b"]).map(({ path }) => path), [
    "1",
    "3",
  ]);
  const many = issuesOf(shape, Array.from({ length: 20_000 }, () => "a"));
  assert.equal(many.length, MAX_ISSUES);
});

Deno.test("an issue that is far back is named, and it alone", () => {
  const shape = new Shape(z.array(z.int()));
  const list: unknown[] = Array.from({ length: 5_000 }, () => 1);
  list[4_000] = "a";
  list[4_500] = "b";
  assert.deepEqual(issuesOf(shape, list).map(({ path }) => path), ["4000"]);
  const long = new Shape(z.array(z.int()).max(4_999));
  assert.match(issuesOf(long, list.fill(1))[0]!.message, /<=4999/);
});

Deno.test("what is wrong with a long list is found without looking at all of it", () => {
  let looks = 0;
  const item = z.strictObject({
    to: z.string().refine(() => ++looks > 0),
    amount: z.string(),
    from: z.string(),
  });
  const shape = new Shape(z.strictObject({ transfers: z.array(item) }));
  const transfers = Array.from({ length: 10_000 }, () => ({ to: "a" }));
  const issues = issuesOf(shape, { transfers });
  assert.equal(issues.length, MAX_ISSUES);
  assert(looks <= 2 * MAX_ISSUES, `looked at ${looks} items`);
});

Deno.test("an object of thousands of unknown fields costs a refusal of a few", () => {
  let looks = 0;
  const value = z.string().refine(() => ++looks > 0);
  const shape = new Shape(z.record(z.string(), value));
  const fields = Object.fromEntries(
    Array.from({ length: 6_000 }, (_, i) => [`k${i}`, i === 3 ? 1 : "a"]),
  );
  assert.deepEqual(issuesOf(shape, fields).map(({ path }) => path), ["k3"]);
  assert(looks <= 200, `looked at ${looks} fields`);
});

Deno.test("what is wrong by the alternative that was meant is named", () => {
  const position = z.union([
    z.strictObject({ epoch: z.string(), seq: z.int().min(0) }),
    z.strictObject({ height: z.int(), blockId: z.string() }),
  ]);
  const values = z.union([z.string(), z.array(z.string()).max(3)]);
  const shape = new Shape(z.array(z.union([
    z.string(),
    z.strictObject({
      channel: z.string(),
      after: position.optional(),
      filter: z.record(z.string(), values).optional(),
    }),
  ])));
  const said = (value: unknown) =>
    issuesOf(shape, [value]).map(({ path, message }) => `${path}: ${message}`);
  const channel = "blocks";
  assert.deepEqual(said({ channel, after: { epoch: "e", seq: 1.5 } }), [
    "0.after.seq: Invalid input: expected int, received number",
  ]);
  assert.deepEqual(said({ channel, after: { seq: 1 } }), [
    "0.after.epoch: Invalid input: expected string, received undefined",
  ]);
  assert.deepEqual(said({ channel, after: 5 }), [
    "0.after: Invalid input: expected object",
  ]);
  assert.deepEqual(said({ channel, filter: { to: [1] } }), [
    "0.filter.to.0: Invalid input: expected string, received number",
  ]);
  assert.deepEqual(said({ channel, filter: { to: ["", "", "", ""] } }), [
    "0.filter.to: Too big: expected array to have <=3 items",
  ]);
  assert.deepEqual(said(5), ["0: Invalid input: expected string or object"]);
});
