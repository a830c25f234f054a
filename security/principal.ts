/**
 * The caller of a connection or request.
 *
 * @module
 */
import type { Channel } from "../protocol/channels.ts";
import type { Identity } from "../protocol/replies.ts";
import type { Publisher } from "../store/event_log.ts";

/** A caller, and its rights. */
export interface Principal {
  /** As reported to the client. */
  readonly identity: Identity;
  /**
   * When the caller's identity expires, in epoch milliseconds: the end of its
   * token, plus the accepted difference between clocks.
   */
  readonly expiresAt?: number | undefined;
  /** The token's `jti`, by which it can be revoked. */
  readonly tokenId?: string | undefined;
  /** Whether the token was revoked since it was shown. */
  isRevoked(): boolean;
  /** Whether the caller may subscribe to `channel`. */
  mayRead(channel: Channel): boolean;
  /** Whether the caller may publish to `channel`. */
  mayPublish(channel: Channel): boolean;
}

/**
 * Whether a caller is one of the few that have no budget by address: their
 * tokens are known and can be revoked.
 */
export function isTrusted(
  { identity: { role } }: Pick<Principal, "identity">,
): boolean {
  return role === "publisher" || role === "admin";
}

/** Rooms that a user may begin within the retention time of their events. */
export const MAX_ROOMS_PER_USER = 100;

/** The caller as a publisher: scopes its ids, and bounds a user's rooms. */
export function publisherOf(principal: Principal): Publisher {
  return {
    subject: principal.identity.user ?? "",
    maxRooms: isTrusted(principal) ? Infinity : MAX_ROOMS_PER_USER,
  };
}
