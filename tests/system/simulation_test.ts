import { simulate } from "./simulate.ts";

Deno.test("[N2] every client holds exactly the log's events, or received the gap, whatever happens", async () => {
  await simulate(1_000);
});
