/**
 * The parts of the page that show the chain. Each draws only when its part of
 * the model changed.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef } from "preact";
import type { ComponentChildren, VNode } from "preact";
import { DagPicture } from "./dag.ts";
import { seconds } from "./freshness.ts";
import type { ChainModel } from "./model.ts";
import type {
  AlertRow,
  BlockRow,
  NodeRow,
  TransactionRow,
  ValidatorRow,
} from "./rows.ts";
import { brief, bytes, compact, counted, integer } from "./words.ts";

/** Blocks shown. */
export const SHOWN_BLOCKS = 9;
/** Transactions shown. */
export const SHOWN_TRANSACTIONS = 10;
/** Alerts shown. */
export const SHOWN_ALERTS = 6;
/** Validators shown. */
export const SHOWN_VALIDATORS = 12;
/** Nodes of the network shown. */
export const SHOWN_NODES = 12;

/** A titled part of the page. */
export function Panel(
  { name, title, note, children }: {
    readonly name: string;
    readonly title: string;
    readonly note?: ComponentChildren;
    readonly children: ComponentChildren;
  },
): VNode {
  return (
    <section class={`panel ${name}`} aria-labelledby={`${name}-title`}>
      <header>
        <h2 id={`${name}-title`}>{title}</h2>
        {note && <p class="note">{note}</p>}
      </header>
      {children}
    </section>
  );
}

function Empty({ children }: { readonly children: ComponentChildren }): VNode {
  return <p class="empty">{children}</p>;
}

/** The newest blocks. `now` is the server's, in epoch milliseconds. */
export function Blocks(
  { rows, now, onInspect }: {
    readonly rows: readonly BlockRow[];
    readonly now: number;
    readonly onInspect: (key: string) => void;
  },
): VNode {
  if (rows.length === 0) return <Empty>Waiting for the first block</Empty>;
  return (
    <ol class="rows">
      {rows.slice(0, SHOWN_BLOCKS).map((block) => (
        <li key={block.id} class="block arrives">
          <button
            type="button"
            onClick={() =>
              onInspect(`block:${block.height}`)}
          >
            <span class="height">{integer(block.height)}</span>
            <span class="middle">
              <span class="mono">{brief(block.hash)}</span>
              <span class="sub">
                {block.validator && <>by {brief(block.validator, 14, 4)}</>}
              </span>
            </span>
            <span class="end">
              <span>{block.transactions} tx</span>
              <span class="sub">
                {block.size > 0 && <>{bytes(block.size)} ·{" "}</>}
                {seconds(Math.max(0, now - block.at))}
              </span>
            </span>
            {block.fullness !== undefined && (
              <meter
                class="fullness"
                min={0}
                max={1}
                value={block.fullness}
                aria-label={`gas used ${Math.round(block.fullness * 100)} %`}
              />
            )}
          </button>
        </li>
      ))}
    </ol>
  );
}

/** The DAG as it grows. */
export class Dag extends Component<
  { readonly model: ChainModel; readonly revision: string }
> {
  readonly #canvas = createRef<HTMLCanvasElement>();
  #picture: DagPicture | undefined;

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    this.#picture = new DagPicture(this.#canvas.current!);
    this.#picture.show(this.props.model.vertices);
  }

  /** Whether to draw; called by Preact. */
  override shouldComponentUpdate(next: { revision: string }): boolean {
    return next.revision !== this.props.revision;
  }

  /** Follows a drawing; called by Preact. */
  override componentDidUpdate(): void {
    this.#picture?.show(this.props.model.vertices);
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    this.#picture?.dispose();
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const vertices = [...this.props.model.vertices.values()];
    const tips = vertices.filter(({ hasChildren }) => !hasChildren);
    return (
      <div class="dag-frame">
        <canvas
          ref={this.#canvas}
          role="img"
          aria-label={`DAG: ${vertices.length} vertices shown, ` +
            counted(tips.length, "tip")}
        />
        {vertices.length === 0 && <Empty>Waiting for the first vertex</Empty>}
        <p class="legend">
          <span class="key tip">{counted(tips.length, "tip")}</span>
          <span class="key body">
            {vertices.length - tips.length} built upon
          </span>
        </p>
      </div>
    );
  }
}

/** Transactions from pending to settled. */
export function Transactions(
  { model, now, onInspect }: {
    readonly model: ChainModel;
    readonly now: number;
    readonly onInspect: (key: string) => void;
  },
): VNode {
  const rows = model.transactions(SHOWN_TRANSACTIONS);
  if (rows.length === 0) return <Empty>No transaction yet</Empty>;
  return (
    <ol class="rows">
      {rows.map((row) => (
        <li key={row.id} class={`transaction ${row.status}`}>
          <button
            type="button"
            onClick={() => onInspect(`transaction:${row.id}`)}
          >
            <span class={`chip ${row.status}`}>{row.status}</span>
            <span class="middle">
              <span class="mono">
                {brief(row.from, 6, 3)} <span aria-label="to">→</span>{" "}
                {brief(row.to, 6, 3)}
              </span>
            </span>
            <span class="end">
              <span class="amount">{compact(row.amount)}</span>
              <span class="sub">{settling(row, now)}</span>
            </span>
          </button>
        </li>
      ))}
    </ol>
  );
}

function settling(row: TransactionRow, now: number): string {
  if (row.settledAt === undefined) return `for ${seconds(now - row.since)}`;
  return row.settledAt > row.since
    ? `in ${seconds(row.settledAt - row.since)}`
    : "in a block";
}

/** How many transactions have which status, as one bar. */
export function Flow({ model }: { readonly model: ChainModel }): VNode {
  const { pending, confirmed, failed } = model.transactionCounts;
  const all = Math.max(1, pending + confirmed + failed);
  const part = (name: string, count: number) => (
    <span class={`part ${name}`} style={{ flexGrow: count / all }} />
  );
  return (
    <div class="flow">
      <div class="bar-of-parts" aria-hidden="true">
        {part("pending", pending)}
        {part("confirmed", confirmed)}
        {part("failed", failed)}
      </div>
      <dl>
        <div>
          <dt class="key pending">pending</dt>
          <dd>{integer(pending)}</dd>
        </div>
        <div>
          <dt class="key confirmed">confirmed</dt>
          <dd>{integer(confirmed)}</dd>
        </div>
        <div>
          <dt class="key failed">failed</dt>
          <dd>{integer(failed)}</dd>
        </div>
      </dl>
    </div>
  );
}

/** Validators and their record. */
export function Validators(
  { rows }: { readonly rows: readonly ValidatorRow[] },
): VNode {
  if (rows.length === 0) return <Empty>No validator has acted yet</Empty>;
  const most = Math.max(...rows.map(({ stake }) => Number(stake ?? 0)), 1);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Validators">
      <table>
        <thead>
          <tr>
            <th scope="col">Validator</th>
            <th scope="col">Stake</th>
            <th scope="col" class="number">Blocks</th>
            <th scope="col" class="number">Uptime</th>
            <th scope="col">Last</th>
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, SHOWN_VALIDATORS).map((row) => (
            <tr key={row.id} class={row.active ? "" : "gone"}>
              <th scope="row" class="mono">{brief(row.id, 14, 4)}</th>
              <td class="stake">
                {row.stake === undefined ? "–" : compact(row.stake)}
                <meter
                  min={0}
                  max={most}
                  value={Number(row.stake ?? 0)}
                  aria-label="share of the largest stake"
                />
              </td>
              <td class="number">{integer(row.proposed)}</td>
              <td class="number">
                {row.uptime === undefined ? "–" : `${row.uptime.toFixed(1)} %`}
              </td>
              <td>
                <span class={`chip ${row.last.toLowerCase()}`}>
                  {row.last.toLowerCase()}
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The network's nodes, with the earlier states of each. */
export function Nodes({ rows }: { readonly rows: readonly NodeRow[] }): VNode {
  if (rows.length === 0) return <Empty>No node has reported yet</Empty>;
  return (
    <ul class="node-list">
      {rows.slice(0, SHOWN_NODES).map((row) => (
        <li key={row.id} class={`node ${row.status.toLowerCase()}`}>
          <span class="mono name">{brief(row.id, 16, 4)}</span>
          <span class="way">
            {row.way.slice(-1).map((step) => (
              <span key={step} class="sub">{step.toLowerCase()} →</span>
            ))}
            <span class={`chip ${row.status.toLowerCase()}`}>
              {row.status.toLowerCase()}
            </span>
            {/* Many nodes are named for where they are. */}
            {row.region && !row.id.includes(row.region) && (
              <span class="sub region">{row.region}</span>
            )}
          </span>
          <span class="sub facts">
            {row.height !== undefined && <>#{integer(row.height)}</>}
            {row.peers !== undefined && <>{" · "}{row.peers} peers</>}
            {row.latency !== undefined && (
              <>{" · "}{Math.round(row.latency)} ms</>
            )}
          </span>
        </li>
      ))}
    </ul>
  );
}

/** Alerts, newest first. */
export function Alerts(
  { rows, now }: { readonly rows: readonly AlertRow[]; readonly now: number },
): VNode {
  if (rows.length === 0) return <Empty>No alerts</Empty>;
  return (
    <ol class="alerts-list">
      {rows.slice(0, SHOWN_ALERTS).map((row) => (
        <li
          key={row.key}
          class={`alert ${row.resolved ? "resolved" : row.severity}`}
        >
          <span class={`chip ${row.resolved ? "resolved" : row.severity}`}>
            {row.resolved ? "resolved" : row.severity}
          </span>
          <span class="message">{row.message}</span>
          <span class="sub">{seconds(Math.max(0, now - row.at))} ago</span>
        </li>
      ))}
    </ol>
  );
}
