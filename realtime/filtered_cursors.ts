/**
 * The filtered subscribers of one stream: found by an index for each event, so
 * that those it does not concern cost nothing.
 *
 * @module
 */
import { concernsAll } from "../protocol/filters.ts";
import type { Entry } from "../store/entry.ts";
import type { FilteredCursor } from "./cursor.ts";
import { FilterIndex } from "./filter_index.ts";
import type { Filter } from "./filter_index.ts";

/** What one pass over a stream has for each filtered subscriber. */
export type Matches = Map<FilteredCursor, Entry[]>;

/** Filtered subscribers of one stream. */
export class FilteredCursors {
  readonly #index: FilterIndex<FilteredCursor>;

  /**
   * None.
   *
   * @param fields of the channel, from the rarest to the commonest.
   */
  constructor(fields: Iterable<string>) {
    this.#index = new FilterIndex([...fields]);
  }

  /** How many there are. */
  get size(): number {
    return this.#index.owners;
  }

  /** All of them. */
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

  /** Whether an event is to be delivered to `cursor`. */
  concerns(cursor: FilteredCursor, entry: Entry): boolean {
    return concernsAll(entry) || this.#index.matches(cursor, entry.tags);
  }

  /**
   * Adds an event to what those that it concerns are to be sent. Those that
   * are behind find it themselves.
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
