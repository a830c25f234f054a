/**
 * Log lines about sessions: the client, and the reason of the end.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Listed, SessionsObserver } from "../realtime/sessions.ts";

/** Ordinary reasons of an end, logged at `debug`. */
const QUIET_ENDS: ReadonlySet<unknown> = new Set([
  undefined,
  1000,
  1001,
  1005,
  1006,
  "DRAINING",
]);

/** Logs a line for each session; at `info` when the service ended it. */
export function visits(
  logger: Logger,
  clock: Pick<Clock, "monotonic">,
): SessionsObserver {
  /** Start of each, on the monotonic clock. */
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
