/**
 * A panel to try the connection: an echo, a room, a deliberate break.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef } from "preact";
import type { VNode } from "preact";
import type { Client, Event } from "../types.ts";
import { seconds } from "./freshness.ts";
import type { Line } from "./line.ts";

/** Lines kept of the transcript. */
export const MAX_LINES = 30;
/** How long a deliberate break lasts, in milliseconds. */
export const BREAK_MS = 6000;
/** What a room may be called after `room:`. */
const ROOM_PATTERN = "[A-Za-z0-9_.:\\-]{1,64}";

interface Entry {
  readonly key: number;
  readonly tone: "sent" | "received" | "failed";
  readonly text: string;
}

interface TryState {
  readonly lines: readonly Entry[];
  readonly room: string | null;
  /** When a break ends, by `performance.now()`; `null` outside of one. */
  readonly breakEnds: number | null;
}

/** What the panel needs. */
export interface TryItProps {
  /** The page's own connection. */
  readonly client: Client;
  /** What that connection runs over, to be cut. */
  readonly line: Line;
}

/** The panel. */
export class TryIt extends Component<TryItProps, TryState> {
  /** What is shown besides the props. */
  override state: TryState = { lines: [], room: null, breakEnds: null };
  readonly #log = createRef<HTMLDivElement>();
  readonly #undo: (() => void)[] = [];
  #key = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    this.#undo.push(
      this.props.client.subscribe("ROOM_MESSAGE", this.#received),
    );
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    for (const undo of this.#undo) undo();
    if (this.state.breakEnds !== null) this.props.line.mend();
    clearInterval(this.#timer);
  }

  /** Follows a drawing; called by Preact. */
  override componentDidUpdate(_: TryItProps, before: TryState): void {
    if (before.lines !== this.state.lines) {
      const log = this.#log.current;
      if (log) log.scrollTop = log.scrollHeight;
    }
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { lines, room, breakEnds } = this.state;
    return (
      <div class="try">
        <form onSubmit={this.#echo}>
          <label for="try-text">Send a TEST and receive its echo</label>
          <div class="field">
            <input
              id="try-text"
              name="text"
              maxLength={200}
              value="Hello from a browser"
              autoComplete="off"
            />
            <button type="submit">Send</button>
          </div>
        </form>
        <form onSubmit={this.#enter}>
          <label for="try-room">Join a room and receive its messages</label>
          <div class="field">
            <span class="prefix mono" aria-hidden="true">room:</span>
            <input
              id="try-room"
              name="room"
              value="lobby"
              required
              pattern={ROOM_PATTERN}
              readOnly={room !== null}
              autoComplete="off"
              spellcheck={false}
            />
            <button type="submit">{room === null ? "Join" : "Leave"}</button>
          </div>
        </form>
        <div class="field between">
          <p id="break-help">
            Cut the network under the connection, and watch it catch up without
            losing an event.
          </p>
          <button
            type="button"
            class="danger"
            aria-describedby="break-help"
            disabled={breakEnds !== null}
            onClick={this.#break}
          >
            {breakEnds === null
              ? "Break it"
              : `Back in ${
                Math.ceil((breakEnds - performance.now()) / 1000)
              } s`}
          </button>
        </div>
        <div
          class="transcript mono"
          ref={this.#log}
          tabIndex={0}
          role="log"
          aria-label="What was sent and received"
        >
          {lines.length === 0 && (
            <p class="sub">Nothing sent or received yet.</p>
          )}
          {lines.map(({ key, tone, text }) => (
            <p key={key} class={tone}>{text}</p>
          ))}
        </div>
      </div>
    );
  }

  #write(tone: Entry["tone"], text: string): void {
    this.setState(({ lines }) => ({
      lines: [...lines, { key: this.#key++, tone, text }].slice(-MAX_LINES),
    }));
  }

  #echo = async (submitted: SubmitEvent): Promise<void> => {
    submitted.preventDefault();
    const form = new FormData(submitted.currentTarget as HTMLFormElement);
    const message = String(form.get("text"));
    this.#write("sent", `TEST ${JSON.stringify(message)}`);
    const sentAt = performance.now();
    try {
      const echo = await this.props.client.sendMessage({
        type: "TEST",
        payload: { message },
      });
      const took = performance.now() - sentAt;
      this.#write(
        "received",
        `${JSON.stringify(echo)} in ${took.toFixed(1)} ms`,
      );
    } catch (error) {
      this.#write("failed", String(error));
    }
  };

  #enter = (submitted: SubmitEvent): void => {
    submitted.preventDefault();
    const { client } = this.props;
    if (this.state.room !== null) {
      client.leaveChannel(this.state.room);
      this.#write("sent", `left ${this.state.room}`);
      this.setState({ room: null });
      return;
    }
    const form = new FormData(submitted.currentTarget as HTMLFormElement);
    const room = `room:${form.get("room")}`;
    client.joinChannel(room, { last: 10 });
    this.#write("sent", `joined ${room}; its last 10 messages follow`);
    this.setState({ room });
  };

  #received = (message: Event<"ROOM_MESSAGE">): void => {
    const { event, data } = message.payload;
    this.#write(
      "received",
      `${message.channel} ${event} ${JSON.stringify(data)}`,
    );
  };

  #break = (): void => {
    const breakEnds = performance.now() + BREAK_MS;
    const { line } = this.props;
    line.cut();
    this.#write("sent", `the network is cut for ${seconds(BREAK_MS)}`);
    this.setState({ breakEnds });
    this.#timer = setInterval(() => {
      if (performance.now() < breakEnds) return this.forceUpdate();
      clearInterval(this.#timer);
      this.setState({ breakEnds: null });
      line.mend();
      this.#write("sent", "the network is back");
    }, 250);
  };
}
