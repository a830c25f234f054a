/**
 * Waiting for what must happen.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { ManualClock } from "./fakes/clock.ts";

/**
 * How long real things may take on a busy machine, in milliseconds: a bound on
 * a hang, not a claim about speed.
 */
const HANG_MS = 120_000;
/** How far a clock is moved between two looks, in milliseconds. */
const STEP_MS = 50;
/** Pause between two looks at what happens outside this process. */
const LOOK_MS = 2;

/**
 * Waits until `condition` holds. Give it the clock where something waits for
 * time: timers may be set while it waits, so the clock is moved at every look.
 *
 * @param condition looked at again and again.
 * @param what the end of the sentence "Never happened: ...".
 * @param clock moved by 50 ms between looks; nothing moves when omitted.
 * @throws naming `what` when it never happens.
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  clock?: ManualClock,
): Promise<void> {
  const begin = performance.now();
  for (let looks = 0; !await condition(); looks++) {
    if (performance.now() - begin > HANG_MS) {
      throw new Error(`Never happened: ${what}`);
    }
    // Promises first, then what other processes and the store do.
    await (looks < 20
      ? new Promise<void>((turn) => void setImmediate(turn))
      : new Promise<void>((turn) => void setTimeout(turn, LOOK_MS)));
    clock?.advance(STEP_MS);
  }
}
