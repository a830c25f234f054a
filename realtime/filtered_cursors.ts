/**
 * The filtered subscribers of one stream: an index finds those that an event
 * matches, so that the others cost nothing.
 *
 * @module
 */
import { concernsAll } from "../protocol/filters.ts";
import type { Entry } from "../store/entry.ts";
import type { FilteredCursor } from "./cursor.ts";
import { FilterIndex } from "./filter_index.ts";
import type { Filter } from "./filter_index.ts";

/** Events of one pass over a stream, by filtered subscriber. */
export type Matches = Map<FilteredCursor, Entry[]>;

/** Filtered subscribers of one stream. */
export class FilteredCursors {
  readonly #index: FilterIndex<FilteredCursor>;

  /**
   * Empty.
   *
   * @param fields of the channel, from the rarest to the most common.
   */
  constructor(fields: Iterable<string>) {
    this.#index = new FilterIndex([...fields]);
  }

  /** Number of subscribers. */
  get size(): number {
    return this.#index.owners;
  }

  /** All subscribers. */
  [Symbol.iterator](): IterableIterator<FilteredCursor> {
    return this.#index.all();
  }

  /** Adds a subscriber, or replaces its filter. */
  set(cursor: FilteredCursor, filter: Filter): void {
    this.#index.set(cursor, filter);
  }

  /** Removes a subscriber; does nothing without it. */
  delete(cursor: FilteredCursor): void {
    this.#index.delete(cursor);
  }

  /** Whether an event matches the filter of `cursor`. */
  concerns(cursor: FilteredCursor, entry: Entry): boolean {
    return concernsAll(entry) || this.#index.matches(cursor, entry.tags);
  }

  /**
   * Adds an event to the pass for the subscribers that it matches. Subscribers
   * that are behind read it later.
   */
  collect(entry: Entry, into: Matches): void {
    const concerned = concernsAll(entry) ? this : this.#index.match(entry.tags);
    for (const cursor of concerned) {
      if (cursor.behind) continue;
      const known = into.get(cursor);
      if (known) known.push(entry);
      else into.set(cursor, [entry]);
    }
  }
}
