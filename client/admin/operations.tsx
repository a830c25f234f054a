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
import type { OperatorApi, RoomInfo, SessionInfo } from "./api.ts";
import { Channels } from "./channels.tsx";
import { Charts, Checks, Instances, State, Tiles, Worst } from "./cluster.tsx";
import { LOOK_MS, time } from "./model.ts";
import { OrderDialog } from "./order.tsx";
import type { Order } from "./order.tsx";
import { Panel } from "./panel.tsx";
import { RoomDetail, Rooms } from "./rooms.tsx";
import { Blocks, Events, Revocations } from "./security.tsx";
import { SessionDetail, Sessions } from "./sessions.tsx";
import { isAboutToken, Watch } from "./watch.ts";
import type { View } from "./watch.ts";
import { isStale, STALE_MS } from "./worst.ts";

/** How long the result of an order is shown, in milliseconds. */
const NOTICE_MS = 6_000;
/** How often the age of what is shown is looked at, in milliseconds. */
const AGE_MS = 500;

interface PageState {
  readonly view: View | undefined;
  readonly fault: string;
  /** Age of the view, in milliseconds. */
  readonly ageMs: number;
  readonly notice: string;
  /** What is about to be ordered. */
  readonly order: Asked | undefined;
  /** What is looked at closely. */
  readonly shown: Shown | undefined;
}

/** An order, and what follows it. */
interface Asked {
  readonly order: Order;
  readonly onDone: (() => void) | undefined;
}

/** A session or a room, and when it was read. */
type Shown =
  & { readonly asOf: number }
  & ({ readonly session: SessionInfo } | { readonly room: RoomInfo });

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
    order: undefined,
    shown: undefined,
  };
  readonly #watch = new Watch(this.props.api, () => this.#redraw());
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
    this.#watch.end();
  }

  /** Draws what a list or the watch has now. */
  #redraw(): void {
    if (this.#open) this.setState({ view: this.#watch.view });
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

  #ask = (order: Order, onDone?: () => void): void =>
    this.setState({ order: { order, onDone }, shown: undefined });

  /** Reports that an order was carried out, and shows what it changed. */
  #done = async ({ done }: Order): Promise<void> => {
    this.state.order?.onDone?.();
    this.setState({ notice: done, order: undefined });
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = setTimeout(
      () => this.setState({ notice: "" }),
      NOTICE_MS,
    );
    await this.#watch.reload();
    if (!this.#open) return;
    clearTimeout(this.#timer);
    await this.#look();
  };

  #showOrders = async (ordersOnly: boolean): Promise<void> => {
    this.#watch.ordersOnly = ordersOnly;
    await this.#watch.reload();
    if (!this.#open) return;
    clearTimeout(this.#timer);
    await this.#look();
  };

  /** The elements; called by Preact. */
  render(): VNode {
    const { api, onSignOut } = this.props;
    const { view, fault, ageMs, notice, order, shown } = this.state;
    const known = { view, fault, ageMs };
    const { sessions, rooms, blocks, revocations } = this.#watch.lists;
    const acts = { api, onOrder: this.#ask };
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
        <p class={`notice${notice ? " shown" : ""}`} role="status">{notice}</p>
        {order && (
          <OrderDialog
            order={order.order}
            onDone={this.#done}
            onCancel={() => this.setState({ order: undefined })}
          />
        )}
        {shown && "session" in shown && (
          <SessionDetail
            {...shown}
            {...acts}
            onClose={() => this.setState({ shown: undefined })}
          />
        )}
        {shown && "room" in shown && (
          <RoomDetail
            room={shown.room}
            api={api}
            onClose={() => this.setState({ shown: undefined })}
          />
        )}
        <Worst known={known} />
        {!view
          ? (
            <main id="main">
              <h1 class="hidden">KALDRIX operations</h1>
              <p class="empty">{fault || "Loading …"}</p>
            </main>
          )
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
                <Sessions
                  list={sessions}
                  {...acts}
                  onShow={(session) =>
                    this.setState({ shown: { session, asOf: sessions.asOf } })}
                />
                <Rooms
                  list={rooms}
                  onShow={(room) =>
                    this.setState({ shown: { room, asOf: rooms.asOf } })}
                />
                <Blocks list={blocks} {...acts} />
                <Revocations list={revocations} {...acts} />
                <Panel
                  name="half"
                  title="Alerts"
                  note={view.active.length > 0
                    ? `${view.active.length} firing`
                    : "none firing"}
                >
                  <Active view={view} {...acts} />
                  <Alerts view={view} />
                </Panel>
                <Events
                  events={view.events}
                  asOf={view.asOf}
                  ordersOnly={this.#watch.ordersOnly}
                  onOrdersOnly={(only) => void this.#showOrders(only)}
                  note={`as of ${time(view.restAsOf)}`}
                />
              </div>
            </main>
          )}
      </>
    );
  }
}
