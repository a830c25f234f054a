/**
 * Draws the DAG: columns are layers, the newest at the right. Drawn at most
 * once a frame and only while something moves.
 *
 * @module
 */
/// <reference lib="dom" />
import type { Vertex } from "./rows.ts";

/** Pixels between two layers. */
const LAYER_PX = 62;
/** Pixels between the outermost lanes and the edge of the picture. */
const MARGIN_PX = 26;
/** Most lanes vertices of one layer are spread over. */
const MAX_LANES = 9;
/** Time a new vertex takes to appear, in milliseconds. */
const APPEAR_MS = 420;
/** Share of the remaining distance that the view moves each 60th of a second. */
const GLIDE = 0.11;
/** How many layers the view may be behind the newest. */
const MAX_LAG = 0.6;
/** How much heavier than one a vertex may look. */
const MAX_WEIGHT = 4;

interface Spot {
  readonly vertex: Vertex;
  readonly layer: number;
  readonly lane: number;
  readonly bornAt: number;
}

/** Colours of the picture. */
interface Ink {
  readonly line: string;
  readonly fresh: string;
  readonly body: string;
  readonly tip: string;
  readonly text: string;
  readonly surface: string;
}

/** A growing picture of a DAG on a canvas. */
export class DagPicture {
  readonly #canvas: HTMLCanvasElement;
  readonly #spots = new Map<string, Spot>();
  readonly #lanes = new Map<number, number>();
  readonly #calm: MediaQueryList;
  readonly #dark: MediaQueryList;
  readonly #resized: ResizeObserver;
  #ink: Ink | undefined;
  #head = 0;
  #view: number | undefined;
  #frame = 0;
  #drawnAt = 0;
  #until = 0;

  /**
   * Takes a canvas over.
   *
   * @param canvas sized by its style.
   */
  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    this.#calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.#dark = matchMedia("(prefers-color-scheme: dark)");
    this.#dark.addEventListener("change", this.#recolour);
    this.#resized = new ResizeObserver(() => this.#wake());
    this.#resized.observe(canvas);
  }

  /**
   * Takes over what the model knows now.
   *
   * @param vertices by identity, oldest first.
   */
  show(vertices: ReadonlyMap<string, Vertex>): void {
    const now = performance.now();
    for (const id of this.#spots.keys()) {
      if (!vertices.has(id)) this.#spots.delete(id);
    }
    let added = 0;
    for (const vertex of vertices.values()) {
      if (this.#spots.has(vertex.id)) continue;
      added++;
      this.#spots.set(vertex.id, this.#place(vertex, now));
    }
    // Many at once are history: shown as they are, without a show.
    if (added > MAX_LANES) {
      for (const [id, spot] of this.#spots) {
        this.#spots.set(id, { ...spot, bornAt: -APPEAR_MS });
      }
      this.#view = undefined;
    }
    const oldest = Math.min(...[...this.#spots.values()].map((s) => s.layer));
    for (const layer of this.#lanes.keys()) {
      if (layer < oldest) this.#lanes.delete(layer);
    }
    this.#until = now + APPEAR_MS;
    this.#wake();
  }

  /** Stops drawing for good. */
  dispose(): void {
    cancelAnimationFrame(this.#frame);
    this.#resized.disconnect();
    this.#dark.removeEventListener("change", this.#recolour);
  }

  #recolour = (): void => {
    this.#ink = undefined;
    this.#wake();
  };

  /** Lanes of a layer fill from the middle outwards, beside its parents. */
  #place(vertex: Vertex, now: number): Spot {
    const taken = this.#lanes.get(vertex.layer) ?? 0;
    this.#lanes.set(vertex.layer, taken + 1);
    const slot = taken % MAX_LANES;
    const side = slot % 2 === 0 ? 1 : -1;
    // A slight, lasting disorder keeps parallel chains apart to the eye.
    const sway = Math.sin(vertex.order * 2.39996) * 0.34;
    const lane = side * Math.ceil(slot / 2) + sway;
    this.#head = this.#spots.size === 0
      ? vertex.layer
      : Math.max(this.#head, vertex.layer);
    return { vertex, layer: vertex.layer, lane, bornAt: now };
  }

  #wake(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame((now) => {
      this.#frame = 0;
      this.#draw(now);
    });
  }

  #draw(now: number): void {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const context = this.#canvas.getContext("2d");
    if (!context || width === 0 || height === 0) return;
    const scale = devicePixelRatio;
    if (
      this.#canvas.width !== Math.round(width * scale) ||
      this.#canvas.height !== Math.round(height * scale)
    ) {
      this.#canvas.width = Math.round(width * scale);
      this.#canvas.height = Math.round(height * scale);
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);

    const calm = this.#calm.matches;
    const steps = Math.min(4, (now - this.#drawnAt) / (1000 / 60));
    this.#drawnAt = now;
    const view = Math.max(this.#view ?? this.#head, this.#head - MAX_LAG);
    const left = this.#head - view;
    this.#view = calm || Math.abs(left) < 0.002
      ? this.#head
      : view + left * (1 - (1 - GLIDE) ** steps);

    const ink = this.#ink ??= inkOf(this.#canvas);
    const lanePx = Math.min(46, (height / 2 - MARGIN_PX) / (MAX_LANES / 2));
    const lanesUsed = Math.max(2, ...this.#lanes.values());
    const spread = Math.min(
      (height / 2 - MARGIN_PX) / Math.ceil(Math.min(lanesUsed, MAX_LANES) / 2),
      lanePx * 1.7,
    );
    const xOf = (spot: Spot) =>
      width - MARGIN_PX * 1.6 - (this.#view! - spot.layer) * LAYER_PX;
    const yOf = (spot: Spot) => height / 2 + spot.lane * spread;
    const grown = (spot: Spot) =>
      calm ? 1 : easeOut(Math.min(1, (now - spot.bornAt) / APPEAR_MS));

    context.lineWidth = 1.25;
    for (const spot of this.#spots.values()) {
      const x = xOf(spot);
      if (x < -LAYER_PX * 2) continue;
      const y = yOf(spot);
      const share = grown(spot);
      context.strokeStyle = share < 1 || !spot.vertex.hasChildren
        ? ink.fresh
        : ink.line;
      for (const id of spot.vertex.parents) {
        const parent = this.#spots.get(id);
        // A parent that is no longer kept is left of the picture.
        const px = parent ? xOf(parent) : x - LAYER_PX * 2;
        const py = parent ? yOf(parent) : y;
        context.globalAlpha = fade(x, width) * share * (parent ? 1 : 0.4);
        context.beginPath();
        context.moveTo(px, py);
        const bend = (x - px) / 2;
        context.bezierCurveTo(px + bend, py, x - bend, y, x, y);
        context.stroke();
      }
    }
    for (const spot of this.#spots.values()) {
      const x = xOf(spot);
      if (x < -LAYER_PX) continue;
      const y = yOf(spot);
      const share = grown(spot);
      const tip = !spot.vertex.hasChildren;
      const weight = Math.max(0, Math.min(MAX_WEIGHT, spot.vertex.weight));
      const radius = (4.5 + 1.4 * Math.sqrt(weight)) * share;
      context.globalAlpha = fade(x, width);
      context.fillStyle = ink.surface;
      context.beginPath();
      context.arc(x, y, radius + 3, 0, Math.PI * 2);
      context.fill();
      if (tip) {
        context.globalAlpha = 0.22 * share;
        context.fillStyle = ink.tip;
        context.beginPath();
        context.arc(x, y, radius + 6, 0, Math.PI * 2);
        context.fill();
      }
      context.globalAlpha = fade(x, width);
      context.fillStyle = tip ? ink.tip : ink.body;
      context.beginPath();
      context.arc(x, y, radius, 0, Math.PI * 2);
      context.fill();
    }
    context.globalAlpha = 1;
    if (now < this.#until || this.#view !== this.#head) this.#wake();
  }
}

/** Older vertices fade towards the left edge. */
function fade(x: number, width: number): number {
  return Math.max(0.06, Math.min(1, x / (width * 0.35)));
}

function easeOut(share: number): number {
  return 1 - (1 - Math.max(0, share)) ** 3;
}

function inkOf(element: Element): Ink {
  const style = getComputedStyle(element);
  const ink = (name: string) => style.getPropertyValue(name).trim();
  return {
    line: ink("--dag-line"),
    fresh: ink("--dag-fresh"),
    body: ink("--dag-body"),
    tip: ink("--accent"),
    text: ink("--muted"),
    surface: ink("--surface"),
  };
}
