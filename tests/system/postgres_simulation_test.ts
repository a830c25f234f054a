import { MirroredKv } from "../fakes/mirrored_kv.ts";
import { openTogether, versions } from "../store/databases.ts";
import { simulate } from "./simulate.ts";

/** Worlds for each version: everything that happens waits for the database. */
const RUNS = 40;

for (const { name } of versions) {
  Deno.test(`every client holds exactly the log's events, or received the gap, on PostgreSQL ${name}`, async () => {
    await simulate(RUNS, async () => {
      const stores = await openTogether(name, 2);
      let kv: MirroredKv | undefined;
      return {
        open: (clock) => kv = new MirroredKv(stores, clock),
        verify: () => kv!.verify(),
        async [Symbol.asyncDispose]() {
          await kv?.settled();
          for (const store of stores) await store.close();
        },
      };
    });
  });
}
