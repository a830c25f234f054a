/**
 * The DAG as it grows. Each vertex leads to the page of its block.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef } from "preact";
import type { VNode } from "preact";
import { DagLayout } from "./dag_layout.ts";
import type { Spot } from "./dag_layout.ts";
import { Empty } from "./panels.tsx";
import type { Vertex } from "./rows.ts";
import { blockPath, brief, counted } from "./words.ts";

/** Pixels between two layers. */
const LAYER_PX = 68;
/** Pixels between the newest layer and the right edge. */
const RIGHT_PX = 48;
/** Pixels between the outermost lanes and the upper and lower edges. */
const MARGIN_PX = 52;
/** Most pixels between two lanes. */
const MAX_LANE_PX = 130;
/** How much heavier than one a vertex may look. */
const MAX_WEIGHT = 4;
/** Layers until places are counted from another one: a picture's numbers are not exact. */
const MAX_SCENE = 1_000;
/** Layers that the picture glides on; it jumps over more. */
const MAX_GLIDE = 3;
/** Size before it was measured, in pixels. */
const SIZE = { width: 900, height: 380 };

/** What is drawn. */
export interface DagProps {
  /** By identity, oldest first. */
  readonly vertices: ReadonlyMap<string, Vertex>;
  /** The text shown while no data is known. */
  readonly lack?: string | undefined;
}

/** The picture, as large as its place. */
export class Dag extends Component<DagProps, typeof SIZE> {
  /** Its size in pixels. */
  override state: typeof SIZE = SIZE;
  readonly #frame = createRef<HTMLDivElement>();
  readonly #layout = new DagLayout();
  #head = 0;
  /** Layer from which places are counted, until the head jumps. */
  #base = 0;
  #resized: ResizeObserver | undefined;

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    const frame = this.#frame.current!;
    this.#resized = new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = frame;
      if (width !== this.state.width || height !== this.state.height) {
        this.setState({ width, height });
      }
    });
    this.#resized.observe(frame);
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    this.#resized?.disconnect();
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { vertices, lack } = this.props;
    const { width, height } = this.state;
    const spots = this.#layout.place(vertices);
    const head = Math.max(0, ...[...vertices.values()].map((it) => it.layer));
    const glided = Math.abs(head - this.#head);
    if (glided > MAX_GLIDE || head - this.#base > MAX_SCENE) this.#base = head;
    this.#head = head;
    const base = this.#base;
    const oldest = head - Math.ceil(width / LAYER_PX) - 1;
    const shown = [...spots.values()].filter(({ vertex }) =>
      vertex.layer >= oldest
    );
    const reach = Math.max(1, ...shown.map(({ lane }) => Math.abs(lane)));
    const lanePx = Math.min(MAX_LANE_PX, (height / 2 - MARGIN_PX) / reach);
    const at = ({ vertex, lane }: Spot): Point => ({
      x: (vertex.layer - base) * LAYER_PX,
      y: Math.round(lane * lanePx),
    });
    const left = width - RIGHT_PX - (head - base) * LAYER_PX;
    const tips = [...vertices.values()].filter((it) => !it.hasChildren).length;
    return (
      <div class="dag-frame" ref={this.#frame}>
        <svg
          role="group"
          aria-label={`DAG: ${counted(vertices.size, "vertex", "vertices")}, ` +
            counted(tips, "tip")}
        >
          <g
            // Another size is no movement of the chain: nothing glides to it.
            key={`${base}:${width}`}
            class="glide"
            style={{ transform: `translate(${left}px, ${height / 2}px)` }}
          >
            {shown.map((spot) => (
              <Edges key={spot.vertex.id} spot={spot} spots={spots} at={at} />
            ))}
            {shown.map(({ vertex, lane }) => (
              <Node key={vertex.id} vertex={vertex} at={at({ vertex, lane })} />
            ))}
          </g>
        </svg>
        {vertices.size === 0 && (
          <Empty>{lack ?? "Waiting for the first vertex"}</Empty>
        )}
        {!lack && (
          <p class="legend">
            <span class="key tip">{counted(tips, "tip")}</span>
            <span class="key body">{vertices.size - tips} built upon</span>
          </p>
        )}
      </div>
    );
  }
}

interface Point {
  readonly x: number;
  readonly y: number;
}

/** Lines from a vertex to what it builds on. */
function Edges(
  { spot, spots, at }: {
    readonly spot: Spot;
    readonly spots: ReadonlyMap<string, Spot>;
    readonly at: (spot: Spot) => Point;
  },
): VNode {
  const { x, y } = at(spot);
  const lines = [...spot.vertex.parents].map((id) => {
    const parent = spots.get(id);
    // A parent that is no longer kept is left of the picture.
    const from = parent ? at(parent) : { x: x - 2 * LAYER_PX, y };
    const bend = (x - from.x) / 2;
    return `M${from.x} ${from.y}C${from.x + bend} ${from.y} ${
      x - bend
    } ${y} ${x} ${y}`;
  });
  return (
    <path
      class={spot.vertex.hasChildren ? "edge" : "edge fresh"}
      d={lines.join("")}
    />
  );
}

/** A vertex. By keyboard its tips are reached, and from those their parents. */
function Node(
  { vertex, at: { x, y } }: { readonly vertex: Vertex; readonly at: Point },
): VNode {
  const { id, hasChildren, layer } = vertex;
  const weight = Math.max(0, Math.min(MAX_WEIGHT, vertex.weight));
  // The accessible name contains the visible text, for speech control.
  const name = brief(id, 6, 0);
  return (
    <a
      class={hasChildren ? "vertex" : "vertex tip"}
      href={blockPath(id)}
      tabIndex={hasChildren ? -1 : 0}
      aria-label={`Block ${name}, layer ${layer}${hasChildren ? "" : ", tip"}`}
    >
      <circle class="reach" cx={x} cy={y} r={16} />
      <circle class="body" cx={x} cy={y} r={5.5 + 1.6 * Math.sqrt(weight)} />
      <text x={x} y={y + 24}>{name}</text>
    </a>
  );
}
