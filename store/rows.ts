/**
 * The rows of events. Short events of one commit share a row, one per line,
 * because a row is expensive to write and to read and a line is not. A long
 * event takes a row of several parts.
 *
 * A row begins with a version, a checksum of the rest, the bytes of the
 * channel's rows before it, and its epoch. A line is type, time, tags and the
 * frame's tail, separated by tabs: the frame's head is derived from the event's
 * position. Earlier versions wrote only lines, each a whole frame, which begins
 * with `{`.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { encodeEvent, eventHead } from "../protocol/encode.ts";
import { tagsOf } from "../protocol/messages.ts";
import type { Tags } from "../protocol/messages.ts";
import type { LoggedEntry } from "./entry.ts";

/**
 * Length of every part of a row but the last, which is shorter, so that a reader
 * can detect whether the row is complete. A KV value holds at most 64 KiB.
 */
export const PART_BYTES = 60_000;
/** Most bytes of lines in a row shared by several events. */
export const ROW_BYTES = 16 * 1024;
/** Most events in one row. */
export const ROW_EVENTS = 100;
/** Overhead of a row besides its bytes: key, index and bookkeeping. */
export const ROW_OVERHEAD_BYTES = 120;

/** First byte of a row; earlier versions begin with `{`. */
const VERSION = 1;
/** First byte of a row of an earlier version. */
const BRACE = 0x7b;
/** Start of the checksum, and start of the bytes that it covers. */
const SUM_AT = 1;
const OFFSET_AT = 5;
const EPOCH_LENGTH_AT = 13;
const EPOCH_AT = 14;
/** Most bytes of a row before its lines. */
export const ROW_HEAD_BYTES = EPOCH_AT + 64;

/** Separates lines; JSON text never contains it. */
const LINE_FEED = 10;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** The shared tags of all events without tags. */
const NO_TAGS: Tags = {};

/** Events stored together in one row. */
export interface Row {
  /** The number of the last event in it. */
  readonly seq: number;
  /** Head and lines. */
  readonly bytes: Uint8Array;
}

/** A part of a row's bytes. */
export interface Part {
  /** From 0. */
  readonly number: number;
  /** At most {@link PART_BYTES} of them. */
  readonly bytes: Uint8Array;
}

/** A row as read. */
export interface RowContent {
  /** Epoch of the row; unknown in rows of earlier versions. */
  readonly epoch: string | undefined;
  /** Bytes of the channel's rows before it. */
  readonly offset: number;
  /** Events, each a result of {@link lineOf}. */
  readonly lines: readonly Uint8Array[];
}

/** Tags in a line: JSON, or empty without tags. */
export function tagsText(tags: Tags): string {
  for (const _ in tags) return JSON.stringify(tags);
  return "";
}

/** Writes an event as a line. JSON text never contains a tab. */
export function lineOf(entry: LoggedEntry): string {
  const { type, at, tags, json } = entry;
  const tail = json.slice(eventHead(type, entry).length);
  return `${type}\t${at}\t${tagsText(tags)}\t${tail}`;
}

/**
 * Reads an event from its line.
 *
 * @param line as in {@link RowContent}.
 * @param place channel, number, and the current epoch of the log.
 */
export function entryIn(
  line: Uint8Array,
  place: Pick<LoggedEntry, "channel" | "epoch" | "seq">,
): LoggedEntry {
  const text = decoder.decode(line);
  if (line[0] === BRACE) return earlierEntryIn(text, place);
  const afterType = text.indexOf("\t");
  const afterAt = text.indexOf("\t", afterType + 1);
  const afterTags = text.indexOf("\t", afterAt + 1);
  const type = text.slice(0, afterType);
  const tags = text.slice(afterAt + 1, afterTags);
  return {
    ...place,
    type,
    at: Number(text.slice(afterType + 1, afterAt)),
    tags: tags === "" ? NO_TAGS : JSON.parse(tags),
    json: eventHead(type, place) + text.slice(afterTags + 1),
  };
}

/** Reads a line of an earlier version. */
function earlierEntryIn(
  frame: string,
  place: Pick<LoggedEntry, "channel" | "epoch" | "seq">,
): LoggedEntry {
  const { type, id, timestamp, epoch, payload } = JSON.parse(frame);
  const at = Date.parse(timestamp);
  const json = epoch === place.epoch
    ? frame
    : encodeEvent(type, JSON.stringify(payload), place, { id, now: at });
  return { ...place, type, at, tags: tagsOf(type, payload), json };
}

/**
 * Packs events into rows.
 *
 * @param entries of one channel and epoch, with consecutive numbers.
 * @param offset bytes of the channel's rows so far.
 * @returns the rows, and the bytes of the channel's rows with them.
 */
export function packed(
  entries: readonly LoggedEntry[],
  offset: number,
): { rows: Row[]; bytes: number } {
  const rows: Row[] = [];
  let bytes = offset;
  let lines: string[] = [];
  let length = 0;
  const close = (last: LoggedEntry) => {
    const row = {
      seq: last.seq,
      bytes: rowOf(lines, length - 1, last.epoch, bytes),
    };
    rows.push(row);
    bytes += row.bytes.byteLength + ROW_OVERHEAD_BYTES;
    lines = [];
    length = 0;
  };
  for (const [i, entry] of entries.entries()) {
    const line = lineOf(entry);
    const size = Buffer.byteLength(line) + 1;
    const full = length + size > ROW_BYTES || lines.length === ROW_EVENTS;
    if (full && lines.length > 0) close(entries[i - 1]!);
    lines.push(line);
    length += size;
  }
  const last = entries.at(-1);
  if (last) close(last);
  return { rows, bytes };
}

/** `length` of the lines is in bytes, with separators. */
function rowOf(
  lines: readonly string[],
  length: number,
  epochText: string,
  offset: number,
): Uint8Array {
  const epoch = encoder.encode(epochText);
  const linesAt = EPOCH_AT + epoch.byteLength;
  const row = new Uint8Array(linesAt + length);
  const view = new DataView(row.buffer);
  view.setUint8(0, VERSION);
  view.setFloat64(OFFSET_AT, offset);
  view.setUint8(EPOCH_LENGTH_AT, epoch.byteLength);
  row.set(epoch, EPOCH_AT);
  encoder.encodeInto(lines.join("\n"), row.subarray(linesAt));
  view.setUint32(SUM_AT, crc32(row.subarray(OFFSET_AT)));
  return row;
}

/** Cuts a row into parts that the store accepts. */
export function partsOf({ bytes }: Row): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let from = 0; from <= bytes.byteLength; from += PART_BYTES) {
    parts.push(bytes.subarray(from, from + PART_BYTES));
  }
  return parts;
}

/**
 * Reads a row from its parts.
 *
 * @param parts in their order.
 * @returns `"gone"` when a part is missing, because retention may be deleting
 * the row; `"damaged"` when the checksum or the format is wrong.
 */
export function rowIn(parts: readonly Part[]): RowContent | "gone" | "damaged" {
  const last = parts.at(-1);
  const isWhole = last !== undefined && last.bytes.byteLength < PART_BYTES &&
    parts.every(({ number }, i) => number === i);
  if (!isWhole) return "gone";
  const bytes = concatenated(parts.map((part) => part.bytes));
  if (bytes[0] === BRACE) return earlierRowIn(bytes);
  if (bytes[0] !== VERSION || bytes.byteLength < EPOCH_AT) return "damaged";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(SUM_AT) !== crc32(bytes.subarray(OFFSET_AT))) {
    return "damaged";
  }
  const linesAt = EPOCH_AT + view.getUint8(EPOCH_LENGTH_AT);
  return {
    epoch: decoder.decode(bytes.subarray(EPOCH_AT, linesAt)),
    offset: view.getFloat64(OFFSET_AT),
    lines: linesIn(bytes.subarray(linesAt)),
  };
}

/**
 * The offset of a row, unchecked.
 *
 * @param first its first part.
 */
export function offsetIn(first: Uint8Array): number {
  if (first[0] !== VERSION || first.byteLength < EPOCH_AT) return 0;
  return new DataView(first.buffer, first.byteOffset).getFloat64(OFFSET_AT);
}

/** Checks a row without a checksum: its lines must parse. */
function earlierRowIn(bytes: Uint8Array): RowContent | "damaged" {
  const lines = linesIn(bytes);
  try {
    for (const line of lines) JSON.parse(decoder.decode(line));
  } catch {
    return "damaged";
  }
  return { epoch: undefined, offset: 0, lines };
}

function linesIn(bytes: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  let from = 0;
  for (
    let end = bytes.indexOf(LINE_FEED);
    end >= 0;
    end = bytes.indexOf(LINE_FEED, from)
  ) {
    lines.push(bytes.subarray(from, end));
    from = end + 1;
  }
  lines.push(bytes.subarray(from));
  return lines;
}

function concatenated(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const whole = new Uint8Array(
    pieces.reduce((sum, { byteLength }) => sum + byteLength, 0),
  );
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}
