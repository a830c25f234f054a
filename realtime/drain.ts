/**
 * Ending in good order.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Clock } from "../platform/clock.ts";
import { systemRandom } from "../platform/random.ts";
import type { EventLog } from "../store/event_log.ts";
import type { Connection, Sessions } from "./sessions.ts";

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
  log: EventLog;
  /** Time. */
  clock: Clock;
  /** Hears of bugs: one holds up neither the drain nor the other clients. */
  report: (error: unknown) => void;
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
    const { sessions, log, report, random = systemRandom } = this.#parts;
    const spreadMs = Math.min(
      MAX_SPREAD_MS,
      Math.max(MIN_SPREAD_MS, sessions.size * 1_000 / RETURNS_PER_SECOND),
    );
    this.#each((session) => {
      session.drain(GRACE_MS + Math.round(random() * spreadMs));
    });
    if (sessions.size > 0) await this.#pass(GRACE_MS);
    await this.#atMost(SETTLE_MS, log.settled().catch(report));
    const open = sessions.size > 0;
    this.#each((session) => session.disconnect("DRAINING"));
    if (open) await this.#pass(CLOSE_MS);
  }

  #each(tell: (session: Connection) => void): void {
    for (const { session } of this.#parts.sessions) {
      try {
        tell(session);
      } catch (error) {
        this.#parts.report(error);
      }
    }
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

/**
 * Ends parts side by side: one that fails takes no time from the others.
 *
 * @param parts what ends each, by its name.
 * @param failed hears of those that failed.
 * @returns resolves when all have ended, well or not; never rejects.
 */
export async function endAll(
  parts: Readonly<Record<string, () => unknown>>,
  failed: (part: string, error: unknown) => void,
): Promise<void> {
  await Promise.all(
    Object.entries(parts).map(async ([part, end]) => {
      try {
        await end();
      } catch (error) {
        failed(part, error);
      }
    }),
  );
}
