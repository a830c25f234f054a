/**
 * The operator's page: how the service is, who is connected, who is kept out.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { render } from "preact";
import { SignIn } from "./sign_in.tsx";

const root = document.getElementById("app")!;
root.replaceChildren();
render(<SignIn />, root);
