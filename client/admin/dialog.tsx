/**
 * A window above the page, for one thing.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { ComponentChildren, VNode } from "preact";

/** What a dialog shows. */
export interface DialogProps {
  /** Heading. */
  readonly title: string;
  /** Called when it was closed, also by Escape. */
  readonly onClose: () => void;
  /** Its content. */
  readonly children: ComponentChildren;
}

/**
 * A modal dialog: open while it is rendered. The browser keeps the focus inside
 * and gives it back to what was pressed.
 */
export class Dialog extends Component<DialogProps> {
  #element: HTMLDialogElement | null = null;

  /** Opens; called by Preact. */
  override componentDidMount(): void {
    this.#element?.showModal();
  }

  /** Gives the focus back; called by Preact. */
  override componentWillUnmount(): void {
    this.#element?.close();
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { title, onClose, children } = this.props;
    return (
      <dialog
        class="order"
        aria-labelledby="dialog-title"
        ref={(element) => void (this.#element = element)}
        onCancel={(event) => {
          event.preventDefault();
          onClose();
        }}
      >
        <h2 id="dialog-title">{title}</h2>
        {children}
      </dialog>
    );
  }
}
