/**
 * The operator's page: how the service is, who is connected, who is kept out.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import { Component, render } from "preact";
import type { ComponentChildren, VNode } from "preact";
import { ApiError, OperatorApi } from "./api.ts";
import type {
  ActiveAlert,
  AlertEvent,
  BlockInfo,
  ChannelInfo,
  Check,
  InstanceInfo,
  MetricsInfo,
  RevocationInfo,
  SecurityEvent,
  SessionInfo,
  Silence,
} from "./api.ts";
import { Line } from "./chart.tsx";
import {
  bytes,
  few,
  found,
  lagOf,
  lags,
  LOOK_MS,
  Memory,
  recalled,
  sampleOf,
  span,
} from "./model.ts";
import type { PastSample } from "./model.ts";

/** Sessions, blocks and events are looked at every so many looks. */
const SLOW_LOOKS = 3;
/** Most sessions drawn; the search reaches all. */
const MAX_DRAWN = 200;
/** Alerts shown. */
const MAX_ALERTS = 12;
/** Security events shown. */
const MAX_EVENTS = 40;
/** From so many events behind on, a client is marked as slow. */
const SLOW_LAG = 100;
/** How long a button asks whether one is sure, in milliseconds. */
const SURE_MS = 4_000;
/** How long the last deed is told, in milliseconds. */
const NOTICE_MS = 6_000;

/** Offered lengths of a block. */
const LENGTHS: readonly (readonly [string, number])[] = [
  ["10 minutes", 600_000],
  ["1 hour", 3_600_000],
  ["1 day", 86_400_000],
  ["30 days", 30 * 86_400_000],
];

/** Everything that was last heard. */
interface View {
  readonly instances: readonly InstanceInfo[];
  readonly channels: readonly ChannelInfo[];
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, Check>>;
  readonly metrics: MetricsInfo;
  readonly sessions: readonly SessionInfo[];
  readonly isComplete: boolean;
  readonly blocks: readonly BlockInfo[];
  readonly revocations: readonly RevocationInfo[];
  readonly events: readonly SecurityEvent[];
  /** Those that have not ended. */
  readonly active: readonly ActiveAlert[];
  readonly silences: readonly Silence[];
  /** What the channel `alerts` said, newest first. */
  readonly alerts: readonly AlertEvent[];
  /** When each channel last had an event, in epoch milliseconds. */
  readonly latest: Readonly<Record<string, number>>;
  /** When that was, in epoch milliseconds. */
  readonly heardAt: number;
}

interface PageState {
  readonly view: View | undefined;
  readonly fault: string;
  readonly notice: string;
  readonly sought: string;
}

/** The page once a token was accepted. */
class Operations extends Component<
  { readonly api: OperatorApi; readonly onLeave: (why: string) => void },
  PageState
> {
  override state: PageState = {
    view: undefined,
    fault: "",
    notice: "",
    sought: "",
  };
  readonly #memory = new Memory();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #noticeTimer: ReturnType<typeof setTimeout> | undefined;
  #looks = 0;
  #open = true;

  override componentDidMount(): void {
    void this.#begin();
  }

  override componentWillUnmount(): void {
    this.#open = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#noticeTimer);
  }

  async #begin(): Promise<void> {
    await this.#look();
    // One isolate's past is the cluster's only where it is alone.
    if (this.state.view?.instances.length !== 1) return;
    try {
      const { samples } = await this.props.api.get<
        { samples: readonly PastSample[] }
      >("/api/metrics/history");
      this.#memory.recall(recalled(samples));
    } catch {
      // The charts then begin now.
    }
  }

  async #look(): Promise<void> {
    try {
      const view = await this.#see(this.#looks++ % SLOW_LOOKS === 0);
      if (!this.#open) return;
      this.setState({ view, fault: "" });
    } catch (error) {
      if (!this.#open) return;
      if (error instanceof ApiError && isAboutToken(error)) {
        return this.props.onLeave(error.message);
      }
      this.setState({ fault: textOf(error) });
    }
    if (this.#open) {
      this.#timer = setTimeout(() => void this.#look(), LOOK_MS);
    }
  }

  async #see(isWhole: boolean): Promise<View> {
    const { api } = this.props;
    const [listed, ready, metrics] = await Promise.all([
      api.get<{ channels: ChannelInfo[]; instances: InstanceInfo[] }>(
        "/api/channels",
      ),
      api.get<{ ready: boolean; checks: Record<string, Check> }>("/ready"),
      api.get<MetricsInfo>("/api/metrics"),
    ]);
    const at = Date.now();
    const { p95 } = metrics.cluster?.eventDeliveryTime ??
      metrics.eventDeliveryTime ?? {};
    this.#memory.take(sampleOf(at, listed.instances, p95));
    this.#memory.mark(at, listed.channels);
    const before = this.state.view;
    const rest = !isWhole && before
      ? before
      : await this.#rest(listed.channels);
    return { ...rest, ...listed, ...ready, metrics, heardAt: at };
  }

  async #rest(channels: readonly ChannelInfo[]): Promise<
    Pick<
      View,
      | "sessions"
      | "isComplete"
      | "blocks"
      | "revocations"
      | "events"
      | "active"
      | "silences"
      | "alerts"
      | "latest"
    >
  > {
    const { api } = this.props;
    const newest = async (channel: ChannelInfo, limit: number) => {
      if (!channel.seq) return [];
      const { events } = await api.get<{ events: AlertEvent[] }>(
        `/api/channels/${channel.channel}/history?before=${
          channel.seq + 1
        }&limit=${limit}`,
      );
      return events;
    };
    const kept = channels.filter(({ seq }) => seq);
    const [who, blocked, revoked, happened, wrong, ends] = await Promise.all([
      api.get<{ sessions: SessionInfo[]; complete: boolean }>(
        "/api/admin/sessions",
      ),
      api.get<{ blocks: BlockInfo[] }>("/api/admin/blocks"),
      api.get<{ revocations: RevocationInfo[] }>("/api/admin/revocations"),
      api.get<{ events: SecurityEvent[] }>(
        `/api/admin/events?limit=${MAX_EVENTS}`,
      ),
      api.get<{ alerts: ActiveAlert[]; silences: Silence[] }>(
        "/api/admin/alerts",
      ),
      Promise.all(kept.map(async (channel) =>
        [
          channel.channel,
          await newest(channel, channel.channel === "alerts" ? MAX_ALERTS : 1),
        ] as const
      )),
    ]);
    const byChannel = new Map(ends);
    return {
      sessions: who.sessions,
      isComplete: who.complete,
      blocks: blocked.blocks,
      revocations: revoked.revocations,
      events: happened.events,
      active: wrong.alerts,
      silences: wrong.silences,
      alerts: (byChannel.get("alerts") ?? []).toReversed(),
      latest: Object.fromEntries(
        ends.flatMap(([channel, events]) => {
          const last = events.at(-1);
          return last ? [[channel, Date.parse(last.timestamp)]] : [];
        }),
      ),
    };
  }

  /** Does something, tells what became of it, and looks again. */
  #act = async (done: string, work: () => Promise<unknown>): Promise<void> => {
    let notice = done;
    try {
      await work();
    } catch (error) {
      notice = textOf(error);
    }
    if (!this.#open) return;
    this.setState({ notice });
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = setTimeout(
      () => this.setState({ notice: "" }),
      NOTICE_MS,
    );
    this.#looks = 0;
    clearTimeout(this.#timer);
    await this.#look();
  };

  render(): VNode {
    const { api, onLeave } = this.props;
    const { view, fault, notice, sought } = this.state;
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
            <State view={view} fault={fault} />
            <button type="button" class="small" onClick={() => onLeave("")}>
              Leave
            </button>
          </div>
        </header>
        <p class={`notice${notice ? " shown" : ""}`} role="status">{notice}</p>
        {!view ? <p class="empty">{fault || "Looking…"}</p> : (
          <main id="main">
            <h1 class="hidden">KALDRIX operations</h1>
            <Tiles view={view} />
            <Charts memory={this.#memory} />
            <div class="grid">
              <Panel name="wide" title="Channels">
                <Channels view={view} memory={this.#memory} />
              </Panel>
              <Panel name="third" title="Health">
                <Checks checks={view.checks} />
              </Panel>
              <Panel
                name="full"
                title="Isolates"
                note={`${view.instances.length} serve`}
              >
                <Isolates view={view} />
              </Panel>
              <Panel
                name="full"
                title="Sessions"
                note={view.isComplete ? "" : "not all isolates have answered"}
              >
                <Sessions
                  view={view}
                  sought={sought}
                  onSeek={(text) => this.setState({ sought: text })}
                  onDisconnect={({ id }) =>
                    void act(
                      `Told ${short(id)} to go`,
                      () => api.delete(`/api/admin/sessions/${id}`),
                    )}
                  onBlock={({ ip }) => block(ip, "by hand", LENGTHS[1]![1])}
                />
              </Panel>
              <Panel name="half" title="Blocked addresses">
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
              <Panel name="half" title="Revoked tokens">
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
                        forMs: LENGTHS[1]![1],
                      }))}
                  onSpeak={({ type }) =>
                    void act(
                      `${type} may speak again`,
                      () => api.delete(`/api/admin/alerts/silences/${type}`),
                    )}
                />
                <Alerts view={view} />
              </Panel>
              <Panel name="half" title="Security events">
                <Events view={view} />
              </Panel>
            </div>
          </main>
        )}
      </>
    );
  }
}

function State(
  { view, fault }: { readonly view: View | undefined; readonly fault: string },
): VNode {
  const poor = Object.values(view?.checks ?? {}).some((it) => it.degraded);
  const [tone, label, detail] = fault
    ? ["bad", "No answer", fault]
    : !view
    ? ["busy", "Looking", ""]
    : !view.ready
    ? ["bad", "Not ready", "see Health"]
    : poor
    ? ["busy", "Degraded", "see Health"]
    : [
      "good",
      "Ready",
      `${view.instances.length} ${
        view.instances.length === 1 ? "isolate" : "isolates"
      }`,
    ];
  return (
    <div class={`freshness ${tone}`}>
      <span class="dot" aria-hidden="true" />
      <strong>{label}</strong>
      <span class="detail">{detail}</span>
    </div>
  );
}

function Tiles({ view }: { readonly view: View }): VNode {
  const now = sampleOf(view.heardAt, view.instances, undefined);
  const { sessions, metrics } = view;
  const behind = sessions.filter((it) => lagOf(it) >= SLOW_LAG).length;
  const head = view.latest["blocks"];
  const tiles: readonly (readonly [string, string, string])[] = [
    [
      "Connections",
      few(now.connections),
      `${behind} of ${sessions.length} sessions behind`,
    ],
    ["Published", few(now.published), "events a second"],
    ["Delivered", few(now.delivered), "a second"],
    [
      "Newest block",
      head === undefined ? "–" : span(view.heardAt - head),
      head === undefined ? "none yet" : "ago",
    ],
    [
      "Commit",
      metrics.log ? `${metrics.log.commitTimeMs.toFixed(1)} ms` : "–",
      metrics.log ? `${metrics.log.failures} failed, this isolate` : "",
    ],
    ["Memory", bytes(now.memory), "largest process"],
  ];
  return (
    <dl class="tiles">
      {tiles.map(([name, value, more]) => (
        <div key={name} class="tile">
          <dt>{name}</dt>
          <dd>
            {value} <span class="sub">{more}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Charts({ memory }: { readonly memory: Memory }): VNode {
  const { samples } = memory;
  return (
    <section class="charts" aria-label="The last hour">
      <Line
        title="Connections"
        ink="--accent"
        samples={samples}
        value={(it) => it.connections}
        words={few}
      />
      <Line
        title="Published a second"
        ink="--violet"
        samples={samples}
        value={(it) => it.published}
        words={few}
      />
      <Line
        title="Delivered a second"
        ink="--good"
        samples={samples}
        value={(it) => it.delivered}
        words={few}
      />
      <Line
        title="Delivery, 95th percentile"
        ink="--busy"
        samples={samples}
        value={(it) => it.deliveryMs}
        words={(ms) => `${few(ms)} ms`}
      />
    </section>
  );
}

function Channels(
  { view, memory }: { readonly view: View; readonly memory: Memory },
): VNode {
  const behind = lags(view.sessions);
  return (
    <Table
      label="Channels"
      columns={[
        "Channel",
        "Head",
        "Events/s",
        "Last event",
        "Followers",
        "Lag",
      ]}
    >
      {view.channels.map((it) => {
        const rate = memory.rate(it);
        const last = view.latest[it.channel];
        const lag = behind.get(it.channel) ?? 0;
        return (
          <tr key={it.channel}>
            <th scope="row">{it.channel}</th>
            <td class="number">
              {it.seq === null ? "not kept" : it.seq.toLocaleString("en-US")}
            </td>
            <td class="number">{rate === undefined ? "–" : few(rate)}</td>
            <td class="number">
              {last === undefined ? "–" : `${span(view.heardAt - last)} ago`}
            </td>
            <td class="number">{it.subscribers}</td>
            <td class={`number${lag >= SLOW_LAG ? " late" : ""}`}>{lag}</td>
          </tr>
        );
      })}
    </Table>
  );
}

function Checks(
  { checks }: { readonly checks: View["checks"] },
): VNode {
  return (
    <ul class="checks">
      {Object.entries(checks).map(([name, { ok, degraded, detail }]) => (
        <li key={name}>
          <span
            class={`chip ${ok ? degraded ? "warning" : "online" : "error"}`}
          >
            {ok ? degraded ? "poorly" : "well" : "down"}
          </span>
          <strong>{name}</strong>
          <span class="sub">{detail}</span>
        </li>
      ))}
    </ul>
  );
}

function Isolates({ view }: { readonly view: View }): VNode {
  return (
    <Table
      label="Isolates"
      columns={[
        "Isolate",
        "Up",
        "Connections",
        "Ever",
        "Published/s",
        "Delivered/s",
        "Frames in/s",
        "Memory",
      ]}
    >
      {view.instances.toSorted((a, b) => a.id < b.id ? -1 : 1).map((it) => (
        <tr key={it.id}>
          <th scope="row" class="mono" title={it.id}>{sourceOf(it.id)}</th>
          <td class="number">{span(view.heardAt - it.startedAt)}</td>
          <td class="number">{it.connections}</td>
          <td class="number">{it.totalConnections}</td>
          <td class="number">{few(it.throughput.broadcastsPerSecond)}</td>
          <td class="number">{few(it.throughput.eventsPerSecond)}</td>
          <td class="number">{few(it.throughput.messagesPerSecond)}</td>
          <td class="number">{bytes(it.memoryUsage)}</td>
        </tr>
      ))}
    </Table>
  );
}

function Sessions(
  { view, sought, onSeek, onDisconnect, onBlock }: {
    readonly view: View;
    readonly sought: string;
    readonly onSeek: (text: string) => void;
    readonly onDisconnect: (session: SessionInfo) => void;
    readonly onBlock: (session: SessionInfo) => void;
  },
): VNode {
  const all = found(view.sessions, sought);
  const drawn = all.slice(0, MAX_DRAWN);
  return (
    <>
      <div class="form">
        <label class="hidden" for="sought">Search sessions</label>
        <input
          id="sought"
          type="search"
          placeholder="Address, user, client or channel"
          value={sought}
          onInput={({ currentTarget }) => onSeek(currentTarget.value)}
        />
        <span class="sub">
          {drawn.length < all.length
            ? `${drawn.length} of ${all.length}, the furthest behind first`
            : `${all.length} sessions`}
        </span>
      </div>
      {drawn.length === 0 ? <p class="empty">Nobody.</p> : (
        <Table
          label="Sessions"
          columns={["Who", "Address", "Client", "For", "Follows", "Lag", ""]}
        >
          {drawn.map((it) => {
            const lag = lagOf(it);
            return (
              <tr key={it.id}>
                <th scope="row">
                  {it.user ?? "stranger"} <span class="sub">{it.role}</span>
                  <span class="sub mono block" title={it.id}>
                    {short(it.id)}
                  </span>
                </th>
                <td class="mono">{it.ip}</td>
                <td class="cut">{it.client ?? "–"}</td>
                <td class="number">{span(view.heardAt - it.since)}</td>
                <td class="cut">
                  {it.channels.map(({ channel }) => channel).join(", ") || "–"}
                </td>
                <td class={`number${lag >= SLOW_LAG ? " late" : ""}`}>{lag}</td>
                <td class="deeds">
                  <Sure word="Disconnect" onSure={() => onDisconnect(it)} />
                  <Sure word="Block 1 h" onSure={() => onBlock(it)} />
                </td>
              </tr>
            );
          })}
        </Table>
      )}
    </>
  );
}

/** Where to, why and for how long. */
class BlockForm extends Component<
  {
    readonly onBlock: (ip: string, reason: string, forMs: number) => void;
  }
> {
  #submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const fields = new FormData(form);
    const text = (name: string) => String(fields.get(name) ?? "").trim();
    this.props.onBlock(text("ip"), text("reason"), Number(text("forMs")));
    form.reset();
  };

  render(): VNode {
    return (
      <form class="form" onSubmit={this.#submit}>
        <input
          name="ip"
          required
          maxLength={64}
          aria-label="Address or CIDR"
          placeholder="Address or CIDR"
          autoComplete="off"
        />
        <input
          name="reason"
          maxLength={200}
          aria-label="Reason"
          placeholder="Reason"
          autoComplete="off"
        />
        <select name="forMs" aria-label="For how long">
          {LENGTHS.map(([words, ms]) => (
            <option key={ms} value={ms}>{words}</option>
          ))}
        </select>
        <button type="submit">Block</button>
      </form>
    );
  }
}

function Blocks(
  { view, onUnblock }: {
    readonly view: View;
    readonly onUnblock: (block: BlockInfo) => void;
  },
): VNode {
  if (view.blocks.length === 0) return <p class="empty">Nobody is blocked.</p>;
  return (
    <Table
      label="Blocked addresses"
      columns={["Address", "Why", "Ends in", ""]}
    >
      {view.blocks.map((it) => (
        <tr key={it.ip}>
          <th scope="row" class="mono">{it.ip}</th>
          <td class="wrap">
            {it.reason} <span class="sub">by {it.by}</span>
          </td>
          <td class="number">{span(it.until - view.heardAt)}</td>
          <td class="deeds">
            <Sure word="Unblock" onSure={() => onUnblock(it)} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

/** Whom, and why. */
class RevokeForm extends Component<
  { readonly onRevoke: (body: Record<string, string>) => void }
> {
  #submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const fields = new FormData(form);
    const text = (name: string) => String(fields.get(name) ?? "").trim();
    const reason = text("reason");
    this.props.onRevoke({
      [text("kind")]: text("id"),
      ...(reason ? { reason } : {}),
    });
    form.reset();
  };

  render(): VNode {
    return (
      <form class="form" onSubmit={this.#submit}>
        <select name="kind" aria-label="What to revoke">
          <option value="user">User</option>
          <option value="tokenId">Token id</option>
        </select>
        <input
          name="id"
          required
          maxLength={256}
          aria-label="User or token id"
          placeholder="alice"
          autoComplete="off"
        />
        <input
          name="reason"
          maxLength={200}
          aria-label="Reason of the revocation"
          placeholder="Reason"
          autoComplete="off"
        />
        <button type="submit">Revoke</button>
      </form>
    );
  }
}

function Revocations({ view }: { readonly view: View }): VNode {
  if (view.revocations.length === 0) {
    return <p class="empty">Nothing is revoked.</p>;
  }
  return (
    <Table label="Revoked tokens" columns={["What", "Why", "Since"]}>
      {view.revocations.map((it) => (
        <tr key={`${it.kind} ${it.id}`}>
          <th scope="row">
            {it.kind} <span class="mono">{it.id}</span>
          </th>
          <td class="wrap">
            {it.reason} <span class="sub">by {it.by}</span>
          </td>
          <td class="number">{span(view.heardAt - it.at)}</td>
        </tr>
      ))}
    </Table>
  );
}

function Active(
  { view, onSilence, onSpeak }: {
    readonly view: View;
    readonly onSilence: (alert: ActiveAlert) => void;
    readonly onSpeak: (silence: Silence) => void;
  },
): VNode {
  return (
    <ul class="active">
      {view.active.map((it) => (
        <li key={it.id}>
          <span class={`chip ${it.severity}`}>{it.severity}</span>
          <span>
            {it.message}{" "}
            <span class="sub">
              for {span(view.heardAt - it.startedAt)}
            </span>
          </span>
          <Sure word="Silence 1 h" onSure={() => onSilence(it)} />
        </li>
      ))}
      {view.silences.map((it) => (
        <li key={it.type}>
          <span class="chip">silent</span>
          <span>
            {it.type}{" "}
            <span class="sub">
              by {it.by}, {span(it.until - view.heardAt)} left
            </span>
          </span>
          <Sure word="Let it speak" onSure={() => onSpeak(it)} />
        </li>
      ))}
    </ul>
  );
}

function Alerts({ view }: { readonly view: View }): VNode {
  if (view.alerts.length === 0 && view.active.length === 0) {
    return <p class="empty">All quiet.</p>;
  }
  return (
    <ol>
      {view.alerts.map(({ id, timestamp, payload }) => {
        const status = payload.status ?? "firing";
        return (
          <li key={id} class={`alert ${status}`}>
            <span
              class={`chip ${
                status === "resolved" ? "resolved" : payload.severity
              }`}
            >
              {status === "resolved" ? "resolved" : payload.severity}
            </span>
            <span class="sub">
              {span(view.heardAt - Date.parse(timestamp))} ago
            </span>
            <span class="message">
              {payload.message}{" "}
              <span class="sub mono">{payload.subject ?? payload.type}</span>
            </span>
          </li>
        );
      })}
    </ol>
  );
}

function Events({ view }: { readonly view: View }): VNode {
  if (view.events.length === 0) return <p class="empty">Nothing happened.</p>;
  return (
    <Table label="Security events" columns={["What", "Who", "Times", "Last"]}>
      {view.events.map((it, i) => (
        <tr key={i}>
          <th scope="row">
            {it.kind}
            <span class="sub block">{it.detail ?? it.reason}</span>
          </th>
          <td class="mono">{it.ip ?? it.user ?? it.by ?? "–"}</td>
          <td class="number">{it.count}</td>
          <td class="number">{span(view.heardAt - it.lastAt)} ago</td>
        </tr>
      ))}
    </Table>
  );
}

/** A button that does its deed at the second press. */
class Sure extends Component<
  { readonly word: string; readonly onSure: () => void },
  { readonly isAsking: boolean }
> {
  override state: { readonly isAsking: boolean } = { isAsking: false };
  #timer: ReturnType<typeof setTimeout> | undefined;

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

function Panel(
  { name, title, note, children }: {
    readonly name: string;
    readonly title: string;
    readonly note?: string;
    readonly children: ComponentChildren;
  },
): VNode {
  return (
    <section class={`panel ${name}`} aria-label={title}>
      <header>
        <h2>{title}</h2>
        <span class="note">{note}</span>
      </header>
      {children}
    </section>
  );
}

function Table(
  { label, columns, children }: {
    readonly label: string;
    readonly columns: readonly string[];
    readonly children: ComponentChildren;
  },
): VNode {
  return (
    <div
      class="scroll"
      tabIndex={0}
      role="region"
      aria-label={`${label}, table`}
    >
      <table>
        <thead>
          <tr>
            {columns.map((name, i) => (
              <th
                key={name}
                scope="col"
                class={NUMBERS.has(name) ? "number" : ""}
              >
                {name || <span class="hidden">Deeds {i}</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** Columns that hold numbers. */
const NUMBERS: ReadonlySet<string> = new Set([
  "Head",
  "Events/s",
  "Last event",
  "Followers",
  "Lag",
  "Up",
  "Connections",
  "Ever",
  "Published/s",
  "Delivered/s",
  "Frames in/s",
  "Memory",
  "For",
  "Ends in",
  "Since",
  "Times",
  "Last",
]);

/** Asks for a token, and keeps it as long as the tab shows the page. */
class Door extends Component<
  Record<never, never>,
  { readonly api: OperatorApi | undefined; readonly why: string }
> {
  override state: {
    readonly api: OperatorApi | undefined;
    readonly why: string;
  } = { api: undefined, why: "" };

  #submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const token = String(new FormData(form).get("token") ?? "").trim();
    form.reset();
    const api = new OperatorApi(token);
    try {
      await api.get("/api/admin/blocks");
      this.setState({ api, why: "" });
    } catch (error) {
      this.setState({ why: textOf(error) });
    }
  };

  render(): VNode {
    const { api, why } = this.state;
    if (api) {
      return (
        <Operations
          api={api}
          onLeave={(reason) => this.setState({ api: undefined, why: reason })}
        />
      );
    }
    return (
      <main class="door">
        <form onSubmit={this.#submit}>
          <p class="brand">
            <img src="/icon.svg" alt="" width={26} height={26} />
            KALDRIX <span>operations</span>
          </p>
          <h1>An operator's token, please</h1>
          <label for="token">Token with the role admin</label>
          <input
            id="token"
            name="token"
            type="password"
            required
            autoComplete="off"
            spellcheck={false}
          />
          {why && <p class="wrong" role="alert">{why}</p>}
          <button type="submit">Enter</button>
          <p class="sub">
            It stays in this tab's memory, and is gone when you leave. Make one:
            {" "}
            <code>
              deno task token --user you --role admin --expires 1h
            </code>
          </p>
        </form>
      </main>
    );
  }
}

/** The part of a name that tells isolates apart. */
function sourceOf(id: string): string {
  return id.length === 26 ? id.slice(10, 18) : id;
}

function short(id: string): string {
  return id.length > 12 ? `…${id.slice(-10)}` : id;
}

function isAboutToken({ code }: ApiError): boolean {
  return ["UNAUTHENTICATED", "TOKEN_EXPIRED", "FORBIDDEN"].includes(code);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const root = document.getElementById("admin")!;
root.replaceChildren();
render(<Door />, root);
