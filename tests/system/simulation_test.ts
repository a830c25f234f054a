import fc from "fast-check";
import { CHANNEL_NAMES, CLIENTS, MAX_ISOLATES, World } from "./simulation.ts";
import type { Step, Tally } from "./simulation.ts";
import assert from "node:assert/strict";

/** Seeds tried; `SIMULATION_RUNS` asks for more. */
const RUNS = Number(Deno.env.get("SIMULATION_RUNS") ?? 1_000);
/** Most steps of one run. */
const MAX_STEPS = 60;

const at = fc.nat(MAX_ISOLATES - 1);
const client = fc.nat(CLIENTS - 1);
const channel = fc.nat(CHANNEL_NAMES.length - 1);
const is = <Name extends Step["do"]>(name: Name) => fc.constant(name);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: is("publish"),
      channel,
      count: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 60 })),
      named: fc.boolean(),
      long: fc.constant(false),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: is("publish"),
      channel,
      count: fc.constant(1),
      named: fc.boolean(),
      long: fc.constant(true),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: is("again") }) },
  {
    weight: 10,
    arbitrary: fc.record({ do: is("rest"), ms: fc.nat(40) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: is("rest"),
      ms: fc.integer({ min: 100, max: 3_000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: is("rest"),
      ms: fc.integer({ min: 10_000, max: 70_000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: is("kill"), at }) },
  { weight: 3, arbitrary: fc.record({ do: is("start") }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: is("come"),
      client,
      channel,
      batch: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: is("go"), client }) },
  { weight: 1, arbitrary: fc.record({ do: is("leave"), client, channel }) },
  { weight: 2, arbitrary: fc.record({ do: is("slow"), client }) },
  { weight: 3, arbitrary: fc.record({ do: is("read"), client }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: is("storm"),
      ms: fc.integer({ min: 50, max: 4_000 }),
    }),
  },
);

Deno.test("every client holds exactly the log's events, or was told of the gap, whatever happens", async () => {
  const total: Tally = {
    events: 0,
    delivered: 0,
    gaps: 0,
    refused: 0,
    epochs: 0,
  };
  await fc.assert(
    fc.asyncProperty(
      fc.noShrink(fc.integer()),
      fc.array(step, { minLength: 5, maxLength: MAX_STEPS, size: "max" }),
      async (seed, steps) => {
        const tally = await new World(seed).run(steps);
        for (const name of Object.keys(total) as (keyof Tally)[]) {
          total[name] += tally[name];
        }
      },
    ),
    {
      numRuns: RUNS,
      ...(Deno.env.has("SIMULATION_SEED")
        ? { seed: Number(Deno.env.get("SIMULATION_SEED")) }
        : {}),
      ...(Deno.env.has("SIMULATION_PATH")
        ? { path: Deno.env.get("SIMULATION_PATH")! }
        : {}),
    },
  );
  // A world in which nothing happens proves nothing.
  assert(total.delivered > 10 * RUNS, JSON.stringify(total));
  assert(total.gaps > RUNS / 25, JSON.stringify(total));
  assert(total.refused > RUNS / 100, JSON.stringify(total));
  assert(total.epochs > 2 * RUNS, JSON.stringify(total));
});
