/**
 * The end of a store that was watched.
 *
 * @module
 */
import { systemClock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import type { Store } from "../store/store.ts";

/** How long Deno gets to end the watches of a closed store, in milliseconds. */
const ENDING_MS = 5;

/**
 * Closes a store. Deno ends its watches some turns later, and its check for
 * leaks may be faster.
 */
export async function closeStore(kv: Store): Promise<void> {
  await kv.close();
  await pause(systemClock, ENDING_MS);
}
