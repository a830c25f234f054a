/**
 * What answers in pages have in common: their arguments, their sums, and the
 * cursor of the next page.
 *
 * @module
 */
import { z } from "zod";
import { MAX_PAGE, pageOf, placeIn } from "../monitoring/paging.ts";
import type { Place } from "../monitoring/paging.ts";
import { wholeNumber } from "./input.ts";

/** Longest search, in characters. */
const MAX_SEARCH = 200;

/** What every paged route takes. */
export interface Asked {
  /** Words that all must occur. */
  readonly search: string;
  /** Most rows. */
  readonly limit: number;
  /** Where the page before ended. */
  readonly after?: Place | undefined;
}

const paged = {
  search: z.string().max(MAX_SEARCH).default("").meta({
    description: "Words that all must occur",
    example: "a",
  }),
  limit: wholeNumber(1, MAX_PAGE).default(MAX_PAGE).meta({
    description: "Most rows answered",
    example: 50,
  }),
  after: z.string().transform((cursor, context): Place => {
    const place = placeIn(cursor);
    if (place) return place;
    context.addIssue("expected the `next` of the page before");
    return z.NEVER;
  }).optional().meta({
    description: "The `next` of the page before; the first page without it",
  }),
};

/** Arguments of a list that is always in the same order. */
export function pageQuery(): z.ZodObject<typeof paged> {
  return z.object(paged);
}

/**
 * Arguments of a list that can be sorted.
 *
 * @param sorts what it can be sorted by; the first is the default.
 */
export function sortedQuery<const Sorts extends readonly [string, ...string[]]>(
  sorts: Sorts,
): z.ZodObject<
  typeof paged & {
    sort: z.ZodDefault<z.ZodEnum<{ [Key in Sorts[number]]: Key }>>;
    order: z.ZodDefault<z.ZodEnum<{ asc: "asc"; desc: "desc" }>>;
  }
> {
  const [first] = sorts;
  return z.object({
    ...paged,
    sort: z.enum(sorts).default(first as never).meta({
      description: "What rows are sorted by",
      example: first,
    }),
    order: z.enum(["asc", "desc"]).default("desc").meta({
      description: "Whether the largest comes first",
      example: "desc",
    }),
  });
}

/**
 * A page of a list in memory, latest first.
 *
 * @param all of the list.
 * @param asked which page.
 * @param indexOf when a row began, its unique name, and the text that is
 * searched.
 */
export function latestOf<Row>(
  all: readonly Row[],
  { search, ...range }: Asked,
  indexOf: (row: Row) => { at: number; id: string; text: string },
): { rows: readonly Row[]; sums: Sums } {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = all.filter((row) => {
    const text = indexOf(row).text.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const { rows, next } = pageOf(matching, (row) => {
    const { at, id } = indexOf(row);
    return { value: at, id };
  }, { ...range, isDescending: true });
  return {
    rows,
    sums: { total: all.length, matched: matching.length, next },
  };
}

/** The fields beside the rows of a page. */
export interface Sums {
  /** How many there are. */
  readonly total: number;
  /** How many match. */
  readonly matched: number;
  /** The cursor of the next page; `null` on the last. */
  readonly next: string | null;
}

/** The schema of an answer in pages. */
export function pageSchema(
  name: string,
  row: z.ZodType,
  more: z.ZodRawShape = {},
): z.ZodType {
  return z.looseObject({
    [name]: z.array(row).describe("The page"),
    total: z.int().nonnegative().describe("How many there are"),
    matched: z.int().nonnegative().describe("How many match"),
    next: z.string().nullable()
      .describe("The `after` of the next page; null on the last"),
    ...more,
  });
}
