/**
 * The titled parts of the page, and their tables.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { ComponentChildren, VNode } from "preact";

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

/** A table that scrolls in its own box where it is wider than the page. */
export function Table(
  { label, columns, children }: {
    readonly label: string;
    readonly columns: readonly string[];
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
            {columns.map((name, i) => (
              <th
                key={name}
                scope="col"
                class={NUMBERS.has(name) ? "number" : ""}
              >
                {name || <span class="hidden">Actions {i}</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** Columns that hold numbers. */
const NUMBERS: ReadonlySet<string> = new Set([
  "Head",
  "Events/s",
  "Last event",
  "Followers",
  "Lag",
  "Up",
  "Connections",
  "Total",
  "Published/s",
  "Delivered/s",
  "Frames in/s",
  "Memory",
  "For",
  "Ends in",
  "Since",
  "Times",
  "Last",
]);
