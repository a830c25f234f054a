/**
 * Finds transactions of an address in the log: backwards, within the limit of
 * one query.
 *
 * @module
 */
import type { Position } from "../protocol/commands.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { LoggedEntry } from "../store/entry.ts";
import type { Hub } from "./hub.ts";

/** Most events read for one query; its result names where to continue. */
export const MAX_SEARCHED_EVENTS = 2_048;
/** The same bound in UTF-16 units of their frames, but at least one page. */
export const MAX_SEARCHED_LENGTH = 4 * 1024 * 1024;
/** Most transactions of one result. */
export const MAX_FOUND = 100;
/** Events read at once. */
const PAGE_EVENTS = 256;
/** Bytes read at once. */
const PAGE_BYTES = 1024 * 1024;

const CHANNEL = "transactions";

/** A query. */
export interface AddressQuery {
  /** The address; letter case is ignored. */
  readonly address: string;
  /** Only events before this position. */
  readonly before?: {
    /** Identity of the log; the current one's when absent. */
    readonly epoch?: string | undefined;
    /** A number in it. */
    readonly seq: number;
  } | undefined;
  /** Most transactions returned, up to {@link MAX_FOUND}. */
  readonly limit: number;
}

/** The result of a query. */
export interface Found {
  /** Frames of the newest events of its transactions, the newest first. */
  readonly frames: readonly string[];
  /** Where to continue; absent when the whole stored log was searched. */
  readonly next?: Position | undefined;
  /** Length of the events read, in UTF-16 units. */
  readonly length: number;
}

/**
 * Searches the log for transactions of an address.
 *
 * @throws {Refusal} `INVALID_PAYLOAD` for a position of another log,
 * `STORE_UNAVAILABLE`.
 */
export async function searchAddress(
  { address, before, limit }: AddressQuery,
  hub: Pick<Hub, "heads" | "continues" | "read" | "latest">,
): Promise<Found> {
  const [head] = await hub.heads([CHANNEL]);
  const { epoch, seq } = head!;
  const at = before && { epoch: before.epoch ?? epoch, seq: before.seq };
  if (at && at.epoch !== epoch && seq > 0) {
    if (!await hub.continues(CHANNEL, at)) {
      throw new Refusal(
        "INVALID_PAYLOAD",
        `Positions in ${CHANNEL} are of epoch ${epoch} now`,
      );
    }
  }
  const name = address.toLowerCase();
  const frames: string[] = [];
  let end = Math.min(seq, (at?.seq ?? Infinity) - 1);
  let length = 0;
  for (let count = 0; end > 0;) {
    const isSpent = count >= MAX_SEARCHED_EVENTS ||
      length >= MAX_SEARCHED_LENGTH;
    if (isSpent || frames.length >= limit) {
      return { frames, next: { epoch, seq: end + 1 }, length };
    }
    const { entries } = await hub.read(CHANNEL, {
      after: 0,
      upTo: end,
      limit: Math.min(PAGE_EVENTS, MAX_SEARCHED_EVENTS - count),
      maxBytes: PAGE_BYTES,
      newest: true,
    });
    if (entries.length === 0) break;
    count += entries.length;
    for (const { json } of entries) length += json.length;
    end = entries[0]!.seq - 1;
    for (const entry of entries.toReversed()) {
      if (!entry.tags["address"]?.includes(name)) continue;
      if (frames.length >= limit) {
        end = entry.seq;
        break;
      }
      if (await isNewest(entry, hub)) frames.push(entry.json);
    }
  }
  return { frames, length };
}

/** An earlier event of a transaction is not listed beside its newest one. */
async function isNewest(
  { tags, epoch, seq }: LoggedEntry,
  hub: Pick<Hub, "latest">,
): Promise<boolean> {
  const [txId] = tags["txId"] ?? [];
  const frame = await hub.latest(`transaction:${txId}`);
  if (frame === undefined) return true;
  const newest = JSON.parse(frame) as Position;
  return newest.epoch === epoch && newest.seq === seq;
}
