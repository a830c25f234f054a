/**
 * What the toolbar shows.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef, render } from "preact";
import type { ComponentChildren, VNode } from "preact";
import type { Client, ClientState } from "../types.ts";
import { gradeOf, GRADES } from "./health.ts";
import {
  MAX_IMPORTED_CHARACTERS,
  MAX_RECORDED,
  MAX_SECONDS,
} from "./recording.ts";
import type { Filter, Recorded, Recording } from "./recording.ts";

/** Rows of the log shown at once. */
export const SHOWN_ROWS = 120;

const TABS = ["Overview", "Log", "Channels"] as const;
type Tab = (typeof TABS)[number];

/** What the panel is told and may do. */
export interface PanelParts {
  /** What was recorded. */
  readonly recording: Recording;
  /** What is shown in its place, when something is. */
  readonly imported: () => Recording | null;
  /** Shows a recording, or again the connection's own. */
  readonly load: (json: string | null) => void;
  /** The connection watched. */
  readonly client: () => Client | null;
  /** Whether more than the pill shows. */
  readonly isOpen: () => boolean;
  /** Opens or closes. */
  readonly setOpen: (open: boolean) => void;
  /** Number of the message being played again. */
  readonly replaying: () => number | null;
  /** Whether a replay is under way. */
  readonly isReplaying: () => boolean;
  /** Starts one, at times the speed. */
  readonly replay: (speed: number) => void;
  /** Ends it. */
  readonly stopReplay: () => void;
  /** Downloads the recording. */
  readonly save: () => void;
}

/**
 * Puts the panel into a shadow tree.
 *
 * @returns draws it anew.
 */
export function mount(root: ShadowRoot, parts: PanelParts): () => void {
  const draw = () => render(<Panel {...parts} />, root);
  draw();
  return draw;
}

interface PanelState {
  readonly tab: Tab;
  readonly filter: Filter;
  /** What a paused log goes on showing. */
  readonly frozen: readonly Recorded[] | null;
  /** `total` when the log was paused. */
  readonly frozenAt: number;
  readonly inspected: Recorded | null;
  readonly speed: number;
  /** Name of the imported file. */
  readonly file: string;
  /** Why a file was not imported, `""` if none was refused. */
  readonly refusal: string;
}

class Panel extends Component<PanelParts, PanelState> {
  /** What is shown besides the props. */
  override state: PanelState = {
    tab: "Overview",
    filter: { text: "", direction: "both" },
    frozen: null,
    frozenAt: 0,
    inspected: null,
    speed: 1,
    file: "",
    refusal: "",
  };
  readonly #toggle = createRef<HTMLButtonElement>();
  readonly #tabs = createRef<HTMLDivElement>();
  readonly #file = createRef<HTMLInputElement>();

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
          {tab === "Overview" && this.#overview(state)}
          {tab === "Log" && this.#log()}
          {tab === "Channels" && this.#channels(state)}
        </div>
      </section>
    );
  }

  /** Arrow keys go from tab to tab, as readers of screens expect. */
  #turn = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const index = TABS.indexOf(this.state.tab) + step + TABS.length;
    this.#moveFocus = true;
    this.setState({ tab: TABS[index % TABS.length]! });
  };

  #overview(state: ClientState): VNode {
    const { recording } = this.props;
    const now = Date.now();
    const grade = state.isConnected ? gradeOf(state.messageLatency) : undefined;
    const { received, sent } = recording.throughput(now);
    const latency = recording.latency(now);
    const trouble = state.connectionError ?? state.lastError;
    return (
      <div class="overview">
        <div class="health">
          <p>
            <span class="sub">Connection health</span>
            <br />
            <span class={`grade ${grade ?? ""}`}>
              {grade ?? (state.isConnected ? "Measuring" : "No connection")}
            </span>
          </p>
          <ul class="scale">
            {GRADES.map(({ name, belowMs }, i) => (
              <li key={name} class={name === grade ? `on ${name}` : ""}>
                {name}
                <br />
                {belowMs === Infinity
                  ? `from ${GRADES[i - 1]!.belowMs} ms`
                  : `under ${belowMs} ms`}
              </li>
            ))}
          </ul>
          <dl class="facts">
            <Fact name="Latency" value={milliseconds(state.messageLatency)} />
            <Fact name="Round trip" value={milliseconds(state.roundTripMs)} />
            <Fact name="Received" value={`${received.toFixed(1)}/s`} />
            <Fact name="Sent" value={`${sent.toFixed(1)}/s`} />
            <Fact name="Events" value={String(state.received)} />
            <Fact name="Waiting" value={String(state.pending)} />
            <Fact name="Gaps" value={String(state.gaps)} />
            <Fact name="Reconnects" value={String(state.reconnects)} />
            <Fact
              name="Identity"
              value={state.identity
                ? state.identity.user ?? state.identity.role
                : "–"}
            />
          </dl>
        </div>
        <div class="charted">
          <p class="row sub">
            <span>
              <span class="key latency">latency</span>{" "}
              <span class="key bars">messages a second</span>
            </span>
            <span>
              {latency &&
                `p50 ${latency.p50.toFixed(1)} · p95 ${
                  latency.p95.toFixed(1)
                } · max ${latency.max.toFixed(1)} ms`}
            </span>
          </p>
          <Chart recording={recording} now={now} />
          {trouble && (
            <p class="sub">
              Last trouble: <span class="mono rejected">{trouble.code}</span>
              {" "}
              {trouble.message !== trouble.code && trouble.message}
            </p>
          )}
          <p class="sub">
            Session <span class="mono">{state.sessionId ?? "–"}</span>, clock
            {" "}
            {Math.round(state.clockOffsetMs)} ms off
          </p>
        </div>
      </div>
    );
  }

  #log(): VNode {
    const { isReplaying, replaying } = this.props;
    const { filter, frozen, frozenAt, inspected, speed } = this.state;
    const imported = this.props.imported();
    const recording = imported ?? this.props.recording;
    const rows = frozen ?? recording.matching(filter, SHOWN_ROWS);
    const newer = recording.total - frozenAt;
    const playing = replaying();
    return (
      <div class="log">
        <div class="controls">
          <input
            type="search"
            placeholder="Filter by type, channel or content"
            aria-label="Filter"
            value={filter.text}
            onInput={(event) =>
              this.#filter({ ...filter, text: event.currentTarget.value })}
          />
          <select
            aria-label="Direction"
            value={filter.direction}
            onChange={(event) =>
              this.#filter({
                ...filter,
                direction: event.currentTarget.value as Filter["direction"],
              })}
          >
            <option value="both">Both ways</option>
            <option value="in">Received</option>
            <option value="out">Sent</option>
          </select>
          {!imported && (
            <>
              <button
                type="button"
                aria-pressed={frozen !== null}
                onClick={this.#pause}
              >
                {frozen === null ? "Pause" : `Paused, ${newer} newer`}
              </button>
              <button
                type="button"
                onClick={() => {
                  recording.clear();
                  this.setState({ frozen: null, inspected: null });
                }}
              >
                Clear
              </button>
            </>
          )}
          <select
            aria-label="Replay speed"
            value={String(speed)}
            onChange={(event) =>
              this.setState({ speed: Number(event.currentTarget.value) })}
          >
            <option value="1">1×</option>
            <option value="10">10×</option>
            <option value="Infinity">at once</option>
          </select>
          <button
            type="button"
            aria-pressed={isReplaying()}
            onClick={() =>
              isReplaying()
                ? this.props.stopReplay()
                : this.props.replay(speed)}
          >
            {isReplaying() ? `Stop at #${playing ?? ""}` : "Replay"}
          </button>
          <button type="button" onClick={this.props.save}>Export</button>
          <button type="button" onClick={() => this.#file.current?.click()}>
            Import
          </button>
          <input
            ref={this.#file}
            type="file"
            accept="application/json,.json"
            aria-label="Recording to import"
            hidden
            onChange={this.#import}
          />
        </div>
        {imported && (
          <p class="notice">
            <span>
              Showing <b>{this.state.file}</b>, {imported.messages.length}{" "}
              messages; recording goes on.
            </span>
            <button type="button" onClick={() => this.#show(null, "")}>
              Back to the connection
            </button>
          </p>
        )}
        {this.state.refusal && (
          <p class="notice rejected" role="alert">{this.state.refusal}</p>
        )}
        <div class="split">
          <div class="list" role="group" aria-label="Messages, newest first">
            {rows.length === 0 && <p class="sub">Nothing yet.</p>}
            {rows.map((row) => (
              <button
                key={row.number}
                type="button"
                aria-current={row.number === playing || row === inspected}
                onClick={() => this.setState({ inspected: row })}
              >
                <span class="sub">{clock(row.at)}</span>
                <span class={row.direction}>
                  <span aria-hidden="true">
                    {row.direction === "in" ? "↓" : "↑"}
                  </span>
                  <span class="hidden">
                    {row.direction === "in" ? "received" : "sent"}
                  </span>
                </span>
                <span class="type mono">
                  {row.type} <span class="sub">{row.channel}</span>
                </span>
                <span class="sub">
                  {typeof row.frame.seq === "number" ? `#${row.frame.seq}` : ""}
                </span>
              </button>
            ))}
          </div>
          <pre class="json mono" tabIndex={0} aria-label="Inspected message">
            {inspected
              ? JSON.stringify(inspected.frame, null, 2)
              : `Choose a message. The last ${MAX_RECORDED} are kept.`}
          </pre>
        </div>
      </div>
    );
  }

  #import = async (chosen: Event): Promise<void> => {
    const input = chosen.currentTarget as HTMLInputElement;
    const file = input.files?.[0];
    if (!file) return;
    // What is shown is bounded in characters, which are at most as many.
    const text = await file.slice(0, MAX_IMPORTED_CHARACTERS + 1).text();
    input.value = "";
    this.#show(text, file.name);
  };

  #show(json: string | null, file: string): void {
    try {
      this.props.load(json);
      this.setState({ file, refusal: "", frozen: null, inspected: null });
    } catch (error) {
      this.setState({ refusal: `${file}: ${(error as Error).message}` });
    }
  }

  #filter(filter: Filter): void {
    this.setState({ filter, frozen: null });
  }

  #pause = (): void => {
    const { recording } = this.props;
    this.setState(({ frozen, filter }) => ({
      frozen: frozen ? null : recording.matching(filter, SHOWN_ROWS),
      frozenAt: recording.total,
    }));
  };

  #channels(state: ClientState): VNode {
    const channels = Object.entries(state.channels);
    return (
      <div class="channels">
        <form class="controls" onSubmit={this.#join}>
          <input
            name="channel"
            required
            maxLength={128}
            placeholder="Channel, for example blocks or room:lobby"
            aria-label="Channel to join"
            size={38}
          />
          <input
            name="last"
            type="number"
            min={0}
            max={1000}
            placeholder="last n"
            aria-label="How many past events to replay"
          />
          <button type="submit">Join</button>
        </form>
        {channels.length === 0 ? <p class="sub">No channel joined.</p> : (
          <table>
            <thead>
              <tr>
                <th scope="col">Channel</th>
                <th scope="col">Status</th>
                <th scope="col">Position</th>
                <th scope="col">Caught up</th>
                <th scope="col">
                  <span class="hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {channels.map(([name, channel]) => (
                <tr key={name}>
                  <th scope="row" class="mono">{name}</th>
                  <td class={channel.status}>
                    {channel.code ?? channel.status}
                  </td>
                  <td>{channel.seq === null ? "–" : `#${channel.seq}`}</td>
                  <td>
                    {channel.caughtUp}
                    {channel.recovered === false && ", some lost"}
                  </td>
                  <td>
                    <button
                      type="button"
                      aria-label={`Leave ${name}`}
                      onClick={() => this.props.client()?.leaveChannel(name)}
                    >
                      Leave
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    );
  }

  #join = (submitted: SubmitEvent): void => {
    submitted.preventDefault();
    const form = submitted.currentTarget as HTMLFormElement;
    const data = new FormData(form);
    const last = String(data.get("last"));
    this.props.client()?.joinChannel(
      String(data.get("channel")).trim(),
      last === "" ? {} : { last: Number(last) },
    );
    form.reset();
  };
}

function Fact(
  { name, value }: { readonly name: string; readonly value: string },
): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd title={value}>{value}</dd>
    </div>
  );
}

/** Shortest time that the chart spans, in seconds. */
const MIN_SPAN = 30;

/** Bars: messages a second; line: middle latency; dashes: the grades' ends. */
function Chart(
  { recording, now }: { readonly recording: Recording; readonly now: number },
): ComponentChildren {
  const height = 100;
  const end = Math.floor(now / 1000);
  const { seconds } = recording;
  const age = end - (seconds[0]?.second ?? end) + 1;
  const span = Math.min(MAX_SECONDS, Math.max(MIN_SPAN, age));
  const points = seconds.map((each) => ({
    x: span - (end - each.second),
    messages: each.received + each.sent,
    latency: [...each.latencies].sort((a, b) => a - b)[
      each.latencies.length >> 1
    ],
  })).filter(({ x }) => x >= 1);
  const most = Math.max(4, ...points.map(({ messages }) => messages));
  const slowest = Math.max(
    12,
    ...points.map(({ latency }) => (latency ?? 0) * 1.2),
  );
  const y = (latency: number) => height - latency / slowest * height;
  const limits = GRADES.filter(({ belowMs }) => belowMs < slowest);
  // Others would lie upon each other.
  const marked = limits.filter(({ belowMs }) => belowMs > slowest * 0.07);
  return (
    <div class="chart">
      <svg
        viewBox={`0 0 ${span} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`The last ${span} seconds: latency up to ` +
          `${slowest.toFixed(0)} ms, up to ${most} messages a second`}
      >
        {limits.map(({ belowMs }) => (
          <line
            key={belowMs}
            class="limit"
            x1={0}
            x2={span}
            y1={y(belowMs)}
            y2={y(belowMs)}
          />
        ))}
        <path
          class="bars"
          d={points.map(({ x, messages }) => {
            const top = messages / most * height * 0.6;
            return `M${x - 0.9} ${height}h.8v${-top}h-.8z`;
          }).join("")}
        />
        <path
          class="latency"
          d={points.filter(({ latency }) => latency !== undefined)
            .map(({ x, latency }, i) =>
              `${i === 0 ? "M" : "L"}${x - 0.5} ${y(latency!).toFixed(2)}`
            ).join("")}
        />
      </svg>
      {marked.map(({ belowMs }) => {
        const top = `${y(belowMs)}%`;
        return (
          <span key={belowMs} class="mark" style={{ top }}>{belowMs} ms</span>
        );
      })}
      <span class="mark most">{most}/s</span>
      <span class="mark span">{span} s</span>
    </div>
  );
}

function milliseconds(value: number | null): string {
  return value === null ? "–" : `${value.toFixed(1)} ms`;
}

function clock(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}
