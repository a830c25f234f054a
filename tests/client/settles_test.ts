/**
 * Whatever happens to a client, and whenever: what it has returned settles, and
 * nothing of it is left. The sanitizers of the test look for timers, sockets
 * and requests that outlive it.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Client } from "../../client/client.ts";
import { settled } from "../../client/settled.ts";
import { systemClock as clock } from "../../platform/clock.ts";
import { pause } from "../../platform/pause.ts";
import { tokenOf } from "../test_service.ts";
import { until } from "../until.ts";
import { openBench } from "./iterating.ts";

/** How often a client that is cut tries again, in milliseconds. */
const RECONNECT_MS = 5;

/** What an application has asked for. */
class Asked {
  readonly #waiting = new Map<Promise<unknown>, string>();
  readonly #closing: (() => void)[] = [];
  readonly #over = new AbortController();

  constructor(readonly client: Client) {}

  /** Whatever it is: that it settles counts, not how. */
  #expect(what: string, promise: Promise<unknown>): void {
    this.#waiting.set(promise, what);
    const settles = () => void this.#waiting.delete(promise);
    promise.then(settles, settles);
  }

  /** Takes all that an iteration gives. */
  #take(what: string, iteration: AsyncIterable<unknown>): void {
    this.#expect(
      what,
      (async () => {
        for await (const _ of iteration);
      })(),
    );
  }

  readonly verbs = {
    send: () =>
      this.#expect(
        "send",
        this.client.sendMessage({ type: "TEST", payload: {} }),
      ),
    batch: () =>
      this.#expect(
        "batch",
        this.client.sendBatch([{ type: "TEST", payload: {} }]),
      ),
    event: () => {
      const room = this.client.room("lobby");
      this.#closing.push(room.close);
      this.#expect("event", room.send("moved", 1));
      this.#take("room's events", room.events());
    },
    query: () =>
      this.#expect(
        "query",
        this.client.request("query", { channel: "blocks" }),
      ),
    metrics: () =>
      this.#expect("metrics", this.client.request("request_metrics", {})),
    ready: () => this.#expect("ready", this.client.ready()),
    channel: () => {
      const channel = this.client.channel("blocks", { last: 2 });
      this.#closing.push(channel.close);
      this.#expect("history", channel.history());
      this.#take("events", channel.events());
      const { signal } = this.#over;
      this.#take("events until aborted", channel.events({ signal }));
    },
    watch: () => {
      const made = this.client.watch("transactions", {
        filter: { address: "a" },
      });
      this.#expect("watch", made);
      this.#expect(
        "edits",
        made.then((list) => {
          this.#closing.push(list.close);
          const edits = [1, 2].map((n) => list.edit({ add: [`${n}`] }));
          return Promise.allSettled(edits);
        }),
      );
    },
    track: () => this.#take("track", this.client.track("x", this.#over)),
    chain: () => this.#take("chain", this.client.chain(this.#over)),
    settled: () =>
      this.#take(
        "settled",
        settled(this.client, {
          filter: { address: "a" },
          signal: this.#over.signal,
        }),
      ),
  } as const;

  /** Ends all that an application has to end by itself. */
  async end(): Promise<void> {
    this.#over.abort();
    // One that is still made is closed when it is there.
    await until(() => {
      for (const close of this.#closing.splice(0)) close();
      return this.#waiting.size === 0;
    }, "all to settle").catch(() => {
      assert.fail(`not settled: ${[...this.#waiting.values()].join()}`);
    });
  }
}

const verb = fc.constantFrom(
  "send",
  "batch",
  "event",
  "query",
  "metrics",
  "ready",
  "channel",
  "watch",
  "track",
  "chain",
  "settled",
);
const fault = fc.constantFrom(
  "cut",
  "disconnect",
  "connect",
  "token",
  "no token",
);
const step = fc.record({
  act: fc.oneof({ weight: 3, arbitrary: verb }, fault),
  /** In milliseconds; 0: a turn of the event loop, below: none. */
  wait: fc.constantFrom(-1, 0, 1, 4),
});

for (const end of ["disconnect", "close all"] as const) {
  Deno.test(`all that a client returns settles, through cuts and disconnects at any moment: ${end}`, async () => {
    await using bench = await openBench();
    const tokens = [await tokenOf("user"), await tokenOf("publisher")];
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
        const client = bench.start({ reconnectInterval: RECONNECT_MS });
        const asked = new Asked(client);
        for (const { act, wait } of steps) {
          if (act === "cut") bench.cut();
          else if (act === "disconnect") client.disconnect();
          else if (act === "connect") client.connect();
          else if (act === "token") client.setToken(tokens[steps.length % 2]!);
          else if (act === "no token") client.setToken(undefined);
          else asked.verbs[act]();
          if (wait > 0) await pause(clock, wait);
          else if (wait === 0) await new Promise((it) => setImmediate(it));
        }
        if (end === "disconnect") client.disconnect();
        else client.connect();
        await asked.end();
        client.disconnect();
        assert.equal(client.state.status, "closed");
      }),
      { numRuns: 150 },
    );
  });
}
