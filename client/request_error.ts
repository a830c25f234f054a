/**
 * How a request fails.
 *
 * @module
 */
import type { Failure } from "./types.ts";

/** A request that the server refused or never answered. */
export class RequestError extends Error implements Failure {
  /** The stable name of the reason. */
  readonly code: Failure["code"];
  /** Milliseconds after which trying again makes sense. */
  declare readonly retryAfterMs?: number;
  /** What exactly was wrong with the frame. */
  declare readonly issues?: NonNullable<Failure["issues"]>;

  /** Says why. */
  constructor(failure: Failure) {
    super(failure.message);
    Object.assign(this, failure);
    this.code = failure.code;
  }
}
