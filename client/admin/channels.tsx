/**
 * The channels: position, rate and lag of each.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import { few, SLOW_LAG, span, whole } from "./model.ts";
import type { Memory } from "./model.ts";
import { numbers, Table, texts } from "./panel.tsx";
import type { View } from "./watch.ts";

/** One row for each channel. */
export function Channels(
  { view, memory }: { readonly view: View; readonly memory: Memory },
): VNode {
  return (
    <Table
      label="Channels"
      columns={[
        ...texts("Channel"),
        ...numbers("Head", "Events/s", "Last event", "Followers", "Lag"),
      ]}
    >
      {view.channels.map((it) => {
        const rate = memory.rate(it);
        const last = view.latest[it.channel];
        const lag = view.lags[it.channel] ?? 0;
        return (
          <tr key={it.channel}>
            <th scope="row">{it.channel}</th>
            <td class="number">
              {it.seq === null ? "not kept" : whole(it.seq)}
            </td>
            <td class="number">{rate === undefined ? "–" : few(rate)}</td>
            <td class="number">
              {last === undefined ? "–" : `${span(view.asOf - last)} ago`}
            </td>
            <td class="number">{whole(it.subscribers)}</td>
            <td class={`number${lag >= SLOW_LAG ? " late" : ""}`}>
              {whole(lag)}
            </td>
          </tr>
        );
      })}
    </Table>
  );
}
