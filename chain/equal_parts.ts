/**
 * What is forgotten first where publishers share a bounded memory: the oldest
 * of the one that holds most. A publisher with no more than an equal part loses
 * nothing, however much others publish.
 *
 * @module
 */

/** Publishers that have a share of their own; further ones have one together. */
export const MAX_SHARES = 64;

/** What one publisher holds. */
interface Share {
  /** What is remembered for it, the one that changed last at the end. */
  readonly names: Set<string>;
  /** Its cost in all. */
  cost: number;
}

/** Divides a memory among publishers. */
export class EqualParts {
  readonly #shares = new Map<string, Share>();

  /**
   * Something is remembered for a publisher, as what changed last.
   *
   * @param owner its name.
   * @param name of what is remembered, which no share holds.
   * @param cost beside being one more.
   * @returns the share, to {@link leave} it.
   */
  take(owner: string, name: string, cost = 0): string {
    const isOwn = this.#shares.has(owner) || this.#shares.size < MAX_SHARES;
    const share = isOwn ? owner : "";
    const held = this.#shares.get(share) ?? { names: new Set(), cost: 0 };
    this.#shares.set(share, held);
    held.names.add(name);
    held.cost += cost;
    return share;
  }

  /** It is no longer remembered. */
  leave(share: string, name: string, cost = 0): void {
    const held = this.#shares.get(share)!;
    held.names.delete(name);
    held.cost -= cost;
    if (held.names.size === 0) this.#shares.delete(share);
  }

  /**
   * What is to be forgotten next.
   *
   * @param of what there is too much of.
   */
  oldest(of: "names" | "cost"): string | undefined {
    let most: Share | undefined;
    const size = ({ names, cost }: Share) => of === "names" ? names.size : cost;
    for (const share of this.#shares.values()) {
      if (!most || size(share) > size(most)) most = share;
    }
    return most?.names.values().next().value;
  }

  /** Nothing is remembered. */
  clear(): void {
    this.#shares.clear();
  }
}

/**
 * Whose share an event takes. The log does not record who published what: what
 * another instance accepted counts for its chain.
 *
 * @param subject of its publisher, where that is known.
 * @param chain its name; `""`: the default one.
 */
export function ownerOf(subject: string | undefined, chain: string): string {
  return subject === undefined ? `chain ${chain}` : `publisher ${subject}`;
}
