import assert from "node:assert/strict";
import fc from "fast-check";
import { Refusal } from "../../protocol/refusals.ts";
import { Turns } from "../../realtime/turns.ts";
import { settle } from "../fakes/clock.ts";

Deno.test("a bounded amount runs at once, a bounded amount waits in order, and the rest is refused", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 0, max: 4 }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 16 }),
      async (atOnce, waiting, fates) => {
        const turns = new Turns({ atOnce, waiting, waitingEach: waiting });
        const begun: number[] = [];
        const ends: (() => void)[] = [];
        const refused: number[] = [];
        let running = 0;
        const all = fates.map((isGood, n) =>
          turns.run("a", async () => {
            begun.push(n);
            assert(++running <= atOnce);
            await new Promise<void>((end) => ends.push(end));
            running--;
            if (!isGood) throw new Error("failed");
          }).catch((error) => {
            if (error instanceof Refusal) refused.push(n);
          })
        );
        await settle();
        const admitted = Math.min(fates.length, atOnce + waiting);
        assert.equal(begun.length, Math.min(fates.length, atOnce));
        for (let i = 0; i < admitted; i++) {
          ends[i]!();
          await settle();
        }
        await Promise.all(all);
        const order = Array.from({ length: fates.length }, (_, i) => i);
        assert.deepEqual(begun, order.slice(0, admitted));
        assert.deepEqual(refused, order.slice(admitted));
        // Every turn came back.
        assert.equal(await turns.run("a", () => Promise.resolve(7)), 7);
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("one caller may take its share of the line, and leaves room for others", async () => {
  const turns = new Turns({ atOnce: 1, waiting: 5, waitingEach: 2 });
  const done: string[] = [];
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const ask = (caller: string) =>
    turns.run(caller, async () => {
      await held;
      done.push(caller);
    }).then(() => true, (error) => {
      assert.equal(Refusal.of(error).code, "STORE_UNAVAILABLE");
      return false;
    });
  const all = ["a", "a", "a", "a", "b", "b", "b", "c", "d"].map(ask);
  await settle();
  release();
  assert.deepEqual(
    await Promise.all(all),
    [true, true, true, false, true, true, false, true, false],
  );
  assert.deepEqual(done, ["a", "a", "a", "b", "b", "c"]);
});
