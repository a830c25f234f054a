/**
 * What a connection asks before it does anything for its client.
 *
 * @module
 */
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Principal } from "../security/principal.ts";

/** Admits the frames of one connection and authenticates its tokens. */
export interface SessionGuard {
  /** The client's address or network, whose share of common bounds it takes. */
  readonly address: string;
  /**
   * Milliseconds until the caller's next frame is admitted; 0: now.
   *
   * @param count how many messages are in it; 1 when omitted; 0 asks whether
   * anything is owed.
   */
  admit(principal: Principal, count?: number): number;
  /** Charges `count` messages for what was done, even if that is too much. */
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
