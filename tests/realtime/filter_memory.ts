/**
 * Prints how many bytes of memory a value of a filter takes, where subscriptions
 * hold many of them, and few. Needs `--v8-flags=--expose-gc`.
 *
 * @module
 */
import type { Filter } from "../../realtime/filter_index.ts";
import type { Outbox } from "../../realtime/outbox.ts";
import { emptyStream, EPOCH, outbox } from "../fakes/outboxes.ts";
import { FREE } from "../fakes/peer.ts";

const { gc } = globalThis as unknown as { gc: () => void };

/** Heap in use, in bytes. */
function used(): number {
  for (let i = 0; i < 3; i++) gc();
  return Deno.memoryUsage().heapUsed;
}

/** What connections of one filtered subscription each add to the heap, in bytes. */
function taken(connections: number, values: number): number {
  const stream = emptyStream("transactions");
  const outboxes: Outbox[] = [];
  const before = used();
  for (let i = 0; i < connections; i++) {
    const address = Array.from(
      { length: values },
      (_, k) => `0x${(i * values + k).toString(16).padStart(40, "0")}`,
    );
    // As a frame brings them.
    const filter: Filter = values === 0
      ? [{ status: ["pending"] }]
      : [JSON.parse(JSON.stringify({ address }))];
    const own = outbox({ ...FREE, address: `10.0.${i >> 8}.${i & 255}` });
    own.attach(stream, { epoch: EPOCH, seq: 0 }, { as: "mine", filter });
    outboxes.push(own);
  }
  const bytes = used() - before;
  for (const own of outboxes) own.close();
  return bytes;
}

// What is made once is not counted.
taken(10, 10);
const many = taken(200, 1_000);
const few = taken(5_000, 5);
const none = taken(5_000, 0);
// deno-lint-ignore no-console -- that is its purpose
console.log(JSON.stringify({
  many: many / 200 / 1_000,
  few: (few - none) / 5_000 / 5,
  subscription: none / 5_000,
}));
