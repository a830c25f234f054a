import assert from "node:assert/strict";
import fc from "fast-check";
import { arrivals, MAX_WAITING } from "../../client/arrivals.ts";
import type { ChainChange, ChainOptions } from "../../client/chain.ts";
import type { Client } from "../../client/client.ts";
import { until } from "../until.ts";
import { block, finality, openBench } from "./iterating.ts";

/** A change as a word. */
function word(change: ChainChange): string {
  switch (change.type) {
    case "add":
      return `+${change.block.payload.blockId}`;
    case "revert":
      return `-${change.place.blockId}`;
    case "reset":
      return `!${change.keeps?.blockId}`;
    case "gap":
      return `gap ${change.gap.reason}`;
  }
}

/** Follows, and collects what is yielded. */
function following(client: Client, options?: ChainOptions) {
  const abort = new AbortController();
  const changes: ChainChange[] = [];
  const ended = (async () => {
    const all = client.chain({ ...options, signal: abort.signal });
    for await (const change of all) changes.push(change);
  })();
  ended.catch(() => {});
  return {
    changes,
    ended,
    said: () => changes.map(word),
    says: (...words: string[]) =>
      until(() => changes.length >= words.length, `${words}`)
        .then(() => assert.deepEqual(changes.map(word), words)),
    async [Symbol.asyncDispose]() {
      abort.abort();
      await ended;
    },
  };
}

Deno.test("blocks are yielded once they are as firm as asked for, and taken back when they leave", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  await using now = following(client);
  await using two = following(client, { level: 2 });
  await using safe = following(client, { level: "safe" });
  await using final = following(client, { level: "final" });
  await until(
    () => client.state.channels["blocks"]?.status === "joined",
    "joined",
  );
  await bench.publish(
    ...[1, 2, 3, 4].map((h) => block(`a${h}`, h, `a${h - 1}`)),
  );
  await bench.publish(finality("safe", "a1", 1), finality("final", "a1", 1));
  bench.cut();
  await bench.publish(block("b2", 2, "a1"), block("b3", 3, "b2"));
  await bench.publish(finality("final", "b2", 2));
  await final.says("+a1", "+b2");
  await safe.says("+a1", "+b2");
  await two.says("+a1", "+a2", "-a2");
  await now.says("+a1", "+a2", "+a3", "+a4", "-a4", "-a3", "-a2", "+b2", "+b3");
  // What was safe or final is taken back only by a reset.
  await bench.publish(finality("safe", "b3", 3));
  await bench.publish(block("c3", 3, "b2"));
  await safe.says("+a1", "+b2", "+b3", "-b3", "!b2");
  await bench.publish(block("c2", 2, "a1"));
  await final.says("+a1", "+b2", "!b2", "-b2", "!a1");
});

Deno.test("one chain of several is followed: that asked for, or that of the first event", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  await using first = following(client);
  await using other = following(client, { chain: "evm:1" });
  await until(
    () => client.state.channels["blocks"]?.status === "joined",
    "joined",
  );
  await bench.publish(block("a1", 1, "a0"));
  await bench.publish(block("e7", 7, "e6", { chain: "evm:1" }));
  await bench.publish(block("a2", 2, "a1"));
  await first.says("+a1", "+a2");
  await other.says("+e7");
});

Deno.test("it goes on after the last block that was added, which may have left meanwhile", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  let after;
  {
    await using before = following(client);
    await until(
      () => client.state.channels["blocks"]?.status === "joined",
      "joined",
    );
    await bench.publish(block("a1", 1, "a0"), block("a2", 2, "a1"));
    await before.says("+a1", "+a2");
    after = before.changes[1]!.position!;
  }
  await bench.publish(block("b2", 2, "a1"));
  await using then = following(client, { after });
  await then.says("-a2", "+b2");
  // Blocks from before it began are nothing to one that began live.
  const another = await bench.client();
  await using fresh = following(another);
  await until(
    () => another.state.channels["blocks"]?.status === "joined",
    "joined",
  );
  await bench.publish(block("c2", 2, "a1"), block("c3", 3, "c2"));
  await then.says("-a2", "+b2", "-b2", "+c2", "+c3");
  await until(() => fresh.changes.length > 0, "something");
  assert(!fresh.said().includes("-b2"));
});

Deno.test("events that are lost are reported, and what was held back is forgotten", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  await using it = following(client, { after: { epoch: "another", seq: 9 } });
  await until(() => it.changes.length > 0, "the gap");
  await bench.publish(block("a1", 1, "a0"));
  await it.says("gap epoch_changed", "+a1");
});

Deno.test("it ends with the connection, and with its channel", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  const one = following(client);
  await until(
    () => client.state.channels["blocks"]?.status === "joined",
    "joined",
  );
  client.leaveChannel("blocks");
  await assert.rejects(one.ended, { code: "CLOSED" });
  const two = following(client);
  client.disconnect();
  await assert.rejects(two.ended, { code: "CLOSED" });
});

Deno.test("a bounded number of changes wait to be read", async () => {
  const { put, take } = arrivals<number>();
  for (let i = 0; i <= MAX_WAITING; i++) put(i);
  const taken: number[] = [];
  await assert.rejects(async () => {
    for await (const each of take(undefined)) taken.push(each);
  }, { code: "QUEUE_FULL" });
  assert.equal(taken.length, MAX_WAITING);
});

Deno.test("whatever the chain does, what is yielded folds to its firm part, whole or cut and resumed", async () => {
  await using bench = await openBench();
  const client = await bench.client();
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          { weight: 4, arbitrary: fc.record({ on: fc.nat(6) }) },
          {
            weight: 1,
            arbitrary: fc.record({
              level: fc.constantFrom("safe", "final" as const),
              depth: fc.nat(3),
            }),
          },
        ),
        { minLength: 1, maxLength: 25 },
      ),
      fc.constantFrom<NonNullable<ChainOptions["level"]>>(
        "final",
        "safe",
        0,
        1,
        3,
      ),
      fc.nat(30),
      async (steps, level, cutAt) => {
        const name = `run${run++}`;
        const [head] = await bench.service.hub.heads(["blocks"]);
        // The current blocks and their finality, folded as PROTOCOL.md specifies.
        let stack: string[] = [];
        const heights = new Map<string, number>();
        const reached = { safe: -1, final: -1 };
        let made = 0;
        for (const step of [{ on: 0 }, ...steps, { on: 0 }]) {
          const tip = stack.length - 1;
          if ("level" in step) {
            const at = tip - step.depth;
            if (at < 0 || at <= reached[step.level]) continue;
            if (step.level === "safe" && at <= reached.final) continue;
            reached[step.level] = at;
            const message = finality(step.level, stack[at]!, at);
            Object.assign(message.payload, { chain: name });
            await bench.publish(message);
            continue;
          }
          // Never below what is final or safe.
          const floor = Math.max(reached.final, reached.safe, 0);
          const parent = Math.max(tip - step.on, Math.min(floor, tip));
          stack = stack.slice(0, parent + 1);
          const id = `${name}-${made++}`;
          const message = block(id, stack.length, stack.at(-1) ?? "none", {
            chain: name,
          });
          heights.set(id, stack.length);
          stack.push(id);
          await bench.publish(message);
        }
        const firm = typeof level === "number"
          ? Math.max(-1, stack.length - 1 - level)
          : level === "final"
          ? reached.final
          : Math.max(reached.safe, reached.final);
        const from = head!.seq === 0 ? { epoch: "0", seq: 0 } : head!;
        const fold: string[] = [];
        let after = { epoch: from.epoch, seq: from.seq };
        const take = async (most: number, isLast: boolean) => {
          const abort = new AbortController();
          const options = { level, chain: name, after, signal: abort.signal };
          let count = 0;
          const isThere = () => {
            const wanted = stack.slice(0, firm + 1);
            return wanted.every((id, i) => fold[i] === id) &&
              fold.every((id, i) => stack[i] === id);
          };
          if (isLast && isThere() && fold.length > 0) return;
          if (isLast && firm < 0) return;
          for await (const change of client.chain(options)) {
            if (change.type === "add") {
              const { blockId, previousHash } = change.block.payload;
              if (fold.length > 0) assert.equal(previousHash, fold.at(-1));
              fold.push(blockId);
            } else if (change.type === "revert") {
              assert.notEqual(level, "final");
              assert.equal(fold.pop(), change.place.blockId);
            } else assert.fail(change.type);
            after = change.position!;
            if (++count >= most || isLast && isThere()) abort.abort();
          }
        };
        if (firm >= 0) await take(1 + cutAt % (firm + 1), false);
        await take(Infinity, true);
        const wanted = stack.slice(0, firm + 1);
        assert.deepEqual(fold.slice(0, firm + 1), wanted);
      },
    ),
    { numRuns: 40 },
  );
});
