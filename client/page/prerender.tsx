/**
 * The pages before anything is known, as text: documents hold them, so that a
 * browser paints a page before its code and data are there, and nothing moves
 * when they are.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */

import type { VNode } from "preact";
import type { Client, ClientState } from "../types.ts";
import { ExplorerPage } from "./explorer_page.tsx";
import type { Line } from "./line.ts";
import { markup } from "./markup.ts";
import { LivePage } from "./live.tsx";

/** A connection that is not made yet: what pages read of it while drawing. */
const client = {
  state: {
    status: "connecting",
    isConnected: false,
    connectionError: null,
    reconnectAttempts: 0,
    clockOffsetMs: 0,
    messageLatency: null,
    gaps: 0,
  } as Partial<ClientState>,
} as Client;

/** What the documents hold in which they differ, by the name of their file. */
const DOCUMENTS = {
  "index.html": {
    title: "KALDRIX live",
    description:
      "The KALDRIX chain as it happens: blocks, DAG, transactions, validators and nodes.",
    robots: "all",
    sheet: null,
    script: "app.js",
    without: (
      <p class="noscript">
        This page shows the chain as it happens, which needs JavaScript. The
        same data is at <a href="/api/channels">/api/channels</a>.
      </p>
    ),
    page: <LivePage client={client} line={{} as Line} />,
  },
  "explorer.html": {
    title: "KALDRIX explorer",
    description:
      "A block, transaction or address of the KALDRIX chain: whether it stands, and what happened to it.",
    robots: "all",
    sheet: null,
    script: "explorer.js",
    without: (
      <p class="noscript">
        This page follows the chain, which needs JavaScript. The same data is at
        {" "}
        <code>/api/blocks/</code> and <code>/api/transactions/</code>.
      </p>
    ),
    page: <ExplorerPage client={client} />,
  },
  "admin.html": {
    title: "KALDRIX operations",
    description:
      "How a KALDRIX Realtime service is, who is connected, and who is kept out.",
    robots: "noindex",
    sheet: <link rel="stylesheet" href="/admin.css" />,
    script: "admin.js",
    without: (
      <p class="noscript">
        This page needs JavaScript. Everything on it is also at{" "}
        <code>/api/admin/</code>; see <a href="/openapi.json">/openapi.json</a>.
      </p>
    ),
    page: (
      <main class="sign-in">
        <div>
          <Brand of="operations" />
          <h1>Operations</h1>
          <p role="status">Loading …</p>
        </div>
      </main>
    ),
  },
  "docs.html": {
    title: "KALDRIX Realtime API",
    description:
      "The KALDRIX Realtime API: every frame, endpoint, channel and refusal.",
    robots: "all",
    sheet: <link rel="stylesheet" href="/docs.css" />,
    script: "docs.js",
    without: (
      <p class="noscript">
        This page draws <a href="/asyncapi.json">/asyncapi.json</a> and{" "}
        <a href="/openapi.json">/openapi.json</a>, which needs JavaScript. The
        documents themselves need none.
      </p>
    ),
    page: (
      <>
        <header class="bar">
          <Brand of="API" />
        </header>
        <main class="opening">
          <h1>KALDRIX Realtime API</h1>
          <p id="opening" role="status">Loading the reference …</p>
        </main>
      </>
    ),
  },
};

/** What the documents of `/admin` and `/docs` show until their code is there. */
function Brand({ of }: { readonly of: string }): VNode {
  return (
    <p class="brand">
      <img src="/icon.svg" alt="" width={26} height={26} />
      KALDRIX <span>{of}</span>
    </p>
  );
}

/**
 * The documents, by the name of their file.
 *
 * @param template `page.html`, with placeholders such as `{title}` for the
 * parts in which the documents differ.
 */
export function prerendered(
  template: string,
): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(DOCUMENTS).map(([name, parts]) => [
      name,
      template.replace(
        /\{(title|description|robots|sheet|script|without|page)\}/g,
        (_, part: keyof typeof parts) => markup(parts[part]),
      ),
    ]),
  );
}
