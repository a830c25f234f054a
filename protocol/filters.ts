/**
 * The filters of subscriptions: their fields, schema and normal form.
 *
 * @module
 */
import { z } from "zod";
import type { ChannelKindName } from "./channels.ts";
import { MAX_TAG_LENGTH, MESSAGES, PARTIAL_TAG, typesOf } from "./messages.ts";
import type { MessageKind, TagKind, Tags } from "./messages.ts";
import type { Issue } from "./refusals.ts";

/** Most values of all clauses of one filter. */
export const MAX_FILTER_VALUES = 1_000;
/** Most clauses of one filter. */
export const MAX_FILTER_CLAUSES = 16;

/** A value that a field may have. */
export const FilterValue = z.string().min(1).max(MAX_TAG_LENGTH);

/** An AND of fields, each one value or several of which one must match. */
export const FilterClause = z.record(
  z.string().min(1).max(64),
  z.union([FilterValue, z.array(FilterValue).max(MAX_FILTER_VALUES)]),
).refine((clause) => !("any" in clause), "any cannot be combined with fields")
  .meta({ id: "FilterClause" });

/** One clause, or several of which one must match. */
export const Filter = z.union([
  z.strictObject({
    any: z.array(FilterClause).min(1).max(MAX_FILTER_CLAUSES)
      .describe("Clauses of which one must match."),
  }).meta({ id: "AnyClause" }),
  FilterClause,
]).meta({ id: "Filter" });
/** One clause, or several of which one must match. */
export type Filter = z.infer<typeof Filter>;

/** An AND of fields, each an OR of values as tags have them. */
export type Clause = Readonly<Record<string, readonly string[]>>;

/**
 * The fields that a kind of channel can be filtered by.
 *
 * @returns sorted by how many events share a value, fewest first; empty when
 * there are none.
 */
export function filterFields(
  kind: ChannelKindName,
): ReadonlyMap<string, TagKind> {
  const all = typesOf(kind).flatMap((type) =>
    Object.entries((MESSAGES[type] as MessageKind).tags ?? {})
  );
  const rank = ([, { isCommon }]: [string, TagKind]) => isCommon ? 1 : 0;
  return new Map(all.toSorted((a, b) => rank(a) - rank(b)));
}

/**
 * Whether events of a type pass every filter: they concern the channel as a
 * whole, such as {@link MESSAGES} `CHAIN_RESET`.
 *
 * @param type may be unknown to this version.
 */
export function passesFilters(type: string): boolean {
  if (!Object.hasOwn(MESSAGES, type)) return true;
  return (MESSAGES[type as keyof typeof MESSAGES] as MessageKind).tags ===
    undefined;
}

/**
 * Whether an event passes every filter: its type {@link passesFilters}, or its
 * tags are incomplete.
 *
 * @param event its type and tags.
 */
export function concernsAll(
  { type, tags }: { readonly type: string; readonly tags: Tags },
): boolean {
  return PARTIAL_TAG in tags || passesFilters(type);
}

/**
 * Validates a filter for a kind of channel.
 *
 * @returns the issues, empty for a valid filter; paths start in the filter.
 */
export function filterIssues(filter: Filter, kind: ChannelKindName): Issue[] {
  const fields = filterFields(kind);
  const issues: Issue[] = [];
  let values = 0;
  for (const [at, clause] of clausesIn(filter).entries()) {
    const path = "any" in filter ? `any.${at}` : "";
    const names = Object.keys(clause);
    if (names.length === 0) {
      issues.push({ path, message: `expected a field: ${listed(fields)}` });
    }
    for (const name of names) {
      values += [clause[name]!].flat().length;
      if (fields.has(name)) continue;
      issues.push({
        path: path === "" ? name : `${path}.${name}`,
        message: fields.size === 0
          ? `${kind} cannot be filtered`
          : `${kind} can be filtered by ${listed(fields)}`,
      });
    }
  }
  if (values > MAX_FILTER_VALUES) {
    const message = `a filter may hold at most ${MAX_FILTER_VALUES} values`;
    issues.push({ path: "", message });
  }
  return issues;
}

/**
 * A filter in the form that is compared with tags: each field a list of
 * distinct values, addresses in lower case.
 *
 * @param filter a valid one: it has no {@link filterIssues}.
 * @param kind of the channel.
 */
export function clausesOf(filter: Filter, kind: ChannelKindName): Clause[] {
  const fields = filterFields(kind);
  return clausesIn(filter).map((clause) =>
    Object.fromEntries(
      Object.entries(clause).map(([name, values]) => [
        name,
        [
          ...new Set(
            [values].flat().map((value) => tagValue(value, fields.get(name))),
          ),
        ],
      ]),
    )
  );
}

/** A value as tags have it: addresses in lower case. */
export function tagValue(value: string, kind: TagKind | undefined): string {
  return kind?.isAddress ? value.toLowerCase() : value;
}

/** Number of values in the clauses. */
export function sizeOf(clauses: readonly Clause[]): number {
  let size = 0;
  for (const clause of clauses) {
    for (const field in clause) size += clause[field]!.length;
  }
  return size;
}

type RawClause = z.infer<typeof FilterClause>;

function clausesIn(filter: Filter): readonly RawClause[] {
  return "any" in filter ? filter.any as RawClause[] : [filter];
}

function listed(fields: ReadonlyMap<string, TagKind>): string {
  return [...fields.keys()].join(", ");
}
