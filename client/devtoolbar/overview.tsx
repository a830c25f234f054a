/**
 * How the connection is, in figures and over time.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { ComponentChildren, VNode } from "preact";
import type { ClientState } from "../types.ts";
import { gradeOf, GRADES } from "./health.ts";
import { MAX_SECONDS } from "./recording.ts";
import type { Recording } from "./recording.ts";

/** The connection's health. */
export function Overview(
  { state, recording }: {
    readonly state: ClientState;
    readonly recording: Recording;
  },
): VNode {
  const now = Date.now();
  const grade = state.isConnected ? gradeOf(state.messageLatency) : undefined;
  const { received, sent } = recording.throughput(now);
  const latency = recording.latency(now);
  const trouble = state.connectionError ?? state.lastError;
  return (
    <div class="overview">
      <div class="health">
        <p>
          <span class="sub">Connection health</span>
          <br />
          <span class={`grade ${grade ?? ""}`}>
            {grade ?? (state.isConnected ? "Measuring" : "No connection")}
          </span>
        </p>
        <ul class="scale">
          {GRADES.map(({ name, belowMs }, i) => (
            <li key={name} class={name === grade ? `on ${name}` : ""}>
              {name}
              <br />
              {belowMs === Infinity
                ? `from ${GRADES[i - 1]!.belowMs} ms`
                : `under ${belowMs} ms`}
            </li>
          ))}
        </ul>
        <dl class="facts">
          <Fact name="Latency" value={milliseconds(state.messageLatency)} />
          <Fact name="Round trip" value={milliseconds(state.roundTripMs)} />
          <Fact name="Received" value={`${received.toFixed(1)}/s`} />
          <Fact name="Sent" value={`${sent.toFixed(1)}/s`} />
          <Fact name="On the wire" value={bytes(recording.wireBytes)} />
          <Fact name="As text" value={bytes(recording.textBytes)} />
          <Fact name="Events" value={String(state.received)} />
          <Fact name="Waiting" value={String(state.pending)} />
          <Fact name="Gaps" value={String(state.gaps)} />
          <Fact name="Reconnects" value={String(state.reconnects)} />
          <Fact
            name="Identity"
            value={state.identity
              ? state.identity.user ?? state.identity.role
              : "–"}
          />
        </dl>
      </div>
      <div class="charted">
        <p class="row sub">
          <span>
            <span class="key latency">latency</span>{" "}
            <span class="key bars">messages a second</span>
          </span>
          <span>
            {latency &&
              `p50 ${latency.p50.toFixed(1)} · p95 ${
                latency.p95.toFixed(1)
              } · max ${latency.max.toFixed(1)} ms`}
          </span>
        </p>
        <Chart recording={recording} now={now} />
        {trouble && (
          <p class="sub">
            Last trouble: <span class="mono rejected">{trouble.code}</span>{" "}
            {trouble.message !== trouble.code && trouble.message}
          </p>
        )}
        <p class="sub">
          Session <span class="mono">{state.sessionId ?? "–"}</span>, clock{" "}
          {Math.round(state.clockOffsetMs)} ms off
        </p>
      </div>
    </div>
  );
}

function Fact(
  { name, value }: { readonly name: string; readonly value: string },
): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd title={value}>{value}</dd>
    </div>
  );
}

/** Shortest time that the chart spans, in seconds. */
const MIN_SPAN = 30;

/** Bars: messages a second; line: middle latency; dashes: the grades' ends. */
function Chart(
  { recording, now }: { readonly recording: Recording; readonly now: number },
): ComponentChildren {
  const height = 100;
  const end = Math.floor(now / 1000);
  const { seconds } = recording;
  const age = end - (seconds[0]?.second ?? end) + 1;
  const span = Math.min(MAX_SECONDS, Math.max(MIN_SPAN, age));
  const points = seconds.map((each) => ({
    x: span - (end - each.second),
    messages: each.received + each.sent,
    latency: [...each.latencies].sort((a, b) => a - b)[
      each.latencies.length >> 1
    ],
  })).filter(({ x }) => x >= 1);
  const most = Math.max(4, ...points.map(({ messages }) => messages));
  const slowest = Math.max(
    12,
    ...points.map(({ latency }) => (latency ?? 0) * 1.2),
  );
  const y = (latency: number) => height - latency / slowest * height;
  const limits = GRADES.filter(({ belowMs }) => belowMs < slowest);
  // Others would lie upon each other.
  const marked = limits.filter(({ belowMs }) => belowMs > slowest * 0.07);
  return (
    <div class="chart">
      <svg
        viewBox={`0 0 ${span} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`The last ${span} seconds: latency up to ` +
          `${slowest.toFixed(0)} ms, up to ${most} messages a second`}
      >
        {limits.map(({ belowMs }) => (
          <line
            key={belowMs}
            class="limit"
            x1={0}
            x2={span}
            y1={y(belowMs)}
            y2={y(belowMs)}
          />
        ))}
        <path
          class="bars"
          d={points.map(({ x, messages }) => {
            const top = messages / most * height * 0.6;
            return `M${x - 0.9} ${height}h.8v${-top}h-.8z`;
          }).join("")}
        />
        <path
          class="latency"
          d={points.filter(({ latency }) => latency !== undefined)
            .map(({ x, latency }, i) =>
              `${i === 0 ? "M" : "L"}${x - 0.5} ${y(latency!).toFixed(2)}`
            ).join("")}
        />
      </svg>
      {marked.map(({ belowMs }) => {
        const top = `${y(belowMs)}%`;
        return (
          <span key={belowMs} class="mark" style={{ top }}>{belowMs} ms</span>
        );
      })}
      <span class="mark most">{most}/s</span>
      <span class="mark span">{span} s</span>
    </div>
  );
}

/** An amount of data in the unit that suits it. */
function bytes(count: number): string {
  if (count < 1_000) return `${count} B`;
  return count < 1e6
    ? `${(count / 1e3).toFixed(1)} kB`
    : `${(count / 1e6).toFixed(1)} MB`;
}

/** A duration, or a dash while unknown. */
export function milliseconds(value: number | null): string {
  return value === null ? "–" : `${value.toFixed(1)} ms`;
}
