/**
 * The checks of a connection before it works for its client.
 *
 * @module
 */
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Principal } from "../security/principal.ts";

/** Admits the frames of one connection and authenticates its tokens. */
export interface SessionGuard {
  /** The client's address or network, to which shared bounds apply. */
  readonly address: string;
  /**
   * Milliseconds until the caller's next frame is admitted; 0: now.
   *
   * @param count number of messages in it, 1 by default; 0 checks for a debt.
   */
  admit(principal: Principal, count?: number): number;
  /** Charges `count` messages for work done, even beyond the budget. */
  spend(principal: Principal, count: number): void;
  /**
   * Authenticates the holder of a token.
   *
   * @throws {Refusal} `UNAUTHENTICATED`, `TOKEN_EXPIRED`, or
   * `STORE_UNAVAILABLE` while that cannot be decided.
   */
  authenticate(token: string): Promise<Principal>;
  /** Called with refusals; `isFinal`: the connection ends for abuse. */
  refused(code: RefusalCode, isFinal: boolean): void;
}
