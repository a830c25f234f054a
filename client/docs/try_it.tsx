/**
 * Tries the API over a connection of the page's own, made when it is first
 * used: follows channels, publishes, asks, and shows every frame.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef } from "preact";
import type { VNode } from "preact";
import { fieldsOf } from "../admin/form.ts";
import { connect } from "../client.ts";
import { Held } from "../page/held.tsx";
import { Panel } from "../page/panels.tsx";
import { counted, integer } from "../page/words.ts";
import type { Client, Outgoing, Requests } from "../types.ts";
import { watch } from "../watch.ts";
import type { Filter } from "../watch.ts";
import { FrameList, Frames, MAX_FRAMES } from "./frames.tsx";
import { nameOf, objectIn, wayOf } from "./trials.ts";
import type { Trials, Way } from "./trials.ts";
import {
  SubscribeForm,
  Subscriptions,
  TrialForm,
  WatchForm,
  WAYS,
} from "./try_forms.tsx";
import type { Followed } from "./try_forms.tsx";
import type { Entry } from "./model.ts";

interface TryState {
  readonly way: Way;
  /** Which message or verb each form sends. */
  readonly chosen: Readonly<Record<"publish" | "request", string>>;
  /** What was written in place of an example, by its name. */
  readonly written: Readonly<Record<string, string>>;
  /** How the last attempt ended. */
  readonly outcome: { readonly isFault: boolean; readonly text: string };
  /** Whether the list of frames is paused. */
  readonly isPaused: boolean;
}

/** An entry of the reference that a person wants to try. */
export interface Tried {
  /** Which. */
  readonly entry: Entry;
}

/** What the chapter needs. */
export interface TryProps {
  /** What can be tried. */
  readonly trials: Trials;
  /** What to show when it changes. */
  readonly tried: Tried | undefined;
}

/** The chapter. */
export class TryIt extends Component<TryProps, TryState> {
  /** What is shown besides the props. */
  override state: TryState = {
    way: "subscribe",
    chosen: {
      publish: this.props.trials.publish[0]?.name ?? "",
      request: this.props.trials.request[0]?.name ?? "",
    },
    written: {},
    outcome: { isFault: false, text: "" },
    isPaused: false,
  };
  readonly #root = createRef<HTMLElement>();
  readonly #frames = new Frames();
  readonly #followed = new Map<string, Followed>();
  #client: Client | undefined;
  #token: string | undefined;
  #frame = 0;
  /** What the list showed when it was paused. */
  #revision = "";

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    cancelAnimationFrame(this.#frame);
    this.#client?.disconnect();
  }

  /** Follows a drawing; called by Preact. */
  override componentDidUpdate({ tried: before }: TryProps): void {
    const { tried } = this.props;
    if (tried && tried !== before) this.#show(tried.entry);
  }

  /** Shows the form for an entry, ready to be sent. */
  #show(entry: Entry): void {
    const way = wayOf(entry);
    if (!way) return;
    const name = nameOf(entry)!;
    const chosen = way === "publish" || way === "request"
      ? { ...this.state.chosen, [way]: name }
      : this.state.chosen;
    this.setState({ way, chosen }, () => {
      const root = this.#root.current!;
      root.scrollIntoView();
      root.querySelector<HTMLElement>("form.trial :is(select, input)")
        ?.focus({ preventScroll: true });
    });
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { way, outcome, isPaused } = this.state;
    const frames = this.#frames;
    if (!isPaused) this.#revision = `${frames.passed}:${frames.kept.length}`;
    return (
      <section id="try" class="chapter" ref={this.#root}>
        <h1>Try it</h1>
        <p class="lead">
          Over a connection of this page's own, which begins with the first
          thing that you send. A token stays in the memory of this page.
        </p>
        <div class="trials">
          <Panel name="trial" title="Send">
            {this.#identity()}
            <fieldset class="ways">
              <legend class="hidden">What to try</legend>
              {Object.entries(WAYS).map(([name, title]) => (
                <label key={name}>
                  <input
                    type="radio"
                    name="way"
                    checked={name === way}
                    onChange={() => this.setState({ way: name as Way })}
                  />
                  {title}
                </label>
              ))}
            </fieldset>
            {this.#form(way)}
            <p
              class={outcome.isFault ? "outcome wrong" : "outcome"}
              role={outcome.isFault ? "alert" : "status"}
            >
              {outcome.text}
            </p>
            <Subscriptions
              channels={this.#client?.state.channels ?? {}}
              followed={this.#followed}
              leave={(name) => this.#unsubscribe(name)}
            />
          </Panel>
          <Panel
            name="passed"
            title="Frames"
            note={frames.passed > MAX_FRAMES
              ? `the newest ${MAX_FRAMES} of ${integer(frames.passed)}`
              : counted(frames.passed, "frame")}
          >
            <div class="field between">
              <span class="sub">{this.#client?.state.transport}</span>
              <span class="field">
                <button
                  type="button"
                  aria-pressed={isPaused}
                  onClick={() => this.setState({ isPaused: !isPaused })}
                >
                  Pause
                </button>
                <button type="button" onClick={this.#clear}>Clear</button>
              </span>
            </div>
            <div
              class="passing"
              tabIndex={0}
              role="region"
              aria-label="Frames that passed"
            >
              <Held
                revision={this.#revision}
                draw={() => <FrameList frames={frames} />}
              />
            </div>
          </Panel>
        </div>
      </section>
    );
  }

  #identity(): VNode {
    const state = this.#client?.state;
    const { user, role } = state?.identity ?? {};
    const who = user ? `${user}, ${role}` : role;
    const fault = state?.connectionError;
    return (
      <form onSubmit={this.#signIn}>
        <label for="try-token">Token, where a role is needed</label>
        <div class="field">
          <input
            id="try-token"
            name="token"
            type="password"
            autoComplete="off"
            spellcheck={false}
          />
          <button type="submit">{state ? "Use it" : "Connect"}</button>
          {state && state.status !== "closed" && (
            <button
              type="button"
              onClick={() => this.#client!.disconnect()}
            >
              Disconnect
            </button>
          )}
        </div>
        {fault
          ? (
            <p class="wrong" role="alert">
              {state?.status}: {fault.code}: {fault.message}
            </p>
          )
          : (
            <p class="sub" role="status">
              {!state
                ? "Not connected"
                : state.isConnected
                ? `Connected as ${who}`
                : state.status}
            </p>
          )}
      </form>
    );
  }

  #form(way: Way): VNode {
    const { trials } = this.props;
    if (way === "subscribe") {
      return (
        <SubscribeForm channels={trials.channels} onSubmit={this.#subscribe} />
      );
    }
    if (way === "watch") {
      return <WatchForm followed={this.#followed} onSubmit={this.#edit} />;
    }
    const { chosen, written } = this.state;
    return (
      <TrialForm
        key={way}
        way={way}
        trials={trials[way]}
        name={chosen[way]}
        written={written}
        choose={(name) => this.setState({ chosen: { ...chosen, [way]: name } })}
        write={(name, text) =>
          this.setState({ written: { ...written, [name]: text } })}
        onSubmit={this.#send}
      />
    );
  }

  /** The page's connection, made now if there is none. */
  #connected(): Client {
    if (!this.#client) {
      const client = connect("/ws", {
        client: "kaldrix-docs",
        ...(this.#token && { auth: { token: this.#token } }),
      });
      client.onFrame((frame) => {
        this.#frames.take(frame);
        this.#draw();
      });
      client.onState(() => this.#draw());
      this.#client = client;
    }
    if (this.#client.state.status === "closed") this.#client.connect();
    return this.#client;
  }

  /** Conflates what happens until the next frame of the screen. */
  #draw(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.forceUpdate();
    });
  }

  #clear = (): void => {
    this.#frames.clear();
    this.forceUpdate();
  };

  /** Carries something out, and shows the result beside the form. */
  async #attempt(act: () => Promise<string>): Promise<void> {
    this.setState({ outcome: { isFault: false, text: "Sending …" } });
    try {
      this.setState({ outcome: { isFault: false, text: await act() } });
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      const text = code && code !== message ? `${code}: ${message}` : message;
      this.setState({ outcome: { isFault: true, text } });
    }
  }

  #signIn = (event: SubmitEvent): void => {
    const token = fieldsOf(event)("token");
    void this.#attempt(async () => {
      this.#token = token || undefined;
      // Given before the connection, so that it is not made twice.
      this.#client?.setToken(this.#token);
      await this.#connected().ready();
      return "";
    });
  };

  #send = (event: SubmitEvent): void => {
    event.preventDefault();
    const { way, chosen, written } = this.state;
    if (way !== "publish" && way !== "request") return;
    const name = chosen[way];
    const example = this.props.trials[way].find((it) => it.name === name);
    void this.#attempt(async () => {
      const text = written[name] ?? example?.text ?? "";
      const value = objectIn(text, way === "publish" ? "It" : "The payload");
      const client = this.#connected();
      const beganAt = performance.now();
      // What was written is for the server to judge.
      if (way === "publish") {
        await client.sendMessage(value as unknown as Outgoing);
      } else {
        await client.request(name as keyof Requests, value as never);
      }
      const tookMs = performance.now() - beganAt;
      const what = way === "publish" ? "Accepted" : "Answered";
      return `${what} after ${tookMs.toFixed(1)} ms`;
    });
  };

  #subscribe = (event: SubmitEvent): void => {
    const filled = fieldsOf(event);
    const channel = filled("channel");
    const last = Number(filled("last"));
    const filter = filled("filter");
    void this.#attempt(() => {
      const begin = last > 0 ? { last } : {};
      if (!filter) this.#connected().joinChannel(channel, begin);
      else {
        const chosen = objectIn(filter, "The filter") as Filter;
        const client = this.#connected();
        const made = watch(client, channel, { filter: chosen, ...begin });
        this.#followed.set(made.name, { channel, watch: made });
      }
      return Promise.resolve(`Subscribed to ${channel}; its events follow`);
    });
  };

  #edit = (event: SubmitEvent): void => {
    const filled = fieldsOf(event);
    const followed = this.#followed.get(filled("as"));
    const values = (name: string) =>
      filled(name).split(",").map((it) => it.trim()).filter(Boolean);
    const [add, remove, field] = [
      values("added"),
      values("removed"),
      filled("field"),
    ];
    if (!followed) return;
    void this.#attempt(async () => {
      const { added, removed } = await followed.watch.edit({
        ...(add.length > 0 && { add }),
        ...(remove.length > 0 && { remove }),
        ...(field && { field }),
      });
      return `Added ${
        counted(added.length, "value")
      }, removed ${removed.length}`;
    });
  };

  #unsubscribe(name: string): void {
    const followed = this.#followed.get(name);
    if (followed) {
      followed.watch.close();
      this.#followed.delete(name);
    } else this.#client?.leaveChannel(name);
    this.forceUpdate();
  }
}
