/**
 * How the client reports what went wrong.
 *
 * @module
 */
import type { Failure, RequestError } from "./types.ts";

/** Refusals that another try would only receive again. */
const LASTING = /^(UN|INVALID|FORBIDDEN|IP_|TOO_MANY_SUB|MESSAGE)/;

/** Whether trying again is useless. */
export function isLasting({ code }: Failure): boolean {
  return LASTING.test(code);
}

/** Makes an error of a code; the code is also its message unless given. */
export function failure(
  code: Failure["code"],
  details?: Partial<Failure>,
): RequestError {
  return Object.assign(new Error(), { code, message: code, ...details });
}
