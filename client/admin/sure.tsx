/**
 * A button for what cannot be undone.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { VNode } from "preact";

/** How long a button asks for confirmation, in milliseconds. */
const SURE_MS = 4_000;

/** A button that acts at the second press. */
export class Sure extends Component<
  { readonly word: string; readonly onSure: () => void },
  { readonly isAsking: boolean }
> {
  /** What is shown besides the props. */
  override state: { readonly isAsking: boolean } = { isAsking: false };
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    clearTimeout(this.#timer);
  }

  #press = (): void => {
    clearTimeout(this.#timer);
    if (this.state.isAsking) {
      this.setState({ isAsking: false });
      return this.props.onSure();
    }
    this.setState({ isAsking: true });
    this.#timer = setTimeout(
      () => this.setState({ isAsking: false }),
      SURE_MS,
    );
  };

  /** The elements; called by Preact. */
  render(): VNode {
    const { isAsking } = this.state;
    return (
      <button
        type="button"
        class={isAsking ? "small sure" : "small"}
        onClick={this.#press}
      >
        {isAsking ? "Sure?" : this.props.word}
      </button>
    );
  }
}
