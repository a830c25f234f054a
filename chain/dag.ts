/**
 * The nodes of a DAG as the events of `dag` fold: which are known, and which
 * have no children.
 *
 * @module
 */
import type { Payload, Place } from "./chain_events.ts";
import { EqualParts } from "./equal_parts.ts";
import { UndoLog } from "./undo_log.ts";

/**
 * Nodes remembered, in equal parts where their publishers need more: of who
 * holds most the oldest is forgotten.
 */
export const MAX_DAG_NODES = 16_384;
/** Edges remembered, likewise. */
export const MAX_DAG_EDGES = 65_536;
/** Most unknown parents of a node that are named. */
export const MAX_MISSING_PARENTS = 64;

/** Where the event that added a node stands; set once that is known. */
export interface NodePlace {
  /** Its place. */
  place?: Place | undefined;
}

/** A node that was added. */
interface Node {
  readonly parents: ReadonlySet<string>;
  readonly at: NodePlace;
  /** Whose share it takes: of its first publisher. */
  readonly owner: string;
}

/** Remembers the nodes of a DAG. */
export class Dag {
  /** Tries steps, to be undone. */
  readonly undoLog: UndoLog = new UndoLog();
  readonly #nodes = new Map<string, Node>();
  /** How many known nodes have it as a parent, by name. */
  readonly #children = new Map<string, number>();
  readonly #shares = new EqualParts();
  #edges = 0;
  #isWhole = true;

  /** How many nodes are remembered. */
  get size(): number {
    return this.#nodes.size;
  }

  /** Whether none was forgotten. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /**
   * Parents of a node about to be added that are not known, at most
   * {@link MAX_MISSING_PARENTS}. The first node is a start.
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
   * @param payload of it.
   * @param at where it stands, for the node that it adds.
   * @param owner whose share that node takes, when it is not known yet.
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

  /** Where the events of nodes without children stand, the newest first. */
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

  /** Forgets all. */
  clear(): void {
    this.#nodes.clear();
    this.#children.clear();
    this.#shares.clear();
    this.#edges = 0;
    this.#isWhole = true;
  }

  /** Forgets what is beyond the bounds. */
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
      // A parent that is known has had a child, though that is forgotten.
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
