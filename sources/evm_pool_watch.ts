/**
 * Watches the pool of a node: publishes what the node reports as pending, and
 * requests again what was published as pending.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { Bell } from "./bell.ts";
import type { EvmNode, EvmTransaction } from "./evm_view.ts";
import type { ChainWriter } from "./evm_writer.ts";
import { describe } from "./source.ts";
import type { Log } from "./source.ts";

/** Most reported transactions that wait for a check; the oldest are dropped. */
export const MAX_QUEUE = 1_000;
/** Transactions checked together, new ones and published ones alike. */
const AT_ONCE = 25;
/** Time between two looks at what was published as pending, in milliseconds. */
const LOOK_MS = 1_000;

/** What a {@link PoolWatch} needs. */
export interface PoolWatchOptions {
  /** Paces looks. */
  readonly clock: Clock;
  /** Records faults. */
  readonly log: Log;
}

/** The pool of one connection. */
export class PoolWatch {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #bell = new Bell();
  readonly #queue: (string | EvmTransaction)[] = [];
  #checkedAt = -Infinity;

  /** Does nothing before {@link run}. */
  constructor({ clock, log }: PoolWatchOptions) {
    this.#clock = clock;
    this.#log = log;
  }

  /** The node reports a pending transaction. */
  add(found: string | EvmTransaction): void {
    if (this.#queue.length === MAX_QUEUE) this.#queue.shift();
    this.#queue.push(found);
    this.#bell.ring();
  }

  /**
   * Runs until aborted. Never throws.
   *
   * @param node answers.
   * @param writer publishes; there is none while the node is behind, when what
   * it does not know is not gone.
   * @param signal ends the run.
   */
  async run(
    node: EvmNode,
    writer: () => ChainWriter | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      try {
        const present = writer();
        if (present) {
          await this.#take(node, present, signal);
          await this.#check(node, present, signal);
        }
      } catch (error) {
        // Pending transactions are live events, not history: these are dropped.
        if (signal.aborted) return;
        this.#log("source_pending_failed", { ...describe(error) });
      }
      if (this.#queue.length > 0 && writer()) continue;
      await this.#bell.wait(this.#clock, LOOK_MS, signal);
    }
  }

  async #take(
    node: EvmNode,
    writer: ChainWriter,
    signal: AbortSignal,
  ): Promise<void> {
    const some = this.#queue.splice(0, AT_ONCE);
    if (some.length === 0) return;
    const found = await Promise.all(some.map(async (it) => {
      if (typeof it !== "string") return it;
      return writer.pool.knows(it) ? undefined : await node.transaction(it);
    }));
    await writer.pending(
      found.filter((tx) =>
        tx !== undefined && tx.blockHash === undefined
      ) as EvmTransaction[],
      signal,
    );
  }

  async #check(
    node: EvmNode,
    writer: ChainWriter,
    signal: AbortSignal,
  ): Promise<void> {
    // However many are reported: nodes bound requests.
    const now = this.#clock.monotonic();
    if (now - this.#checkedAt < LOOK_MS) return;
    this.#checkedAt = now;
    const due = writer.due(AT_ONCE);
    const found = await Promise.all(due.map((hash) => node.transaction(hash)));
    for (const [at, hash] of due.entries()) {
      await writer.checked(hash, found[at], signal);
    }
  }
}
