/**
 * From a token to a caller.
 *
 * @module
 */
import type { Caller } from "../realtime/caller.ts";
import { mayPublish, mayRead } from "../security/access.ts";
import { ANONYMOUS } from "../security/tokens.ts";
import type { Grant, Tokens } from "../security/tokens.ts";

/**
 * The caller that holds `grant`.
 *
 * @param grant what a token was found to say.
 */
export function callerOf(grant: Grant): Caller {
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
    expiresAt,
    mayRead: (channel) => mayRead(grant, channel),
    mayPublish: (channel) => mayPublish(grant, channel),
  };
}

/** Anyone without a token. */
const STRANGER = callerOf(ANONYMOUS);

/**
 * Makes the function that tells callers by their tokens.
 *
 * @param tokens verifies them.
 * @returns resolves to a stranger without a token; rejects with a `Refusal`
 * for a bad one.
 */
export function identifier(
  tokens: Tokens,
): (token: string | undefined) => Promise<Caller> {
  return async (token) =>
    token === undefined ? STRANGER : callerOf(await tokens.verify(token));
}
