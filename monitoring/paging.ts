/**
 * Pages of sorted rows. A page begins after the last row of the page before, so
 * rows that are added or removed between requests do not shift the others.
 *
 * @module
 */

/** Most rows of a page. */
export const MAX_PAGE = 1_000;
/** Longest cursor, in characters. */
const MAX_CURSOR_LENGTH = 2_048;

/** Position of a row: rows with equal values are ordered by their ids. */
export interface Place {
  /** What is sorted by. */
  readonly value: number | string;
  /** Unique name of the row. */
  readonly id: string;
}

/** Which rows a page holds. */
export interface PageRange {
  /** Whether the largest value is first. */
  readonly isDescending: boolean;
  /** Most rows. */
  readonly limit: number;
  /** The last row of the page before; nothing for the first page. */
  readonly after?: Place | undefined;
}

/** A page, and where the next one begins. */
export interface Page<Row> {
  /** In order. */
  readonly rows: readonly Row[];
  /** The cursor of the next page; `null` on the last. */
  readonly next: string | null;
}

/**
 * Takes the rows of a page out of all.
 *
 * @param rows in any order.
 * @param placeOf position of a row.
 * @param range which page.
 */
export function pageOf<Row>(
  rows: Iterable<Row>,
  placeOf: (row: Row) => Place,
  { isDescending, limit, after }: PageRange,
): Page<Row> {
  const sign = isDescending ? -1 : 1;
  const compare = (a: Place, b: Place) =>
    sign * order(a.value, b.value) || order(a.id, b.id);
  const placed = Iterator.from(rows)
    .map((row) => ({ row, place: placeOf(row) }))
    .filter(({ place }) => !after || compare(place, after) > 0)
    .toArray().sort((a, b) => compare(a.place, b.place));
  const page = placed.slice(0, limit);
  const last = page.at(-1);
  return {
    rows: page.map(({ row }) => row),
    next: last && placed.length > limit ? cursorOf(last.place) : null,
  };
}

function order(a: number | string, b: number | string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function cursorOf({ value, id }: Place): string {
  const bytes = new TextEncoder().encode(JSON.stringify([value, id]));
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/**
 * Reads a cursor.
 *
 * @param cursor what {@link pageOf} wrote.
 * @returns nothing when it is no cursor.
 */
export function placeIn(cursor: string): Place | undefined {
  if (cursor.length > MAX_CURSOR_LENGTH) return undefined;
  try {
    const bytes = Uint8Array.fromBase64(cursor, { alphabet: "base64url" });
    const place: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (!Array.isArray(place)) return undefined;
    const [value, id] = place;
    const isValue = typeof value === "number" || typeof value === "string";
    return isValue && typeof id === "string" ? { value, id } : undefined;
  } catch {
    return undefined;
  }
}
