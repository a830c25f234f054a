/**
 * What every link promises.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Hint, Link } from "../../realtime/link.ts";
import type { Entry } from "../../store/entry.ts";
import { until } from "../until.ts";

/** Links of one kind that reach each other. */
export interface LinkBench extends AsyncDisposable {
  /** One more instance's end, ready; disposed by the test. */
  join(): Promise<Link>;
  /** Whether hints carry the events, or only ask to read the log. */
  readonly carriesEvents: boolean;
}

/** One event, numbered. */
export function event(seq: number): Entry {
  return {
    channel: "blocks",
    epoch: "e",
    seq,
    type: "NEW_BLOCK",
    at: 0,
    tags: {},
    json: `{"seq":${seq}}`,
  };
}

function listen(link: Link): Hint[] {
  const hints: Hint[] = [];
  link.receive((hint) => hints.push(hint));
  return hints;
}

/** Publishes until `hints` has another one: a doorbell may join two rings. */
async function reaches(
  from: Link,
  hints: readonly Hint[],
  seq: number,
): Promise<void> {
  const before = hints.length;
  from.publish([event(seq)]);
  await until(() => hints.length > before, "a hint of the other link");
}

/** Where the receiver learns that the channel ends, at the latest. */
function endsAt(hints: readonly Hint[]): number {
  const heads = hints.flatMap(({ heads = [] }) => heads);
  return Math.max(0, ...heads.map(({ seq }) => seq));
}

/** Registers the tests that every link has to pass. */
export function testLink(name: string, open: () => Promise<LinkBench>): void {
  Deno.test(`${name} hands a hint to all others and never to its sender`, async () => {
    await using bench = await open();
    using one = await bench.join();
    using two = await bench.join();
    using three = await bench.join();
    const [own, second, third] = [listen(one), listen(two), listen(three)];

    one.publish([event(1), event(2)]);
    for (const hints of [second, third]) {
      await until(() => hints.length > 0, "a hint at each of the others");
      if (bench.carriesEvents) {
        assert.deepEqual(hints[0]!.events, [event(1), event(2)]);
      } else assert(endsAt(hints) === 2 || hints[0]!.incomplete);
    }
    // What would have come back is here by now: a later one is.
    const before = own.length;
    assert.equal(before, 0);
    await reaches(two, own, 3);
    assert.equal(own.length, 1, "no echo of its own");
  });

  Deno.test(`${name} goes both ways`, async () => {
    await using bench = await open();
    using one = await bench.join();
    using two = await bench.join();
    const [first, second] = [listen(one), listen(two)];
    await reaches(one, second, 1);
    await reaches(two, first, 2);
    await reaches(one, second, 3);
  });

  Deno.test(`${name} falls silent when disposed`, async () => {
    await using bench = await open();
    using one = await bench.join();
    const two = await bench.join();
    using three = await bench.join();
    const [own, hints] = [listen(one), listen(two)];
    two[Symbol.dispose]();
    two.publish([event(1)]);
    await reaches(one, listen(three), 2);
    await reaches(three, own, 3);
    assert.equal(own.length, 1, "of the disposed one nothing");
    assert.deepEqual(hints, []);
  });

  Deno.test(`${name} carries many posts, or reports that some are missing`, async () => {
    await using bench = await open();
    using one = await bench.join();
    using two = await bench.join();
    const hints = listen(two);
    for (let seq = 1; seq <= 1_000; seq++) one.publish([event(seq)]);
    await reaches(one, hints, 1_001);
    await until(() => {
      const events = hints.flatMap(({ events }) => events);
      const isWhole = events.length === 1_001;
      return isWhole || endsAt(hints) === 1_001 ||
        hints.some(({ incomplete }) => incomplete);
    }, "all events, or a hint that some are missing");
  });
}
