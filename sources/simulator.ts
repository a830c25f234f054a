/**
 * A source that needs no node: it runs a simulated {@link Chain} in real time,
 * and continues from its last block after a restart.
 *
 * @module
 */
import { Chain } from "./chain.ts";
import type { Past } from "./chain.ts";
import { WINDOW } from "./chain_dag.ts";
import { systemClock } from "../platform/clock.ts";
import type { Clock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import { systemRandom } from "../platform/random.ts";
import type { Random } from "../platform/random.ts";
import { RetryingPublisher } from "./retrying_publisher.ts";
import type { Log, Publisher, Source } from "./source.ts";

/** Time between two steps of the chain, in milliseconds. */
export const STEP_MS = 100;

/** Events read back from each channel on resuming. */
const RESUME_EVENTS = 1_000;

/** What a running simulator needs. */
export interface SimulatorOptions {
  /** Where messages go, and the chain so far is read from. */
  readonly publisher: Publisher;
  /** Records faults. */
  readonly log: Log;
  /** Names the chain; `"kaldrix"` when absent. */
  readonly seed?: string;
  /** The chain's clock. */
  readonly clock?: Clock;
  /** Jitter of retries: uniform in [0, 1). */
  readonly random?: Random;
  /** Longest message the server takes, in bytes of UTF-8. */
  readonly maxMessageBytes?: number;
}

/**
 * Makes a source that runs a {@link Chain}, a step every {@link STEP_MS}. Run
 * again on the same store, it continues from the last block.
 *
 * @param options its publisher, log, seed and clock.
 */
export function simulator(
  {
    publisher,
    log,
    seed = "kaldrix",
    clock = systemClock,
    random = systemRandom,
    maxMessageBytes,
  }: SimulatorOptions,
): Source {
  return {
    async run(signal) {
      const retrying = new RetryingPublisher({
        publisher,
        log,
        clock,
        random,
        maxMessageBytes,
      });
      try {
        const past = await readPast(retrying, signal);
        const chain = new Chain({ seed, past });
        log("source_started", { source: "simulator", height: chain.height });
        while (!signal.aborted) {
          const began = clock.monotonic();
          const messages = chain.step(clock.now());
          if (messages.length > 0) await retrying.send(messages, signal);
          await pause(
            clock,
            Math.max(1, STEP_MS - (clock.monotonic() - began)),
            signal,
          );
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },
  };
}

async function readPast(
  retrying: RetryingPublisher,
  signal: AbortSignal,
): Promise<Past> {
  const latest = (channel: string, limit = RESUME_EVENTS) =>
    retrying.page(channel, { limit }, signal);
  return {
    // Reverts and finality are between the blocks.
    blocks: await latest("blocks", 5 * WINDOW),
    dag: await latest("dag"),
    transactions: await latest("transactions"),
    validators: await latest("validators"),
    nodes: await latest("nodes"),
    alerts: await latest("alerts", WINDOW),
  };
}
