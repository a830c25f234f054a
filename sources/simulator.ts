/**
 * A KALDRIX chain that is made up, yet adds up: blocks of a DAG every second,
 * transactions from pending to confirmed or failed, validators, nodes, alerts.
 * The same seed and the same times give the same chain.
 *
 * Amounts, fees and stakes are whole grains, the chain's smallest unit. Besides
 * the fields of the protocol a block says `parents` (of the DAG, while
 * `previousHash` is the block before it in the total order), `layer`, `fees`;
 * a transaction in a block says `gasUsed`, `fee` and `blockId`.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { AnyEvent, AnyMessage, Message } from "../protocol/messages.ts";
import type { MessageType, PayloadOf } from "../protocol/messages.ts";
import { Feed, pause, systemTime } from "./source.ts";
import type { Log, Outlet, Source, Time } from "./source.ts";

/** Time between two steps of the running simulator, in milliseconds. */
export const STEP_MS = 100;
/** Steps from one block to the next: a block a second. */
export const STEPS_PER_BLOCK = 10;
/** Most gas of all transactions of a block. */
export const BLOCK_GAS_LIMIT = 1_000_000;
/** What every account begins with, in grains. */
export const INITIAL_BALANCE = 1_000_000_000_000n;
/** What the proposer of a block gets besides its fees, in grains. */
export const BLOCK_SUBSIDY = 2_000_000n;
/** Least stake of a validator, in grains; with less it has to leave. */
export const MIN_STAKE = 500_000_000n;
/** Fewest validators; nobody leaves below that. */
export const MIN_VALIDATORS = 5;
/** Most parents that a block is added with. */
export const MAX_PARENTS = 4;
/** Most transactions that wait for a block. */
export const MAX_POOL = 400;
/** Latest blocks remembered: parents, paths and resuming look no further. */
export const WINDOW = 64;

/** Events read back from each channel on resuming. */
const RESUME_EVENTS = 1_000;
const ACCOUNTS = 48;
const VALIDATORS = 12;
const ZERO_HASH = `0x${"0".repeat(64)}`;
const TRANSFER_GAS = 21_000;
const VERSIONS = ["2.4.0", "2.4.1", "2.4.1", "2.5.0"] as const;
const REGIONS = [
  "us-east-1",
  "us-west-2",
  "eu-west-1",
  "eu-central-1",
  "ap-southeast-1",
  "ap-northeast-1",
  "sa-east-1",
  "af-south-1",
] as const;

type Block = PayloadOf<"NEW_BLOCK">;
type Transaction = PayloadOf<"TX_RECEIVED">;

/** What was published before, oldest first, for the chain to go on from. */
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
  /** Where to go on from; a new chain when absent or empty. */
  readonly past?: Past | undefined;
}

interface DagBlock {
  readonly hash: string;
  readonly height: number;
  readonly layer: number;
  /** Its own. */
  readonly weight: number;
  /** Its own and that of the heaviest path below it. */
  readonly total: number;
  readonly parents: string[];
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

interface Account {
  readonly address: string;
  /** Without what is waiting in the pool. */
  balance: bigint;
  /** What transactions in the pool may cost at most. */
  reserved: bigint;
  nonce: number;
}

interface Validator {
  readonly id: string;
  stake: bigint;
  active: boolean;
  proposed: number;
  voted: number;
  missed: number;
  /** Height from which it may join again. */
  awayUntil: number;
}

interface ChainNode {
  readonly id: string;
  readonly region: string;
  status: PayloadOf<"NODE_STATUS">["status"];
  version: string;
  height: number;
  /** Epoch milliseconds. */
  startedAt: number;
  peers: number;
  /** Steps until it reports or changes. */
  steps: number;
  alerted: boolean;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * The hash of a block: SHA-256 of the JSON text of what it says, without
 * `blockId`, `hash`, `signature` and `size`, which follow from that text.
 *
 * @param block as published.
 * @returns the hash, and the length of the text in bytes, which is `size`.
 */
export function sealOf(
  { blockId: _, hash: __, signature: ___, size: ____, ...content }: Block,
): { hash: string; size: number } {
  const text = JSON.stringify(content);
  return {
    hash: `0x${sha256(text)}`,
    size: new TextEncoder().encode(text).byteLength,
  };
}

/**
 * A small generator of good enough randomness (sfc32).
 *
 * @param seed any text.
 * @returns a function giving numbers uniform in [0, 1).
 * @see {@link https://pracrand.sourceforge.net/}
 */
function generator(seed: string): () => number {
  const digest = createHash("sha256").update(seed).digest();
  let [a, b, c, d] = [0, 4, 8, 12].map((at) => digest.readInt32LE(at)) as [
    number,
    number,
    number,
    number,
  ];
  return () => {
    const t = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 2 ** 32;
  };
}

/** Whether an event was published by a simulator of this seed. */
function isOurs(event: AnyEvent, tag: string): boolean {
  return event.id.startsWith(`${tag}:`);
}

/** The model: all state of the chain, moved on by {@link step} alone. */
export class Chain {
  /** Begins every `id`, so that another source's events are told apart. */
  readonly #tag: string;
  /** Tells this life of the chain from the ones before it was resumed. */
  readonly #era: string;
  readonly #random: () => number;
  readonly #accounts = new Map<string, Account>();
  readonly #validators = new Map<string, Validator>();
  readonly #nodes: ChainNode[] = [];
  readonly #blocks: DagBlock[] = [];
  readonly #pool: Transaction[] = [];
  /** What is to be said in later steps, by how many steps from now. */
  readonly #later: { steps: number; work: () => void }[] = [];
  #rivals: Rival[] = [];
  /** Transactions and nodes of the life before, to be put in order first. */
  #leftovers: (() => void)[] = [];
  /** Head of the heaviest path. */
  #head: DagBlock | undefined;
  #now = 0;
  #steps = 0;
  #out: AnyMessage[] = [];

  /** Makes the first block's chain, or takes up the one that was left. */
  constructor({ seed, past }: ChainOptions) {
    this.#tag = `sim:${sha256(seed).slice(0, 8)}`;
    const ours = (events: readonly AnyEvent[] = []) =>
      events.filter((event) => isOurs(event, this.#tag));
    const blocks = ours(past?.blocks);
    const last = blocks.at(-1);
    this.#era = last?.type === "NEW_BLOCK"
      ? last.payload.blockId.slice(2, 10)
      : "00000000";
    this.#random = generator(`${seed}/${this.#era}`);
    this.#populate(seed);
    if (past && last) this.#resume(ours, past, blocks);
  }

  /** Height of the newest block; -1 before the first. */
  get height(): number {
    return this.#blocks.at(-1)?.height ?? -1;
  }

  /** What an account holds, in grains; `undefined` when there is none. */
  balanceOf(address: string): bigint | undefined {
    return this.#accounts.get(address)?.balance;
  }

  /**
   * Lets a tenth of a second pass in the chain.
   *
   * @param now epoch milliseconds; taken as later than the step before.
   * @returns what happened, in order; often nothing.
   */
  step(now: number): AnyMessage[] {
    this.#now = Math.max(now, this.#now + 1);
    this.#out = [];
    for (const work of this.#leftovers.splice(0)) work();
    this.#runLater();
    if (this.#steps % STEPS_PER_BLOCK === 0) this.#addBlock();
    this.#moveValidators();
    this.#receive();
    this.#moveRivals();
    for (const node of this.#nodes) this.#moveNode(node);
    this.#steps++;
    return this.#out;
  }

  // Chance.

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  /** A whole number from `least` up to and including `most`. */
  #between(least: number, most: number): number {
    return least + Math.floor(this.#random() * (most - least + 1));
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)]!;
  }

  #grains(least: number, most: number): bigint {
    return BigInt(this.#between(least, most));
  }

  // Saying it.

  get #instant(): string {
    return new Date(this.#now).toISOString();
  }

  #say<Type extends MessageType>(
    type: Type,
    key: string,
    payload: Message<Type>["payload"],
  ): void {
    this.#out.push({ type, id: `${this.#tag}:${key}`, payload } as AnyMessage);
  }

  #in(steps: number, work: () => void): void {
    this.#later.push({ steps, work });
  }

  #runLater(): void {
    const due: (() => void)[] = [];
    for (let i = 0; i < this.#later.length;) {
      const entry = this.#later[i]!;
      if (--entry.steps > 0) i++;
      else {
        due.push(entry.work);
        this.#later.splice(i, 1);
      }
    }
    for (const work of due) work();
  }

  // Beginning.

  #populate(seed: string): void {
    for (let i = 0; i < ACCOUNTS; i++) {
      const digest = sha256(`${seed}/${this.#era}/account/${i}`);
      const address = `0x${digest.slice(0, 40)}`;
      this.#accounts.set(address, {
        address,
        balance: INITIAL_BALANCE,
        reserved: 0n,
        nonce: 0,
      });
    }
    for (let i = 1; i <= VALIDATORS; i++) {
      const id = `validator_${String(i).padStart(2, "0")}`;
      const first = i <= VALIDATORS - 4;
      this.#validators.set(id, {
        id,
        stake: this.#grains(2_000, 20_000) * 1_000_000n,
        active: false,
        proposed: 0,
        voted: 0,
        missed: 0,
        awayUntil: first ? 0 : this.#between(20, 200),
      });
    }
    REGIONS.forEach((region, i) => {
      this.#nodes.push({
        id: `node-${region}`,
        region,
        status: "SYNCING",
        version: this.#pick(VERSIONS),
        height: 0,
        startedAt: 0,
        peers: this.#between(2, 6),
        steps: i + 1,
        alerted: false,
      });
    });
  }

  #resume(
    ours: (events?: readonly AnyEvent[]) => AnyEvent[],
    past: Past,
    blocks: readonly AnyEvent[],
  ): void {
    for (const event of blocks) {
      if (event.type === "NEW_BLOCK") this.#recall(event.payload);
    }
    const last = blocks.at(-1)!;
    this.#now = Math.max(
      ...Object.values(past).flatMap((events) =>
        ours(events).slice(-1).map(({ timestamp }) => Date.parse(timestamp))
      ).filter(Number.isFinite),
      last.type === "NEW_BLOCK" ? Date.parse(last.payload.timestamp) : 0,
    );
    this.#resumeDag(ours(past.dag));
    this.#resumeTransactions(ours(past.transactions), blocks);
    this.#resumeValidators(ours(past.validators));
    this.#resumeNodes(ours(past.nodes), ours(past.alerts));
  }

  #recall(block: Block): void {
    const parents = [...(block["parents"] as string[] | undefined) ?? []];
    this.#join({
      hash: block.blockId,
      height: block.height,
      layer: (block["layer"] as number | undefined) ?? block.height,
      weight: weightOf(block.transactions?.length ?? 0),
      parents,
    });
  }

  /** A block may have been published, and its place in the DAG not. */
  #resumeDag(events: readonly AnyEvent[]): void {
    const known = new Set<string>();
    const rivals = new Map<string, Rival>();
    for (const event of events) {
      if (event.type !== "DAG_UPDATE") continue;
      const { updateType, nodeId, relatedNodes, metadata } = event.payload;
      const rival = rivals.get(nodeId);
      if (updateType === "NODE_ADDED") {
        known.add(nodeId);
        if (metadata?.["candidate"] !== true) continue;
        rivals.set(nodeId, {
          hash: nodeId,
          layer: metadata.layer ?? 0,
          parents: [...relatedNodes],
          steps: this.#between(10, 30),
        });
      } else if (updateType === "EDGE_REMOVED" && rival) {
        const cut = relatedNodes[0];
        rival.parents.splice(rival.parents.indexOf(cut ?? ""), 1);
      } else if (updateType === "NODE_REMOVED") rivals.delete(nodeId);
      else if (updateType === "EDGE_ADDED") {
        const node = this.#blocks.find(({ hash }) => hash === nodeId);
        node?.parents.push(...relatedNodes);
      }
    }
    this.#rivals = [...rivals.values()];
    const newest = this.#blocks.at(-1)!;
    if (!known.has(newest.hash)) {
      this.#leftovers.push(() => this.#sayAdded(newest));
    }
  }

  /** The pool is gone: what was pending is told as what became of it. */
  #resumeTransactions(
    events: readonly AnyEvent[],
    blocks: readonly AnyEvent[],
  ): void {
    const open = new Map<string, Transaction>();
    for (const event of events) {
      if (event.type !== "TX_RECEIVED") continue;
      if (event.payload.status === "pending") {
        open.set(event.payload.txId, event.payload);
      } else open.delete(event.payload.txId);
    }
    const done = new Map(
      blocks.flatMap((event) =>
        event.type === "NEW_BLOCK" ? event.payload.transactions ?? [] : []
      ).map((tx) => [tx.txId, tx]),
    );
    for (const tx of open.values()) {
      this.#leftovers.push(() => {
        const end = done.get(tx.txId);
        if (end) this.#sayTransaction(end);
        else {
          this.#sayTransaction({
            ...tx,
            status: "failed",
            timestamp: this.#instant,
            reason: "expired",
          });
        }
      });
    }
  }

  #resumeValidators(events: readonly AnyEvent[]): void {
    for (const event of events) {
      if (event.type !== "VALIDATOR_EVENT") continue;
      const { validatorId, eventType, stake, metadata, blockHeight } =
        event.payload;
      const validator = this.#validators.get(validatorId);
      if (!validator) continue;
      validator.active = eventType !== "LEFT";
      if (stake !== undefined) validator.stake = BigInt(stake);
      validator.proposed = metadata?.proposedBlocks ?? validator.proposed;
      validator.missed = metadata?.missedBlocks ?? validator.missed;
      const votes = metadata?.["votes"];
      if (typeof votes === "number") validator.voted = votes;
      validator.awayUntil = (blockHeight ?? 0) + this.#between(10, 60);
    }
  }

  #resumeNodes(
    events: readonly AnyEvent[],
    alerts: readonly AnyEvent[],
  ): void {
    const alerted = new Set<string>();
    for (const event of alerts) {
      if (event.type !== "ALERT_TRIGGERED" || !event.payload.subject) continue;
      if (event.payload.type !== "node_error") continue;
      if (event.payload.status === "resolved") {
        alerted.delete(event.payload.subject);
      } else alerted.add(event.payload.subject);
    }
    for (const event of events) {
      if (event.type !== "NODE_STATUS") continue;
      const { nodeId, status, blockHeight, version } = event.payload;
      const node = this.#nodes.find(({ id }) => id === nodeId);
      if (!node) continue;
      node.status = status;
      node.height = Math.min(blockHeight ?? node.height, this.height);
      node.version = version ?? node.version;
    }
    for (const node of this.#nodes) {
      node.startedAt = this.#now;
      node.alerted = alerted.has(node.id);
    }
  }

  // The DAG.

  #join(
    block: Omit<DagBlock, "total" | "children">,
  ): { block: DagBlock; selected: DagBlock | undefined } {
    const parents = this.#blocks.filter(({ hash }) =>
      block.parents.includes(hash)
    );
    for (const parent of parents) parent.children++;
    const selected = heaviest(parents);
    const joined = {
      ...block,
      total: round(block.weight + (selected?.total ?? 0)),
      children: 0,
    };
    this.#blocks.push(joined);
    if (this.#blocks.length > WINDOW) this.#blocks.shift();
    if (!this.#head || joined.total > this.#head.total) this.#head = joined;
    return { block: joined, selected };
  }

  #tips(): DagBlock[] {
    return this.#blocks.filter(({ children }) => children === 0);
  }

  /** Parents of the next block: tips, but often not yet the newest of them. */
  #chooseParents(): DagBlock[] {
    const newest = this.#blocks.at(-1);
    if (!newest) return [];
    const older = this.#blocks.filter(({ layer }) => layer < newest.layer);
    const abreast = this.#blocks.filter(({ layer }) => layer === newest.layer);
    // A block made while the newest travelled has not seen it.
    const unseen = older.length > 0 && abreast.length < 3 && this.#chance(0.4);
    const seen = unseen ? older : this.#blocks;
    const tips = this.#tips().filter((tip) => seen.includes(tip));
    const anchor = seen.at(-1)!;
    const others = tips.filter((tip) => tip !== anchor)
      .slice(0, MAX_PARENTS - 1);
    const extra = seen.slice(-6, -1).filter((block) =>
      block !== anchor && !others.includes(block) && this.#chance(0.25)
    );
    return [anchor, ...others, ...extra].slice(0, MAX_PARENTS);
  }

  #sayAdded(
    { hash, parents, weight, layer }: DagBlock | (Rival & { weight: number }),
    extra: Readonly<Record<string, unknown>> = {},
  ): void {
    this.#say("DAG_UPDATE", `dag:NODE_ADDED:${hash}`, {
      updateType: "NODE_ADDED",
      nodeId: hash,
      relatedNodes: [...parents],
      timestamp: this.#instant,
      metadata: {
        weight,
        layer,
        parentCount: parents.length,
        childCount: 0,
        ...extra,
      },
    });
  }

  /** Says the new main path when it left the old one. */
  #sayPath(before: DagBlock | undefined): void {
    const head = this.#head!;
    if (!before || head === before) return;
    const path = [head];
    for (;;) {
      const { parents } = path.at(-1)!;
      const next = heaviest(
        this.#blocks.filter(({ hash }) => parents.includes(hash)),
      );
      if (next === before) return;
      if (!next || path.length === 12) break;
      path.push(next);
      if (next.layer < before.layer - 2) break;
    }
    this.#say("DAG_UPDATE", `dag:PATH_UPDATED:${head.hash}`, {
      updateType: "PATH_UPDATED",
      nodeId: head.hash,
      relatedNodes: path.slice(1).map(({ hash }) => hash),
      timestamp: this.#instant,
      metadata: { weight: head.total, layer: head.layer },
    });
  }

  /** Now and then a block learns of one more parent after it was added. */
  #addEdgeLater(block: DagBlock): void {
    if (!this.#chance(0.12)) return;
    this.#in(this.#between(2, 5), () => {
      const parent = this.#blocks.slice(-10).find(({ hash, layer }) =>
        layer < block.layer && !block.parents.includes(hash)
      );
      if (!parent) return;
      block.parents.push(parent.hash);
      parent.children++;
      this.#sayEdge("EDGE_ADDED", block, parent.hash, block.children);
    });
  }

  #sayEdge(
    updateType: "EDGE_ADDED" | "EDGE_REMOVED",
    { hash, layer, parents }: DagBlock | Rival,
    parent: string,
    childCount: number,
  ): void {
    const key = `dag:${updateType}:${hash}:${parent.slice(2, 18)}`;
    this.#say("DAG_UPDATE", key, {
      updateType,
      nodeId: hash,
      relatedNodes: [parent],
      timestamp: this.#instant,
      metadata: { layer, parentCount: parents.length, childCount },
    });
  }

  /** Rarely two validators propose at once; the loser stays a while. */
  #addRival(block: DagBlock, validator: string): void {
    if (block.parents.length === 0 || !this.#chance(0.02)) return;
    const rival: Rival = {
      hash: `0x${sha256(`${block.hash}/rival/${validator}`)}`,
      layer: block.layer,
      parents: block.parents.slice(0, 2),
      steps: this.#between(15, 40),
    };
    this.#in(1, () => {
      this.#sayAdded({ ...rival, weight: 1 }, { candidate: true });
      this.#rivals.push(rival);
    });
  }

  #moveRivals(): void {
    for (const rival of this.#rivals) {
      if (--rival.steps > 0) continue;
      if (rival.parents.length > 1) {
        const parent = rival.parents.pop()!;
        rival.steps = this.#between(1, 5);
        this.#sayEdge("EDGE_REMOVED", rival, parent, 0);
        continue;
      }
      this.#say("DAG_UPDATE", `dag:NODE_REMOVED:${rival.hash}`, {
        updateType: "NODE_REMOVED",
        nodeId: rival.hash,
        relatedNodes: rival.parents,
        timestamp: this.#instant,
        metadata: {
          layer: rival.layer,
          parentCount: rival.parents.length,
          childCount: 0,
        },
      });
    }
    this.#rivals = this.#rivals.filter(({ steps }) => steps > 0);
  }

  // Blocks.

  #addBlock(): void {
    const height = this.height + 1;
    const proposer = this.#chooseProposer(height);
    const parents = this.#chooseParents();
    const layer = Math.max(-1, ...parents.map((parent) => parent.layer)) + 1;
    const transactions = this.#execute();
    const gasUsed = transactions.reduce((sum, tx) => sum + gasOf(tx), 0);
    const fees = transactions.reduce((sum, tx) => sum + feeOf(tx), 0n);
    const content = {
      height,
      timestamp: this.#instant,
      previousHash: this.#blocks.at(-1)?.hash ?? ZERO_HASH,
      transactions,
      validator: proposer.id,
      gasUsed,
      gasLimit: BLOCK_GAS_LIMIT,
      fees: String(fees),
      parents: parents.map(({ hash }) => hash),
      layer,
    };
    const { hash, size } = sealOf(content as unknown as Block);
    const signature = `0x${sha256(`${proposer.id}/${hash}`)}${
      sha256(`${hash}/${proposer.id}`)
    }`;
    this.#say("NEW_BLOCK", `block:${hash}`, {
      blockId: hash,
      hash,
      ...content,
      signature,
      size,
    });
    const before = this.#head;
    const { block } = this.#join({
      hash,
      height,
      layer,
      weight: weightOf(transactions.length),
      parents: [...content.parents],
    });
    this.#sayAdded(block);
    this.#sayPath(before);
    proposer.proposed++;
    this.#sayValidator("PROPOSED", proposer, height);
    // Where the block says it already, the transaction says in which block.
    for (const tx of transactions) {
      this.#sayTransaction({ ...tx, blockId: hash });
    }
    this.#follow(proposer, height, fees);
    this.#addEdgeLater(block);
    this.#addRival(block, proposer.id);
  }

  /** What comes of a block before the next one: votes and the reward. */
  #follow(proposer: Validator, height: number, fees: bigint): void {
    const voters = this.#active().filter(({ id }) => id !== proposer.id);
    const votes = Math.min(voters.length, this.#between(2, 4));
    for (let i = 0; i < votes; i++) {
      const [voter] = voters.splice(this.#between(0, voters.length - 1), 1);
      this.#in(2 + i + this.#between(0, 1), () => {
        if (!voter!.active) return;
        voter!.voted++;
        this.#sayValidator("VOTED", voter!, height);
      });
    }
    this.#in(STEPS_PER_BLOCK - 2, () => {
      if (!proposer.active) return;
      const reward = fees + BLOCK_SUBSIDY;
      proposer.stake += reward;
      this.#sayValidator("REWARDED", proposer, height, {
        reward: String(reward),
      });
    });
  }

  // Transactions.

  /** Takes from the pool what fits into a block, and carries it out. */
  #execute(): Transaction[] {
    const done: Transaction[] = [];
    let gas = 0;
    while (this.#pool.length > 0) {
      const tx = this.#pool[0]!;
      if (gas + tx.gasLimit > BLOCK_GAS_LIMIT) break;
      this.#pool.shift();
      const call = tx.data !== undefined;
      const failed = call && this.#chance(0.12);
      const gasUsed = !call || failed
        ? tx.gasLimit
        : Math.floor(tx.gasLimit * (0.6 + this.#random() * 0.35));
      gas += gasUsed;
      const fee = BigInt(gasUsed) * BigInt(tx.gasPrice);
      const from = this.#accounts.get(tx.from)!;
      from.reserved -= costOf(tx);
      from.balance -= fee;
      if (!failed) {
        from.balance -= BigInt(tx.amount);
        this.#accounts.get(tx.to)!.balance += BigInt(tx.amount);
      }
      done.push({
        ...tx,
        status: failed ? "failed" : "confirmed",
        timestamp: this.#instant,
        gasUsed,
        fee: String(fee),
        ...(failed ? { reason: "reverted" } : {}),
      });
    }
    return done;
  }

  /** New transactions come in: some six a second, more at busy times. */
  #receive(): void {
    if (this.height < 0) return;
    const busy = 1 + 0.6 * Math.sin(this.#steps / 900);
    for (let chance = 0.62 * busy; this.#chance(chance); chance *= 0.35) {
      if (this.#pool.length === MAX_POOL) return;
      const tx = this.#newTransaction();
      if (tx) this.#sayTransaction(tx);
    }
  }

  #newTransaction(): Transaction | undefined {
    const accounts = [...this.#accounts.values()];
    const from = this.#pick(accounts);
    const to = this.#pick(accounts.filter((account) => account !== from));
    const call = this.#chance(0.35);
    const content = {
      from: from.address,
      to: to.address,
      amount: String(
        call && this.#chance(0.5)
          ? 0n
          : this.#grains(1, 9_999) * 10n ** this.#grains(3, 6),
      ),
      gasPrice: String(this.#between(5, 40)),
      gasLimit: call ? this.#between(40, 120) * 1_000 : TRANSFER_GAS,
      nonce: from.nonce,
      ...(call ? { data: this.#callData(to.address) } : {}),
      status: "pending" as const,
      timestamp: this.#instant,
    };
    const cost = costOf(content);
    if (from.balance - from.reserved < cost) return undefined;
    from.reserved += cost;
    from.nonce++;
    const tx = { txId: `0x${sha256(JSON.stringify(content))}`, ...content };
    this.#pool.push(tx);
    return tx;
  }

  #callData(to: string): string {
    const selector = this.#pick(["a9059cbb", "095ea7b3", "23b872dd"]);
    const value = this.#between(1, 1_000_000_000).toString(16);
    return `0x${selector}${to.slice(2).padStart(64, "0")}${
      value.padStart(64, "0")
    }`;
  }

  #sayTransaction(tx: Transaction): void {
    this.#say("TX_RECEIVED", `tx:${tx.txId}:${tx.status}`, tx);
  }

  // Validators.

  #active(): Validator[] {
    return [...this.#validators.values()].filter(({ active }) => active);
  }

  /** One of the active by stake; one that misses its turn is noted. */
  #chooseProposer(height: number): Validator {
    let active = this.#active();
    while (active.length < MIN_VALIDATORS) {
      const next = [...this.#validators.values()].filter((validator) =>
        !validator.active
      ).sort((a, b) => a.awayUntil - b.awayUntil)[0]!;
      this.#admit(next, height);
      active = this.#active();
    }
    const first = this.#drawn(active);
    if (!this.#chance(0.02)) return first;
    first.missed++;
    return this.#drawn(active.filter((validator) => validator !== first));
  }

  #drawn(validators: readonly Validator[]): Validator {
    const all = validators.reduce((sum, { stake }) => sum + stake, 0n);
    let rest = BigInt(Math.floor(this.#random() * 1e9)) * all / 1_000_000_000n;
    return validators.find(({ stake }) => (rest -= stake) < 0n) ??
      validators.at(-1)!;
  }

  #admit(validator: Validator, height: number): void {
    if (validator.stake < 2n * MIN_STAKE) {
      validator.stake = this.#grains(2_000, 9_000) * 1_000_000n;
    }
    validator.active = true;
    this.#sayValidator("JOINED", validator, height);
  }

  /** At most one comes, goes or is fined in a step, and mostly none. */
  #moveValidators(): void {
    if (this.height < 0) return;
    const away = [...this.#validators.values()].find((validator) =>
      !validator.active && validator.awayUntil <= this.height
    );
    if (away) {
      this.#admit(away, this.height);
      return;
    }
    const active = this.#active();
    if (this.#chance(0.0004)) this.#slash(this.#pick(active));
    else if (active.length > MIN_VALIDATORS && this.#chance(0.0006)) {
      this.#dismiss(this.#pick(active));
    }
  }

  #slash(validator: Validator): void {
    const penalty = validator.stake * this.#grains(1, 5) / 100n;
    validator.stake -= penalty;
    validator.missed++;
    this.#sayValidator("SLASHED", validator, this.height, {
      penalty: String(penalty),
    });
    this.#sayAlert("validator_slashed", validator.id, {
      severity: "warning",
      message: `${validator.id} was fined ${penalty} grains at height ${
        String(this.height)
      }`,
    });
    if (
      validator.stake < MIN_STAKE && this.#active().length > MIN_VALIDATORS
    ) this.#dismiss(validator);
  }

  #dismiss(validator: Validator): void {
    validator.active = false;
    validator.awayUntil = this.height + this.#between(20, 120);
    this.#sayValidator("LEFT", validator, this.height);
  }

  #sayValidator(
    eventType: PayloadOf<"VALIDATOR_EVENT">["eventType"],
    { id, stake, proposed, voted, missed }: Validator,
    blockHeight: number,
    amounts: { reward?: string; penalty?: string } = {},
  ): void {
    const done = proposed + voted;
    const turns = done + missed;
    const when = eventType === "VOTED" || eventType === "PROPOSED" ||
        eventType === "REWARDED"
      ? String(blockHeight)
      : `${blockHeight}:${this.#now}`;
    this.#say("VALIDATOR_EVENT", `validator:${id}:${eventType}:${when}`, {
      eventType,
      validatorId: id,
      stake: String(stake),
      timestamp: this.#instant,
      blockHeight,
      ...amounts,
      metadata: {
        uptime: turns === 0 ? 100 : round(100 * done / turns),
        proposedBlocks: proposed,
        missedBlocks: missed,
        votes: voted,
      },
    });
  }

  // Nodes.

  #moveNode(node: ChainNode): void {
    if (node.startedAt === 0) node.startedAt = this.#now;
    if (node.status === "ONLINE") this.#trouble(node);
    if (--node.steps > 0) return;
    const { height } = this;
    switch (node.status) {
      case "ONLINE":
        node.height = Math.max(node.height, height - this.#between(0, 1));
        node.steps = 100;
        break;
      case "SYNCING":
        node.height = Math.max(
          0,
          Math.min(height, node.height + this.#between(8, 40)),
        );
        node.steps = 10;
        if (node.height >= height - 1) this.#recover(node);
        break;
      case "ERROR":
        node.status = "OFFLINE";
        node.steps = this.#between(100, 300);
        break;
      case "OFFLINE":
        node.status = "SYNCING";
        node.startedAt = this.#now;
        node.version = this.#pick(VERSIONS);
        node.steps = 10;
        break;
    }
    this.#sayNode(node);
  }

  #trouble(node: ChainNode): void {
    const failing = this.#nodes.filter(({ status }) => status !== "ONLINE");
    if (failing.length > 2) return;
    if (this.#chance(0.00006)) {
      node.status = "ERROR";
      node.steps = this.#between(20, 60);
      node.alerted = true;
      this.#sayNode(node);
      this.#sayAlert("node_error", node.id, {
        severity: "critical",
        status: "firing",
        message: `${node.id} stopped following the chain at height ${
          String(node.height)
        }`,
      });
    } else if (this.#chance(0.00015)) {
      node.status = "OFFLINE";
      node.steps = this.#between(100, 300);
      this.#sayNode(node);
    }
  }

  #recover(node: ChainNode): void {
    node.status = "ONLINE";
    node.steps = this.#between(50, 100);
    node.peers = this.#between(12, 48);
    if (!node.alerted) return;
    node.alerted = false;
    this.#sayAlert("node_error", node.id, {
      severity: "info",
      status: "resolved",
      message: `${node.id} follows the chain again`,
    });
  }

  #sayNode(node: ChainNode): void {
    const up = node.status === "ONLINE" || node.status === "SYNCING";
    const busy = node.status === "SYNCING" ? 45 : 12;
    this.#say("NODE_STATUS", `node:${node.id}:${this.#now}`, {
      nodeId: node.id,
      status: node.status,
      version: node.version,
      blockHeight: node.height,
      // A node that is down does not say how it fares.
      ...(up
        ? {
          uptime: Math.floor((this.#now - node.startedAt) / 1000),
          peers: node.peers,
          memoryUsage: this.#between(900, 1_600) * 1024 ** 2,
          cpuUsage: round(busy + this.#random() * 20),
          networkLatency: round(8 + this.#random() * 90),
        }
        : {}),
      lastUpdate: this.#instant,
      region: node.region,
    });
  }

  #sayAlert(
    type: string,
    subject: string,
    rest: {
      severity: PayloadOf<"ALERT_TRIGGERED">["severity"];
      message: string;
      status?: "firing" | "resolved";
    },
  ): void {
    this.#say("ALERT_TRIGGERED", `alert:${type}:${subject}:${this.#now}`, {
      type,
      subject,
      ...rest,
      timestamp: this.#instant,
    });
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function weightOf(transactions: number): number {
  return round(1 + transactions / 10);
}

function heaviest(blocks: readonly DagBlock[]): DagBlock | undefined {
  return blocks.reduce<DagBlock | undefined>(
    (best, block) => !best || block.total > best.total ? block : best,
    undefined,
  );
}

/** The most that a transaction may take from its sender. */
function costOf(
  { amount, gasPrice, gasLimit }: Pick<
    Transaction,
    "amount" | "gasPrice" | "gasLimit"
  >,
): bigint {
  return BigInt(amount) + BigInt(gasPrice) * BigInt(gasLimit);
}

function gasOf(tx: Transaction): number {
  return tx["gasUsed"] as number;
}

function feeOf(tx: Transaction): bigint {
  return BigInt(tx["fee"] as string);
}

/** What a running simulator needs. */
export interface SimulatorOptions {
  /** Where messages go, and the chain so far is read from. */
  readonly outlet: Outlet;
  /** Hears of faults. */
  readonly log: Log;
  /** Names the chain; `"kaldrix"` when absent. */
  readonly seed?: string;
  /** The chain's clock. */
  readonly time?: Time;
  /** Longest message the server takes, in bytes of UTF-8. */
  readonly maxMessageBytes?: number;
}

/**
 * Makes a source that runs a {@link Chain}, a step every {@link STEP_MS}. Run
 * again on the same store, it goes on from the last block.
 *
 * @param options its outlet, log, seed and clock.
 */
export function simulator(
  { outlet, log, seed = "kaldrix", time = systemTime, maxMessageBytes }:
    SimulatorOptions,
): Source {
  return {
    async run(signal) {
      const feed = new Feed({
        outlet,
        log,
        time,
        ...(maxMessageBytes === undefined ? {} : { maxMessageBytes }),
      });
      try {
        const past = await readPast(feed, signal);
        const chain = new Chain({ seed, past });
        log("source_started", { source: "simulator", height: chain.height });
        while (!signal.aborted) {
          const began = time.now();
          const messages = chain.step(began);
          if (messages.length > 0) await feed.send(messages, signal);
          await pause(
            time,
            Math.max(1, STEP_MS - (time.now() - began)),
            signal,
          );
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },
  };
}

async function readPast(feed: Feed, signal: AbortSignal): Promise<Past> {
  const latest = (channel: string, limit = RESUME_EVENTS) =>
    feed.latest(channel, limit, signal);
  return {
    blocks: await latest("blocks", WINDOW),
    dag: await latest("dag"),
    transactions: await latest("transactions"),
    validators: await latest("validators"),
    nodes: await latest("nodes"),
    alerts: await latest("alerts", WINDOW),
  };
}
