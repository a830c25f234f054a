/**
 * What every link promises.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Hint, Link } from "../../realtime/link.ts";
import type { Entry } from "../../store/entry.ts";

/** Links of one kind that should hear each other. */
export interface LinkBench extends AsyncDisposable {
  /** One more isolate's end; must not be disposed by the bench. */
  join(): Promise<Link>;
  /** Waits until what was published has arrived. */
  arrive(): Promise<void>;
  /** Whether hints carry the events, or only tell to look. */
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

/** Registers the tests that every link has to pass. */
export function testLink(name: string, open: () => Promise<LinkBench>): void {
  Deno.test(`${name} hands a hint to all others and never to its sender`, async () => {
    await using bench = await open();
    using one = await bench.join();
    using two = await bench.join();
    using three = await bench.join();
    const [own, second, third] = [listen(one), listen(two), listen(three)];

    one.publish([event(1), event(2)]);
    await bench.arrive();
    assert.deepEqual(own, []);
    for (const hints of [second, third]) {
      assert(hints.length > 0);
      if (bench.carriesEvents) {
        assert.deepEqual(hints[0]!.events, [event(1), event(2)]);
      } else assert(hints[0]!.incomplete);
    }
  });

  Deno.test(`${name} goes both ways`, async () => {
    await using bench = await open();
    using one = await bench.join();
    using two = await bench.join();
    const [first, second] = [listen(one), listen(two)];
    one.publish([event(1)]);
    await bench.arrive();
    const before = second.length;
    assert(before > 0);
    two.publish([event(2)]);
    await bench.arrive();
    assert(first.length > 0);
    assert.equal(second.length, before, "no echo");
  });

  Deno.test(`${name} falls silent when disposed`, async () => {
    await using bench = await open();
    using one = await bench.join();
    const two = await bench.join();
    const [own, hints] = [listen(one), listen(two)];
    two[Symbol.dispose]();
    two.publish([event(1)]);
    one.publish([event(2)]);
    await bench.arrive();
    assert.deepEqual([own, hints], [[], []]);
  });

  Deno.test(`${name} carries many posts and lets nobody believe that it carried all when it did not`, async () => {
    await using bench = await open();
    using one = await bench.join();
    using two = await bench.join();
    const hints = listen(two);
    for (let seq = 1; seq <= 1_000; seq++) one.publish([event(seq)]);
    await bench.arrive();
    one.publish([event(1_001)]);
    await bench.arrive();
    const events = hints.flatMap(({ events }) => events);
    assert(
      events.length === 1_001 || hints.some(({ incomplete }) => incomplete),
    );
  });
}
