/**
 * The operator's page: how the service is, who is connected, who is kept out.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { render } from "preact";
import { Door } from "./door.tsx";

const root = document.getElementById("admin")!;
root.replaceChildren();
render(<Door />, root);
