/**
 * A list with its search, its pages and its notes.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { ComponentChildren, VNode } from "preact";
import type { List } from "./list.ts";
import { time, whole } from "./model.ts";
import { Panel, Table } from "./panel.tsx";
import type { Column } from "./panel.tsx";

/** How a list is shown. */
export interface ListPanelProps<Row> {
  /** The list. */
  readonly list: List<Row>;
  /** Its width on the page. */
  readonly name: string;
  /** Heading. */
  readonly title: string;
  /** What can be searched for. */
  readonly seek: string;
  /** Shown when the list is empty. */
  readonly none: string;
  /** Its columns. */
  readonly columns: readonly Column[];
  /** A row. */
  readonly row: (row: Row) => VNode;
  /** Content above the list, such as a form. */
  readonly children?: ComponentChildren;
}

/** A list with search and pages. */
export function ListPanel<Row>(
  { list, name, title, seek, none, columns, row, children }: ListPanelProps<
    Row
  >,
): VNode {
  const { rows, answer, fault, sort } = list;
  const id = `seek-${title.toLowerCase().replaceAll(" ", "-")}`;
  const hold = () => list.hold(true);
  return (
    <Panel name={name} title={title} note={noteOf(list)}>
      {children}
      <div class="form">
        <label class="hidden" for={id}>Search {title.toLowerCase()}</label>
        <input
          id={id}
          type="search"
          placeholder={seek}
          maxLength={200}
          value={list.sought}
          onInput={({ currentTarget }) => list.search(currentTarget.value)}
        />
        <Pager list={list} title={title} />
      </div>
      {fault && <p class="wrong" role="alert">{fault}</p>}
      {rows === undefined
        ? fault ? null : <p class="empty">Loading…</p>
        : rows.length === 0
        ? <p class="empty">{answer!.total > 0 ? "None match." : none}</p>
        : (
          <div
            onPointerEnter={hold}
            onPointerLeave={({ currentTarget }) =>
              list.hold(currentTarget.contains(document.activeElement))}
            onFocusIn={hold}
            onFocusOut={({ currentTarget, relatedTarget }) =>
              list.hold(currentTarget.contains(relatedTarget as Node | null))}
          >
            <Table
              label={title}
              columns={columns}
              sort={sort}
              onSort={(by) => list.sortBy(by)}
            >
              {rows.map(row)}
            </Table>
          </div>
        )}
    </Panel>
  );
}

/** Which rows are shown, and the way to others. */
function Pager<Row>(
  { list, title }: { readonly list: List<Row>; readonly title: string },
): VNode {
  const { rows = [], answer, before, isBusy } = list;
  const from = before + Math.min(1, rows.length);
  const to = before + rows.length;
  const { matched = 0, next = null } = answer ?? {};
  return (
    <span class="pager" aria-busy={isBusy}>
      <span class="sub" role="status">
        {matched > 0 ? `${whole(from)}–${whole(to)} of ${whole(matched)}` : ""}
      </span>
      <button
        type="button"
        class="small"
        disabled={before === 0 || isBusy}
        onClick={() => list.turn(-1)}
      >
        Back <span class="hidden">in {title.toLowerCase()}</span>
      </button>
      <button
        type="button"
        class="small"
        disabled={next === null || isBusy}
        onClick={() => list.turn(1)}
      >
        Next <span class="hidden">in {title.toLowerCase()}</span>
      </button>
    </span>
  );
}

function noteOf<Row>({ answer, asOf, isHeld, isBusy }: List<Row>): string {
  if (!answer) return "";
  const notes = [
    ...(answer.complete === false ? ["not all instances answered"] : []),
    `${whole(answer.total)} in all`,
    `as of ${time(asOf)}`,
    ...(isBusy ? ["loading"] : isHeld ? ["held still"] : []),
  ];
  return notes.join(", ");
}
