/**
 * Events a second and their latency over the last two minutes.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef } from "preact";
import type { VNode } from "preact";
import uPlot from "uplot";
import { MAX_SAMPLES } from "./model.ts";
import type { Sample } from "./model.ts";

/** What the chart shows. */
export interface ChartProps {
  /** Oldest first. */
  readonly samples: readonly Sample[];
  /** Differs when the samples do. */
  readonly revision: string;
}

/** The chart; it draws when its revision changes, at most once a second. */
export class Chart extends Component<ChartProps> {
  readonly #box = createRef<HTMLDivElement>();
  #plot: uPlot | undefined;
  #resized: ResizeObserver | undefined;
  #dark: MediaQueryList | undefined;

  /** Whether to draw; called by Preact. */
  override shouldComponentUpdate(next: ChartProps): boolean {
    if (next.revision !== this.props.revision) {
      this.#plot?.setData(columns(next.samples));
    }
    return false;
  }

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    const box = this.#box.current!;
    this.#make();
    this.#resized = new ResizeObserver(() =>
      this.#plot?.setSize({
        width: box.clientWidth,
        height: box.clientHeight,
      })
    );
    this.#resized.observe(box);
    this.#dark = matchMedia("(prefers-color-scheme: dark)");
    this.#dark.addEventListener("change", this.#make);
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    this.#dark?.removeEventListener("change", this.#make);
    this.#resized?.disconnect();
    this.#plot?.destroy();
  }

  /** The elements; called by Preact. */
  render(): VNode {
    return (
      <div
        class="chart"
        role="img"
        aria-label="Events a second and their latency, last two minutes"
        ref={this.#box}
      />
    );
  }

  #make = (): void => {
    const box = this.#box.current!;
    this.#plot?.destroy();
    const style = getComputedStyle(box);
    const ink = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: ink("--muted"),
      font: `11px Geist, system-ui, sans-serif`,
      grid: { stroke: ink("--line"), width: 1 },
      ticks: { show: false },
    };
    this.#plot = new uPlot(
      {
        width: box.clientWidth,
        height: box.clientHeight,
        cursor: { y: false, points: { size: 6 } },
        legend: { show: false },
        padding: [10, 0, 0, 0],
        scales: {
          x: { time: true },
          events: { range: (_, __, max) => [0, Math.max(4, max * 1.15)] },
          latency: { range: (_, __, max) => [0, Math.max(10, max * 1.6)] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 26,
            space: 70,
            values: (_, ticks) =>
              ticks.map((tick) => clock.format(tick * 1000)),
          },
          { ...axis, scale: "events", size: 34, space: 36 },
          {
            ...axis,
            scale: "latency",
            side: 1,
            size: 34,
            space: 36,
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
            points: { show: false },
          },
        ],
      },
      columns(this.props.samples),
      box,
    );
  };
}

const clock = new Intl.DateTimeFormat("en", {
  timeStyle: "medium",
  hourCycle: "h23",
});

/** Shortest time the chart spans, in seconds. */
const MIN_SPAN = 30;

/**
 * Samples as uPlot takes them: `null` breaks a line, nothing is passed over.
 */
function columns(samples: readonly Sample[]): uPlot.AlignedData {
  const last = samples.at(-1)?.second ?? Math.floor(Date.now() / 1000);
  const bySecond = new Map(samples.map((sample) => [sample.second, sample]));
  const known = last - (samples[0]?.second ?? last) + 1;
  const span = Math.min(MAX_SAMPLES, Math.max(MIN_SPAN, known));
  const x = Array.from({ length: span }, (_, i) => last - span + 1 + i);
  return [
    x,
    x.map((second) => bySecond.get(second)?.events ?? null),
    x.map((second) => bySecond.get(second)?.latency),
  ];
}
