/**
 * Lines about sessions: who connected, and why the connection ended.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Listed, SessionsObserver } from "../realtime/sessions.ts";

/** Reasons to end that are ordinary: their lines are written at `debug`. */
const QUIET_ENDS: ReadonlySet<unknown> = new Set([
  undefined,
  1000,
  1001,
  1005,
  1006,
  "DRAINING",
]);

/** Writes a line for each session; at `info` when the service ended it. */
export function visits(
  logger: Logger,
  clock: Pick<Clock, "monotonic">,
): SessionsObserver {
  /** When each began, on the monotonic clock. */
  const began = new WeakMap<Listed["session"], number>();
  const facts = ({ session, ip }: Listed) => ({
    session: session.id,
    ip,
    user: session.identity.user,
    role: session.identity.role,
  });
  return {
    opened: (listed) => {
      began.set(listed.session, clock.monotonic());
      logger.debug("session_opened", facts(listed));
    },
    closed: (listed, why) => {
      const level = QUIET_ENDS.has(why) ? "debug" : "info";
      const now = clock.monotonic();
      const ms = Math.round(now - (began.get(listed.session) ?? now));
      const code = why ?? null;
      logger[level]("session_closed", { ...facts(listed), code, ms });
    },
  };
}
