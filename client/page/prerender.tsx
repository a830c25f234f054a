/**
 * The pages before anything is known, as text: documents hold them, so that a
 * browser paints a page before its code and data are there, and nothing moves
 * when they are.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */

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
};

/**
 * The documents, by the name of their file.
 *
 * @param template `page.html`, where `{title}` and the like stand for what the
 * documents differ in.
 */
export function prerendered(
  template: string,
): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(DOCUMENTS).map(([name, parts]) => [
      name,
      template.replace(
        /\{(title|description|script|without|page)\}/g,
        (_, part: keyof typeof parts) => markup(parts[part]),
      ),
    ]),
  );
}
