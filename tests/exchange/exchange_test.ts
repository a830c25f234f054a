/**
 * The exchange of docs/examples holds exactly what the node reports, whatever is
 * killed and reorganised. The seed is what chance decides; when a process is
 * killed in what it does is left to the machine.
 */
import assert from "node:assert/strict";
import { anvilTest } from "../sources/anvil.ts";
import { World } from "./world.ts";
import type { Tally } from "./world.ts";

/** Where chance begins in other tests. */
const SEED = 20_250_807;
/** Steps of a seed. */
const STEPS = 60;
/** Seeds: `EXCHANGE_SEEDS=100` for more, `EXCHANGE_FROM=7` to begin elsewhere. */
const SEEDS = Number(Deno.env.get("EXCHANGE_SEEDS") ?? 10);
const FROM = Number(Deno.env.get("EXCHANGE_FROM") ?? 0);

for (let seed = FROM; seed < FROM + SEEDS; seed++) {
  anvilTest(
    `the exchange's ledger is the node's final balances (seed ${seed})`,
    async () => {
      await using world = await World.start(seed);
      for (let step = 0; step < STEPS; step++) await world.step();
      await world.end();
      report(world.tally);
      assert.equal(world.tally.takenBack, 0, "what was credited was final");
    },
  );
}

anvilTest(
  "the exchange takes back credits of blocks that were final and are no more",
  async () => {
    await using world = await World.start(SEED);
    for (let payments = 0; payments < 12; payments++) await world.pay();
    await world.end();
    assert.ok(world.tally.credits >= 6);

    await world.breakFinality();
    await world.end();

    assert.ok(world.tally.takenBack > 0);
  },
);

function report(tally: Tally): void {
  const text = Object.entries(tally).map(([name, count]) => `${count} ${name}`);
  // deno-lint-ignore no-console -- what a run by hand is for.
  console.log(text.join(", "));
}
