/**
 * The page of an operator who is signed in: it refreshes every few seconds and
 * carries out orders.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { VNode } from "preact";
import { Active, Alerts } from "./alerts.tsx";
import { ApiError, textOf } from "./api.ts";
import type { OperatorApi } from "./api.ts";
import { Channels } from "./channels.tsx";
import { Charts, Checks, Instances, State, Tiles, Worst } from "./cluster.tsx";
import { LOOK_MS, time } from "./model.ts";
import { Panel } from "./panel.tsx";
import {
  BlockForm,
  Blocks,
  Events,
  Revocations,
  RevokeForm,
} from "./security.tsx";
import { Sessions, short } from "./sessions.tsx";
import { Watch } from "./watch.ts";
import type { View } from "./watch.ts";
import { isStale, STALE_MS } from "./worst.ts";

/** How long the result of an order is shown, in milliseconds. */
const NOTICE_MS = 6_000;
/** How long a button blocks or silences, in milliseconds. */
const HOUR_MS = 3_600_000;
/** How often the age of what is shown is looked at, in milliseconds. */
const AGE_MS = 500;

interface PageState {
  readonly view: View | undefined;
  readonly fault: string;
  /** Age of the view, in milliseconds. */
  readonly ageMs: number;
  readonly notice: string;
  /** Whether the notice says that an order failed. */
  readonly hasFailed: boolean;
  readonly sought: string;
}

/** The page of an operator who is signed in. */
export class Operations extends Component<
  { readonly api: OperatorApi; readonly onSignOut: (why: string) => void },
  PageState
> {
  /** What is shown besides the props. */
  override state: PageState = {
    view: undefined,
    fault: "",
    ageMs: 0,
    notice: "",
    hasFailed: false,
    sought: "",
  };
  readonly #watch = new Watch(this.props.api);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #noticeTimer: ReturnType<typeof setTimeout> | undefined;
  #ageTimer: ReturnType<typeof setInterval> | undefined;
  /** When the view was read, of the monotonic clock. */
  #readAt = performance.now();
  #open = true;

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    this.#ageTimer = setInterval(() => {
      const ageMs = performance.now() - this.#readAt;
      // While it is fresh, drawing the page again would change nothing.
      if (ageMs >= STALE_MS) this.setState({ ageMs });
    }, AGE_MS);
    void this.#begin();
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    this.#open = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#noticeTimer);
    clearInterval(this.#ageTimer);
  }

  async #begin(): Promise<void> {
    await this.#look();
    try {
      await this.#watch.recall();
    } catch {
      // Without history the charts begin now.
    }
  }

  async #look(): Promise<void> {
    try {
      const view = await this.#watch.look();
      if (!this.#open) return;
      this.#readAt = performance.now();
      this.setState({ view, fault: "", ageMs: 0 });
    } catch (error) {
      if (!this.#open) return;
      if (error instanceof ApiError && isAboutToken(error)) {
        return this.props.onSignOut(error.message);
      }
      this.setState({ fault: textOf(error) });
    }
    if (this.#open) {
      this.#timer = setTimeout(() => void this.#look(), LOOK_MS);
    }
  }

  /** Carries out an order, shows its result, and refreshes. */
  #act = async (done: string, work: () => Promise<unknown>): Promise<void> => {
    let notice = done;
    let hasFailed = false;
    try {
      await work();
    } catch (error) {
      notice = textOf(error);
      hasFailed = true;
    }
    if (!this.#open) return;
    this.setState({ notice, hasFailed });
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = setTimeout(
      () => this.setState({ notice: "" }),
      NOTICE_MS,
    );
    this.#watch.expectChange();
    clearTimeout(this.#timer);
    await this.#look();
  };

  /** The elements; called by Preact. */
  render(): VNode {
    const { api, onSignOut } = this.props;
    const { view, fault, ageMs, notice, hasFailed, sought } = this.state;
    const known = { view, fault, ageMs };
    const asOf = view ? `as of ${time(view.restAsOf)}` : "";
    const act = this.#act;
    const block = (ip: string, reason: string, forMs: number) =>
      void act(`Blocked ${ip}`, () =>
        api.post("/api/admin/blocks", {
          ip,
          forMs,
          ...(reason ? { reason } : {}),
        }));
    return (
      <>
        <a class="skip" href="#main">Skip to the cluster</a>
        <header class="bar">
          <p class="brand">
            <img src="/icon.svg" alt="" width={26} height={26} />
            KALDRIX <span>operations</span>
          </p>
          <div class="right">
            <State known={known} />
            <button type="button" onClick={() => onSignOut("")}>
              Sign out
            </button>
          </div>
        </header>
        <p
          class={`notice${notice ? " shown" : ""}${hasFailed ? " bad" : ""}`}
          role={hasFailed ? "alert" : "status"}
        >
          {notice}
        </p>
        <Worst known={known} />
        {!view
          ? <p class="empty">{fault || "Loading…"}</p>
          : (
            <main id="main" class={isStale(known) ? "stale" : ""}>
              <h1 class="hidden">KALDRIX operations</h1>
              <Tiles view={view} />
              <Charts memory={this.#watch.memory} />
              <div class="grid">
                <Panel name="wide" title="Channels">
                  <Channels view={view} memory={this.#watch.memory} />
                </Panel>
                <Panel name="third" title="Health">
                  <Checks checks={view.checks} />
                </Panel>
                <Panel
                  name="full"
                  title="Instances"
                  note={`${view.instances.length} serving`}
                >
                  <Instances view={view} />
                </Panel>
                <Panel
                  name="full"
                  title="Sessions"
                  note={view.isComplete
                    ? asOf
                    : `not all instances have answered, ${asOf}`}
                >
                  <Sessions
                    view={view}
                    sought={sought}
                    onSeek={(text) => this.setState({ sought: text })}
                    onDisconnect={({ id }) =>
                      void act(
                        `Disconnected ${short(id)}`,
                        () => api.delete(`/api/admin/sessions/${id}`),
                      )}
                    onBlock={({ ip }) => block(ip, "by an operator", HOUR_MS)}
                  />
                </Panel>
                <Panel name="half" title="Blocked addresses" note={asOf}>
                  <BlockForm onBlock={block} />
                  <Blocks
                    view={view}
                    onUnblock={({ ip }) =>
                      void act(`Unblocked ${ip}`, () =>
                        api.delete(
                          `/api/admin/blocks/${encodeURIComponent(ip)}`,
                        ))}
                  />
                </Panel>
                <Panel name="half" title="Revoked tokens" note={asOf}>
                  <RevokeForm
                    onRevoke={(body) =>
                      void act(
                        "Revoked",
                        () => api.post("/api/admin/revocations", body),
                      )}
                  />
                  <Revocations view={view} />
                </Panel>
                <Panel
                  name="half"
                  title="Alerts"
                  note={view.active.length > 0
                    ? `${view.active.length} firing`
                    : "none firing"}
                >
                  <Active
                    view={view}
                    onSilence={({ type }) =>
                      void act(`Silenced ${type} for an hour`, () =>
                        api.post("/api/admin/alerts/silences", {
                          type,
                          forMs: HOUR_MS,
                        }))}
                    onUnsilence={({ type }) =>
                      void act(
                        `Unsilenced ${type}`,
                        () => api.delete(`/api/admin/alerts/silences/${type}`),
                      )}
                  />
                  <Alerts view={view} />
                </Panel>
                <Panel name="half" title="Security events" note={asOf}>
                  <Events view={view} />
                </Panel>
              </div>
            </main>
          )}
      </>
    );
  }
}

function isAboutToken({ code }: ApiError): boolean {
  return ["UNAUTHENTICATED", "TOKEN_EXPIRED", "FORBIDDEN"].includes(code);
}
