/**
 * Opening the store.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** How long one try may take, in milliseconds. */
export const OPEN_TIMEOUT_MS = 1_000;
/** Tries before the start fails. */
export const OPEN_TRIES = 10;
/** Longest wait between tries, in milliseconds. */
const OPEN_PAUSE_MS = 100;

/** What {@link openStore} can be told. */
export interface OpenOptions {
  /** Time, for giving up on a try. */
  clock: Clock;
  /** Opens once. */
  open?: (path: string | undefined) => Promise<Deno.Kv>;
  /** Uniform in [0, 1), for jitter. */
  random?: () => number;
}

/**
 * Opens the store, however many isolates do so at once: on a file that does
 * not exist yet, one of them is told that it is locked, or told nothing, for
 * ever.
 *
 * @param path the file; Deno's own when absent.
 * @param options time, and how to open.
 * @throws what the last try threw.
 */
export async function openStore(
  path: string | undefined,
  { clock, open = Deno.openKv, random = Math.random }: OpenOptions,
): Promise<Deno.Kv> {
  for (let tries = 1;; tries++) {
    try {
      return await inTime(open(path), clock);
    } catch (error) {
      if (tries === OPEN_TRIES) throw error;
    }
    await new Promise<void>((resolve) => {
      clock.after(Math.ceil(random() * OPEN_PAUSE_MS), resolve);
    });
  }
}

async function inTime(
  opening: Promise<Deno.Kv>,
  clock: Clock,
): Promise<Deno.Kv> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  using _timer = clock.after(OPEN_TIMEOUT_MS, () => {
    // Should it open after all, nobody needs it any more.
    opening.then((kv) => kv.close(), () => {});
    reject(new Error("The store did not open in time"));
  });
  return await Promise.race([opening, late]);
}
