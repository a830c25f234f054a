/**
 * Events a second and their latency over the last two minutes.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import type uPlot from "uplot";
import { MAX_SAMPLES } from "./model.ts";
import type { Sample } from "./rows.ts";
import { clockTime } from "./words.ts";
import { Plot } from "./plot.tsx";
import type { PlotProps } from "./plot.tsx";

/** The chart. `samples` has the oldest first. */
export function Chart(
  { samples }: { readonly samples: readonly Sample[] },
): VNode {
  return (
    <Plot
      class="chart"
      label="Events a second and their latency, last two minutes"
      data={columns(samples)}
      describe={describe}
    />
  );
}

/** Steps between ticks: round in the decimal system. */
const STEPS = [0, 1, 2, 3, 4, 5, 6]
  .flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));
const VERTICAL = { size: 40, space: 36, labelSize: 18, incrs: STEPS };

const describe: PlotProps["describe"] = (ink) => ({
  padding: [10, 0, 0, 0],
  scales: {
    x: { time: true },
    events: { range: (_, __, max) => [0, Math.max(4, max * 1.15)] },
    latency: { range: (_, __, max) => [0, Math.max(10, max * 1.6)] },
  },
  axes: [
    {
      grid: { show: false },
      size: 26,
      space: 70,
      values: (_, ticks) => ticks.map((tick) => clockTime(tick * 1000)),
    },
    { scale: "events", label: "events/s", ...VERTICAL },
    {
      scale: "latency",
      label: "ms",
      side: 1,
      ...VERTICAL,
      grid: { show: false },
    },
  ],
  series: [
    {},
    {
      label: "events/s",
      scale: "events",
      stroke: ink("--accent"),
      width: 1.6,
      fill: ink("--accent-soft"),
      points: { show: false },
    },
    {
      label: "latency, ms",
      scale: "latency",
      stroke: ink("--violet"),
      width: 1.4,
      points: {
        show: true,
        size: 4,
        fill: ink("--violet"),
        filter: ({ data }, line) => alone([...data[line]!]),
      },
    },
  ],
});

/** Where a line has one point only, which is drawn as a dot. */
export function alone(
  values: readonly (number | null | undefined)[],
): number[] {
  const ends = (from: number, by: 1 | -1): boolean => {
    let at = from + by;
    while (values[at] === undefined && at >= 0 && at < values.length) at += by;
    return typeof values[at] !== "number";
  };
  return values.flatMap((value, at) =>
    typeof value === "number" && ends(at, 1) && ends(at, -1) ? [at] : []
  );
}

/** Shortest time the chart spans, in seconds. */
const MIN_SPAN = 30;

/** Longest silence, in seconds, across which the line of latencies is drawn. */
export const MAX_SILENCE = 30;

/**
 * Samples as uPlot takes them: `null` breaks a line, nothing is passed over.
 */
export function columns(samples: readonly Sample[]): uPlot.AlignedData {
  const last = samples.at(-1)?.second ?? Math.floor(Date.now() / 1000);
  const bySecond = new Map(samples.map((sample) => [sample.second, sample]));
  const known = last - (samples[0]?.second ?? last) + 1;
  const span = Math.min(MAX_SAMPLES, Math.max(MIN_SPAN, known));
  const x = Array.from({ length: span }, (_, i) => last - span + 1 + i);
  return [
    x,
    x.map((second) => bySecond.get(second)?.events ?? null),
    latencies(x, bySecond),
  ];
}

/** A latency of each second; nothing is measured while nothing arrives. */
function latencies(
  x: readonly number[],
  bySecond: ReadonlyMap<number, Sample>,
): (number | null | undefined)[] {
  let known = -Infinity;
  return x.map((second) => {
    const latency = bySecond.get(second)?.latency;
    if (typeof latency === "number") known = second;
    const isSilent = latency === undefined && second - known > MAX_SILENCE;
    return isSilent ? null : latency;
  });
}
