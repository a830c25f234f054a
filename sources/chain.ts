/**
 * A simulated, consistent KALDRIX chain: blocks of a DAG every second,
 * transactions from pending to confirmed or failed, validators, nodes, alerts.
 * Sometimes the newest blocks are reverted and replaced, and transactions are
 * replaced or dropped. The same seed and the same times give
 * the same chain.
 *
 * Amounts, fees and stakes are whole grains, the chain's smallest unit. Besides
 * the fields of the protocol a block has `parents` (of the DAG, while
 * `previousHash` is the block before it in the total order), `layer`, `fees`.
 *
 * @module
 */
import { hash as digestOf } from "node:crypto";
import type { AnyEvent, AnyMessage, Event } from "../protocol/messages.ts";
import type { MessageType, PayloadOf } from "../protocol/messages.ts";
import { Dag } from "./chain_dag.ts";
import { BLOCK_GAS_LIMIT, Ledger } from "./chain_ledger.ts";
import { Nodes } from "./chain_nodes.ts";
import { STEPS_PER_BLOCK, Story } from "./chain_story.ts";
import { Validators } from "./chain_validators.ts";
import type { Validator } from "./chain_validators.ts";

/** Most blocks that are reverted at once. */
export const MAX_REORG = 3;
/** Blocks above one that make it safe, and final. */
export const DEPTH = { safe: MAX_REORG, final: 2 * MAX_REORG } as const;
/** How often a block is preceded by a reorganisation. */
const REORG_CHANCE = 0.02;

const ZERO_HASH = `0x${"0".repeat(64)}`;

type Block = PayloadOf<"NEW_BLOCK">;

/** What was published before, oldest first, from which the chain continues. */
export interface Past {
  /** Events of `blocks`. */
  readonly blocks: readonly AnyEvent[];
  /** Events of `dag`. */
  readonly dag: readonly AnyEvent[];
  /** Events of `transactions`. */
  readonly transactions: readonly AnyEvent[];
  /** Events of `validators`. */
  readonly validators: readonly AnyEvent[];
  /** Events of `nodes`. */
  readonly nodes: readonly AnyEvent[];
  /** Events of `alerts`. */
  readonly alerts: readonly AnyEvent[];
}

/** What a {@link Chain} begins with. */
export interface ChainOptions {
  /** Names the chain; another seed, another chain. */
  readonly seed: string;
  /** Where to continue from; a new chain when absent or empty. */
  readonly past?: Past | undefined;
}

/** The model: all state of the chain, advanced only by {@link step}. */
export class Chain {
  readonly #story: Story;
  readonly #ledger: Ledger;
  readonly #validators: Validators;
  readonly #nodes: Nodes;
  readonly #dag: Dag;
  readonly #tag: string;
  /** The newest blocks of this run, oldest first: those still revertible. */
  readonly #recent: Recent[] = [];
  /** Blocks that were reverted and are not replaced yet. */
  #behind = 0;
  /** Height of the newest block of each level. */
  readonly #floors = { safe: -1, final: -1 };
  #steps = 0;

  /** Starts a new chain, or resumes a published one. */
  constructor({ seed, past }: ChainOptions) {
    const tag = `sim:${digestOf("sha256", seed).slice(0, 8)}`;
    this.#tag = tag;
    const own = past && ownOf(past, tag);
    const last = own?.blocks.at(-1);
    // Sets this run of the chain apart from those before it was resumed.
    const era = last?.payload.blockId.slice(2, 10) ?? "00000000";
    const life = `${seed}/${era}`;
    this.#story = new Story({
      tag,
      seed: life,
      now: own && last ? endOf(own, last.payload) : 0,
    });
    this.#ledger = new Ledger(this.#story, { life, chain: tag });
    this.#validators = new Validators(this.#story);
    this.#nodes = new Nodes(this.#story);
    this.#dag = new Dag(this.#story);
    if (!own || !last) return;
    Object.assign(this.#floors, own.floors);
    this.#dag.resume(own.blocks, own.dag);
    this.#ledger.resume(own.blocks, own.transactions, own.complete);
    this.#validators.resume(own.validators);
    this.#nodes.resume(own.nodes, own.alerts, this.height);
  }

  /** Height of the newest block; -1 before the first. */
  get height(): number {
    return this.#dag.newest?.height ?? -1;
  }

  /** What an account holds, in grains; `undefined` when there is none. */
  balanceOf(address: string): bigint | undefined {
    return this.#ledger.balanceOf(address);
  }

  /**
   * Advances the chain by a tenth of a second.
   *
   * @param now epoch milliseconds; taken as later than the step before.
   * @returns what happened, in order; often nothing.
   */
  step(now: number): AnyMessage[] {
    this.#story.begin(now);
    if (this.#steps % STEPS_PER_BLOCK === 0) {
      this.#reorganise();
      this.#addBlock();
    } else if (this.#behind > 0) {
      this.#behind--;
      this.#addBlock();
    }
    this.#validators.move(this.height);
    this.#ledger.receive(this.#steps);
    this.#dag.move();
    this.#nodes.move(this.height);
    this.#steps++;
    return this.#story.messages;
  }

  #addBlock(): void {
    const height = this.height + 1;
    const proposer = this.#validators.chooseProposer(height);
    const parents = this.#dag.chooseParents();
    const { transactions, gasUsed, fees } = this.#ledger.execute();
    const content = {
      chain: this.#tag,
      height,
      timestamp: this.#story.instant,
      previousHash: this.#dag.newest?.hash ?? ZERO_HASH,
      transactionCount: transactions.length,
      transactions,
      validator: proposer.id,
      gasUsed,
      gasLimit: BLOCK_GAS_LIMIT,
      fees: String(fees),
      parents: parents.map(({ hash }) => hash),
      layer: Math.max(-1, ...parents.map(({ layer }) => layer)) + 1,
    };
    const { hash, size } = sealOf(content);
    const signature = `0x${digestOf("sha256", `${proposer.id}/${hash}`)}${
      digestOf("sha256", `${hash}/${proposer.id}`)
    }`;
    const block = { blockId: hash, hash, ...content, signature, size };
    this.#story.emit("NEW_BLOCK", `block:${hash}`, block);
    this.#dag.add(block);
    this.#validators.credit(proposer, height);
    this.#ledger.settle(transactions, { blockId: hash, height });
    this.#validators.follow(proposer, height);
    this.#dag.disturb(proposer.id);
    this.#recent.push({ block, proposer, fees });
    if (this.#recent.length <= MAX_REORG) return;
    // It can no longer be reverted: its maker has earned the reward.
    const safe = this.#recent.shift()!;
    this.#ledger.forget();
    this.#validators.reward(safe.proposer, safe.block.height, safe.fees);
    this.#emitFinality(height);
  }

  /** Sometimes replaces the newest blocks by others. */
  #reorganise(): void {
    if (this.#recent.length < MAX_REORG) return;
    if (!this.#story.chance(REORG_CHANCE)) return;
    const depth = this.#story.pick([1, 1, 1, 1, 2, 2, 3]);
    for (let reverted = 0; reverted < depth; reverted++) {
      const { block } = this.#recent.pop()!;
      const { blockId, height, previousHash } = block;
      this.#ledger.revert({ blockId, height });
      this.#dag.remove(blockId);
      this.#story.emit("BLOCK_REVERTED", `reverted:${blockId}`, {
        chain: this.#tag,
        blockId,
        height,
        previousHash: previousHash!,
        reason: "reorg",
        timestamp: this.#story.instant,
      });
    }
    this.#behind = depth;
  }

  #emitFinality(tip: number): void {
    for (const level of ["safe", "final"] as const) {
      const block = this.#dag.at(tip - DEPTH[level]);
      if (!block || block.height <= this.#floors[level]) continue;
      this.#floors[level] = block.height;
      this.#story.emit("FINALITY", `${level}:${block.hash}`, {
        chain: this.#tag,
        level,
        blockId: block.hash,
        height: block.height,
        timestamp: this.#story.instant,
      });
    }
  }
}

/** A block that can still be reverted. */
interface Recent {
  readonly block: Block;
  readonly proposer: Validator;
  readonly fees: bigint;
}

/**
 * The hash of a block: SHA-256 of the JSON text of its payload, without
 * `blockId`, `hash`, `signature` and `size`, which follow from that text.
 *
 * @param block as published, or as it will be.
 * @returns the hash, and the length of the text in bytes, which is `size`.
 */
export function sealOf(
  { blockId: _, hash: __, signature: ___, size: ____, ...content }: Partial<
    Block
  >,
): { hash: string; size: number } {
  const text = JSON.stringify(content);
  return {
    hash: `0x${digestOf("sha256", text)}`,
    size: new TextEncoder().encode(text).byteLength,
  };
}

/** A {@link Past} that a chain of one seed published. */
interface OwnPast {
  /** Blocks that are not reverted. */
  readonly blocks: readonly Event<"NEW_BLOCK">[];
  readonly dag: readonly Event<"DAG_UPDATE">[];
  readonly transactions: readonly Event<"TX_RECEIVED">[];
  readonly validators: readonly Event<"VALIDATOR_EVENT">[];
  readonly nodes: readonly Event<"NODE_STATUS">[];
  readonly alerts: readonly Event<"ALERT_TRIGGERED">[];
  /** Blocks of which all transactions were published. */
  readonly complete: ReadonlySet<string>;
  /** Heights of the newest block of each level. */
  readonly floors: Readonly<Partial<Record<"safe" | "final", number>>>;
}

/** What of the past is this chain's; other sources publish too. */
function ownOf(past: Past, tag: string): OwnPast {
  const own = <Type extends MessageType>(
    events: readonly AnyEvent[],
    type: Type,
  ) =>
    events.filter((event) =>
      event.type === type && event.id.startsWith(`${tag}:`)
    ) as Event<Type>[];
  const reverted = new Set(
    own(past.blocks, "BLOCK_REVERTED").map(({ payload }) => payload.blockId),
  );
  const floors = own(past.blocks, "FINALITY").map(({ payload }) =>
    [payload.level, payload.height] as const
  );
  return {
    // A block that was reverted never returns in this chain.
    blocks: own(past.blocks, "NEW_BLOCK").filter(({ payload }) =>
      !reverted.has(payload.blockId)
    ),
    dag: own(past.dag, "DAG_UPDATE"),
    transactions: own(past.transactions, "TX_RECEIVED"),
    validators: own(past.validators, "VALIDATOR_EVENT"),
    nodes: own(past.nodes, "NODE_STATUS"),
    alerts: own(past.alerts, "ALERT_TRIGGERED"),
    complete: new Set(
      own(past.transactions, "BLOCK_COMPLETE").map(({ payload }) =>
        payload.blockId
      ),
    ),
    floors: Object.fromEntries(floors),
  };
}

/** When a past ended, in epoch milliseconds. */
function endOf(own: OwnPast, last: Block): number {
  const { floors: _, complete: __, ...channels } = own;
  const ends = Object.values(channels).flatMap((events: readonly Event[]) =>
    events.slice(-1).map(({ timestamp }) => Date.parse(timestamp))
  );
  return Math.max(
    ...ends.filter(Number.isFinite),
    Date.parse(last.timestamp),
  );
}
