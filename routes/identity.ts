/**
 * From a token to a caller.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Principal } from "../security/principal.ts";
import { mayPublish, mayRead } from "../security/rights.ts";
import type { Revocations } from "../security/revocations.ts";
import { ANONYMOUS, CLOCK_SKEW_MS } from "../security/tokens.ts";
import type { Grant, Tokens } from "../security/tokens.ts";

/**
 * The caller that holds `grant`.
 *
 * @param grant what a token was found to say.
 * @param revocations tells whether the token is revoked, now and later.
 */
export function principalOf(
  grant: Grant,
  revocations: Pick<Revocations, "isRevoked">,
): Principal {
  const { isAuthenticated, user, role, expiresAt } = grant;
  return {
    identity: {
      isAuthenticated,
      user,
      role,
      ...(expiresAt === undefined
        ? {}
        : { expiresAt: new Date(expiresAt).toISOString() }),
    },
    // A token is good for as long after its end when it is shown, too.
    ...(expiresAt === undefined
      ? {}
      : { expiresAt: expiresAt + CLOCK_SKEW_MS }),
    isRevoked: () => revocations.isRevoked(grant),
    mayRead: (channel) => mayRead(grant, channel),
    mayPublish: (channel) => mayPublish(grant, channel),
  };
}

/** Anyone without a token. */
export const ANONYMOUS_PRINCIPAL: Principal = principalOf(ANONYMOUS, {
  isRevoked: () => false,
});

/**
 * Makes the function that tells callers by their tokens.
 *
 * @param tokens verifies them.
 * @param revocations knows those that are good no longer.
 * @returns resolves to a stranger without a token; rejects with a `Refusal`
 * for a bad one.
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
