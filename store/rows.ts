/**
 * How events are stored. Short ones that are committed together share a row,
 * one to a line, since a row costs much to write and to read and a line does
 * not. A long one takes a row of several parts.
 *
 * A line is epoch, type, time, tags and frame, parted by tabs; earlier versions wrote
 * the frame alone, which begins with `{`.
 *
 * @module
 */
import type { LoggedEntry } from "./entry.ts";
import { tagsOf } from "../protocol/messages.ts";
import type { Tags } from "../protocol/messages.ts";

/**
 * Length of every part of a row but the last, which is shorter: so a reader
 * sees whether it holds the whole. A KV value holds at most 64 KiB.
 */
export const PART_BYTES = 60_000;
/** A row shared by several events holds at most so many bytes. */
export const ROW_BYTES = 16 * 1024;
/** Most events in one row. */
export const ROW_EVENTS = 100;

/** What parts the events of a row; JSON text never holds it. */
const LINE_FEED = 10;

/** An event as it is kept, or several that follow each other. */
export interface Row {
  /** The number of the last event in it. */
  readonly seq: number;
  /** Lines in UTF-8. */
  readonly bytes: Uint8Array;
}

/** Some of a row's bytes. */
export interface Part {
  /** From 0. */
  readonly number: number;
  /** At most {@link PART_BYTES} of them. */
  readonly bytes: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** What every event without tags has. */
const NO_TAGS: Tags = {};

/** Tags as a line holds them: JSON, or nothing when there are none. */
export function tagsText(tags: Tags): string {
  for (const _ in tags) return JSON.stringify(tags);
  return "";
}

/** Writes an event as a line. JSON text never holds a tab. */
export function lineOf(
  { epoch, type, at, tags, json }: LoggedEntry,
): Uint8Array {
  return encoder.encode(
    `${epoch}\t${type}\t${at}\t${tagsText(tags)}\t${json}`,
  );
}

/** Reads an event from its line. */
export function entryIn(
  line: Uint8Array,
  channel: string,
  seq: number,
): LoggedEntry {
  const text = decoder.decode(line);
  if (text.startsWith("{")) return earlierEntryIn(text, channel, seq);
  const afterEpoch = text.indexOf("\t");
  const afterType = text.indexOf("\t", afterEpoch + 1);
  const afterAt = text.indexOf("\t", afterType + 1);
  const afterTags = text.indexOf("\t", afterAt + 1);
  const tags = text.slice(afterAt + 1, afterTags);
  return {
    channel,
    epoch: text.slice(0, afterEpoch),
    seq,
    type: text.slice(afterEpoch + 1, afterType),
    at: Number(text.slice(afterType + 1, afterAt)),
    tags: tags === "" ? NO_TAGS : JSON.parse(tags),
    json: text.slice(afterTags + 1),
  };
}

/** Reads what an earlier version stored: the frame alone. */
function earlierEntryIn(
  json: string,
  channel: string,
  seq: number,
): LoggedEntry {
  const { type, timestamp, epoch, payload } = JSON.parse(json);
  const at = Date.parse(timestamp);
  return { channel, epoch, seq, type, at, tags: tagsOf(type, payload), json };
}

/**
 * Lays events into rows.
 *
 * @param events rows of one event each, their numbers without a hole.
 */
export function packed(events: readonly Row[]): Row[] {
  const rows: Row[] = [];
  let from = 0;
  let bytes = 0;
  for (const [i, event] of events.entries()) {
    const length = event.bytes.byteLength + 1;
    const full = bytes + length > ROW_BYTES || i - from === ROW_EVENTS;
    if (full && i > from) {
      rows.push(joinedRow(events.slice(from, i)));
      from = i;
      bytes = 0;
    }
    bytes += length;
  }
  if (events.length > from) rows.push(joinedRow(events.slice(from)));
  return rows;
}

function joinedRow(events: readonly Row[]): Row {
  const { seq } = events.at(-1)!;
  const lines = events.flatMap(({ bytes }, i) =>
    i === 0 ? [bytes] : [NEW_LINE, bytes]
  );
  return { seq, bytes: concatenated(lines) };
}

const NEW_LINE = Uint8Array.of(LINE_FEED);

/** Cuts a row into parts that the store takes. */
export function partsOf({ bytes }: Row): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let from = 0; from <= bytes.byteLength; from += PART_BYTES) {
    parts.push(bytes.subarray(from, from + PART_BYTES));
  }
  return parts;
}

/**
 * The events of a row, each as it was kept.
 *
 * @param parts in their order.
 * @returns none when a part is missing: retention may be taking them.
 */
export function eventsIn(parts: readonly Part[]): Uint8Array[] {
  const last = parts.at(-1);
  const isWhole = last !== undefined && last.bytes.byteLength < PART_BYTES &&
    parts.every(({ number }, i) => number === i);
  if (!isWhole) return [];
  const bytes = concatenated(parts.map((part) => part.bytes));
  const events: Uint8Array[] = [];
  let from = 0;
  for (
    let end = bytes.indexOf(LINE_FEED);
    end >= 0;
    end = bytes.indexOf(LINE_FEED, from)
  ) {
    events.push(bytes.subarray(from, end));
    from = end + 1;
  }
  events.push(bytes.subarray(from));
  return events;
}

/**
 * The number of a row's first event.
 *
 * @param seq of its last.
 * @param first its first part: a row of several events has no other.
 */
export function firstIn(seq: number, first: Uint8Array): number {
  const { length } = eventsIn([{ number: 0, bytes: first }]);
  return seq - Math.max(length, 1) + 1;
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
