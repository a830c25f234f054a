/**
 * Brings a page of the explorer to life: its frame is in the document already.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { hydrate } from "preact";
import { connect } from "../client.ts";
import { ExplorerPage } from "./explorer_page.tsx";

const client = connect("/ws", { client: "kaldrix-explorer" });
hydrate(
  <ExplorerPage client={client} />,
  document.getElementById("app")!,
);
