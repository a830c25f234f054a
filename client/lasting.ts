/**
 * Which refusals are final.
 *
 * @module
 */
import type { Failure } from "./types.ts";

/**
 * Beginnings of refusals that another try would only receive again. There may
 * be too many subscriptions for the moment: then digits follow, of the time.
 */
const LASTING = /^(UN|INV|FORB|IP_|TOO_MANY_SUB\D*$|MESS)/;

/** Whether trying again is useless. */
export function isLasting({ code, retryAfterMs }: Failure): boolean {
  return LASTING.test(code + retryAfterMs);
}
