/**
 * Alerts that fire, rules that are silenced, and the newest alerts.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import type { OperatorApi } from "./api.ts";
import { span } from "./model.ts";
import { silence, unsilence } from "./orders.ts";
import type { Order } from "./order.tsx";
import type { View } from "./watch.ts";

/** Alerts that have not ended, and silenced rules. */
export function Active(
  { view, api, onOrder }: {
    readonly view: View;
    readonly api: OperatorApi;
    readonly onOrder: (order: Order) => void;
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
              for {span(view.asOf - it.startedAt)}
            </span>
          </span>
          <button
            type="button"
            class="small"
            onClick={() => onOrder(silence(api, it))}
          >
            Silence <span class="hidden">{it.type}, {it.subject}</span>
          </button>
        </li>
      ))}
      {view.silences.map((it) => (
        <li key={it.type}>
          <span class="chip">silenced</span>
          <span>
            {it.type}{" "}
            <span class="sub">
              by {it.by}, {span(it.until - view.asOf)} left
              {it.reason ? `: ${it.reason}` : ""}
            </span>
          </span>
          <button
            type="button"
            class="small"
            onClick={() => onOrder(unsilence(api, it))}
          >
            Unsilence <span class="hidden">{it.type}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

/** Events of the channel `alerts`, newest first. */
export function Alerts({ view }: { readonly view: View }): VNode {
  if (view.alerts.length === 0 && view.active.length === 0) {
    return <p class="empty">No alerts.</p>;
  }
  return (
    <ol>
      {view.alerts.map(({ id, timestamp, payload }) => {
        const status = payload.status ?? "firing";
        const about = payload.subject ?? payload.type;
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
              {span(view.asOf - Date.parse(timestamp))} ago
            </span>
            <span class="message">
              {payload.message}{" "}
              {/* Many messages begin with what they are about. */}
              {!payload.message.includes(about) && (
                <span class="sub mono">{about}</span>
              )}
            </span>
          </li>
        );
      })}
    </ol>
  );
}
