/**
 * Finds the filtered subscriptions that an event matches: an index from
 * `field, value` to clauses, so that other subscriptions cost nothing.
 *
 * @module
 */

import type { Clause } from "../protocol/filters.ts";
import type { Tags } from "../protocol/messages.ts";

/** Clauses of which one must match. At least one. */
export type Filter = readonly Clause[];

/** A clause in the index, under each value of its key field. */
interface Indexed<Owner> {
  readonly owner: Owner;
  /** The field whose values are in the index. */
  readonly key: string;
  /** The other fields: all of them must match too. */
  readonly rest: readonly (readonly [field: string, values: Set<string>])[];
}

/** One clause, or several, under one value. */
type Posting<Owner> = Indexed<Owner> | Set<Indexed<Owner>>;

/** The entries of one owner, for their removal. */
interface Entry<Owner> {
  readonly clauses: readonly Indexed<Owner>[];
  /** Distinct values of the key field of each clause: an array is smallest. */
  readonly values: readonly (readonly string[])[];
}

/** Whether one event matches a filter, without an index. */
export function matchesFilter(filter: Filter, tags: Tags): boolean {
  return filter.some((clause) =>
    Object.entries(clause).every(([field, values]) =>
      tags[field]?.some((tag) => values.includes(tag)) ?? false
    )
  );
}

/**
 * Filters of many owners over one channel.
 *
 * @typeParam Owner compared by identity; one filter each.
 */
export class FilterIndex<Owner extends object> {
  readonly #rarest: readonly string[];
  readonly #fields = new Map<string, Map<string, Posting<Owner>>>();
  readonly #entries = new Map<Owner, Entry<Owner>>();
  #size = 0;

  /**
   * Empty.
   *
   * @param rarest fields sorted by how many events share a value, fewest first:
   * a clause is indexed by its first field in this order.
   */
  constructor(rarest: readonly string[]) {
    this.#rarest = rarest;
  }

  /** Number of values in the index. */
  get size(): number {
    return this.#size;
  }

  /** Number of owners with a filter. */
  get owners(): number {
    return this.#entries.size;
  }

  /** Whether `owner` has a filter. */
  has(owner: Owner): boolean {
    return this.#entries.has(owner);
  }

  /** Sets the filter of `owner`, replacing an earlier one. */
  set(owner: Owner, filter: Filter): void {
    this.delete(owner);
    const values: string[][] = [];
    const clauses = filter.map((clause): Indexed<Owner> => {
      const key = this.#rarest.find((field) => field in clause) ??
        Object.keys(clause)[0]!;
      values.push([...new Set(clause[key])]);
      const rest = Object.entries(clause).filter(([field]) => field !== key)
        .map(([field, all]) => [field, new Set(all)] as const);
      return { owner, key, rest };
    });
    this.#entries.set(owner, { clauses, values });
    for (const [i, clause] of clauses.entries()) {
      for (const value of values[i]!) this.#post(clause, value);
    }
  }

  /** Removes the filter of `owner`; does nothing without one. */
  delete(owner: Owner): void {
    const entry = this.#entries.get(owner);
    if (!entry) return;
    this.#entries.delete(owner);
    for (const [i, clause] of entry.clauses.entries()) {
      for (const value of entry.values[i]!) this.#unpost(clause, value);
    }
  }

  /** All owners with a filter. */
  all(): IterableIterator<Owner> {
    return this.#entries.keys();
  }

  /** Whether the filter of `owner` matches; `false` without one. */
  matches(owner: Owner, tags: Tags): boolean {
    const clauses = this.#entries.get(owner)?.clauses ?? [];
    return clauses.some((clause) => {
      const postings = this.#fields.get(clause.key);
      const isFound = tags[clause.key]?.some((tag) => {
        const posting = postings?.get(tag);
        return posting instanceof Set
          ? posting.has(clause)
          : posting === clause;
      });
      return isFound === true && holds(clause, tags);
    });
  }

  /**
   * Owners whose filter the event matches, each once.
   *
   * @param tags of the event.
   */
  match(tags: Tags): Set<Owner> {
    const found = new Set<Owner>();
    for (const field in tags) {
      const postings = this.#fields.get(field);
      if (!postings) continue;
      for (const value of tags[field]!) {
        const posting = postings.get(value);
        if (posting === undefined) continue;
        if (posting instanceof Set) {
          for (const clause of posting) collect(clause, tags, found);
        } else collect(posting, tags, found);
      }
    }
    return found;
  }

  #post(clause: Indexed<Owner>, value: string): void {
    let postings = this.#fields.get(clause.key);
    if (!postings) this.#fields.set(clause.key, postings = new Map());
    const posting = postings.get(value);
    // Most values have one owner: a Set for each would cost more than the owner.
    if (posting === undefined) postings.set(value, clause);
    else if (posting instanceof Set) posting.add(clause);
    else postings.set(value, new Set([posting, clause]));
    this.#size++;
  }

  #unpost(clause: Indexed<Owner>, value: string): void {
    const postings = this.#fields.get(clause.key)!;
    const posting = postings.get(value);
    this.#size--;
    if (posting instanceof Set) {
      posting.delete(clause);
      if (posting.size > 1) return;
      const [only] = posting;
      postings.set(value, only!);
      return;
    }
    postings.delete(value);
    if (postings.size === 0) this.#fields.delete(clause.key);
  }
}

function collect<Owner>(
  clause: Indexed<Owner>,
  tags: Tags,
  found: Set<Owner>,
): void {
  const { owner } = clause;
  if (!found.has(owner) && holds(clause, tags)) found.add(owner);
}

/** Whether the fields besides the key match too. */
function holds<Owner>({ rest }: Indexed<Owner>, tags: Tags): boolean {
  for (const [field, values] of rest) {
    if (!tags[field]?.some((tag) => values.has(tag))) return false;
  }
  return true;
}
