/**
 * The parts of the page that show the chain. Each draws only when its part of
 * the model changed.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { ComponentChildren, VNode } from "preact";
import type { Blocks } from "./blocks.ts";
import { seconds } from "./freshness.ts";
import type { ChainModel } from "./model.ts";
import { BlockItem, TransactionItem } from "./items.tsx";
import type { AlertRow, NodeRow, ValidatorRow } from "./rows.ts";
import { brief, compact, integer } from "./words.ts";

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

/** Placeholder while there is no content. */
export function Empty(
  { children }: { readonly children: ComponentChildren },
): VNode {
  return <p class="empty">{children}</p>;
}

/** The newest blocks. `now` is the server's, in epoch milliseconds. */
export function NewestBlocks(
  { blocks, now }: { readonly blocks: Blocks; readonly now: number },
): VNode {
  const { rows } = blocks;
  if (rows.length === 0) return <Empty>Waiting for the first block</Empty>;
  return (
    <ol class="rows">
      {rows.slice(0, SHOWN_BLOCKS).map((row) => (
        <BlockItem key={row.id} row={row} level={blocks.level(row)} now={now} />
      ))}
    </ol>
  );
}

/** Transactions from pending to final. */
export function Transactions(
  { model, now }: { readonly model: ChainModel; readonly now: number },
): VNode {
  const rows = model.transactions(SHOWN_TRANSACTIONS);
  if (rows.length === 0) return <Empty>No transaction yet</Empty>;
  return (
    <ol class="rows">
      {rows.map((row) => (
        <TransactionItem
          key={row.id}
          row={row}
          level={model.blocks.level(row)}
          now={now}
        />
      ))}
    </ol>
  );
}

/** How many transactions have which status, as one bar. */
export function Flow(
  { model, lack }: {
    readonly model: ChainModel;
    /** Set while no count is known. */
    readonly lack: string | undefined;
  },
): VNode {
  const { pending, confirmed, failed } = model.transactionCounts;
  const all = Math.max(1, pending + confirmed + failed);
  const part = (name: string, count: number) =>
    count > 0 && (
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
          <dd>{lack ? "–" : integer(pending)}</dd>
        </div>
        <div>
          <dt class="key confirmed">confirmed</dt>
          <dd>{lack ? "–" : integer(confirmed)}</dd>
        </div>
        <div>
          <dt class="key failed">failed</dt>
          <dd>{lack ? "–" : integer(failed)}</dd>
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
    <div
      class="scroll"
      tabIndex={0}
      role="region"
      aria-label="Validators, table"
    >
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
