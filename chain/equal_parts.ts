/**
 * The eviction order where publishers share a bounded memory: the oldest entry
 * of the publisher with the largest share. A publisher with at most an equal
 * part loses nothing, regardless of how much others publish.
 *
 * @module
 */

/** Publishers with their own share; further ones have one in common. */
export const MAX_SHARES = 64;

/** The share of one publisher. */
interface Share {
  /** Its entries, the most recently changed last. */
  readonly names: Set<string>;
  /** Its total cost. */
  cost: number;
}

/** Divides a memory among publishers. */
export class EqualParts {
  readonly #shares = new Map<string, Share>();

  /**
   * Adds an entry for a publisher, as the most recently changed.
   *
   * @param owner name of the publisher.
   * @param name of the entry, which is in no share yet.
   * @param cost in addition to the entry itself.
   * @returns the share, for {@link leave}.
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

  /** Removes an entry. */
  leave(share: string, name: string, cost = 0): void {
    const held = this.#shares.get(share)!;
    held.names.delete(name);
    held.cost -= cost;
    if (held.names.size === 0) this.#shares.delete(share);
  }

  /**
   * The entry to evict next.
   *
   * @param of the measure that exceeds its bound.
   */
  oldest(of: "names" | "cost"): string | undefined {
    let most: Share | undefined;
    const size = ({ names, cost }: Share) => of === "names" ? names.size : cost;
    for (const share of this.#shares.values()) {
      if (!most || size(share) > size(most)) most = share;
    }
    return most?.names.values().next().value;
  }

  /** Removes all entries. */
  clear(): void {
    this.#shares.clear();
  }
}

/**
 * The owner whose share an event counts for. The log does not record the
 * publisher: an event that another instance accepted counts for its chain.
 *
 * @param subject of its publisher, where it is known.
 * @param chain its name; `""`: the default one.
 */
export function ownerOf(subject: string | undefined, chain: string): string {
  return subject === undefined ? `chain ${chain}` : `publisher ${subject}`;
}
