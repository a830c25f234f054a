/**
 * Keeps `blocks`, `transactions` and `dag` consistent: follows the logs of these
 * channels, and judges every message before it is stored.
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
import type { Chain } from "./block_judge.ts";
import { blockOf, chainOf } from "./chain_events.ts";
import type { ChainBlock, Payload } from "./chain_events.ts";
import { completionOf } from "./completions.ts";
import { Dag } from "./dag.ts";
import { LogFollower } from "./log_follower.ts";
import { ChainRehearsal } from "./rehearsal.ts";
import { ownerOf } from "./equal_parts.ts";
import { Spine } from "./spine.ts";
import type { Level, Reset } from "./spine.ts";
import { TakenBack } from "./taken_back.ts";
import { keptHeight } from "./transaction_judge.ts";
import { statusOf, Transactions } from "./transactions.ts";
import type { ChainFault } from "./trial.ts";

/** Channels that are followed. */
export type FollowedChannel = "blocks" | "transactions" | "dag";
/** Most chains followed at once; the least recently used is evicted. */
export const MAX_CHAINS = 64;
/** Most chains of one publisher followed at once, likewise. */
export const MAX_CHAINS_PER_PUBLISHER = 16;
/** Action for a block whose parent is unknown, or for an impossible status. */
export type ChainCheck = "mark" | "refuse";

/** Parts that {@link ChainIngest} needs. */
export interface ChainIngestOptions {
  /** Action for inconsistent messages. */
  readonly check: ChainCheck;
  /** Receives faults of events that were stored. */
  readonly onFault?: ((fault: ChainFault) => void) | undefined;
}

/** A read-only view of a chain. */
export interface ReadableChain {
  /** Its standing blocks. */
  readonly spine: Pick<
    Chain["spine"],
    "tip" | "safe" | "final" | "standing" | "standingOf"
  >;
}

/** A read-only view of chains. */
export type Chains = Pick<
  ChainIngest,
  "follow" | "find" | "positionOf" | "pending" | "tips"
>;

/** The newest of a kind of subject, within the stored ones. */
export interface Remembered<Name> {
  /** Their names, newest first. */
  readonly names: readonly Name[];
  /** Whether the list is complete. */
  readonly isWhole: boolean;
}

/** Follows channels, and judges messages before they enter them. */
export class ChainIngest implements Ingest {
  readonly channels: ReadonlySet<string>;
  readonly #options: ChainIngestOptions;
  readonly #chains = new Map<string, Chain>();
  readonly #transactions = new Transactions();
  readonly #dag = new Dag();
  readonly #followers: Readonly<Record<FollowedChannel, LogFollower>>;
  readonly #taken = new TakenBack();

  /** Follows nothing yet: the first judgement reads the end of the log. */
  constructor(options: ChainIngestOptions) {
    this.#options = options;
    const [transactions, dag] = [this.#transactions, this.#dag];
    this.#followers = {
      blocks: new LogFollower("blocks", {
        add: (entry) => this.#addBlock(entry),
        clear: () => this.#chains.clear(),
        done: () => this.#bound(),
      }),
      transactions: new LogFollower("transactions", {
        add: (entry) => this.#addTransaction(entry),
        clear: () => transactions.clear(),
        done: () => transactions.bound(),
      }),
      dag: new LogFollower("dag", {
        add: (entry) => this.#addNode(entry),
        clear: () => dag.clear(),
        done: () => dag.bound(),
      }),
    };
    this.channels = new Set(Object.keys(this.#followers));
  }

  /** Chains that are followed. */
  get size(): number {
    return this.#chains.size;
  }

  /**
   * A chain as of the followed position of the log; read-only.
   *
   * @param name `""`: the default one.
   */
  find(name: string): ReadableChain | undefined {
    return this.#chains.get(name);
  }

  /** The followed position of a channel; absent before the first read. */
  positionOf(channel: FollowedChannel): Head | undefined {
    return this.#followers[channel].at;
  }

  /** Ids of pending transactions, as of the followed position of the log. */
  pending(): Remembered<string> {
    const { isWhole } = this.#transactions;
    return {
      names: this.#transactions.pending(),
      isWhole: isWhole && this.#followers.transactions.isWhole,
    };
  }

  /** Numbers of the events that added nodes without children. */
  tips(): Remembered<number> {
    const { epoch } = this.#followers.dag.at ?? {};
    const tips = this.#dag.tips();
    return {
      names: tips.filter((it) => it.epoch === epoch).map(({ seq }) => seq),
      isWhole: this.#dag.isWhole && this.#followers.dag.isWhole,
    };
  }

  has(channel: string, head: Head): boolean {
    return this.#follower(channel).has(head);
  }

  async follow(channel: string, head: Head, log: LogSource): Promise<void> {
    await this.#follower(channel).follow(head, log);
  }

  rehearse(options: RehearsalOptions): Rehearsal {
    return new ChainRehearsal({
      ...options,
      isRefused: this.#options.check === "refuse",
      taken: this.#taken,
      chain: (name, owner) => this.#chain(name, owner),
      find: (name) => this.#chains.get(name),
      transactions: this.#transactions,
      dag: this.#dag,
      onFault: (fault) => this.#options.onFault?.(fault),
      settled: (channel, { before, after }) =>
        this.#follower(channel).advance(before, after),
    });
  }

  #follower(channel: string): LogFollower {
    return this.#followers[channel as FollowedChannel];
  }

  #addBlock({ type, json, epoch, seq }: LoggedEntry): void {
    const { id, payload } = parsed(json);
    const chain = this.#chain(chainOf(payload), "");
    const { spine } = chain;
    const place = { id, epoch, seq };
    if (type === "NEW_BLOCK") spine.add({ ...blockOf(payload), place });
    if (type === "BLOCK_REVERTED") spine.revert(payload["blockId"] as string);
    if (type === "CHAIN_RESET") spine.reset(payload["keeps"] as Reset["keeps"]);
    if (type !== "FINALITY") return;
    const height = payload["height"] as number;
    const level = payload["level"] as Level;
    spine.finalize(height, level);
    chain.finality[level] = { height, place };
  }

  #addTransaction({ type, json, epoch, seq }: LoggedEntry): void {
    const { id, payload } = parsed(json);
    const chain = chainOf(payload);
    const place = { id, epoch, seq };
    if (type === "CHAIN_RESET") {
      this.#transactions.reset(chain, keptHeight(payload));
    }
    if (type === "BLOCK_COMPLETE") {
      const completion = { ...completionOf(payload), place };
      this.#transactions.completions.add(chain, completion);
    }
    if (type !== "TX_RECEIVED") return;
    const txId = payload["txId"] as string;
    const status = { ...statusOf(payload), place };
    this.#transactions.set(chain, txId, status, ownerOf(undefined, chain));
  }

  #addNode({ type, json, epoch, seq }: LoggedEntry): void {
    const { id, payload } = parsed(json);
    const isVoid = type === "CHAIN_RESET" && keptHeight(payload) < 0;
    if (isVoid) this.#dag.reset();
    if (type !== "DAG_UPDATE") return;
    const owner = ownerOf(undefined, chainOf(payload));
    this.#dag.apply(payload, { place: { id, epoch, seq } }, owner);
  }

  /** The chain of that name, created if needed, as the most recently used. */
  #chain(name: string, owner: string): Chain {
    const known = this.#chains.get(name);
    const chain = known ??
      { spine: new Spine<ChainBlock>(), owner, finality: {} };
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

function parsed(
  json: string,
): { readonly id: string; readonly payload: Payload } {
  return JSON.parse(json);
}
