/**
 * The chains of one instance: followed for those who ask, and judged by what
 * is published unless that is switched off.
 *
 * @module
 */
import { ChainIngest } from "../chain/ingest.ts";
import { ChainAlarm } from "../monitoring/chain_alarm.ts";
import type { ChainAlarmOptions } from "../monitoring/chain_alarm.ts";
import type { Settings } from "./settings.ts";

/** What is followed, and what the log asks. */
export interface OpenChains {
  /** The chains. */
  readonly chains: ChainIngest;
  /** The same, where it judges what is published. */
  readonly ingest: ChainIngest | undefined;
}

/**
 * Follows no chain yet.
 *
 * @param check the setting `CHAIN_CHECK`.
 * @param alarm where faults of publishers are reported.
 */
export function openChains(
  check: Settings["CHAIN_CHECK"],
  alarm: ChainAlarmOptions,
): OpenChains {
  const reports = new ChainAlarm(alarm);
  const chains = new ChainIngest({
    check: check === "refuse" ? "refuse" : "mark",
    onFault: (fault) => reports.report(fault),
  });
  return { chains, ingest: check === "off" ? undefined : chains };
}
