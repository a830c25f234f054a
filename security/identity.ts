/**
 * Finds the caller that a token belongs to.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Principal } from "./principal.ts";
import type { Revocations } from "./revocations.ts";
import { mayPublish, mayRead } from "./rights.ts";
import { ANONYMOUS, CLOCK_SKEW_MS } from "./tokens.ts";
import type { Grant, Tokens } from "./tokens.ts";

/**
 * The caller that holds `grant`.
 *
 * @param grant what a verified token grants.
 * @param revocations asked whether the token is revoked, now and later.
 */
export function principalOf(
  grant: Grant,
  revocations: Pick<Revocations, "isRevoked">,
): Principal {
  const { isAuthenticated, user, role, expiresAt, tokenId } = grant;
  return {
    identity: {
      isAuthenticated,
      user,
      role,
      ...(expiresAt === undefined
        ? {}
        : { expiresAt: new Date(expiresAt).toISOString() }),
    },
    // Verification accepts a token for the same time after its end.
    ...(expiresAt === undefined
      ? {}
      : { expiresAt: expiresAt + CLOCK_SKEW_MS }),
    tokenId,
    isRevoked: () => revocations.isRevoked(grant),
    mayRead: (channel) => mayRead(grant, channel),
    mayPublish: (channel) => mayPublish(grant, channel),
  };
}

/** A caller without a token. */
export const ANONYMOUS_PRINCIPAL: Principal = principalOf(ANONYMOUS, {
  isRevoked: () => false,
});

/**
 * Makes the function that finds callers by their tokens.
 *
 * @param tokens verifies them.
 * @param revocations knows those that were revoked.
 * @returns resolves to {@link ANONYMOUS_PRINCIPAL} without a token; rejects
 * with a `Refusal` for a bad one.
 */
export function identifier(
  tokens: Tokens,
  revocations: Revocations,
): (token: string | undefined) => Promise<Principal> {
  return async (token) => {
    if (token === undefined) return ANONYMOUS_PRINCIPAL;
    const principal = principalOf(await tokens.verify(token), revocations);
    if (!principal.isRevoked()) return principal;
    throw new Refusal("UNAUTHENTICATED", "Token has been revoked");
  };
}
