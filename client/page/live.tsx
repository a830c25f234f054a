/**
 * The live page: the chain as it happens, fed by the public client alone.
 * Every event is taken the moment it arrives; drawing waits for a frame.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { VNode } from "preact";
import type { AnyEvent, Client, MessageType } from "../types.ts";
import { Bar, Foot } from "./bar.tsx";
import { Chart } from "./chart.tsx";
import { Dag } from "./dag.tsx";
import { Fault } from "./facts.tsx";
import { Freshness, lackOf } from "./freshness.ts";
import type { FreshnessView } from "./freshness.ts";
import { ChainModel } from "./model.ts";
import {
  Alerts,
  Empty,
  Flow,
  NewestBlocks,
  Nodes,
  Panel,
  Transactions,
  Validators,
} from "./panels.tsx";
import { HISTORY } from "./history.ts";
import { Held, Still } from "./held.tsx";
import { DevToolbarButton } from "./toolbar_button.tsx";
import type { Line } from "./line.ts";
import { TryIt } from "./try_it.tsx";
import { clockTime, compact, integer } from "./words.ts";

/**
 * Shortest rest between two rounds of drawing text, in milliseconds. A round
 * draws what changed, one part a frame, so that no frame has much to do.
 */
export const REST_MS = 60;
const TYPES = [
  "NEW_BLOCK",
  "BLOCK_REVERTED",
  "FINALITY",
  "CHAIN_RESET",
  "DAG_UPDATE",
  "TX_RECEIVED",
  "VALIDATOR_EVENT",
  "NODE_STATUS",
  "ALERT_TRIGGERED",
] as const satisfies readonly MessageType[];

/** What is drawn in turn: the parts of the model, and the tiles. */
const DRAWN = [
  "tiles",
  "dag",
  "blocks",
  "transactions",
  "validators",
  "nodes",
  "alerts",
  "samples",
] as const;
type Drawn = (typeof DRAWN)[number];

interface PageState {
  /** Since when nothing is drawn, in epoch milliseconds. */
  readonly pausedAt: number | null;
}

/** The page. */
export class LivePage extends Component<
  { readonly client: Client; readonly line: Line },
  PageState
> {
  /** What is shown besides the props. */
  override state: PageState = { pausedAt: null };
  readonly #model = new ChainModel();
  readonly #freshness = new Freshness();
  readonly #undo: (() => void)[] = [];
  /** Whether it was ever connected, so that nothing means that there is none. */
  #isKnown = false;
  #frame = 0;
  #drawnAt = 0;
  /** Parts still to be drawn in this round. */
  #round: Drawn[] = [];
  /** What each part showed when it was drawn last. */
  readonly #shown = new Map<Drawn, string>();
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    const { client } = this.props;
    for (const type of TYPES) {
      this.#undo.push(client.subscribe(type, this.#take));
    }
    this.#undo.push(client.onState((state) => {
      this.#freshness.sawState(state, performance.now());
      this.#isKnown ||= state.isConnected;
      this.#draw();
    }));
    this.#freshness.sawState(client.state, performance.now());
    this.#isKnown = client.state.isConnected;
    for (const [channel, last] of Object.entries(HISTORY)) {
      client.joinChannel(channel, { last });
    }
    // Ages, freshness and samples move on also while nothing arrives.
    this.#timer = setInterval(() => {
      this.#model.tick(Date.now(), client.state.isConnected);
      this.#draw();
    }, 250);
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    for (const undo of this.#undo) undo();
    clearInterval(this.#timer);
    cancelAnimationFrame(this.#frame);
  }

  #take = (event: AnyEvent): void => {
    const now = Date.now();
    const { clockOffsetMs } = this.props.client.state;
    const travelled = now + clockOffsetMs - Date.parse(event.timestamp);
    this.#model.take(event, Math.max(0, travelled));
    this.#freshness.sawEvent(event, performance.now());
    this.#draw();
  };

  /** Conflates whatever happens until the next frame that is due. */
  #draw(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(this.#step);
  }

  #step = (now: number): void => {
    this.#frame = 0;
    if (this.#round.length === 0) {
      if (now - this.#drawnAt < REST_MS) return this.#draw();
      this.#round = this.state.pausedAt === null
        ? DRAWN.filter((part) => this.#shown.get(part) !== this.#wanted(part))
        : [];
    }
    const part = this.#round.shift();
    if (part) this.#shown.set(part, this.#wanted(part));
    this.forceUpdate();
    if (this.#round.length > 0) this.#draw();
    else this.#drawnAt = now;
  };

  /** Differs from what it was when there is something new to draw. */
  #wanted(part: Drawn): string {
    const { revisions, total } = this.#model;
    const second = Math.floor(Date.now() / 1000);
    if (part === "tiles") return `${total}:${second}`;
    const ages = part === "blocks" || part === "transactions" ||
      part === "alerts";
    return ages ? `${revisions[part]}:${second}` : String(revisions[part]);
  }

  /** Pauses or resumes drawing; events are received in both cases. */
  #pause = (): void =>
    this.setState(({ pausedAt }) => {
      if (pausedAt === null) this.#round = [];
      return { pausedAt: pausedAt === null ? Date.now() : null };
    });

  /** The text shown before data is known; absent afterwards. */
  #lack(): string | undefined {
    const { status } = this.props.client.state;
    if (this.#isKnown) return undefined;
    return status === "connecting" ? "Loading" : "Not known";
  }

  #describe(): FreshnessView {
    const { pausedAt } = this.state;
    // A lost connection is shown on a paused page, too.
    return pausedAt === null || !this.props.client.state.isConnected
      ? this.#freshness.describe(performance.now(), Date.now())
      : { tone: "busy", label: "Paused", detail: `at ${clockTime(pausedAt)}` };
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { client, line } = this.props;
    const model = this.#model;
    const now = Date.now() + client.state.clockOffsetMs;
    const shown = (part: Drawn) => this.#shown.get(part) ?? "";
    const { pausedAt } = this.state;
    const lack = this.#lack();
    const list = (part: Drawn, draw: () => VNode) => (
      <Held
        revision={`${lack}:${shown(part)}`}
        draw={() => lack ? <Empty>{lack}</Empty> : draw()}
      />
    );
    return (
      <>
        <a class="skip" href="#main">Skip to the chain</a>
        <Bar client={client} freshness={this.#describe()}>
          <button type="button" class="pause" onClick={this.#pause}>
            {pausedAt === null ? "Pause" : "Resume"}
          </button>
          <DevToolbarButton client={client} />
        </Bar>
        <main id="main">
          <h1 class="hidden">The KALDRIX chain, live</h1>
          {client.state.status === "closed" && (
            <Fault text={lackOf(client.state)} isOver />
          )}
          <Still
            revision={`${lack}:${shown("tiles")}`}
            draw={() => (
              <Tiles
                lack={lack}
                model={model}
                client={client}
                isStopped={this.#freshness.stoppedMs(Date.now()) !== undefined}
              />
            )}
          />
          <div class="grid">
            <Panel name="dag" title="DAG" note="newest at the right">
              <Held
                revision={`${lack}:${shown("dag")}`}
                draw={() => <Dag vertices={model.vertices} lack={lack} />}
              />
            </Panel>
            <Panel
              name="blocks"
              title="Newest blocks"
              note={<span class="key body">gas used</span>}
            >
              {list(
                "blocks",
                () => <NewestBlocks blocks={model.blocks} now={now} />,
              )}
            </Panel>
            <Panel name="transactions" title="Transactions">
              <Still
                revision={`${lack}:${shown("transactions")}`}
                draw={() => <Flow model={model} lack={lack} />}
              />
              {list(
                "transactions",
                () => <Transactions model={model} now={now} />,
              )}
            </Panel>
            <Panel
              name="traffic"
              title="Traffic"
              note={
                <>
                  <span class="key events">events/s</span>{" "}
                  <span class="key latency">latency, ms</span>
                </>
              }
            >
              <Still
                revision={`${lack}:${shown("samples")}`}
                draw={() =>
                  lack
                    ? (
                      <div class="chart">
                        <Empty>{lack}</Empty>
                      </div>
                    )
                    : <Chart samples={model.samples} />}
              />
            </Panel>
            <Panel name="alerts" title="Alerts">
              {list("alerts", () => <Alerts rows={model.alerts} now={now} />)}
            </Panel>
            <Panel name="validators" title="Validators">
              {list(
                "validators",
                () => <Validators rows={model.validators()} />,
              )}
            </Panel>
            <Panel name="nodes" title="Nodes">
              {list("nodes", () => <Nodes rows={model.nodes()} />)}
            </Panel>
            <Panel name="try-it" title="Try it">
              <TryIt client={client} line={line} />
            </Panel>
          </div>
        </main>
        <Foot />
      </>
    );
  }
}

function Tiles(
  { lack, model, client, isStopped }: {
    /** Shown in place of numbers while none is known. */
    readonly lack: string | undefined;
    readonly model: ChainModel;
    readonly client: Client;
    /** Whether its pace is of the past. */
    readonly isStopped: boolean;
  },
): VNode {
  const { state } = client;
  const { tip, paceSeconds: pace } = model.blocks;
  const final = tip && model.blocks.finalHeight(tip.chain);
  const { active, online, nodes } = model.standing;
  const latency = state.messageLatency;
  const counts = model.transactionCounts;
  const tiles: readonly (readonly [string, string, string])[] = [
    [
      "Height",
      tip ? integer(tip.height) : "–",
      [
        pace !== undefined && !isStopped && paceOf(pace),
        final !== undefined && `final ${integer(final)}`,
      ].filter(Boolean).join(" · "),
    ],
    [
      "Transactions pending",
      integer(counts.pending),
      `${integer(counts.confirmed)} confirmed`,
    ],
    ["Validators", integer(active), "active"],
    nodes === 0 ? ["Nodes online", "–", "none reported"] : [
      "Nodes online",
      `${online}/${nodes}`,
      online === nodes ? "all online" : `${nodes - online} not online`,
    ],
    [
      "Events received",
      compact(model.total),
      `${model.rate(5).toFixed(1)} a second`,
    ],
    [
      "Latency",
      latency === null ? "–" : `${latency.toFixed(1)} ms`,
      state.gaps === 0 ? "nothing missed" : `${state.gaps} gaps`,
    ],
  ];
  return (
    <dl class="tiles">
      {tiles.map(([name, value, more]) => (
        <div key={name} class="tile">
          <dt>{name}</dt>
          <dd>
            {lack ? "–" : value} <span class="sub">{lack ? "" : more}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function paceOf(seconds: number): string {
  return seconds < 0.5
    ? `${Math.round(1 / Math.max(seconds, 0.001))} a second`
    : `one every ${seconds.toFixed(1)} s`;
}
