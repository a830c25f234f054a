import assert from "node:assert/strict";
import {
  CHAIN_BLOCKS,
  clocksDiffer,
  Freshness,
  stillMs,
} from "../../monitoring/freshness.ts";
import { ManualClock } from "../fakes/clock.ts";

/** A log of blocks, the newest accepted `ageMs` ago by the wall clock. */
class Blocks {
  readonly clock = new ManualClock();
  count = 0;
  reads = 0;
  #at = 0;

  /** Accepts one more block, `ageMs` ago by this clock. */
  accept(ageMs: number): void {
    this.count++;
    this.#at = this.clock.now() - ageMs;
  }

  follow(isExpected: boolean): Freshness {
    const hub = {
      heads: () => Promise.resolve([{ epoch: "e", seq: this.count }]),
      read: (_channel: string, { limit }: { limit: number }) => {
        this.reads++;
        return Promise.resolve({
          entries: Array.from(
            { length: Math.min(this.count, limit) },
            () => ({ at: this.#at }),
          ),
        });
      },
    } as unknown as ConstructorParameters<typeof Freshness>[0]["hub"];
    return new Freshness({ hub, clock: this.clock, isExpected });
  }
}

Deno.test("a chain is expected where a source is set, or where one was", async () => {
  const ageOf = async (count: number, isExpected: boolean) => {
    const blocks = new Blocks();
    for (let i = 0; i < count; i++) blocks.accept(5_000);
    return (await blocks.follow(isExpected).look())?.ageMs;
  };
  assert.equal(await ageOf(0, false), undefined);
  assert.equal(await ageOf(CHAIN_BLOCKS - 1, false), undefined);
  assert.equal(await ageOf(CHAIN_BLOCKS, false), 5_000);
  assert.equal(await ageOf(1, true), 5_000);
  assert.equal(await ageOf(0, true), 0, "counted from the start");
});

Deno.test("the age grows between reads, and a known block is not read again", async () => {
  const blocks = new Blocks();
  const freshness = blocks.follow(true);
  blocks.clock.advance(3_000);
  assert.deepEqual(freshness.head, {
    ageMs: 3_000,
    unchangedMs: 3_000,
    atMostMs: Infinity,
  });
  blocks.accept(1_000);
  await freshness.look();
  blocks.clock.advance(2_000);
  assert.deepEqual(await freshness.look(), {
    ageMs: 3_000,
    unchangedMs: 2_000,
    atMostMs: Infinity,
  });
  assert.equal(blocks.reads, 1);
});

for (const stepMs of [-3_600_000, 3_600_000]) {
  Deno.test(`a stalled chain is noticed after a step of the wall clock by ${stepMs} ms`, async () => {
    const blocks = new Blocks();
    const freshness = blocks.follow(true);
    blocks.accept(0);
    await freshness.look();
    blocks.clock.stepWall(stepMs);
    blocks.clock.advance(90_000);
    const head = (await freshness.look())!;
    assert.equal(stillMs(head), 90_000);

    // A block from another machine, whose clock is off by the step.
    blocks.accept(-stepMs);
    const foreign = (await freshness.look())!;
    assert.equal(foreign.ageMs, -stepMs, "shown as what it is");
    assert.equal(foreign.unchangedMs, 0);
    assert.equal(foreign.atMostMs, 0);
    assert.equal(stillMs(foreign), 0, "it was not there at the last look");
    assert(clocksDiffer(foreign));
    blocks.clock.advance(90_000);
    const still = (await freshness.look())!;
    assert.equal(still.unchangedMs, 90_000);
    assert.equal(stillMs(still), 90_000);
  });
}

Deno.test("a block published before the start has the age of its timestamp", async () => {
  const blocks = new Blocks();
  blocks.accept(3_600_000);
  const head = (await blocks.follow(true).look())!;
  assert.equal(stillMs(head), 3_600_000);
  assert(!clocksDiffer(head));
});
