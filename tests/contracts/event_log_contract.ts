/**
 * What every event log keeps to, whatever stores it.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { UNBORN_EPOCH } from "../../store/event_log.ts";
import type { Draft, EventLog } from "../../store/event_log.ts";
import type { LoggedEntry } from "../../store/entry.ts";

/** More than any test reads. */
const ALL = { after: 0, upTo: 1e9, limit: 1e6, maxBytes: 1e9 };

/** Empty logs of one kind. */
export interface OpenedLogs extends AsyncDisposable {
  /** Opens one more instance's log on the same events. */
  join(): EventLog;
}

/** A block to be published. */
export function draft(
  mark: string | number,
  { channel = "blocks", ...rest }: Partial<Draft> = {},
): Draft {
  return {
    channel,
    type: "NEW_BLOCK",
    payloadText: JSON.stringify({ mark }),
    id: undefined,
    tags: {},
    keys: [],
    ...rest,
  };
}

/** The marks of a channel's events, having checked that they are numbered. */
export async function marks(
  log: EventLog,
  channel = "blocks",
): Promise<unknown[]> {
  const { entries, unreadable } = await log.read(channel, ALL);
  assert.deepEqual(unreadable, []);
  return entries.map(({ seq, json }, i) => {
    const event = JSON.parse(json);
    assert.equal(seq, i + 1);
    assert.equal(event.seq, seq);
    return event.payload.mark;
  });
}

const alice = { subject: "alice", maxRooms: Infinity };
const bob = { subject: "bob", maxRooms: Infinity };

/** Runs the contract on one kind of log. */
export function testEventLog(
  name: string,
  open: () => Promise<OpenedLogs>,
): void {
  const test = (
    what: string,
    body: (join: () => EventLog) => Promise<void>,
  ) => {
    Deno.test(`${name}: ${what}`, async () => {
      await using logs = await open();
      await body(() => logs.join());
    });
  };

  test("numbers from 1 without a hole, in the order of the calls", async (join) => {
    const log = join();
    const seen: number[] = [];
    log.onCommit((entries) => seen.push(...entries.map(({ seq }) => seq)));
    const positions = await Promise.all(
      Array.from({ length: 50 }, (_, i) => log.append([draft(i)])),
    );
    const numbers = Array.from({ length: 50 }, (_, i) => i + 1);
    assert.deepEqual(positions.map(([one]) => one!.seq), numbers);
    assert.deepEqual(seen, numbers);
    assert.deepEqual(await marks(log), numbers.map((seq) => seq - 1));
    assert.deepEqual(await log.heads(["blocks", "dag"]), [
      { epoch: positions[0]![0]!.epoch, seq: 50 },
      { epoch: UNBORN_EPOCH, seq: 0 },
    ]);
  });

  test("waits for a receiver that is not ready before the next commit", async (join) => {
    const log = join();
    const caughtUp = Promise.withResolvers<void>();
    const seen: number[] = [];
    log.onCommit(
      (entries) => void seen.push(...entries.map(({ seq }) => seq)),
      () => seen.length > 0 ? caughtUp.promise : undefined,
    );
    await log.append([draft(1)]);
    const second = log.append([draft(2)]);
    // A read goes to the store and back: the commit would have begun.
    assert.deepEqual(await marks(log), [1]);
    assert.deepEqual(seen, [1]);
    caughtUp.resolve();
    await second;
    assert.deepEqual(seen, [1, 2]);
  });

  test("an event is read as it was accepted, tags and time too", async (join) => {
    const log = join();
    const committed: LoggedEntry[] = [];
    log.onCommit((entries) => committed.push(...entries));
    const tags = { from: ["0xa", "0xb\t"], status: ["pending"] };
    await log.append([
      draft("ü\n\t世", { tags, id: "mine" }),
      draft(2, { channel: "room:a", type: "ROOM_MESSAGE" }),
    ]);
    for (const [i, channel] of ["blocks", "room:a"].entries()) {
      const { entries } = await join().read(channel, ALL);
      assert.deepEqual(entries, [committed[i]]);
    }
    const [{ tags: read, type, at }] = committed as [LoggedEntry];
    assert.deepEqual([read, type], [tags, "NEW_BLOCK"]);
    const frame = JSON.parse(committed[0]!.json);
    assert.equal(Date.parse(frame.timestamp), at);
    assert.equal(frame.id, "mine");
  });

  test("instances make one order: no number twice, none skipped", async (join) => {
    const logs = [join(), join()];
    const seen: LoggedEntry[][] = [[], []];
    logs.forEach((log, i) => log.onCommit((all) => seen[i]!.push(...all)));
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        for (let j = 0; j < 5; j++) {
          await logs[i % 2]!.append([draft(`${i}.${j}`)]);
        }
      }),
    );
    const all = await marks(logs[0]!);
    assert.equal(all.length, 100);
    assert.equal(new Set(all).size, 100);
    for (let i = 0; i < 20; i++) {
      const own = all.filter((mark) => String(mark).startsWith(`${i}.`));
      assert.deepEqual(own, [0, 1, 2, 3, 4].map((j) => `${i}.${j}`));
    }
    // Each receives its own commits only, once.
    assert.equal(seen[0]!.length + seen[1]!.length, 100);
  });

  test("a request is stored whole or not at all", async (join) => {
    const log = join();
    const pad = "x".repeat(30_000);
    await Promise.all(
      Array.from(
        { length: 12 },
        (_, i) =>
          log.append([0, 1, 2, 3].map((j) =>
            draft("", {
              payloadText: JSON.stringify({ mark: `${i}.${j}`, pad }),
            })
          )),
      ),
    );
    assert.deepEqual(
      await marks(log),
      Array.from({ length: 48 }, (_, i) => `${i >> 2}.${i % 4}`),
    );
    await log.append([draft("A", { id: "1" })]);
    await assert.rejects(
      async () => await log.append([draft("x"), draft("B", { id: "1" })]),
      { code: "ID_CONFLICT" },
    );
    assert.equal((await marks(log)).at(-1), "A");
  });

  test("an id stands for its first position, for every instance", async (join) => {
    const [one, two] = [join(), join()];
    const named = draft(1, { id: "same" });
    const [first, second] = await one.append([named, named]);
    assert.deepEqual(first, second);
    const again = await Promise.all([
      one.append([named]),
      two.append([named]),
      two.append([draft(5), named]),
    ]);
    assert.deepEqual(again[0]![0], first);
    assert.deepEqual(again[1]![0], first);
    assert.deepEqual(again[2]![1], first);
    assert.deepEqual(await marks(one), [1, 5]);
    // In another channel it is another message.
    const [other] = await one.append([
      draft(7, { channel: "dag", id: "same" }),
    ]);
    assert.deepEqual([other!.channel, other!.seq], ["dag", 1]);
  });

  test("an id raced by many instances is stored once", async (join) => {
    const logs = [join(), join(), join(), join()];
    const positions = await Promise.all(
      logs.flatMap((log) =>
        Array.from(
          { length: 10 },
          (_, i) => log.append([draft(i, { id: `m${i}` })]),
        )
      ),
    );
    assert.equal((await marks(logs[0]!)).length, 10);
    for (const [i, [position]] of positions.entries()) {
      assert.deepEqual(position, positions[i % 10]![0]);
    }
  });

  test("an id is its publisher's own, and stands for one content", async (join) => {
    const [one, two] = [join(), join()];
    const named = (mark: string, publisher: typeof alice) =>
      draft(mark, { id: "1", publisher });
    await one.append([named("A", alice)]);
    await two.append([named("B", bob)]);
    assert.deepEqual(await marks(one), ["A", "B"]);
    for (const log of [one, two]) {
      await assert.rejects(
        async () => await log.append([named("C", alice)]),
        { code: "ID_CONFLICT" },
      );
      await assert.rejects(
        async () =>
          await log.append([draft("D", { id: "2" }), draft("E", { id: "2" })]),
        { code: "ID_CONFLICT" },
      );
    }
    assert.deepEqual(await marks(one), ["A", "B"]);
  });

  test("every range and page is found, from either end", async (join) => {
    const log = join();
    let count = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.array(fc.integer({ min: 0, max: 20_000 }), {
            minLength: 1,
            maxLength: 30,
          }),
          { minLength: 1, maxLength: 3 },
        ),
        fc.nat(150),
        fc.nat(150),
        fc.integer({ min: 1, max: 40 }),
        fc.boolean(),
        async (commits, back, length, limit, newest) => {
          for (const pads of commits) {
            await log.append(
              pads.map((pad) =>
                draft(++count, {
                  payloadText: JSON.stringify({
                    mark: count,
                    pad: "\n".repeat(pad / 2),
                  }),
                })
              ),
            );
          }
          const after = Math.max(0, count - back);
          const upTo = Math.min(count, after + length);
          const range = { after, upTo, limit, maxBytes: Infinity, newest };
          const { entries } = await log.read("blocks", range);
          const wanted = Array.from(
            { length: upTo - after },
            (_, i) => after + 1 + i,
          );
          const seqs = newest ? wanted.slice(-limit) : wanted.slice(0, limit);
          assert.deepEqual(entries.map(({ seq }) => seq), seqs);
          for (const { seq, json } of entries) {
            assert.equal(JSON.parse(json).payload.mark, seq);
          }
          assert.equal(await log.oldest("blocks"), 1);
        },
      ),
      { numRuns: 20 },
    );
  });

  test("a page is bounded by number and by bytes, never below one event", async (join) => {
    const log = join();
    for (let i = 0; i < 20; i++) await log.append([draft(i)]);
    const seqs = async (range: Partial<typeof ALL> & { newest?: boolean }) =>
      (await log.read("blocks", { ...ALL, ...range })).entries
        .map(({ seq }) => seq);
    assert.deepEqual(await seqs({ after: 3, upTo: 6 }), [4, 5, 6]);
    assert.deepEqual(await seqs({ after: 3, limit: 2 }), [4, 5]);
    assert.deepEqual(await seqs({ limit: 2, newest: true }), [19, 20]);
    assert.deepEqual(await seqs({ maxBytes: 0 }), [1]);
    assert.deepEqual(await seqs({ maxBytes: 0, newest: true }), [20]);
    assert.deepEqual(await seqs({ after: 6, upTo: 6 }), []);
    assert.deepEqual(await seqs({ limit: 0 }), []);
  });

  test("the newest event about a thing is known by every key", async (join) => {
    const log = join();
    const found = async (key: string) => {
      const json = await join().latest(key);
      return json && JSON.parse(json).payload.mark;
    };
    const block = (mark: string, keys: string[], pad = "") =>
      draft(mark, { keys, payloadText: JSON.stringify({ mark, pad }) });
    await log.append([block("a", ["block:a", "block:100"])]);
    assert.equal(await found("block:100"), "a");
    // A reorg puts another block at the height; the old one keeps its name.
    await log.append([block("b", ["block:b", "block:100"])]);
    assert.equal(await found("block:100"), "b");
    assert.equal(await found("block:a"), "a");
    assert.equal(await found("block:none"), undefined);
    await log.append([block("c", ["block:c"], "x".repeat(150_000))]);
    assert.equal(await found("block:c"), "c");
  });

  test("a position continues in the log that gave it, and before its first event", async (join) => {
    const log = join();
    const start = { epoch: UNBORN_EPOCH, seq: 0 };
    assert.equal(await log.continues("blocks", start), true);
    const [position] = await log.append([draft(1)]);
    const { epoch } = position!;
    for (
      const [at, continues] of [
        [start, true],
        [{ epoch, seq: 0 }, true],
        [{ epoch, seq: 1 }, true],
        [{ epoch, seq: 2 }, false],
        [{ epoch: `${epoch}x`, seq: 1 }, false],
        [{ epoch: UNBORN_EPOCH, seq: 1 }, false],
      ] as const
    ) {
      assert.equal(await join().continues("blocks", at), continues);
    }
    const [head] = await log.heads(["dag"]);
    assert.deepEqual(head, start);
    assert.equal(await log.continues("dag", { epoch, seq: 1 }), false);
  });
}
