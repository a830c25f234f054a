/**
 * One line over the last hour.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef } from "preact";
import type { VNode } from "preact";
import uPlot from "uplot";
import { HISTORY_MS } from "./model.ts";
import type { Sample } from "./model.ts";

/** What a chart shows. */
export interface LineProps {
  /** Said above it. */
  readonly title: string;
  /** Custom property that holds its colour. */
  readonly ink: string;
  /** Oldest first. */
  readonly samples: readonly Sample[];
  /** The number shown; nothing leaves a hole. */
  readonly value: (sample: Sample) => number | undefined;
  /** The number in words. */
  readonly words: (value: number) => string;
}

/** Shortest time a chart spans, in seconds. */
const MIN_SPAN = 120;

/** A chart with its newest value in words. */
export class Line extends Component<LineProps> {
  readonly #box = createRef<HTMLDivElement>();
  #plot: uPlot | undefined;
  #resized: ResizeObserver | undefined;
  #dark: MediaQueryList | undefined;

  override componentDidMount(): void {
    const box = this.#box.current!;
    this.#make();
    this.#resized = new ResizeObserver(() =>
      this.#plot?.setSize({ width: box.clientWidth, height: box.clientHeight })
    );
    this.#resized.observe(box);
    this.#dark = matchMedia("(prefers-color-scheme: dark)");
    this.#dark.addEventListener("change", this.#make);
  }

  override componentDidUpdate(): void {
    this.#plot?.setData(this.#columns());
  }

  override componentWillUnmount(): void {
    this.#dark?.removeEventListener("change", this.#make);
    this.#resized?.disconnect();
    this.#plot?.destroy();
  }

  render(): VNode {
    const { title, samples, value, words } = this.props;
    const last = samples.at(-1);
    const now = last && value(last);
    return (
      <figure class="line">
        <figcaption>
          {title}
          <strong>{now === undefined ? "–" : words(now)}</strong>
        </figcaption>
        <div
          role="img"
          aria-label={`${title}, last hour`}
          ref={this.#box}
        />
      </figure>
    );
  }

  #columns(): uPlot.AlignedData {
    const { samples, value } = this.props;
    return [
      samples.map(({ at }) => at / 1_000),
      samples.map((sample) => value(sample) ?? null),
    ];
  }

  #make = (): void => {
    const box = this.#box.current!;
    this.#plot?.destroy();
    const style = getComputedStyle(box);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--muted"),
      font: "11px Geist, system-ui, sans-serif",
      ticks: { show: false },
    };
    this.#plot = new uPlot(
      {
        width: box.clientWidth,
        height: box.clientHeight,
        cursor: { y: false, points: { size: 6 } },
        legend: { show: false },
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
            ...axis,
            grid: { show: false },
            size: 24,
            space: 80,
            values: (_, ticks) =>
              ticks.map((tick) =>
                new Date(tick * 1_000).toLocaleTimeString([], {
                  hour: "2-digit",
                  minute: "2-digit",
                })
              ),
          },
          {
            ...axis,
            grid: { stroke: colour("--line"), width: 1 },
            size: 52,
            space: 34,
            values: (_, ticks) => ticks.map((it) => this.props.words(it)),
          },
        ],
        series: [
          {},
          {
            stroke: colour(this.props.ink),
            width: 1.6,
            fill: `color-mix(in srgb, ${
              colour(this.props.ink)
            } 12%, transparent)`,
            points: { show: false },
          },
        ],
      },
      this.#columns(),
      box,
    );
  };
}
