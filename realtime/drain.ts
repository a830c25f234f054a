/**
 * Graceful shutdown.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Clock } from "../platform/clock.ts";
import { TimedOut, within } from "../platform/deadline.ts";
import { pause } from "../platform/pause.ts";
import { systemRandom } from "../platform/random.ts";
import type { EventLog } from "../store/event_log.ts";
import type { Connection, Sessions } from "./sessions.ts";

/** How long clients are served after their request to reconnect, in milliseconds. */
export const GRACE_MS = 750;
/** Longest wait for the commit in flight, in milliseconds. */
export const SETTLE_MS = 1_500;
/** Time for close frames to reach their peers, in milliseconds. */
export const CLOSE_MS = 500;
/**
 * Time for requests in flight to be answered, in milliseconds, while new ones
 * are refused: proxies try those elsewhere.
 */
export const FINISH_MS = 250;
/** Clients that may reconnect in each second, so that they are spread out. */
export const RETURNS_PER_SECOND = 200;
/** Shortest time over which reconnects are spread, in milliseconds. */
export const MIN_SPREAD_MS = 1_000;
/** Longest time over which reconnects are spread, in milliseconds. */
export const MAX_SPREAD_MS = 10_000;

/** The parts that a drain ends. */
export interface DrainParts {
  /** The clients of this instance. */
  sessions: Sessions;
  /** Finishes the accepted publishes. */
  log: EventLog;
  /** Time. */
  clock: Clock;
  /** Called with bugs: one delays neither the drain nor the other clients. */
  report: (error: unknown) => void;
  /** Uniform in [0, 1), for spreading clients out. */
  random?: () => number;
}

/** What is admitted: a connection or a request. */
export type Admission = "connection" | "request";

/**
 * Takes the instance out of service, once. From the start `/ready` fails and
 * long-lived connections are refused. Requests are answered until the end,
 * because a proxy keeps sending them until it has removed the instance.
 */
export class Drain {
  readonly #parts: DrainParts;
  #begun: Promise<void> | undefined;
  #isFinishing = false;

  /** In service. */
  constructor(parts: DrainParts) {
    this.#parts = parts;
  }

  /** Whether new connections are refused. */
  get isDraining(): boolean {
    return this.#begun !== undefined;
  }

  /**
   * Admits a long-lived connection, or a request.
   *
   * @throws {Refusal} `DRAINING` for a connection once draining has begun, for
   * a request once {@link finish} was called.
   */
  admit(what: Admission): void {
    if (what === "request" ? !this.#isFinishing : !this.isDraining) return;
    throw new Refusal("DRAINING", undefined, { retryAfterMs: MIN_SPREAD_MS });
  }

  /**
   * Asks every client to reconnect later, finishes the commit in flight, and
   * closes all sockets with 1012. Takes at most {@link GRACE_MS} +
   * {@link SETTLE_MS} + {@link CLOSE_MS}.
   *
   * @returns resolves when no connection is left; later calls return the same
   * promise.
   */
  begin(): Promise<void> {
    return this.#begun ??= this.#drain();
  }

  /**
   * Refuses requests too, and lets those in flight be answered.
   *
   * @returns resolves after {@link FINISH_MS}, when the process may exit.
   */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    await pause(this.#parts.clock, FINISH_MS);
  }

  async #drain(): Promise<void> {
    const { sessions, clock, random = systemRandom } = this.#parts;
    const spreadMs = Math.min(
      MAX_SPREAD_MS,
      Math.max(MIN_SPREAD_MS, sessions.size * 1_000 / RETURNS_PER_SECOND),
    );
    this.#each((session) => {
      session.drain(GRACE_MS + Math.round(random() * spreadMs));
    });
    if (sessions.size > 0) await pause(clock, GRACE_MS);
    await this.#settle();
    const open = sessions.size > 0;
    this.#each((session) => session.disconnect("DRAINING"));
    if (open) await pause(clock, CLOSE_MS);
  }

  /** Waits for the commit in flight, up to a deadline. */
  async #settle(): Promise<void> {
    const { log, clock, report } = this.#parts;
    try {
      await within(clock, SETTLE_MS, "The log", log.settled());
    } catch (error) {
      if (!(error instanceof TimedOut)) report(error);
    }
  }

  #each(work: (session: Connection) => void): void {
    for (const { session } of this.#parts.sessions) {
      try {
        work(session);
      } catch (error) {
        this.#parts.report(error);
      }
    }
  }
}

/**
 * Ends parts concurrently: one that fails does not delay the others.
 *
 * @param parts the function that ends each, by name.
 * @param failed called with each failure.
 * @returns resolves when all have ended or failed; never rejects.
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
