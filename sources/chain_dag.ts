/**
 * The DAG of a simulated chain: parents, the heaviest path, edges that are
 * added later, and blocks that lost against another of their layer.
 *
 * @module
 */
import { hash as digestOf } from "node:crypto";
import type { Event, PayloadOf } from "../protocol/messages.ts";
import { rounded } from "./chain_story.ts";
import type { Story } from "./chain_story.ts";

/** Most parents that a block is added with. */
export const MAX_PARENTS = 4;
/** Latest blocks remembered: parents, paths and resuming look no further. */
export const WINDOW = 64;
/** Most blocks of a new main path that are published. */
const MAX_PATH = 12;

/** A block as the DAG sees it. */
export interface DagBlock {
  /** Its name. */
  readonly hash: string;
  /** Blocks before it in the total order. */
  readonly height: number;
  /** One more than its highest parent's. */
  readonly layer: number;
  /** Its own. */
  readonly weight: number;
  /** Its own and that of the heaviest path below it. */
  readonly total: number;
  /** Their hashes. */
  readonly parents: string[];
  /** How many have it as a parent. */
  children: number;
}

/** A block that lost against another of its layer, and soon leaves the DAG. */
interface Rival {
  readonly hash: string;
  readonly layer: number;
  readonly parents: string[];
  /** Steps until its next edge, or it, is taken out. */
  steps: number;
}

/** The latest blocks of the DAG, and what changes about them. */
export class Dag {
  readonly #story: Story;
  readonly #blocks: DagBlock[] = [];
  #rivals: Rival[] = [];
  /** Head of the heaviest path. */
  #head: DagBlock | undefined;

  /** Begins without blocks. */
  constructor(story: Story) {
    this.#story = story;
  }

  /** The block added last. */
  get newest(): DagBlock | undefined {
    return this.#blocks.at(-1);
  }

  /** The block of a height, while it is remembered. */
  at(height: number): DagBlock | undefined {
    return this.#blocks.find((block) => block.height === height);
  }

  /**
   * Removes the newest block, after everything that depends on it.
   *
   * @param hash of the newest block.
   */
  remove(hash: string): void {
    const block = this.#blocks.pop()!;
    for (const rival of this.#rivals) {
      if (rival.parents.includes(hash)) this.#emitRemoved(rival);
    }
    this.#rivals = this.#rivals.filter(({ parents }) =>
      !parents.includes(hash)
    );
    for (const parent of this.#blocks) {
      if (block.parents.includes(parent.hash)) parent.children--;
    }
    this.#emitRemoved(block);
    this.#head = heaviest(this.#blocks);
  }

  /**
   * Resumes a published DAG.
   *
   * @param blocks at least one, oldest first.
   * @param events of `dag`, oldest first.
   */
  resume(
    blocks: readonly Event<"NEW_BLOCK">[],
    events: readonly Event<"DAG_UPDATE">[],
  ): void {
    for (const { payload } of blocks) this.#join(payload);
    const known = new Set<string>();
    const rivals = new Map<string, Rival>();
    for (const { payload } of events) {
      const { updateType, nodeId, relatedNodes, metadata } = payload;
      const rival = rivals.get(nodeId);
      if (updateType === "NODE_ADDED") {
        known.add(nodeId);
        if (metadata?.["candidate"] !== true) continue;
        rivals.set(nodeId, {
          hash: nodeId,
          layer: metadata.layer ?? 0,
          parents: [...relatedNodes],
          steps: this.#story.between(10, 30),
        });
      } else if (updateType === "EDGE_REMOVED" && rival) {
        const cut = relatedNodes[0];
        rival.parents.splice(rival.parents.indexOf(cut ?? ""), 1);
      } else if (updateType === "NODE_REMOVED") {
        rivals.delete(nodeId);
        known.delete(nodeId);
      } else if (updateType === "EDGE_ADDED") {
        const node = this.#blocks.find(({ hash }) => hash === nodeId);
        node?.parents.push(...relatedNodes);
      }
    }
    this.#rivals = [...rivals.values()];
    // A block may have been published, and its place in the DAG not.
    const newest = this.newest!;
    if (!known.has(newest.hash)) {
      this.#story.later(1, () => this.#emitAdded(newest));
    }
  }

  /** Parents of the next block: tips, but often not yet the newest of them. */
  chooseParents(): DagBlock[] {
    const { newest } = this;
    if (!newest) return [];
    const older = this.#blocks.filter(({ layer }) => layer < newest.layer);
    const abreast = this.#blocks.filter(({ layer }) => layer === newest.layer);
    // A block made before the newest one arrived does not refer to it.
    const unseen = older.length > 0 && abreast.length < 3 &&
      this.#story.chance(0.4);
    const seen = unseen ? older : this.#blocks;
    const anchor = seen.at(-1)!;
    const others = seen.filter((block) =>
      block.children === 0 && block !== anchor
    ).slice(0, MAX_PARENTS - 1);
    const extra = seen.slice(-6, -1).filter((block) =>
      block !== anchor && !others.includes(block) && this.#story.chance(0.25)
    );
    return [anchor, ...others, ...extra].slice(0, MAX_PARENTS);
  }

  /** Adds a block, and emits its place and the path that now leads. */
  add(block: PayloadOf<"NEW_BLOCK">): void {
    const before = this.#head;
    this.#emitAdded(this.#join(block));
    this.#emitPath(before);
  }

  /**
   * Sometimes adds a further parent to the newest block after it was added, and
   * rarely a rival block, which stays for a while.
   *
   * @param proposer of the newest block.
   */
  disturb(proposer: string): void {
    const block = this.newest!;
    if (this.#story.chance(0.12)) {
      this.#story.later(
        this.#story.between(2, 5),
        () => this.#addEdge(block),
      );
    }
    if (block.parents.length > 0 && this.#story.chance(0.02)) {
      this.#addRival(block, proposer);
    }
  }

  /** Removes rivals, edge by edge. */
  move(): void {
    for (const rival of this.#rivals) {
      if (--rival.steps > 0) continue;
      if (rival.parents.length > 1) {
        const parent = rival.parents.pop()!;
        rival.steps = this.#story.between(1, 5);
        this.#emitEdge("EDGE_REMOVED", rival, parent, 0);
        continue;
      }
      this.#emitRemoved(rival);
    }
    this.#rivals = this.#rivals.filter(({ steps }) => steps > 0);
  }

  #join(block: PayloadOf<"NEW_BLOCK">): DagBlock {
    const hashes = (block["parents"] as string[] | undefined) ?? [];
    const parents = this.#blocks.filter(({ hash }) => hashes.includes(hash));
    for (const parent of parents) parent.children++;
    const weight = rounded(1 + (block.transactions?.length ?? 0) / 10);
    const joined = {
      hash: block.blockId,
      height: block.height,
      layer: (block["layer"] as number | undefined) ?? block.height,
      weight,
      total: rounded(weight + (heaviest(parents)?.total ?? 0)),
      parents: [...hashes],
      children: 0,
    };
    this.#blocks.push(joined);
    if (this.#blocks.length > WINDOW) this.#blocks.shift();
    if (!this.#head || joined.total > this.#head.total) this.#head = joined;
    return joined;
  }

  #addEdge(block: DagBlock): void {
    if (!this.#blocks.includes(block)) return;
    const parent = this.#blocks.slice(-10).find(({ hash, layer }) =>
      layer < block.layer && !block.parents.includes(hash)
    );
    if (!parent) return;
    block.parents.push(parent.hash);
    parent.children++;
    this.#emitEdge("EDGE_ADDED", block, parent.hash, block.children);
  }

  #addRival(block: DagBlock, proposer: string): void {
    const rival: Rival = {
      hash: `0x${digestOf("sha256", `${block.hash}/rival/${proposer}`)}`,
      layer: block.layer,
      parents: block.parents.slice(0, 2),
      steps: this.#story.between(15, 40),
    };
    this.#story.later(1, () => {
      if (!this.#blocks.includes(block)) return;
      this.#emitAdded({ ...rival, weight: 1 }, { candidate: true });
      this.#rivals.push(rival);
    });
  }

  #emitAdded(
    { hash, parents, weight, layer }: Pick<
      DagBlock,
      "hash" | "parents" | "weight" | "layer"
    >,
    extra: Readonly<Record<string, unknown>> = {},
  ): void {
    this.#story.emit("DAG_UPDATE", `dag:NODE_ADDED:${hash}`, {
      updateType: "NODE_ADDED",
      nodeId: hash,
      relatedNodes: [...parents],
      timestamp: this.#story.instant,
      metadata: {
        weight,
        layer,
        parentCount: parents.length,
        childCount: 0,
        ...extra,
      },
    });
  }

  #emitRemoved(
    { hash, layer, parents }: Pick<DagBlock, "hash" | "layer" | "parents">,
  ): void {
    this.#story.emit("DAG_UPDATE", `dag:NODE_REMOVED:${hash}`, {
      updateType: "NODE_REMOVED",
      nodeId: hash,
      relatedNodes: [...parents],
      timestamp: this.#story.instant,
      metadata: { layer, parentCount: parents.length, childCount: 0 },
    });
  }

  /** Emits the new main path when it left the old one. */
  #emitPath(before: DagBlock | undefined): void {
    const head = this.#head!;
    if (!before || head === before) return;
    const path = [head];
    for (;;) {
      const { parents } = path.at(-1)!;
      const next = heaviest(
        this.#blocks.filter(({ hash }) => parents.includes(hash)),
      );
      if (next === before) return;
      if (!next || path.length === MAX_PATH) break;
      path.push(next);
      if (next.layer < before.layer - 2) break;
    }
    this.#story.emit("DAG_UPDATE", `dag:PATH_UPDATED:${head.hash}`, {
      updateType: "PATH_UPDATED",
      nodeId: head.hash,
      relatedNodes: path.slice(1).map(({ hash }) => hash),
      timestamp: this.#story.instant,
      metadata: { weight: head.total, layer: head.layer },
    });
  }

  #emitEdge(
    updateType: "EDGE_ADDED" | "EDGE_REMOVED",
    { hash, layer, parents }: DagBlock | Rival,
    parent: string,
    childCount: number,
  ): void {
    const key = `dag:${updateType}:${hash}:${parent.slice(2, 18)}`;
    this.#story.emit("DAG_UPDATE", key, {
      updateType,
      nodeId: hash,
      relatedNodes: [parent],
      timestamp: this.#story.instant,
      metadata: { layer, parentCount: parents.length, childCount },
    });
  }
}

function heaviest(blocks: readonly DagBlock[]): DagBlock | undefined {
  return blocks.reduce<DagBlock | undefined>(
    (best, block) => !best || block.total > best.total ? block : best,
    undefined,
  );
}
