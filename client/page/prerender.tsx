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

/** What each document holds, by the name of its file. */
export function prerendered(): Readonly<Record<string, string>> {
  return {
    "index.html": markup(
      <LivePage client={client} line={{} as Line} />,
    ),
    "explorer.html": markup(<ExplorerPage client={client} />),
  };
}
