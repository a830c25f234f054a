/**
 * Retrying while another writer holds what is needed.
 *
 * @module
 */
import { backoffMs } from "./backoff.ts";
import type { Growth } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { pause } from "./pause.ts";
import type { Random } from "./random.ts";

/** Most tries of one piece of work. */
export const MAX_TRIES = 8;
/** Ceilings of the waits between tries. */
const GROWTH: Growth = { baseMs: 4, capMs: 512 };

/** What {@link retryWhileBusy} needs. */
export interface RetryOptions {
  /** Paces the tries. */
  readonly clock: Pick<Clock, "after">;
  /** Whether an error means that nothing was done and the next try may pass. */
  readonly isBusy: (error: unknown) => boolean;
  /** Uniform in [0, 1), for jitter. */
  readonly random?: Random;
}

/**
 * Does some work, and retries it with jitter while the error means that the
 * resource is busy, which is no failure and ends soon.
 *
 * @param options the clock, and which errors mean busy.
 * @param work called once for each of at most {@link MAX_TRIES} tries.
 * @returns what `work` returned.
 * @throws what `work` threw, if it was something else or the tries are spent.
 */
export async function retryWhileBusy<Result>(
  { clock, isBusy, random }: RetryOptions,
  work: () => Promise<Result>,
): Promise<Result> {
  for (let tries = 1;; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!isBusy(error) || tries === MAX_TRIES) throw error;
    }
    await pause(clock, backoffMs(tries - 1, GROWTH, random));
  }
}
