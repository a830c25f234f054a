/**
 * How events lie in the store. Short ones that are committed together share a
 * row, one to a line: a row is dear to write and to read, a line in it is not.
 * A long one takes a row of several parts.
 *
 * @module
 */

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
  /** JSON texts in UTF-8, one to a line. */
  readonly bytes: Uint8Array;
}

/** Some of a row's bytes. */
export interface Part {
  /** From 0. */
  readonly number: number;
  /** At most {@link PART_BYTES} of them. */
  readonly bytes: Uint8Array;
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
