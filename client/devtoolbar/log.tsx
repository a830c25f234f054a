/**
 * The messages that passed: filter, pause, inspect, play again, save, load.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef } from "preact";
import type { VNode } from "preact";
import { MAX_IMPORTED_CHARACTERS, MAX_RECORDED } from "./recording.ts";
import type { Filter, Recorded, Recording } from "./recording.ts";

/** Rows of the log shown at once. */
export const SHOWN_ROWS = 120;

/** What the log shows and can do. */
export interface LogParts {
  /** What was recorded. */
  readonly recording: Recording;
  /** What is shown in its place, if anything. */
  readonly imported: () => Recording | null;
  /** Shows a recording; `null`: the connection's own. */
  readonly load: (json: string | null) => void;
  /** Number of the message being played again. */
  readonly replaying: () => number | null;
  /** Whether a replay is under way. */
  readonly isReplaying: () => boolean;
  /** Starts a replay at a multiple of the original speed. */
  readonly replay: (speed: number) => void;
  /** Ends it. */
  readonly stopReplay: () => void;
  /** Downloads the recording. */
  readonly save: () => void;
}

/** How the log is looked at. */
export interface LogView {
  /** Which messages. */
  readonly filter: Filter;
  /** What a paused log continues to show. */
  readonly frozen: readonly Recorded[] | null;
  /** `total` when the log was paused. */
  readonly frozenAt: number;
  /** The message shown in full. */
  readonly inspected: Recorded | null;
  /** Of a replay, as a multiple of the original. */
  readonly speed: number;
  /** Name of the imported file. */
  readonly file: string;
  /** Why a file was not imported, `""` if none was refused. */
  readonly refusal: string;
}

/** How it is looked at first. */
export const FIRST_VIEW: LogView = {
  filter: { text: "", direction: "both" },
  frozen: null,
  frozenAt: 0,
  inspected: null,
  speed: 1,
  file: "",
  refusal: "",
};

/** The log. */
export class Log extends Component<
  LogParts & {
    readonly view: LogView;
    readonly onView: (change: Partial<LogView>) => void;
  }
> {
  readonly #file = createRef<HTMLInputElement>();

  /** The elements; called by Preact. */
  override render(): VNode {
    const { isReplaying, replaying } = this.props;
    const { filter, frozen, frozenAt, inspected, speed, file, refusal } =
      this.props.view;
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
                  this.props.onView({ frozen: null, inspected: null });
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
              this.props.onView({ speed: Number(event.currentTarget.value) })}
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
              Showing <b>{file}</b>, {imported.messages.length}{" "}
              messages; recording continues.
            </span>
            <button type="button" onClick={() => this.#show(null, "")}>
              Back to the connection
            </button>
          </p>
        )}
        {refusal && <p class="notice rejected" role="alert">{refusal}</p>}
        <div class="split">
          <div class="list" role="group" aria-label="Messages, newest first">
            {rows.length === 0 && <p class="sub">Nothing yet.</p>}
            {rows.map((row) => (
              <button
                key={row.number}
                type="button"
                aria-current={row.number === playing || row === inspected}
                onClick={() => this.props.onView({ inspected: row })}
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
      this.props.onView({ file, refusal: "", frozen: null, inspected: null });
    } catch (error) {
      this.props.onView({ refusal: `${file}: ${(error as Error).message}` });
    }
  }

  #filter(filter: Filter): void {
    this.props.onView({ filter, frozen: null });
  }

  #pause = (): void => {
    const { recording, view: { frozen, filter }, onView } = this.props;
    onView({
      frozen: frozen ? null : recording.matching(filter, SHOWN_ROWS),
      frozenAt: recording.total,
    });
  };
}

function clock(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}
