/**
 * Keeps what enters `blocks` a chain. It follows the channel's log and judges
 * every message before it is stored: missing reverts are written by the
 * service, a block that stands is not stored again, and one whose parent is
 * unknown is marked or refused.
 *
 * @module
 */
import type { LoggedEntry } from "../store/entry.ts";
import type { Head } from "../store/event_log.ts";
import type {
  Ingest,
  LogSource,
  Rehearsal,
  RehearsalOptions,
} from "../store/ingest.ts";
import { blockOf, chainOf } from "./chain_events.ts";
import type { ChainBlock, Payload } from "./chain_events.ts";
import { ChainRehearsal } from "./rehearsal.ts";
import type { Chain, ChainFault } from "./rehearsal.ts";
import { Spine } from "./spine.ts";
import type { Reset } from "./spine.ts";
import { TakenBack } from "./taken_back.ts";

/** Chains that are followed at once; the one unused for longest is forgotten. */
export const MAX_CHAINS = 64;
/** Chains of one publisher that are followed at once, likewise. */
export const MAX_CHAINS_PER_PUBLISHER = 16;
/** Newest events of `blocks` that are read when a chain is first asked for. */
export const MAX_FOLLOWED_EVENTS = 2_048;
/** The same in UTF-16 units of their frames. */
export const MAX_FOLLOWED_LENGTH = 16 * 1024 * 1024;
/** Events read at once. */
const PAGE_EVENTS = 256;
/** Bytes read at once. */
const PAGE_BYTES = 1024 * 1024;

/** What to do with a block whose parent is unknown. */
export type ChainCheck = "mark" | "refuse";

/** What {@link ChainIngest} needs. */
export interface ChainIngestOptions {
  /** What to do with a block whose parent is unknown. */
  readonly check: ChainCheck;
  /** Receives faults of events that were stored. */
  readonly onFault?: ((fault: ChainFault) => void) | undefined;
}

/** A chain to be looked at. */
export type ReadableChain = Readonly<Pick<Chain, "safe">> & {
  readonly spine: Pick<
    Chain["spine"],
    "tip" | "final" | "tail" | "named" | "standing"
  >;
};

/** Chains to be looked at. */
export type Chains = Pick<ChainIngest, "follow" | "find">;

/** Follows `blocks` and judges what is about to enter it. */
export class ChainIngest implements Ingest {
  readonly channel = "blocks";
  readonly #options: ChainIngestOptions;
  readonly #chains = new Map<string, Chain>();
  /** How far the log was followed; nothing was when absent. */
  #at: Head | undefined;
  #following: Promise<void> | undefined;
  readonly #taken = new TakenBack();

  /** Follows nothing yet: the first judgement has it read the log's end. */
  constructor(options: ChainIngestOptions) {
    this.#options = options;
  }

  /** Chains that are followed. */
  get size(): number {
    return this.#chains.size;
  }

  /**
   * A chain as far as the log was followed; not to be changed.
   *
   * @param name `""`: the default one.
   */
  find(name: string): ReadableChain | undefined {
    return this.#chains.get(name);
  }

  isAt({ epoch, seq }: Head): boolean {
    return this.#at?.epoch === epoch && this.#at.seq === seq;
  }

  async follow(head: Head, log: LogSource): Promise<void> {
    // One that outlived its caller's deadline goes on: it is not begun again.
    while (this.#following) await this.#following;
    if (this.isAt(head)) return;
    this.#following = this.#follow(head, log)
      .finally(() => this.#following = undefined);
    await this.#following;
  }

  rehearse(options: RehearsalOptions): Rehearsal {
    const base = this.#at;
    return new ChainRehearsal({
      ...options,
      isRefused: this.#options.check === "refuse",
      taken: this.#taken,
      chain: (name, owner) => this.#chain(name, owner),
      settled: (head, faults) => {
        const isNext = base === this.#at;
        if (isNext) {
          this.#at = { epoch: head.epoch, seq: head.seq };
          this.#bound();
        }
        for (const fault of faults) this.#options.onFault?.(fault);
        return isNext;
      },
    });
  }

  async #follow(head: Head, log: LogSource): Promise<void> {
    const at = this.#at;
    const isSame = at !== undefined && at.epoch === head.epoch &&
      at.seq <= head.seq && head.seq - at.seq <= MAX_FOLLOWED_EVENTS;
    const after = isSame ? at.seq : 0;
    const entries = await newest(log, this.channel, { after, upTo: head.seq });
    if (this.#at !== at) return;
    if (!isSame) this.#chains.clear();
    for (const entry of entries) this.#fold(entry);
    this.#at = { epoch: head.epoch, seq: head.seq };
    this.#bound();
  }

  #fold({ type, json, epoch, seq }: LoggedEntry): void {
    const { id, payload } = JSON.parse(json) as {
      id: string;
      payload: Payload;
    };
    const chain = this.#chain(chainOf(payload), "");
    const { spine } = chain;
    const place = { id, epoch, seq };
    if (type === "NEW_BLOCK") spine.add({ ...blockOf(payload), place });
    if (type === "BLOCK_REVERTED") spine.revert(payload["blockId"] as string);
    if (type === "CHAIN_RESET") {
      const keeps = payload["keeps"] as Reset["keeps"];
      spine.reset(keeps);
      chain.safe = Math.min(chain.safe, keeps?.height ?? -1);
    }
    if (type !== "FINALITY") return;
    const height = payload["height"] as number;
    chain.safe = Math.max(chain.safe, height);
    if (payload["level"] !== "final") return;
    spine.finalize(height);
    chain.finality = place;
  }

  /** The chain of that name, begun if need be, used last. */
  #chain(name: string, owner: string): Chain {
    const known = this.#chains.get(name);
    const chain = known ?? { spine: new Spine<ChainBlock>(), owner, safe: -1 };
    // The order of the map is the order of use.
    this.#chains.delete(name);
    this.#chains.set(name, chain);
    return chain;
  }

  #bound(): void {
    if (this.#chains.size <= MAX_CHAINS_PER_PUBLISHER) return;
    const counts = new Map<string, number>();
    for (const { owner } of this.#chains.values()) {
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    for (const [name, { owner }] of this.#chains) {
      const own = counts.get(owner)!;
      const isOver = owner !== "" && own > MAX_CHAINS_PER_PUBLISHER;
      if (!isOver && this.#chains.size <= MAX_CHAINS) continue;
      this.#chains.delete(name);
      counts.set(owner, own - 1);
    }
  }
}

/** The newest events of a range, oldest first, within this module's bounds. */
async function newest(
  log: LogSource,
  channel: string,
  { after, upTo }: { after: number; upTo: number },
): Promise<LoggedEntry[]> {
  const pages: (readonly LoggedEntry[])[] = [];
  let count = 0;
  let length = 0;
  for (let end = upTo; end > after;) {
    const { entries } = await log.read(channel, {
      after,
      upTo: end,
      limit: Math.min(PAGE_EVENTS, MAX_FOLLOWED_EVENTS - count),
      maxBytes: PAGE_BYTES,
      newest: true,
    });
    if (entries.length === 0) break;
    pages.unshift(entries);
    count += entries.length;
    for (const { json } of entries) length += json.length;
    if (count >= MAX_FOLLOWED_EVENTS || length >= MAX_FOLLOWED_LENGTH) break;
    end = entries[0]!.seq - 1;
  }
  return pages.flat();
}
