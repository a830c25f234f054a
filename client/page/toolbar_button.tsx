/**
 * Opens the DevToolbar on the page's own connection. Its code is loaded when
 * first asked for.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { VNode } from "preact";
import type { KaldrixDevtoolbar } from "../devtoolbar/devtoolbar.ts";
import type { Client } from "../types.ts";

/** A bundle of its own; alone it would open a connection of its own. */
const SOURCE = "/devtoolbar.js?auto=off";
/** The element that it defines. */
const TAG = "kaldrix-devtoolbar";

/** The button. */
export class DevToolbarButton extends Component<
  { readonly client: Client },
  { toolbar: KaldrixDevtoolbar | null }
> {
  /** The toolbar, while it is on the page. */
  override state: { toolbar: KaldrixDevtoolbar | null } = { toolbar: null };

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    this.state.toolbar?.remove();
  }

  /** The elements; called by Preact. */
  render(): VNode {
    return (
      <button
        type="button"
        aria-pressed={this.state.toolbar !== null}
        onClick={this.#toggle}
      >
        DevToolbar
      </button>
    );
  }

  #toggle = async (): Promise<void> => {
    const { toolbar } = this.state;
    if (toolbar) {
      toolbar.remove();
      this.setState({ toolbar: null });
      return;
    }
    await import(SOURCE);
    if (this.state.toolbar) return;
    const added = document.createElement(TAG) as KaldrixDevtoolbar;
    added.client = this.props.client;
    added.open = true;
    document.body.append(added);
    this.setState({ toolbar: added });
  };
}
