/**
 * The alert that stored events are damaged.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Hub } from "../realtime/hub.ts";
import type { SeqRange } from "../store/event_log.ts";

/**
 * Publishes that stored events are lost; instances that notice do it once.
 *
 * @param hub publishes.
 * @param channel the channel whose events they are.
 * @param range their numbers.
 * @throws {Refusal} `STORE_UNAVAILABLE`.
 */
export async function alertUnreadable(
  hub: Hub,
  channel: string,
  { from, to }: SeqRange,
): Promise<void> {
  try {
    await hub.publish([{
      type: "ALERT_TRIGGERED",
      channel: { name: "alerts", kind: "alerts" },
      id: `unreadable-${channel}-${to}`,
      payload: {
        type: "unreadable",
        severity: "critical",
        message: `Stored events up to ${to} of ${channel} are damaged`,
        subject: channel,
        value: to - from + 1,
      },
    }]);
  } catch (error) {
    const isPublished = error instanceof Refusal &&
      error.code === "ID_CONFLICT";
    if (!isPublished) throw error;
  }
}
