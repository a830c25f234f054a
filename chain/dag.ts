/**
 * The nodes of a DAG, folded from the events of `dag`: the known nodes, and
 * those without children.
 *
 * @module
 */
import type { Payload, Place } from "./chain_events.ts";
import { EqualParts } from "./equal_parts.ts";
import { UndoLog } from "./undo_log.ts";

/**
 * Most nodes stored, divided equally among publishers when full: the oldest
 * node of the publisher with the most nodes is evicted.
 */
export const MAX_DAG_NODES = 16_384;
/** Most edges stored, divided likewise. */
export const MAX_DAG_EDGES = 65_536;
/** Most unknown parents of a node that a mark names. */
export const MAX_MISSING_PARENTS = 64;

/** The position of the event that added a node; set once it is known. */
export interface NodePlace {
  /** The position. */
  place?: Place | undefined;
}

/** A node that was added. */
interface Node {
  readonly parents: ReadonlySet<string>;
  readonly at: NodePlace;
  /** The owner whose share it counts for: its first publisher. */
  readonly owner: string;
}

/** Stores the nodes of a DAG. */
export class Dag {
  /** Records steps, to undo them. */
  readonly undoLog: UndoLog = new UndoLog();
  readonly #nodes = new Map<string, Node>();
  /** Number of known nodes with that parent, by name. */
  readonly #children = new Map<string, number>();
  readonly #shares = new EqualParts();
  #edges = 0;
  #isWhole = true;

  /** Number of stored nodes. */
  get size(): number {
    return this.#nodes.size;
  }

  /** Whether no node was evicted. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /**
   * Unknown parents of a node to be added, at most
   * {@link MAX_MISSING_PARENTS}. The first node needs no known parents.
   */
  missing({ relatedNodes }: Payload): string[] {
    if (this.#nodes.size === 0) return [];
    const parents = new Set(relatedNodes as readonly string[]);
    return [...parents].filter((parent) => !this.#nodes.has(parent))
      .slice(0, MAX_MISSING_PARENTS);
  }

  /**
   * A `DAG_UPDATE` was published.
   *
   * @param payload its payload.
   * @param at its position, for the node that it adds.
   * @param owner whose share a new node counts for.
   */
  apply(payload: Payload, at: NodePlace, owner: string): void {
    const nodeId = payload["nodeId"] as string;
    const others = new Set(payload["relatedNodes"] as readonly string[]);
    const known = this.#nodes.get(nodeId);
    switch (payload["updateType"]) {
      case "NODE_ADDED":
        return this.#put(nodeId, {
          parents: others,
          at,
          owner: known?.owner ?? owner,
        });
      case "NODE_REMOVED":
        return this.#put(nodeId, undefined);
      case "EDGE_ADDED":
        if (!known) return;
        return this.#put(nodeId, {
          ...known,
          parents: known.parents.union(others),
        });
      case "EDGE_REMOVED":
        if (!known) return;
        return this.#put(nodeId, {
          ...known,
          parents: known.parents.difference(others),
        });
    }
  }

  /** Positions of the events of nodes without children, newest first. */
  tips(): Place[] {
    return [...this.#nodes]
      .filter(([name]) => !this.#children.has(name))
      .flatMap(([, { at }]) => at.place ?? [])
      .sort((a, b) => b.seq - a.seq);
  }

  /** A `CHAIN_RESET` that keeps nothing was published. */
  reset(): void {
    for (const name of [...this.#nodes.keys()]) this.#put(name, undefined);
  }

  /** Removes all. */
  clear(): void {
    this.#nodes.clear();
    this.#children.clear();
    this.#shares.clear();
    this.#edges = 0;
    this.#isWhole = true;
  }

  /** Evicts nodes beyond the bounds. */
  bound(): void {
    for (;;) {
      const isWide = this.#edges > MAX_DAG_EDGES;
      if (!isWide && this.#nodes.size <= MAX_DAG_NODES) return;
      const name = this.#shares.oldest(isWide ? "cost" : "names")!;
      const { parents, owner } = this.#nodes.get(name)!;
      this.#isWhole = false;
      this.#nodes.delete(name);
      this.#shares.leave(owner, name, parents.size);
      this.#children.delete(name);
      this.#edges -= parents.size;
      // A known parent has had a child, even if the child was evicted.
      for (const parent of parents) {
        if (!this.#nodes.has(parent)) this.#count(parent, -1);
      }
    }
  }

  #put(name: string, node: Node | undefined): void {
    const before = this.#nodes.get(name);
    this.#swap(name, before, node);
    this.undoLog.push(() => this.#swap(name, node, before));
  }

  #swap(name: string, from: Node | undefined, to: Node | undefined): void {
    for (const parent of from?.parents ?? []) this.#count(parent, -1);
    for (const parent of to?.parents ?? []) this.#count(parent, 1);
    this.#edges += (to?.parents.size ?? 0) - (from?.parents.size ?? 0);
    const held = this.#nodes.get(name);
    if (held) this.#shares.leave(held.owner, name, held.parents.size);
    if (to) {
      const owner = this.#shares.take(to.owner, name, to.parents.size);
      this.#nodes.set(name, { ...to, owner });
    } else this.#nodes.delete(name);
  }

  #count(parent: string, by: 1 | -1): void {
    const children = (this.#children.get(parent) ?? 0) + by;
    if (children > 0) this.#children.set(parent, children);
    else this.#children.delete(parent);
  }
}
