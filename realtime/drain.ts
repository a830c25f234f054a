/**
 * Ending in good order.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import type { Sessions } from "./sessions.ts";

/** Clients still served after they were told to leave, in milliseconds. */
export const GRACE_MS = 750;
/** Longest wait for the commit in flight, in milliseconds. */
export const SETTLE_MS = 1_500;
/** Time for close frames to reach their peers, in milliseconds. */
export const CLOSE_MS = 500;
/** Clients asked back in each second, so that they do not come all at once. */
export const RETURNS_PER_SECOND = 200;
/** Shortest time over which clients are asked back, in milliseconds. */
export const MIN_SPREAD_MS = 1_000;
/** Longest time over which clients are asked back, in milliseconds. */
export const MAX_SPREAD_MS = 10_000;

/** What has to end. */
export interface DrainParts {
  /** Those connected here. */
  sessions: Sessions;
  /** Finishes what was accepted. */
  log: Log;
  /** Time. */
  clock: Clock;
  /** Uniform in [0, 1), for spreading clients out. */
  random?: () => number;
}

/** Takes the isolate out of service, once. */
export class Drain {
  readonly #parts: DrainParts;
  #begun: Promise<void> | undefined;

  /** In service. */
  constructor(parts: DrainParts) {
    this.#parts = parts;
  }

  /** Whether nothing new is accepted any more. */
  get isDraining(): boolean {
    return this.#begun !== undefined;
  }

  /**
   * Lets nobody in any more.
   *
   * @throws {Refusal} `DRAINING` once draining has begun.
   */
  admit(): void {
    if (!this.isDraining) return;
    throw new Refusal("DRAINING", undefined, { retryAfterMs: MIN_SPREAD_MS });
  }

  /**
   * Tells every client when to come back, finishes the commit in flight, and
   * closes all sockets with 1012. Takes at most {@link GRACE_MS} +
   * {@link SETTLE_MS} + {@link CLOSE_MS}.
   *
   * @returns resolves when the isolate may end; again gives the same promise.
   */
  begin(): Promise<void> {
    return this.#begun ??= this.#drain();
  }

  async #drain(): Promise<void> {
    const { sessions, log, random = Math.random } = this.#parts;
    const spreadMs = Math.min(
      MAX_SPREAD_MS,
      Math.max(MIN_SPREAD_MS, sessions.size * 1_000 / RETURNS_PER_SECOND),
    );
    for (const { session } of sessions) {
      session.drain(GRACE_MS + Math.round(random() * spreadMs));
    }
    if (sessions.size > 0) await this.#pass(GRACE_MS);
    await this.#atMost(SETTLE_MS, log.settled());
    const open = sessions.size > 0;
    for (const { session } of sessions) session.disconnect("DRAINING");
    if (open) await this.#pass(CLOSE_MS);
  }

  async #atMost(ms: number, work: Promise<void>): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    using _timer = this.#parts.clock.after(ms, resolve);
    await Promise.race([work, late]);
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#parts.clock.after(ms, resolve);
    });
  }
}
