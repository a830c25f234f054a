/**
 * The state of all instances together: readiness, load, speed.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import { Line } from "./chart.tsx";
import type { LineProps } from "./chart.tsx";
import { bytes, few, sampleOf, span, time, whole } from "./model.ts";
import type { Memory } from "./model.ts";
import { numbers, Table, texts } from "./panel.tsx";
import type { View } from "./watch.ts";
import { findings } from "./worst.ts";
import type { Finding } from "./worst.ts";
import type { Known as Judged } from "./worst.ts";

/** What is known, with the time of it. */
export interface Known extends Judged {
  /** What was read last. */
  readonly view: View | undefined;
}

/** The worst thing, in the bar, and as of when that is known. */
export function State({ known }: { readonly known: Known }): VNode {
  const [{ tone, label, detail }, ...more] = findings(known) as [Finding];
  const { view } = known;
  return (
    <div class={`freshness ${tone}`} role="status">
      <span class="dot" aria-hidden="true" />
      <strong>{label}</strong>
      <span class="detail">
        {/* What is wrong stands below too, in full. */}
        <span class={tone === "good" ? "" : "what"}>{detail}</span>
        {more.length > 0 ? ` and ${more.length} more` : ""}
        {view ? <span class="as-of">as of {time(view.asOf)}</span> : null}
      </span>
    </div>
  );
}

/** Everything that is wrong, above all else; nothing while all is well. */
export function Worst({ known }: { readonly known: Known }): VNode | null {
  const all = findings(known).filter(({ tone }) => tone !== "good");
  // That the page loads is nothing wrong.
  if (all.length === 0 || !known.view && !known.fault) return null;
  return (
    <section class="worst" aria-label="What is wrong">
      <ul>
        {all.map(({ tone, label, detail }) => (
          <li key={`${label} ${detail}`} class={tone}>
            <strong>{label}</strong> {detail}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The numbers that matter most. */
export function Tiles({ view }: { readonly view: View }): VNode {
  const now = sampleOf(view.asOf, view.instances, undefined);
  const { behind, connected, metrics } = view;
  const head = view.latest["blocks"];
  const tiles: readonly (readonly [string, string, string])[] = [
    [
      "Connections",
      whole(now.connections),
      `${whole(behind)} of ${whole(connected)} sessions behind`,
    ],
    ["Published", few(now.published), "events a second"],
    ["Delivered", few(now.delivered), "a second"],
    [
      "Newest block",
      head === undefined ? "–" : span(view.asOf - head),
      head === undefined ? "none yet" : "ago",
    ],
    [
      "Commit",
      metrics.log ? `${metrics.log.commitTimeMs.toFixed(1)} ms` : "–",
      metrics.log ? `${metrics.log.failures} failed, this instance` : "",
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

/** What is drawn of the last hour. */
const CHARTS: readonly Omit<LineProps, "samples">[] = [
  {
    title: "Connections",
    colour: "--accent",
    value: (it) => it.connections,
    words: whole,
  },
  {
    title: "Published a second",
    colour: "--violet",
    value: (it) => it.published,
    words: few,
  },
  {
    title: "Delivered a second",
    colour: "--good",
    value: (it) => it.delivered,
    words: few,
  },
  {
    title: "Delivery, 95th percentile",
    colour: "--busy",
    value: (it) => it.deliveryMs,
    words: (ms) => `${few(ms)} ms`,
  },
];

/** The last hour. */
export function Charts({ memory }: { readonly memory: Memory }): VNode {
  return (
    <section class="charts" aria-label="The last hour">
      {CHARTS.map((chart) => (
        <Line key={chart.title} {...chart} samples={memory.samples} />
      ))}
    </section>
  );
}

/** The result of each readiness check. */
export function Checks(
  { checks }: { readonly checks: View["checks"] },
): VNode {
  return (
    <ul class="checks">
      {Object.entries(checks).map(([name, { ok, degraded, detail }]) => (
        <li key={name}>
          <span
            class={`chip ${ok ? degraded ? "warning" : "online" : "error"}`}
          >
            {ok ? degraded ? "degraded" : "ok" : "down"}
          </span>
          <strong>{name}</strong>
          <span class="sub">{detail}</span>
        </li>
      ))}
    </ul>
  );
}

/** The instances that serve. */
export function Instances({ view }: { readonly view: View }): VNode {
  return (
    <Table
      label="Instances"
      columns={[
        ...texts("Instance"),
        ...numbers(
          "Up",
          "Connections",
          "Total",
          "Published/s",
          "Delivered/s",
          "Frames in/s",
          "Memory",
        ),
      ]}
    >
      {view.instances.toSorted((a, b) => a.id < b.id ? -1 : 1).map((it) => (
        <tr key={it.id}>
          <th scope="row" class="mono" title={it.id}>{sourceOf(it.id)}</th>
          <td class="number">{span(view.asOf - it.startedAt)}</td>
          <td class="number">{whole(it.connections)}</td>
          <td class="number">{whole(it.totalConnections)}</td>
          <td class="number">{few(it.throughput.broadcastsPerSecond)}</td>
          <td class="number">{few(it.throughput.eventsPerSecond)}</td>
          <td class="number">{few(it.throughput.messagesPerSecond)}</td>
          <td class="number">{bytes(it.memoryUsage)}</td>
        </tr>
      ))}
    </Table>
  );
}

/** The part of a name in which instances differ. */
function sourceOf(id: string): string {
  return id.length === 26 ? id.slice(10, 18) : id;
}
