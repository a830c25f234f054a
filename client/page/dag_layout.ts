/**
 * Where the vertices of a DAG are drawn: columns are layers, the newest at the
 * right; rows are lanes, filled from the middle outwards. A vertex keeps its
 * place for as long as it is kept.
 *
 * @module
 */
import type { Vertex } from "./rows.ts";

/** Most lanes that vertices of one layer are spread over. */
export const MAX_LANES = 9;

/** A vertex and its place. */
export interface Spot {
  /** What is there. */
  readonly vertex: Vertex;
  /** Lanes from the middle, downwards; not whole, so that parallel chains part. */
  readonly lane: number;
}

/** Finds places. */
export class DagLayout {
  readonly #spots = new Map<string, Spot>();
  /** How many vertices a layer has had. */
  readonly #taken = new Map<number, number>();

  /**
   * Takes over what is known now.
   *
   * @param vertices by identity, oldest first.
   * @returns their places by identity, in that order.
   */
  place(vertices: ReadonlyMap<string, Vertex>): ReadonlyMap<string, Spot> {
    for (const id of this.#spots.keys()) {
      if (!vertices.has(id)) this.#spots.delete(id);
    }
    for (const vertex of vertices.values()) {
      if (!this.#spots.has(vertex.id)) {
        this.#spots.set(vertex.id, { vertex, lane: this.#laneOf(vertex) });
      }
    }
    const oldest = Math.min(
      ...[...vertices.values()].map(({ layer }) => layer),
    );
    for (const layer of this.#taken.keys()) {
      if (layer < oldest) this.#taken.delete(layer);
    }
    return this.#spots;
  }

  #laneOf({ layer, order }: Vertex): number {
    const taken = this.#taken.get(layer) ?? 0;
    this.#taken.set(layer, taken + 1);
    const slot = taken % MAX_LANES;
    const side = slot % 2 === 0 ? 1 : -1;
    return side * Math.ceil(slot / 2) + Math.sin(order * 2.39996) * 0.34;
  }
}
