import { simulate } from "../system/simulate.ts";

Deno.test("every client holds exactly the log's events, or received the gap, for ten thousand seeds", async () => {
  await simulate(10_000);
});
