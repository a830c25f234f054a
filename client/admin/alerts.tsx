/**
 * Alerts that fire, rules that are silenced, and the newest alerts.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import type { ActiveAlert, Silence } from "./api.ts";
import { span } from "./model.ts";
import { Sure } from "./sure.tsx";
import type { View } from "./watch.ts";

/** Alerts that have not ended, and silenced rules. */
export function Active(
  { view, onSilence, onUnsilence }: {
    readonly view: View;
    readonly onSilence: (alert: ActiveAlert) => void;
    readonly onUnsilence: (silence: Silence) => void;
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
          <Sure word="Silence 1 h" onSure={() => onSilence(it)} />
        </li>
      ))}
      {view.silences.map((it) => (
        <li key={it.type}>
          <span class="chip">silenced</span>
          <span>
            {it.type}{" "}
            <span class="sub">
              by {it.by}, {span(it.until - view.asOf)} left
            </span>
          </span>
          <Sure word="Unsilence" onSure={() => onUnsilence(it)} />
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
              <span class="sub mono">{payload.subject ?? payload.type}</span>
            </span>
          </li>
        );
      })}
    </ol>
  );
}
