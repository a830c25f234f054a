/**
 * How the client reports what went wrong.
 *
 * @module
 */
import type { Failure } from "./types.ts";

export { isLasting } from "./lasting.ts";

/**
 * How a request fails: with the server's refusal, or the client's own reason.
 *
 * @example Switch on the code, never on the message
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const error = new RequestError("RATE_LIMITED", { retryAfterMs: 500 });
 * assert.ok(error instanceof Error);
 * assert.equal(error.code, "RATE_LIMITED");
 * ```
 */
export class RequestError extends Error implements Failure {
  /** The server's refusal, or the client's own reason. */
  declare readonly code: Failure["code"];
  /** Milliseconds after which trying again makes sense. */
  declare readonly retryAfterMs?: number | undefined;
  /** What exactly was wrong with a frame. */
  declare readonly issues?: Failure["issues"];

  /**
   * Makes an error.
   *
   * @param code also the message, unless `details` give one.
   * @param details fields that take precedence.
   */
  constructor(code: Failure["code"], details?: Partial<Failure>) {
    super();
    // Enumerable, so that a snapshot that is written as JSON has it.
    Object.assign(this, { code, message: code, ...details });
  }
}
