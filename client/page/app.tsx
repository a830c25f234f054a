/**
 * Brings the live page to life: its elements are in the document already.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { hydrate } from "preact";
import { connect } from "../client.ts";
import { Line } from "./line.ts";
import { LivePage } from "./live.tsx";

const line = new Line();
const client = connect("/ws", {
  client: "kaldrix-live-page",
  WebSocket: line.WebSocket,
  // What is broken on purpose stays broken.
  get fallback() {
    return !line.isCut;
  },
});
hydrate(
  <LivePage client={client} line={line} />,
  document.getElementById("app")!,
);
