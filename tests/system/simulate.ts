/**
 * Runs the simulation for many seeds. A failure names its seed and path;
 * `SIMULATION_SEED` and `SIMULATION_PATH` replay it, `SIMULATION_RUNS` asks for
 * more.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { ManualClock } from "../fakes/clock.ts";
import type { MemoryKv } from "../fakes/kv.ts";
import {
  CHANNEL_NAMES,
  CLIENTS,
  MAX_INSTANCES,
  PUBLISHERS,
  World,
} from "./simulation.ts";
import type { Step, Tally } from "./simulation.ts";

/** Most steps of one run. */
const MAX_STEPS = 60;

const at = fc.nat(MAX_INSTANCES - 1);
const client = fc.nat(CLIENTS - 1);
const channel = fc.nat(CHANNEL_NAMES.length - 1);
const publisher = fc.nat(PUBLISHERS - 1);
const is = <Name extends Step["do"]>(name: Name) => fc.constant(name);

/** What every few worlds see, whatever their store. */
const ORDINARY: ReadonlySet<keyof Tally> = new Set([
  "events",
  "delivered",
]);

type Weighted = fc.WeightedArbitrary<Step>;

/** What happens to the store itself, as only a double of one lets it. */
const CALAMITIES: readonly Weighted[] = [
  { weight: 1, arbitrary: fc.record({ do: is("copy") }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: is("restore"), isWhole: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: is("damage"),
      at: fc.nat(1_000),
      bit: fc.nat(100_000),
    }),
  },
];

/** What happens on every store. */
const EVERYDAY: readonly Weighted[] = [
  {
    weight: 10,
    arbitrary: fc.record({
      do: is("publish"),
      channel,
      count: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 100 })),
      named: fc.boolean(),
      long: fc.constant(false),
      publisher,
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
      publisher,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: is("again") }) },
  { weight: 1, arbitrary: fc.record({ do: is("reuse") }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: is("step"),
      at: fc.option(at, { nil: undefined }),
      ms: fc.integer({ min: -100_000, max: 100_000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: is("fill"),
      ms: fc.integer({ min: 50, max: 6_000 }),
    }),
  },
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
];

/** One thing that happens in the world. */
export const step: fc.Arbitrary<Step> = fc.oneof(...EVERYDAY, ...CALAMITIES);

/** The store of one world, other than one in memory. */
export interface StoreOfWorld extends AsyncDisposable {
  /** As the world is given it. */
  open(clock: ManualClock): MemoryKv;
  /** Checks it, in the end. */
  verify(): Promise<void>;
}

/**
 * Runs worlds, each of a seed of its own, until one breaks a promise.
 *
 * @param defaultRuns number of runs, unless the environment sets it.
 * @param openStore where the log of each is; in memory when absent.
 */
export async function simulate(
  defaultRuns: number,
  openStore?: () => Promise<StoreOfWorld>,
): Promise<void> {
  const runs = Number(Deno.env.get("SIMULATION_RUNS") ?? defaultRuns);
  const seed = Deno.env.get("SIMULATION_SEED");
  const path = Deno.env.get("SIMULATION_PATH");
  const total: Tally = {
    events: 0,
    delivered: 0,
    gaps: 0,
    refused: 0,
    epochs: 0,
    restores: 0,
    conflicts: 0,
    damaged: 0,
  };
  await fc.assert(
    fc.asyncProperty(
      fc.noShrink(fc.integer()),
      fc.array(openStore ? fc.oneof(...EVERYDAY) : step, {
        minLength: 5,
        maxLength: MAX_STEPS,
        size: "max",
      }),
      async (seed, steps) => {
        await using store = await openStore?.();
        const world = new World(seed, store && ((it) => store.open(it)));
        const tally = await world.run(steps);
        await store?.verify();
        for (const name of Object.keys(total) as (keyof Tally)[]) {
          total[name] += tally[name];
        }
      },
    ),
    {
      numRuns: runs,
      ...(seed === undefined ? {} : { seed: Number(seed) }),
      ...(path === undefined ? {} : { path }),
    },
  );
  if (path !== undefined) return;
  // A world in which nothing happens proves nothing.
  const wanted: Tally = {
    events: 20 * runs,
    delivered: 10 * runs,
    gaps: runs / 20,
    refused: runs / 100,
    epochs: 1.5 * runs,
    restores: runs / 20,
    conflicts: runs / 50,
    damaged: runs / 10,
  };
  for (const name of Object.keys(wanted) as (keyof Tally)[]) {
    if (openStore && !ORDINARY.has(name)) continue;
    assert(total[name] > wanted[name], `${name}: ${JSON.stringify(total)}`);
  }
}
