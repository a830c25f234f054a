/**
 * Where each channel's log ends, as it is stored: `["head", channel]` holds a
 * checksum and JSON. A head outlives its events, so that the numbering of a
 * channel that was quiet for long goes on.
 *
 * @module
 */
import { UNBORN_EPOCH } from "./event_log.ts";
import type { Head } from "./event_log.ts";
import { rowIn } from "./rows.ts";
import type { Part } from "./rows.ts";
import { seal, unseal } from "./seal.ts";
import type { Key, Store, Versionstamp } from "./store.ts";

/** Earlier identities of a log that was restored, at most. */
export const MAX_EARLIER = 16;

/** Set once a head was forgotten: a new log may not be its name's first. */
export const FORGOTTEN_KEY = ["forgotten"];

/** What is stored of a log besides its events. */
export interface HeadRecord extends Head {
  /** Bytes of all rows that it ever had; see `rows.ts`. */
  readonly bytes: number;
  /** When its newest event was accepted, in epoch milliseconds. */
  readonly at: number;
  /**
   * Epochs under which its events up to a number were written, before it was
   * restored from a copy.
   */
  readonly earlier: readonly Head[];
  /** Whether an earlier log of the same name may have been forgotten. */
  readonly isReborn: boolean;
  /** The renewal that named its epoch; see `continuity.ts`. */
  readonly renewal?: string;
}

/** A head, and the state of its key. */
export interface FoundHead {
  /** What is stored, or can be concluded. */
  readonly head: HeadRecord;
  /** To be checked by the writer of the next one. */
  readonly versionstamp: Versionstamp;
}

/** Of a channel that has had no event yet. */
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
 * @param value what {@link encodeHead} wrote, or the object that earlier
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
 * Reads where logs end.
 *
 * @param store where they are stored.
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
 * Reads where the logs of all rooms end, in the order of their names. Damaged
 * heads are left out.
 *
 * @param store where they are stored.
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
 * What a damaged head held: the newest row was committed with it. When that is
 * gone or damaged too, the log cannot go on, and the next event begins another.
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
 * Whether a row belongs to a log, and not to an earlier one of its name.
 *
 * @param head of the log.
 * @param epoch that the row was written under; of earlier versions unknown.
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
