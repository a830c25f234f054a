/**
 * The report as a page that needs nothing else.
 *
 * @module
 */
import type { BenchMetrics } from "./metrics.ts";
import type { BenchOptions } from "./options.ts";
import { reportOf } from "./report.ts";

/** Size of a chart, in its own units. */
const WIDTH = 720;
const HEIGHT = 260;
const LEFT = 72;
const BOTTOM = 36;
const TOP = 12;
const RIGHT = 16;
/** Lines of the grid. */
const GRID = 4;

/** A line of a chart. */
interface Line {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** A chart. */
interface Chart {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly Line[];
  /** Where the x axis is marked, and with what. */
  readonly marks: readonly (readonly [x: number, label: string])[];
}

/** Writes the page. */
export function pageOf(metrics: BenchMetrics, options: BenchOptions): string {
  const charts = [percentileChart(metrics), ...timeCharts(metrics)];
  const { grade } = metrics;
  const asked =
    `${options.clients} clients, ${options.duration} s, ${options.broadcastRate} broadcasts/s, ${options.messageRate} messages/s`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>KALDRIX Realtime: ${escape(grade.overall)}</title>
<style>${STYLE}</style>
<main>
<h1>WebSocket performance: ${escape(grade.overall)}</h1>
<p>${escape(asked)}; ${new Date().toISOString()}</p>
${charts.map(draw).join("\n")}
<pre>${escape(reportOf(metrics))}</pre>
</main>
</html>
`;
}

/** Percentiles towards 100 matter most, so each 9 gets as much room. */
function nines(percentile: number): number {
  return -Math.log10(1 - Math.min(percentile, 99.999) / 100);
}

function percentileChart({ percentiles }: BenchMetrics): Chart {
  const shown = percentiles.filter(({ percentile }) => percentile < 100);
  return {
    title: "Event delivery time by percentile",
    unit: "ms",
    lines: [{
      name: "delivery time",
      points: shown.map(({ percentile, ms }) => [nines(percentile), ms]),
    }],
    marks: [0, 50, 90, 99, 99.9, 99.99].map((p) => [nines(p), `${p}%`]),
  };
}

function timeCharts({ samples, uptime }: BenchMetrics): Chart[] {
  const marks = [0, 0.25, 0.5, 0.75, 1].map((part): [number, string] => [
    part * uptime,
    `${Number((part * uptime).toFixed(1))} s`,
  ]);
  const line = (name: "p50" | "p95" | "p99"): Line => ({
    name,
    points: samples.map((sample) => [sample.at, sample[name]]),
  });
  return [
    {
      title: "Throughput over time",
      unit: "events/s",
      lines: [{
        name: "events/s",
        points: samples.map(({ at, eventsPerSecond }) => [at, eventsPerSecond]),
      }],
      marks,
    },
    {
      title: "Event delivery time over time",
      unit: "ms",
      lines: [line("p50"), line("p95"), line("p99")],
      marks,
    },
  ];
}

function draw({ title, unit, lines, marks }: Chart): string {
  const xs = marks.map(([x]) => x);
  const [least, most] = [Math.min(...xs), Math.max(...xs)];
  const top = ceiling(
    Math.max(...lines.flatMap(({ points }) => points.map(([, y]) => y)), 0),
  );
  const atX = (x: number) =>
    LEFT + (x - least) / (most - least || 1) * (WIDTH - LEFT - RIGHT);
  const atY = (y: number) =>
    HEIGHT - BOTTOM - y / top * (HEIGHT - BOTTOM - TOP);
  const grid = Array.from({ length: GRID + 1 }, (_, i) => top * i / GRID)
    .map((y) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${
        round(atY(y))
      }" y2="${round(atY(y))}"/><text class="y" x="${LEFT - 8}" y="${
        round(atY(y) + 4)
      }">${label(y)}</text>`
    );
  const ticks = marks.map(([x, text]) =>
    `<text class="x" x="${round(atX(x))}" y="${HEIGHT - 12}">${
      escape(text)
    }</text>`
  );
  const paths = lines.map(({ points, name }, i) =>
    `<polyline class="line l${i}" points="${
      points.map(([x, y]) => `${round(atX(x))},${round(atY(y))}`).join(" ")
    }"><title>${escape(name)}</title></polyline>`
  );
  const legend = lines.map(({ name }, i) =>
    `<span class="l${i}">${escape(name)}</span>`
  ).join(" ");
  return `<figure><figcaption>${
    escape(title)
  } <small>${unit} ${legend}</small></figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(title)}">
${[...grid, ...ticks, ...paths].join("\n")}
</svg></figure>`;
}

/** The least round number that is no less than `value`. */
function ceiling(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 2.5, 5, 10].find((each) => each * power >= value)!;
  return step * power;
}

const round = (value: number) => Number(value.toFixed(1));

function label(value: number): string {
  return value >= 10_000
    ? `${Number((value / 1_000).toFixed(1))}k`
    : String(Number(value.toFixed(3)));
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
figure { margin: 2rem 0; }
figcaption { font-weight: 600; }
small { font-weight: 400; opacity: 0.8; }
svg { width: 100%; height: auto; }
text { fill: currentColor; font-size: 12px; }
.y { text-anchor: end; }
.x { text-anchor: middle; }
.grid { stroke: currentColor; opacity: 0.15; }
.line { fill: none; stroke-width: 2; }
.l0 { stroke: #0a7ea4; color: #0a7ea4; }
.l1 { stroke: #c77700; color: #c77700; }
.l2 { stroke: #c0392b; color: #c0392b; }
pre { overflow-x: auto; }
`;
