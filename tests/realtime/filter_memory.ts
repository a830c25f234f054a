/**
 * Prints how many bytes of memory a value of a filter takes, where subscriptions
 * hold many of them, and few. Needs `--v8-flags=--expose-gc`.
 *
 * @module
 */
import { systemClock } from "../../platform/clock.ts";

import { FilterBudget } from "../../realtime/filter_budget.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { Outbox } from "../../realtime/outbox.ts";
import { Pace } from "../../realtime/pace.ts";
import { Progress } from "../../realtime/progress.ts";
import { Stream } from "../../realtime/stream.ts";
import type { Filter } from "../../realtime/filter_index.ts";

const { gc } = globalThis as unknown as { gc: () => void };
const head = { epoch: "E", seq: 0 };
const envelope = () => ({ id: "id", now: 0 });
const machine = {
  clock: systemClock,
  pace: new Pace(systemClock),
  progress: new Progress(systemClock),
  filters: new FilterBudget(),
  envelope,
  readPage: () => Promise.resolve({ entries: [], unreadable: [] }),
  readOldest: () => Promise.resolve(1),
};

/** Heap in use, in bytes. */
function used(): number {
  for (let i = 0; i < 3; i++) gc();
  return Deno.memoryUsage().heapUsed;
}

/** What connections of one filtered subscription each add to the heap, in bytes. */
function taken(connections: number, values: number): number {
  const stream = new Stream("transactions", { logged: true, head, envelope });
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
    const outbox = new Outbox(
      { bufferedAmount: 0, send: () => {} },
      JSON_CODEC,
      machine,
      {
        address: `10.0.${i >> 8}.${i & 255}`,
        stalled: () => {},
        charge: () => 0,
        read: () => {},
      },
    );
    outbox.attach(stream, head, { as: "mine", filter });
    outboxes.push(outbox);
  }
  const bytes = used() - before;
  for (const outbox of outboxes) outbox.close();
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
