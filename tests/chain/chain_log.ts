/**
 * An event log that judges chains, and messages about a chain for it.
 *
 * @module
 */
import { ChainIngest } from "../../chain/ingest.ts";
import type { ChainCheck } from "../../chain/ingest.ts";
import type { ChainFault } from "../../chain/trial.ts";
import { idSource } from "../../protocol/envelope.ts";
import { keysOf, MESSAGES, tagsOf } from "../../protocol/messages.ts";
import type { MessageType } from "../../protocol/messages.ts";
import { systemClock } from "../../platform/clock.ts";
import type { Draft, EventLog } from "../../store/event_log.ts";
import type { Store } from "../../store/store.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { txReceived } from "../transactions.ts";

/** A payload. */
export type Fields = Record<string, unknown>;

/** When everything happened. */
export const WHEN = "2026-01-01T00:00:00.000Z";

/** A message of a publisher. */
export function draft(
  type: MessageType,
  payload: Fields,
  more: Partial<Draft> = {},
): Draft {
  return {
    channel: MESSAGES[type].channel!,
    type,
    payloadText: JSON.stringify(payload),
    payload,
    tags: tagsOf(type, payload),
    id: undefined,
    publisher: { subject: "p", maxRooms: Infinity },
    keys: keysOf(type, payload),
    ...more,
  };
}

/** A publisher's report of a transaction. */
export function transaction(
  txId: string,
  status: string,
  more: Fields = {},
): Draft {
  const { payload } = txReceived({ txId, status, timestamp: WHEN, ...more });
  return draft("TX_RECEIVED", { ...payload });
}

/** The payload of a block. */
export function block(
  name: string,
  height: number,
  previousHash?: string,
): Fields {
  return {
    blockId: name,
    height,
    timestamp: WHEN,
    ...(previousHash === undefined ? {} : { previousHash }),
  };
}

/** A block as a message. */
export function newBlock(name: string, height: number, parent?: string): Draft {
  return draft("NEW_BLOCK", block(name, height, parent));
}

/** A log that judges, on a store. */
export function logOn(
  kv: Store,
  { check = "mark", faults = [] }: {
    check?: ChainCheck;
    faults?: ChainFault[];
  } = {},
): EventLog & { readonly ingest: ChainIngest } {
  const ingest = new ChainIngest({
    check,
    onFault: (fault) => faults.push(fault),
  });
  const log = new StoredEventLog({
    store: kv,
    clock: systemClock,
    nextId: idSource(),
    retention: () => ({ events: 10_000, ms: 3_600_000 }),
    ingest,
  });
  return Object.assign(log, { ingest });
}

/** All events of a channel. */
export async function events(
  log: EventLog,
  channel = "blocks",
): Promise<{ type: string; id: string; seq: number; payload: Fields }[]> {
  const { entries } = await log.read(channel, {
    after: 0,
    upTo: 1e9,
    limit: 1e6,
    maxBytes: 1e9,
  });
  return entries.map(({ json }) => JSON.parse(json));
}
