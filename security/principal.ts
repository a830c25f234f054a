/**
 * Who is at the other end of a connection or request.
 *
 * @module
 */
import type { Channel } from "../protocol/channels.ts";
import type { Publication } from "../protocol/decode.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { Identity } from "../protocol/replies.ts";

/** Who is at the other end, and what that allows. */
export interface Principal {
  /** As told to the client. */
  readonly identity: Identity;
  /**
   * When the caller is known no longer, in epoch milliseconds: the token's
   * end, and what clocks may differ by.
   */
  readonly expiresAt?: number | undefined;
  /** Whether the token was revoked since it was shown. */
  isRevoked(): boolean;
  /** Whether the caller may subscribe to `channel`. */
  mayRead(channel: Channel): boolean;
  /** Whether the caller may publish to `channel`. */
  mayPublish(channel: Channel): boolean;
}

/**
 * Makes sure that a caller may publish all of something.
 *
 * @throws {Refusal} `FORBIDDEN`, naming the first channel refused.
 */
export function requireRight(
  principal: Principal,
  publications: readonly Publication[],
): void {
  const refused = publications.find(({ channel }) =>
    !principal.mayPublish(channel)
  );
  if (!refused) return;
  throw new Refusal(
    "FORBIDDEN",
    `Publishing to ${refused.channel.name} needs another role or token`,
  );
}

/**
 * Makes sure that a caller may read a channel.
 *
 * @throws {Refusal} `FORBIDDEN`.
 */
export function requireReading(principal: Principal, channel: Channel): void {
  if (principal.mayRead(channel)) return;
  throw new Refusal(
    "FORBIDDEN",
    `Reading ${channel.name} needs another role or token`,
  );
}
