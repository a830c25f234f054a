import assert from "node:assert/strict";

/** What a value of a filter may take, in bytes; an address has 42 characters. */
const MOST_BYTES = 150;

Deno.test("a value of a filter takes at most 150 bytes, besides the subscription itself", async () => {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-check",
      "--v8-flags=--expose-gc",
      new URL("filter_memory.ts", import.meta.url).href,
    ],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const { many, few } = JSON.parse(new TextDecoder().decode(stdout));
  assert(many <= MOST_BYTES, `${many} where there are many`);
  assert(few <= MOST_BYTES, `${few} where there are few`);
});
