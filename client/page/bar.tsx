/**
 * The bar at the top of the live page and of the explorer's pages.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { ComponentChildren, VNode } from "preact";
import type { Client } from "../types.ts";
import type { FreshnessView } from "./freshness.ts";
import { Search } from "./search.tsx";

/** What the bar shows. */
export interface BarProps {
  /** The page's connection. */
  readonly client: Client;
  /** How fresh the page is. */
  readonly freshness: FreshnessView;
  /** The page's own buttons. */
  readonly children?: ComponentChildren;
}

/** The bar: where one is, the search, how fresh the page is. */
export function Bar(
  { client, freshness: { tone, label, detail }, children }: BarProps,
): VNode {
  const isWaiting = client.state.status === "reconnecting";
  return (
    <header class="bar">
      <a class="brand" href="/" aria-label="KALDRIX live">
        <img src="/icon.svg" alt="" width={26} height={26} />
        KALDRIX <span>live</span>
      </a>
      <Search />
      {children}
      <div class={`freshness ${tone}`}>
        <span class="dot" aria-hidden="true" />
        <strong role="status">{label}</strong>
        <span class="detail">{detail}</span>
        {isWaiting && (
          <button type="button" onClick={() => client.connect()}>
            Try now
          </button>
        )}
      </div>
    </header>
  );
}

/** The foot of the same pages. */
export function Foot(): VNode {
  return (
    <footer>
      <p>
        Fed only by{" "}
        <a href="/client.js">/client.js</a>, the same client that you can use.
        {" "}
        <a href="/docs">Documentation</a> ·{" "}
        <a href="/asyncapi.json">AsyncAPI</a>
      </p>
    </footer>
  );
}
