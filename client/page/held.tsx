/**
 * Parts of a page that are drawn only when they changed, and not while a
 * person points at them.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef } from "preact";
import type { ComponentChildren, VNode } from "preact";

/** What is drawn, and when again. */
export interface StillProps {
  /** Differs when there is something new to draw. */
  readonly revision: string;
  /** Makes the elements. */
  readonly draw: () => ComponentChildren;
}

/** Draws again only when `revision` differs. */
export class Still extends Component<StillProps> {
  /** Whether to draw; called by Preact. */
  override shouldComponentUpdate(next: StillProps): boolean {
    return next.revision !== this.props.revision;
  }

  /** The elements; called by Preact. */
  render(): ComponentChildren {
    return this.props.draw();
  }
}

/**
 * As {@link Still}, but what is pointed at, pressed or focused by keyboard
 * stays as it is: nothing moves away from under a finger. It is drawn again
 * with the first change after that.
 */
export class Held extends Component<StillProps> {
  readonly #root = createRef<HTMLDivElement>();
  #drawn: string | undefined;
  #isPressed = false;

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    this.#release();
  }

  /** Whether to draw; called by Preact. */
  override shouldComponentUpdate(next: StillProps): boolean {
    return next.revision !== this.#drawn && !this.#isHeld();
  }

  /** The elements; called by Preact. */
  render(): VNode {
    this.#drawn = this.props.revision;
    return (
      <div ref={this.#root} class="held" onPointerDown={this.#press}>
        {this.props.draw()}
      </div>
    );
  }

  #isHeld(): boolean {
    const root = this.#root.current;
    // Without a row there is nothing to press yet.
    if (!root?.querySelector("li, tbody, a")) return false;
    if (this.#isPressed) return true;
    // After a tap, :hover stays until the next one.
    const hovers = matchMedia("(hover: hover)").matches;
    return hovers && root.matches(":hover") ||
      root.querySelector(":focus-visible") !== null;
  }

  /** A finger that is down holds the list also where nothing hovers. */
  #press = (): void => {
    this.#isPressed = true;
    addEventListener("pointerup", this.#release);
    addEventListener("pointercancel", this.#release);
  };

  #release = (): void => {
    removeEventListener("pointerup", this.#release);
    removeEventListener("pointercancel", this.#release);
    // The click follows, and belongs to what was pressed.
    setTimeout(() => this.#isPressed = false);
  };
}
