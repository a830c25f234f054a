/**
 * One line over the last hour.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import { Plot } from "../page/plot.tsx";
import type { PlotProps } from "../page/plot.tsx";
import { HISTORY_MS, time } from "./model.ts";
import type { Sample } from "./model.ts";

/** What a chart shows. */
export interface LineProps {
  /** Heading. */
  readonly title: string;
  /** Custom property that holds its colour. */
  readonly colour: string;
  /** Oldest first. */
  readonly samples: readonly Sample[];
  /** The number shown; absent: a hole in the line. */
  readonly value: (sample: Sample) => number | undefined;
  /** The number in words. */
  readonly words: (value: number) => string;
}

/** Shortest time a chart spans, in seconds. */
const MIN_SPAN = 120;

/** A chart with its newest value in words. */
export function Line(props: LineProps): VNode {
  const { title, samples, value, words } = props;
  const last = samples.at(-1);
  const now = last && value(last);
  return (
    <figure class="line">
      <figcaption>
        {title}
        <strong>{now === undefined ? "–" : words(now)}</strong>
      </figcaption>
      <Plot
        label={`${title}, last hour`}
        data={[
          samples.map(({ at }) => at / 1_000),
          samples.map((sample) => value(sample) ?? null),
        ]}
        describe={describe(props)}
      />
    </figure>
  );
}

function describe({ colour, words }: LineProps): PlotProps["describe"] {
  return (ink) => ({
    padding: [8, 4, 0, 0],
    scales: {
      x: {
        time: true,
        range: (_, least, most) => {
          const to = most ?? Date.now() / 1_000;
          const from = Math.max(least ?? to, to - HISTORY_MS / 1_000);
          return [Math.min(from, to - MIN_SPAN), to];
        },
      },
      y: { range: (_, __, most) => [0, Math.max(1, (most ?? 0) * 1.2)] },
    },
    axes: [
      {
        grid: { show: false },
        size: 24,
        space: 80,
        values: (_, ticks) =>
          ticks.map((tick) => time(tick * 1_000).slice(0, -":00".length)),
      },
      {
        size: 52,
        space: 34,
        values: (_, ticks) => ticks.map(words),
      },
    ],
    series: [
      {},
      {
        stroke: ink(colour),
        width: 1.6,
        fill: `color-mix(in srgb, ${ink(colour)} 12%, transparent)`,
        points: { show: false },
      },
    ],
  });
}
