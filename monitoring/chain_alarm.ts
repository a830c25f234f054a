/**
 * Reports faults in publishers' messages of a chain: to the log and `alerts`.
 *
 * @module
 */
import type { ChainFault } from "../chain/trial.ts";
import type { Clock } from "../platform/clock.ts";
import { instantText } from "../protocol/encode.ts";
import type { AnyMessage } from "../protocol/messages.ts";

/** The same fault of the same chain is reported once in this time. */
export const ALARM_EVERY_MS = 60_000;
/** Faults and chains that are counted apart; the oldest is forgotten. */
export const MAX_ALARMS = 128;

/** What a {@link ChainAlarm} needs. */
export interface ChainAlarmOptions {
  /** Time. */
  readonly clock: Pick<Clock, "now" | "monotonic">;
  /** Writes what operators read. */
  readonly warn: (event: string, fields: Record<string, unknown>) => void;
  /** Publishes an alert. */
  readonly publish: (alert: AnyMessage) => Promise<unknown>;
}

/** Reports faults, each kind of each chain at most once a minute. */
export class ChainAlarm {
  readonly #options: ChainAlarmOptions;
  readonly #last = new Map<string, number>();

  /** Has reported nothing yet. */
  constructor(options: ChainAlarmOptions) {
    this.#options = options;
  }

  /** Reports a fault, unless the same one was reported just now. */
  report(fault: ChainFault): void {
    const { clock, warn, publish } = this.#options;
    const { type, chain, ...about } = fault;
    const name = `${type} ${chain}`;
    const now = clock.monotonic();
    if (now - (this.#last.get(name) ?? -Infinity) < ALARM_EVERY_MS) return;
    this.#last.delete(name);
    this.#last.set(name, now);
    if (this.#last.size > MAX_ALARMS) {
      this.#last.delete(this.#last.keys().next().value!);
    }
    warn(type, { chain, ...about });
    const channel = type === "status_contradicted" ? "transactions" : "blocks";
    publish({
      type: "ALERT_TRIGGERED",
      payload: {
        type,
        severity: type === "finality_broken" ? "critical" : "warning",
        message: sentenceOf(fault),
        subject: chain || channel,
        timestamp: instantText(clock.now()),
      },
    }).catch((error) => warn("alert_failed", { error: String(error) }));
  }
}

function sentenceOf(fault: ChainFault): string {
  const of = fault.chain === "" ? "" : ` of ${fault.chain}`;
  if (fault.type === "status_contradicted") {
    const { txId, before, status } = fault;
    return `Transaction ${txId}${of} was ${before}, and is published as ${status}`;
  }
  const { missing, height } = fault;
  return missing
    ? `Blocks ${missing.from} to ${missing.to}${of} were not published`
    : `Block ${height}${of} was final, and is reverted`;
}
