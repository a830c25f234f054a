/**
 * Writing to a KV file that several isolates write to.
 *
 * @module
 */
import type { Timer } from "./timer.ts";

/** Most tries of one commit. */
export const MAX_COMMIT_TRIES = 8;
/** Longest first wait, in milliseconds; each further one may be twice as long. */
const FIRST_WAIT_MS = 4;

/**
 * Commits, and tries again with jitter while another isolate holds the file:
 * that is no failure of the store, and over in a moment.
 *
 * @param clock paces the tries.
 * @param commit builds and makes the commit; called anew for each try.
 * @returns what `commit` returned.
 * @throws what `commit` threw, if it was something else or did not pass.
 */
export async function retryWhileBusy<Result>(
  clock: Timer,
  commit: () => Promise<Result>,
): Promise<Result> {
  for (let tries = 1;; tries++) {
    try {
      return await commit();
    } catch (error) {
      const isLocked = error instanceof Error &&
        error.message.includes("locked");
      if (!isLocked || tries === MAX_COMMIT_TRIES) throw error;
    }
    const waitMs = Math.random() * FIRST_WAIT_MS * 2 ** (tries - 1);
    await new Promise<void>((done) => void clock.after(waitMs, done));
  }
}
