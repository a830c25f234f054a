/**
 * The stored end of each channel's log: `["head", channel]` holds a checksum and
 * JSON. A head outlives its events, so that the numbers of a channel continue
 * after a long idle time.
 *
 * @module
 */
import { UNBORN_EPOCH } from "./event_log.ts";
import type { Head } from "./event_log.ts";
import { rowIn } from "./rows.ts";
import type { Part } from "./rows.ts";
import { seal, unseal } from "./seal.ts";
import type { Key, Store, Versionstamp } from "./store.ts";

/** Most earlier epochs of a restored log. */
export const MAX_EARLIER = 16;

/** Set once a head was deleted: a new log may not be the first of its name. */
export const FORGOTTEN_KEY = ["forgotten"];

/** Properties of a log, stored besides its events. */
export interface HeadRecord extends Head {
  /** Total bytes of all rows ever written; see `rows.ts`. */
  readonly bytes: number;
  /** When its newest event was accepted, in epoch milliseconds. */
  readonly at: number;
  /**
   * Epochs of its events up to a number, from before it was restored from a
   * copy.
   */
  readonly earlier: readonly Head[];
  /** Whether an earlier log of the same name may have been deleted. */
  readonly isReborn: boolean;
  /** The renewal that named its epoch; see `continuity.ts`. */
  readonly renewal?: string;
}

/** A head, and the state of its key. */
export interface FoundHead {
  /** The stored head, or one derived from rows. */
  readonly head: HeadRecord;
  /** The writer of the next head checks it. */
  readonly versionstamp: Versionstamp;
}

/** The head of a channel without events. */
export const UNBORN: HeadRecord = {
  epoch: UNBORN_EPOCH,
  seq: 0,
  bytes: 0,
  at: 0,
  earlier: [],
  isReborn: false,
};

/** The key of a channel's head. */
export function headKey(channel: string): Key {
  return ["head", channel];
}

/** Writes a head for the store. */
export function encodeHead(head: HeadRecord): Uint8Array {
  return seal(JSON.stringify(head));
}

/**
 * Reads a head from the store.
 *
 * @param value the result of {@link encodeHead}, or the object that earlier
 * versions stored.
 */
export function headIn(value: unknown): HeadRecord | "damaged" {
  if (value === null) return UNBORN;
  if (!(value instanceof Uint8Array)) {
    const { epoch, seq } = value as Partial<Head>;
    const isHead = typeof epoch === "string" && Number.isSafeInteger(seq);
    return isHead ? { ...UNBORN, epoch, seq: seq! } : "damaged";
  }
  const json = unseal(value);
  return json === undefined ? "damaged" : JSON.parse(json);
}

/**
 * Reads the ends of logs.
 *
 * @param store holds them.
 * @param channels canonical names.
 * @returns their heads, in the same order.
 */
export async function readHeads(
  store: Store,
  channels: readonly string[],
): Promise<FoundHead[]> {
  const heads: FoundHead[] = [];
  const { getManyKeys } = store.limits;
  for (let i = 0; i < channels.length; i += getManyKeys) {
    const names = channels.slice(i, i + getManyKeys);
    const found = await store.getMany(names.map(headKey));
    for (const [j, { value, versionstamp }] of found.entries()) {
      const head = headIn(value);
      heads.push({
        head: head === "damaged" ? await concluded(store, names[j]!) : head,
        versionstamp,
      });
    }
  }
  return heads;
}

/**
 * Reads the ends of the logs of all rooms, in the order of their names. Damaged
 * heads are left out.
 *
 * @param store holds them.
 */
export async function* readRoomHeads(
  store: Store,
): AsyncIterable<HeadRecord & { readonly channel: string }> {
  // `;` follows `:`.
  const rooms = { start: headKey("room:"), end: headKey("room;") };
  for await (const { key, value } of store.list(rooms, { batchSize: 500 })) {
    const head = headIn(value);
    if (head !== "damaged") yield { ...head, channel: key[1] as string };
  }
}

/**
 * Derives a damaged head from the newest row, which was committed with it. If
 * that is missing or damaged too, the log cannot continue, and the next event
 * starts a new one.
 */
async function concluded(store: Store, channel: string): Promise<HeadRecord> {
  const parts: Part[] = [];
  let seq: number | undefined;
  const rows = store.list<Uint8Array>({ prefix: ["log", channel] }, {
    reverse: true,
    batchSize: 8,
  });
  for await (const { key, value } of rows) {
    seq ??= key[2] as number;
    if (key[2] !== seq) break;
    parts.unshift({ number: key[3] as number, bytes: value });
  }
  const row = rowIn(parts);
  if (row === "gone" || row === "damaged" || row.epoch === undefined) {
    return { ...UNBORN, isReborn: true };
  }
  const bytes = parts.reduce((sum, part) => sum + part.bytes.byteLength, 0);
  return { ...UNBORN, epoch: row.epoch, seq: seq!, bytes: row.offset + bytes };
}

/**
 * Whether a row belongs to a log, and not to an earlier log of the same name.
 *
 * @param head of the log.
 * @param epoch of the row; unknown in rows of earlier versions.
 * @param seq of its last event.
 */
export function isOwn(
  { epoch: current, earlier }: HeadRecord,
  epoch: string | undefined,
  seq: number,
): boolean {
  return epoch === undefined || epoch === current ||
    earlier.some((head) => head.epoch === epoch && seq <= head.seq);
}
