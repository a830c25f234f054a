/**
 * Lines over time, as the pages draw them.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef } from "preact";
import type { VNode } from "preact";
import type uPlot from "uplot";

const FONT = "11px Geist, system-ui, sans-serif";

/** A colour by the custom property that holds it. */
export type Ink = (name: string) => string;

/** What is drawn. */
export interface PlotProps {
  /** Read to users that do not see it. */
  readonly label: string;
  /** Its element's class. */
  readonly class?: string;
  /** Seconds since the Unix epoch, then a column a line. */
  readonly data: uPlot.AlignedData;
  /** How it is drawn; asked again when the colours change. */
  readonly describe: (
    ink: Ink,
  ) => Pick<uPlot.Options, "padding" | "scales" | "axes" | "series">;
}

/** A plot as large as its element. */
export class Plot extends Component<PlotProps> {
  readonly #box = createRef<HTMLDivElement>();
  #plot: uPlot | undefined;
  #resized: ResizeObserver | undefined;
  #dark: MediaQueryList | undefined;

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    const box = this.#box.current!;
    void this.#make();
    this.#resized = new ResizeObserver(() =>
      this.#plot?.setSize({ width: box.clientWidth, height: box.clientHeight })
    );
    this.#resized.observe(box);
    this.#dark = matchMedia("(prefers-color-scheme: dark)");
    this.#dark.addEventListener("change", this.#make);
  }

  /** Follows a drawing; called by Preact. */
  override componentDidUpdate(): void {
    this.#plot?.setData(this.props.data);
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    this.#dark?.removeEventListener("change", this.#make);
    this.#resized?.disconnect();
    this.#plot?.destroy();
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { label, class: name } = this.props;
    return <div class={name} role="img" aria-label={label} ref={this.#box} />;
  }

  #make = async (): Promise<void> => {
    const { default: uPlot } = await import("./uplot.ts");
    const box = this.#box.current;
    // The page may have changed while the library was loaded.
    if (!box) return;
    const { data, describe } = this.props;
    this.#plot?.destroy();
    const style = getComputedStyle(box);
    const ink = (name: string) => style.getPropertyValue(name).trim();
    const { axes = [], ...description } = describe(ink);
    this.#plot = new uPlot(
      {
        ...description,
        width: box.clientWidth,
        height: box.clientHeight,
        cursor: { y: false, points: { size: 6 } },
        legend: { show: false },
        axes: axes.map((axis) => ({
          stroke: ink("--muted"),
          font: FONT,
          labelFont: FONT,
          ticks: { show: false },
          grid: { stroke: ink("--line"), width: 1 },
          ...axis,
        })),
      },
      data,
      box,
    );
  };
}
