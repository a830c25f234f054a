/**
 * What the toolbar shows.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef, render } from "preact";
import type { VNode } from "preact";
import type { Client, ClientState } from "../types.ts";
import { Channels } from "./channels.tsx";
import { gradeOf } from "./health.ts";
import { FIRST_VIEW, Log } from "./log.tsx";
import type { LogParts, LogView } from "./log.tsx";
import { milliseconds, Overview } from "./overview.tsx";

const TABS = ["Overview", "Log", "Channels"] as const;
type Tab = (typeof TABS)[number];

/** What the panel shows and can do. */
export interface PanelParts extends LogParts {
  /** The connection watched. */
  readonly client: () => Client | null;
  /** Whether more than the pill is shown. */
  readonly isOpen: () => boolean;
  /** Opens or closes. */
  readonly setOpen: (open: boolean) => void;
}

/**
 * Puts the panel into a shadow tree.
 *
 * @returns draws it again.
 */
export function mount(root: ShadowRoot, parts: PanelParts): () => void {
  const draw = () => render(<Panel {...parts} />, root);
  draw();
  return draw;
}

interface PanelState {
  readonly tab: Tab;
  /** Kept while another tab is shown. */
  readonly log: LogView;
}

class Panel extends Component<PanelParts, PanelState> {
  /** What is shown besides the props. */
  override state: PanelState = { tab: "Overview", log: FIRST_VIEW };
  readonly #toggle = createRef<HTMLButtonElement>();
  readonly #tabs = createRef<HTMLDivElement>();

  /** The elements; called by Preact. */
  render(): VNode | null {
    const state = this.props.client()?.state;
    if (!state) return null;
    return this.props.isOpen() ? this.#panel(state) : this.#pill(state);
  }

  /** Follows a drawing; called by Preact. */
  override componentDidUpdate(): void {
    if (this.#moveFocus) {
      this.#moveFocus = false;
      if (this.props.isOpen()) {
        this.#tabs.current
          ?.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
      } else this.#toggle.current?.focus();
    }
  }

  #moveFocus = false;

  #setOpen = (open: boolean): void => {
    this.#moveFocus = true;
    this.props.setOpen(open);
  };

  #pill(state: ClientState): VNode {
    const grade = state.isConnected ? gradeOf(state.messageLatency) : undefined;
    return (
      <button
        ref={this.#toggle}
        type="button"
        class="pill"
        aria-expanded="false"
        aria-label={`KALDRIX toolbar, ${state.status}`}
        onClick={() => this.#setOpen(true)}
      >
        <span class={`dot ${state.status}`} />
        {state.isConnected ? milliseconds(state.messageLatency) : state.status}
        {grade && <span class={grade}>{grade}</span>}
      </button>
    );
  }

  #panel(state: ClientState): VNode {
    const { tab } = this.state;
    return (
      <section
        class="panel"
        aria-label="KALDRIX toolbar"
        onKeyDown={(event) => event.key === "Escape" && this.#setOpen(false)}
      >
        <div class="head">
          <h2>
            <span class={`dot ${state.status}`} />
            <span role="status">{state.status}</span>
          </h2>
          <div
            class="tabs"
            role="tablist"
            aria-label="Views"
            ref={this.#tabs}
            onKeyDown={this.#turn}
          >
            {TABS.map((name) => (
              <button
                key={name}
                type="button"
                role="tab"
                id={`tab-${name}`}
                aria-selected={name === tab}
                aria-controls="view"
                tabIndex={name === tab ? 0 : -1}
                onClick={() => this.setState({ tab: name })}
              >
                {name}
              </button>
            ))}
          </div>
          <button
            type="button"
            onClick={() =>
              state.status === "closed" || state.status === "reconnecting"
                ? this.props.client()?.connect()
                : this.props.client()?.disconnect()}
          >
            {state.status === "closed" || state.status === "reconnecting"
              ? "Connect"
              : "Disconnect"}
          </button>
          <button
            type="button"
            class="close"
            aria-label="Close toolbar"
            onClick={() => this.#setOpen(false)}
          >
            ✕
          </button>
        </div>
        <div
          class="body"
          id="view"
          role="tabpanel"
          aria-labelledby={`tab-${tab}`}
          tabIndex={0}
        >
          {tab === "Overview" && (
            <Overview state={state} recording={this.props.recording} />
          )}
          {tab === "Log" && (
            <Log {...this.props} view={this.state.log} onView={this.#look} />
          )}
          {tab === "Channels" && <Channels client={this.props.client()!} />}
        </div>
      </section>
    );
  }

  #look = (change: Partial<LogView>): void => {
    this.setState(({ log }) => ({ log: { ...log, ...change } }));
  };

  /** Arrow keys go from tab to tab, as readers of screens expect. */
  #turn = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const index = TABS.indexOf(this.state.tab) + step + TABS.length;
    this.#moveFocus = true;
    this.setState({ tab: TABS[index % TABS.length]! });
  };
}
