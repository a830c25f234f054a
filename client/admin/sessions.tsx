/**
 * The sessions: who is connected, and what can be ordered of them.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import type { OperatorApi, SessionInfo } from "./api.ts";
import { Dialog } from "./dialog.tsx";
import type { List } from "./list.ts";
import { ListPanel } from "./list_panel.tsx";
import { SLOW_LAG, span, time, whole } from "./model.ts";
import { block, disconnect, nameOf, short } from "./orders.ts";
import type { Order } from "./order.tsx";
import { numbers, Table, texts } from "./panel.tsx";
import type { Column } from "./panel.tsx";

const COLUMNS: readonly Column[] = [
  { title: "Who", sort: "user" },
  { title: "Address", sort: "ip" },
  { title: "Client", sort: "client" },
  { title: "For", sort: "since", isNumber: true },
  { title: "Follows" },
  { title: "Lag", sort: "lag", isNumber: true },
  { title: "" },
];

/** What is done with a session. */
export interface SessionActs {
  /** Asks for an order. */
  readonly onOrder: (order: Order) => void;
  /** Shows one session. */
  readonly onShow: (session: SessionInfo) => void;
  /** Carries orders out. */
  readonly api: OperatorApi;
}

/** The sessions of all instances. */
export function Sessions(
  { list, ...acts }: { readonly list: List<SessionInfo> } & SessionActs,
): VNode {
  return (
    <ListPanel
      list={list}
      name="full"
      title="Sessions"
      seek="Address, user, client or channel"
      none="No client is connected."
      columns={COLUMNS}
      row={(it) => row(it, list.asOf, acts)}
    />
  );
}

function row(
  it: SessionInfo,
  asOf: number,
  { onOrder, onShow, api }: SessionActs,
): VNode {
  return (
    <tr key={it.id}>
      <th scope="row">
        <button type="button" class="link" onClick={() => onShow(it)}>
          {it.user ?? "anonymous"}{" "}
          <span class="hidden">{short(it.id)}, details</span>
        </button>{" "}
        <span class="sub">{it.role}</span>
        <span class="sub mono block" title={it.id}>{short(it.id)}</span>
      </th>
      <td class="mono">{it.ip}</td>
      <td class="cut">{it.client ?? "–"}</td>
      <td class="number">{span(asOf - it.since)}</td>
      <td class="cut">{followed(it)}</td>
      <td class={`number${it.lag >= SLOW_LAG ? " late" : ""}`}>
        {whole(it.lag)}
      </td>
      <td class="actions">
        <SessionOrders session={it} onOrder={onOrder} api={api} />
      </td>
    </tr>
  );
}

/** What can be ordered of a session, each under a name of its own. */
function SessionOrders(
  { session, onOrder, api }: {
    readonly session: SessionInfo;
    readonly onOrder: (order: Order) => void;
    readonly api: OperatorApi;
  },
): VNode {
  return (
    <>
      <button
        type="button"
        class="small"
        onClick={() => onOrder(disconnect(api, session))}
      >
        Disconnect <span class="hidden">{nameOf(session)}</span>
      </button>
      <button
        type="button"
        class="small"
        onClick={() => onOrder(block(api, { ip: session.ip }))}
      >
        Block{" "}
        <span class="hidden">
          {session.ip}, of {nameOf(session)}
        </span>
      </button>
    </>
  );
}

function followed({ channels, subscriptions }: SessionInfo): string {
  const names = channels.map(({ channel }) => channel).join(", ");
  const more = subscriptions - channels.length;
  return more > 0 ? `${names} and ${whole(more)} more` : names || "–";
}

/** One session, as it was when it was pressed. */
export function SessionDetail(
  { session, asOf, onClose, onOrder, api }: {
    readonly session: SessionInfo;
    readonly asOf: number;
    readonly onClose: () => void;
    readonly onOrder: (order: Order) => void;
    readonly api: OperatorApi;
  },
): VNode {
  const facts: readonly (readonly [string, string])[] = [
    ["Session", session.id],
    ["Instance", session.instance],
    ["Address", session.ip],
    ["Role", session.role],
    ["Client", session.client ?? "–"],
    ["Connected", new Date(session.since).toISOString()],
    ["As of", time(asOf)],
  ];
  return (
    <Dialog title={nameOf(session)} onClose={onClose}>
      <Facts facts={facts} />
      {session.channels.length === 0
        ? <p class="empty">Follows no channel.</p>
        : (
          <Table
            label="Followed channels"
            columns={[...texts("Channel"), ...numbers("Sent up to", "Lag")]}
          >
            {session.channels.map(({ channel, seq, lag }, i) => (
              <tr key={i}>
                <th scope="row">{channel}</th>
                <td class="number">{whole(seq)}</td>
                <td class={`number${lag >= SLOW_LAG ? " late" : ""}`}>
                  {whole(lag)}
                </td>
              </tr>
            ))}
          </Table>
        )}
      {session.subscriptions > session.channels.length && (
        <p class="sub">
          {whole(session.subscriptions - session.channels.length)} more
        </p>
      )}
      <div class="answers">
        <SessionOrders session={session} onOrder={onOrder} api={api} />
        <button type="button" onClick={onClose}>Close</button>
      </div>
    </Dialog>
  );
}

/** Names and their values. */
export function Facts(
  { facts }: { readonly facts: readonly (readonly [string, string])[] },
): VNode {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class="mono">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
