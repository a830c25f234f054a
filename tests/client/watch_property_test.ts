import assert from "node:assert/strict";
import fc from "fast-check";
import { watch } from "../../client/watch.ts";
import type { Client } from "../../client/client.ts";
import type { Watch } from "../../client/watch.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { until } from "../until.ts";
import { openBench, tx } from "./iterating.ts";

const NAMES = ["a", "b", "c"] as const;
const name = fc.constantFrom(...NAMES);
const who = fc.nat(1);

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ from: name, to: name }) },
  fc.record({ cut: fc.constant(true) }),
  fc.record({ edit: who, add: name, remove: name }),
  fc.record({ reopen: who }),
);

/** One watched list, and its events by a plain read of the log. */
class List {
  readonly seqs: number[] = [];
  readonly gaps: unknown[] = [];
  /** From which position on which values count, as they were answered. */
  readonly inForce: { from: number; values: string[] }[] = [];
  values: string[] = ["a"];
  watch!: Watch;

  constructor(readonly client: Client, readonly start: number) {
    this.open();
  }

  open(): void {
    const after = this.watch?.position;
    this.watch?.close();
    this.watch = watch(this.client, "transactions", {
      filter: { address: this.values },
      ...(after ? { after } : {}),
    });
    this.watch.on("TX_RECEIVED", ({ seq }) => this.seqs.push(seq!));
    this.watch.onGap((gap) => this.gaps.push(gap));
  }

  async edit(add: string, remove: string): Promise<void> {
    let from: { seq: number } | undefined;
    while (!from) {
      await until(() => this.watch.status === "joined", "joined");
      // An edit whose answer was lost is not in force.
      from = await this.watch.edit({ add: [add], remove: [remove] })
        .then((answer) => answer.from)
        .catch((error) => {
          assert.equal(error.code, "CONNECTION_LOST");
          return undefined;
        });
    }
    this.values = [...new Set([...this.values, add])]
      .filter((value) => value !== remove);
    this.inForce.push({ from: from.seq, values: this.values });
  }
}

Deno.test("watches receive what a plain look at the log gives, through edits, cuts and new starts", async () => {
  await using bench = await openBench();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const client = await bench.client();
      const [head] = await bench.service.hub.heads(["transactions"]);
      const start = head!.seq;
      const lists = [new List(client, start), new List(client, start)];
      for (const list of lists) {
        await until(() => list.watch.status === "joined", "joined");
        list.inForce.push({ from: start, values: list.values });
      }
      const log: { from: string; to: string }[] = [];
      for (const each of steps) {
        if ("cut" in each) bench.cut();
        else if ("reopen" in each) lists[each.reopen]!.open();
        else if ("edit" in each) {
          if (each.add === each.remove) continue;
          await lists[each.edit]!.edit(each.add, each.remove);
        } else {
          log.push(each);
          const message = tx("pending");
          Object.assign(message.payload, {
            ...each,
            txId: crypto.randomUUID(),
          });
          await bench.publish(message as AnyMessage);
        }
      }
      // Passes every filter: all before it has arrived then.
      const [last] = await bench.service.publisher.publish([{
        type: "BLOCK_COMPLETE",
        payload: {
          // A block is completed once.
          blockId: `end-${start}`,
          height: 1,
          transactions: 0,
          timestamp: "2026-01-01T00:00:00.000Z",
        },
      }]) as readonly { seq?: number }[];
      const end = start + log.length + 1;
      if (last?.seq !== undefined) assert.equal(last.seq, end);
      for (const { watch, seqs, gaps, inForce } of lists) {
        await until(() => watch.position?.seq === end, "the end");
        assert.deepEqual(gaps, []);
        assert.deepEqual(seqs, [...new Set(seqs)].toSorted((a, b) => a - b));
        for (const [i, { from, to }] of log.entries()) {
          const seq = start + i + 1;
          const matches = ({ values }: { values: string[] }) =>
            values.includes(from) || values.includes(to);
          const at = inForce.findLastIndex((it) => it.from < seq);
          if (matches(inForce[at]!)) {
            assert(seqs.includes(seq), `${seq} missing`);
          } // What an edit adds may count from the last position on.
          else if (!inForce.slice(at).some(matches)) {
            assert(!seqs.includes(seq), `${seq} too much`);
          }
        }
      }
      for (const { watch } of lists) watch.close();
      client.disconnect();
    }),
    { numRuns: 25 },
  );
});
