import assert from "node:assert/strict";
import { MUTATIONS } from "./list.ts";
import { tried } from "./mutation.ts";
import type { Mutation, Workbench } from "./mutation.ts";

/** A copy of one file whose test is `isRight`. */
function benchOf(text: string, isRight: (text: string) => boolean) {
  const bench: Workbench & { text: string } = {
    text,
    read: () => Promise.resolve(bench.text),
    write: (_path, text) => {
      bench.text = text;
      return Promise.resolve();
    },
    passes: () => Promise.resolve(isRight(bench.text)),
  };
  return bench;
}

const MUTATION: Mutation = {
  fault: "adds instead of subtracting",
  file: "sum.ts",
  find: "a - b",
  replace: "a + $& b",
  tests: ["sum_test.ts"],
};

Deno.test("a mutation is killed by a test that fails with it, and removed again", async () => {
  const bench = benchOf("return a - b;", (text) => text === "return a - b;");
  assert.equal(await tried(MUTATION, bench), "killed");
  assert.equal(bench.text, "return a - b;");
});

Deno.test("a mutation that no test notices survives", async () => {
  let seen = "";
  const bench = benchOf("return a - b;", (text) => (seen = text) !== "");
  assert.equal(await tried(MUTATION, bench), "survived");
  assert.equal(seen, "return a + $& b;");
  assert.equal(bench.text, "return a - b;");
});

Deno.test("a mutation whose text is missing or ambiguous is an error", async () => {
  for (const text of ["return a;", "a - b; a - b;"]) {
    assert.equal(
      await tried(MUTATION, benchOf(text, () => true)),
      "not found",
    );
  }
});

Deno.test("a copy is whole again when its tests cannot be run", async () => {
  const bench = benchOf("a - b", () => {
    throw new Error("no such program");
  });
  await assert.rejects(tried(MUTATION, bench), /no such program/);
  assert.equal(bench.text, "a - b");
});

Deno.test("the text of every mutation is in its file once, and its tests exist", async () => {
  const root = new URL("../../", import.meta.url);
  const bench: Workbench = {
    read: (path) => Deno.readTextFile(new URL(path, root)),
    write: () => Promise.resolve(),
    passes: async (tests) => {
      for (const path of tests) await Deno.stat(new URL(path, root));
      return false;
    },
  };
  for (const mutation of MUTATIONS) {
    assert.equal(await tried(mutation, bench), "killed", mutation.fault);
  }
});
