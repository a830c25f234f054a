/**
 * Building blocks of the explorer's pages: a heading, facts, and the text shown
 * without facts.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { ComponentChildren, VNode } from "preact";
import { dateTime, NEEDS_TOKEN } from "./words.ts";

/** The heading of a page: its subject, and the subject's status. */
export function Heading(
  { kind, name, chip, chipClass, children }: {
    readonly kind: string;
    readonly name: string;
    readonly chip?: string | undefined;
    readonly chipClass?: string | undefined;
    readonly children?: ComponentChildren;
  },
): VNode {
  return (
    <header class="heading">
      <h1>
        {kind} <span class="mono name">{name}</span>
      </h1>
      <span class={`chip ${chipClass ?? ""}`} role="status">{chip}</span>
      {children}
    </header>
  );
}

/** A list of facts. */
export function Facts(
  { children }: { readonly children: ComponentChildren },
): VNode {
  return <dl class="facts">{children}</dl>;
}

/** A fact; nothing where it is not known. */
export function Fact(
  { name, children }: {
    readonly name: string;
    readonly children: ComponentChildren;
  },
): VNode | null {
  if (children === undefined || children === null) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** An identifier in full; one click selects all of it. */
export function Id({ id }: { readonly id: string }): VNode {
  return <span class="mono id">{id}</span>;
}

/** An instant: when, in this machine's time zone and in UTC. */
export function Instant(
  { iso }: { readonly iso: string | undefined },
): VNode | null {
  if (iso === undefined) return null;
  return <time dateTime={iso} title={iso}>{dateTime(Date.parse(iso))}</time>;
}

/** Facts that are being loaded: as much space as they will take. */
export function Loading({ rows }: { readonly rows: number }): VNode {
  return (
    <div class="loading" aria-busy="true">
      <p class="hidden">Loading</p>
      {Array.from({ length: rows }, (_, i) => <div key={i} class="line" />)}
    </div>
  );
}

/** Why something is not shown. */
export function Fault(
  { text, isOver = false }: {
    readonly text: string;
    /** Whether the page does not try again. */
    readonly isOver?: boolean;
  },
): VNode {
  const then = text === NEEDS_TOKEN
    ? ""
    : isOver
    ? "Reload the page to try again."
    : "The page tries again by itself.";
  return (
    <p class="notice bad" role="alert">{text.replace(/\.$/, "")}. {then}</p>
  );
}

/** Something that a reader must not miss. */
export function Notice(
  { children }: { readonly children: ComponentChildren },
): VNode {
  return <p class="notice">{children}</p>;
}
