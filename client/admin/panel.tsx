/**
 * The titled parts of the page, and their tables.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { ComponentChildren, VNode } from "preact";
import type { Sort } from "./list.ts";

/** A titled part of the page. */
export function Panel(
  { name, title, note, children }: {
    readonly name: string;
    readonly title: string;
    readonly note?: string;
    readonly children: ComponentChildren;
  },
): VNode {
  return (
    <section class={`panel ${name}`} aria-label={title}>
      <header>
        <h2>{title}</h2>
        <span class="note">{note}</span>
      </header>
      {children}
    </section>
  );
}

/** A column of a table. */
export interface Column {
  /** Heading; `""` above the buttons. */
  readonly title: string;
  /** Whether it holds numbers. */
  readonly isNumber?: true;
  /** What the list is sorted by when it is pressed. */
  readonly sort?: string;
}

/** Columns of text. */
export function texts(...titles: readonly string[]): Column[] {
  return titles.map((title) => ({ title }));
}

/** Columns of numbers. */
export function numbers(...titles: readonly string[]): Column[] {
  return titles.map((title) => ({ title, isNumber: true }));
}

/** A table that scrolls in its own box where it is wider than the page. */
export function Table(
  { label, columns, sort, onSort, children }: {
    readonly label: string;
    readonly columns: readonly Column[];
    readonly sort?: Sort | undefined;
    readonly onSort?: (by: string) => void;
    readonly children: ComponentChildren;
  },
): VNode {
  return (
    <div
      class="scroll"
      tabIndex={0}
      role="region"
      aria-label={`${label}, table`}
    >
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <Heading
                key={column.title}
                column={column}
                sort={sort}
                onSort={onSort}
              />
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

function Heading(
  { column: { title, isNumber, sort: by }, sort, onSort }: {
    readonly column: Column;
    readonly sort: Sort | undefined;
    readonly onSort: ((by: string) => void) | undefined;
  },
): VNode {
  const isSorted = by !== undefined && sort?.by === by;
  const way = sort?.isDescending ? "descending" : "ascending";
  return (
    <th
      scope="col"
      class={isNumber ? "number" : ""}
      aria-sort={isSorted ? way : by === undefined ? undefined : "none"}
    >
      {by === undefined || !onSort
        ? title || <span class="hidden">Orders</span>
        : (
          <button type="button" class="by" onClick={() => onSort(by)}>
            {title}
            <span aria-hidden="true">
              {isSorted ? sort?.isDescending ? " ↓" : " ↑" : ""}
            </span>
          </button>
        )}
    </th>
  );
}
