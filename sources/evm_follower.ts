/**
 * Follows an EVM chain, of which any node may stop, restart, fall behind or
 * switch forks: compares a node's chain with what was published, and publishes
 * the difference.
 *
 * @module
 */
import { backoffMs } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import type { Random } from "../platform/random.ts";
import { Bell } from "./bell.ts";
import { deeper, reorganise } from "./evm_fork.ts";
import { PoolWatch } from "./evm_pool_watch.ts";
import { NodeReport } from "./evm_status.ts";
import { nameOnly, NodeFault } from "./evm_view.ts";
import type { EvmBlock, EvmHead, EvmNode, NodeListener } from "./evm_view.ts";
import { ChainWriter } from "./evm_writer.ts";
import { RETRY } from "./retrying_publisher.ts";
import type { RetryingPublisher } from "./retrying_publisher.ts";
import { describe, isFinal, isOrphan } from "./source.ts";
import type { Log } from "./source.ts";
import type { Placed } from "./tail.ts";

/** Blocks before the head with which a chain that is new to us begins. */
export const START_BLOCKS = 16;
/** Blocks requested before the one that is published next. */
const BLOCKS_AHEAD = 4;
/** Failed attempts after which a connection is closed. */
const MAX_FAILURES = 5;
/** How long a connection has to last to count as good, in milliseconds. */
const GOOD_MS = 10_000;
/** How long a node may answer with faults until it is down, in milliseconds. */
const FAULTY_MS = 60_000;
/** Milliseconds after which a block is published without late receipts. */
export const RECEIPTS_MS = 3_000;
/** Milliseconds after which an unavailable block is published by name only. */
export const HIDDEN_MS = 20_000;
/**
 * How long a node may show an older head before that is believed to be all
 * there is, in milliseconds.
 */
export const ROLLBACK_MS = 20_000;
/**
 * How long the source may be idle, in milliseconds, until it reads again what
 * was published: another source may have continued, and the service detects a
 * repeated id for 10 minutes only.
 */
export const STALE_MS = 300_000;
/** How long a node is behind before that is reported, in milliseconds. */
const BEHIND_MS = 5_000;

/** What a {@link Follower} needs. */
export interface FollowerOptions {
  /** Connects to the node. */
  readonly connect: (
    listener: NodeListener,
    signal: AbortSignal,
  ) => Promise<EvmNode>;
  /** Where messages go. */
  readonly publisher: RetryingPublisher;
  /** Records breaks and faults. */
  readonly log: Log;
  /** The node's name. */
  readonly nodeId: string;
  /** Measures waits, dates messages. */
  readonly clock: Clock;
  /** Jitter: uniform in [0, 1). */
  readonly random: Random;
  /** Longest wait for a new head before it is requested, in milliseconds. */
  readonly pollMs: number;
  /** Height of the first block of a chain of which none was published. */
  readonly from: number | undefined;
  /** Blocks above one that make it final, on chains without levels. */
  readonly finalAfter: number | undefined;
}

/** One run of the source. */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #report: NodeReport;
  #writer: ChainWriter | undefined;
  /** Height of the first block, of a chain of which none was published. */
  #start: number | undefined;
  /** Which height is incomplete, and since when on the monotonic clock. */
  #hidden: { height: number; since: number } | undefined;
  /** Which head is older than what was published, and since when. */
  #behind: { hash: string; since: number; from: number } | undefined;
  #finalityOf = "";
  /** When the node last answered as it should, on the monotonic clock. */
  #soundAt = -Infinity;
  /** How often in a row the service missed blocks before what was published. */
  #orphans = 0;
  /** When the source last took a step, on the monotonic clock. */
  #stepAt: number | undefined;

  /** Does nothing before {@link run}. */
  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#report = new NodeReport(options);
  }

  /** Runs until aborted; connects again and again. */
  async run(signal: AbortSignal): Promise<void> {
    const { nodeId, random } = this.#options;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const began = this.#clock.monotonic();
      try {
        await this.#follow(signal);
      } catch (error) {
        if (signal.aborted || isFinal(error)) throw error;
        if (isOrphan(error)) {
          if (this.#orphans++ === MAX_FAILURES) throw error;
          this.#log("source_blocks_missing", { nodeId, ...describe(error) });
          // The service holds another chain than it did: read it again.
          this.#writer = undefined;
          continue;
        }
        if (this.#clock.monotonic() - began > GOOD_MS) attempt = 0;
        const waitMs = Math.ceil(backoffMs(attempt, RETRY, random));
        const about = { nodeId, ...describe(error), attempt, waitMs };
        this.#log("source_node_lost", about);
        const soundFor = this.#clock.monotonic() - this.#soundAt;
        const isDown = !(error instanceof NodeFault) || soundFor >= FAULTY_MS;
        if (isDown) await this.#report.offline(signal);
        await pause(this.#clock, waitMs, signal);
      }
    }
  }

  /** Follows the node for as long as the connection lasts. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { connect, log } = this.#options;
    const heads = new Bell();
    const lost = new AbortController();
    const pool = new PoolWatch({ clock: this.#clock, log });
    const node = await connect({
      onHead: () => heads.ring(),
      onPending: (found) => pool.add(found),
      onClosed: () => lost.abort(new Error("Connection to the node was lost")),
    }, signal);
    // Reading stops with the connection; publishing only with the source.
    const both = AbortSignal.any([signal, lost.signal]);
    let watching: Promise<void> | undefined;
    try {
      const writer = () => this.#behind ? undefined : this.#writer;
      watching = pool.run(node, writer, both);
      await this.#repeat(node, heads, { signal, both });
      both.throwIfAborted();
    } finally {
      lost.abort(new Error("Connection to the node was ended"));
      await node.close();
      await watching;
    }
  }

  async #repeat(
    node: EvmNode,
    heads: Bell,
    { signal, both }: { signal: AbortSignal; both: AbortSignal },
  ): Promise<void> {
    const { nodeId, pollMs, random } = this.#options;
    for (let failures = 0; !both.aborted;) {
      try {
        const writer = await this.#recognise(node, signal);
        await this.#catchUp(node, writer, signal);
        await this.#publishFinality(node, writer, signal);
        await this.#reportOn(node, writer, signal);
        failures = 0;
        this.#soundAt = this.#clock.monotonic();
      } catch (error) {
        if (!(error instanceof NodeFault)) throw error;
        if (++failures > MAX_FAILURES) throw error;
        const about = { nodeId, ...describe(error), failures };
        this.#log("source_node_failed", about);
        await pause(this.#clock, backoffMs(failures, RETRY, random), both);
        continue;
      }
      await heads.wait(this.#clock, pollMs, both);
    }
  }

  /** Whether the source was idle for long: its state may be outdated. */
  #isStale(): boolean {
    const now = this.#clock.monotonic();
    const stoodFor = now - (this.#stepAt ?? now);
    this.#stepAt = now;
    if (stoodFor >= STALE_MS) this.#writer = undefined;
    return stoodFor >= STALE_MS;
  }

  /** Determines which chain the node follows, and what of it was published. */
  async #recognise(
    node: EvmNode,
    signal: AbortSignal,
  ): Promise<ChainWriter> {
    this.#isStale();
    const chain = `evm:${node.chainId}`;
    const before = this.#writer;
    if (before?.chain === chain) return before;
    if (before) {
      this.#log("source_chain_replaced", { before: before.chain, chain });
      await before.reset(undefined, "chain_replaced", signal);
    }
    this.#start = undefined;
    this.#behind = undefined;
    const { publisher } = this.#options;
    const [clock, log] = [this.#clock, this.#log];
    const writer = new ChainWriter({ chain, publisher, clock, log });
    await writer.resume(signal);
    this.#writer = writer;
    const height = writer.tail.tip?.height ?? -1;
    log("source_started", { source: "evm", chain, height });
    return writer;
  }

  /** Publishes all that the node shows and that was not published. */
  async #catchUp(
    node: EvmNode,
    writer: ChainWriter,
    signal: AbortSignal,
  ): Promise<void> {
    for (let moved = 0; !signal.aborted;) {
      const head = await node.head();
      await this.#finish(node, writer, head, signal);
      if (!await this.#agree(node, writer, head, signal)) return;
      this.#start ??= this.#options.from ??
        // Genesis is not an event, and some test nodes change theirs.
        Math.max(1, head.height - START_BLOCKS + 1);
      const next = (writer.tail.tip?.height ?? this.#start - 1) + 1;
      if (next > head.height) return;
      if (await this.#advance(node, writer, { next, head }, signal)) {
        moved = 0;
        continue;
      }
      // The chain moved in between, or the node does not show all of it yet.
      if (++moved > MAX_FAILURES) {
        throw new NodeFault(`Node shows no block ${next} that fits`);
      }
      const waitMs = backoffMs(moved, RETRY, this.#options.random);
      await pause(this.#clock, waitMs, signal);
    }
  }

  /** Publishes what a killed source did not of the newest block. */
  async #finish(
    node: EvmNode,
    writer: ChainWriter,
    head: EvmHead,
    signal: AbortSignal,
  ): Promise<void> {
    const { tip } = writer.tail;
    if (!tip || !writer.isUnfinished || head.height < tip.height) return;
    const block = await node.block(tip.height, tip.hash);
    if (!block) throw new NodeFault(`Node does not show block ${tip.height}`);
    // Otherwise it left the chain, and is about to be reverted.
    if (block.hash === tip.hash) await writer.finish(block, signal);
  }

  /**
   * Reverts what the node does not have.
   *
   * @returns whether the node's head may be news.
   */
  async #agree(
    node: EvmNode,
    writer: ChainWriter,
    head: EvmHead,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { tip } = writer.tail;
    if (tip && head.height < tip.height) {
      return await this.#lookBack(node, writer, head, signal);
    }
    this.#behind = undefined;
    if (!tip) return true;
    if (tip.hash === head.hash) return false;
    await this.#reorganise(node, writer, head, signal);
    return true;
  }

  /** The node's head is older than what was published. */
  async #lookBack(
    node: EvmNode,
    writer: ChainWriter,
    head: EvmHead,
    signal: AbortSignal,
  ): Promise<boolean> {
    let known = writer.tail.at(head.height);
    if (!known && !this.#behind) {
      const isIt = ({ height }: Placed) => height === head.height;
      known = await deeper(writer, isIt, signal);
    }
    const isFork = known !== undefined && known.hash !== head.hash;
    if (!isFork && !await this.#isOver(node, head, known !== undefined)) {
      return false;
    }
    this.#behind = undefined;
    if (known?.hash === head.hash) {
      await writer.revertTo(head, "rollback", signal);
      return false;
    }
    await this.#reorganise(node, writer, head, signal);
    return true;
  }

  /**
   * Whether an older head is all that there is: shown for long, by a node that
   * is not syncing; and unmoved, where it is on the published chain.
   */
  async #isOver(
    node: EvmNode,
    { hash }: EvmHead,
    isKnown: boolean,
  ): Promise<boolean> {
    const now = this.#clock.monotonic();
    const before = this.#behind;
    const hasMoved = isKnown && before?.hash !== hash;
    this.#behind = {
      hash,
      since: hasMoved ? now : before?.since ?? now,
      from: before?.from ?? now,
    };
    if (now - this.#behind.since < ROLLBACK_MS) return false;
    return !(await node.vitals()).syncing;
  }

  async #reorganise(
    node: EvmNode,
    writer: ChainWriter,
    head: EvmHead,
    signal: AbortSignal,
  ): Promise<void> {
    await reorganise(node, writer, head, signal);
    if (!writer.tail.tip) this.#start = undefined;
  }

  /**
   * Publishes blocks up to the head.
   *
   * @returns whether it got there; not when a block does not fit or is not
   * shown whole.
   */
  async #advance(
    node: EvmNode,
    writer: ChainWriter,
    { next, head }: { next: number; head: EvmHead },
    signal: AbortSignal,
  ): Promise<boolean> {
    const ahead: Promise<EvmBlock | undefined>[] = [];
    for (let at = next; at <= head.height && !signal.aborted; at++) {
      const last = Math.min(at + BLOCKS_AHEAD, head.height);
      while (at + ahead.length <= last) {
        const asked = node.block(at + ahead.length);
        asked.catch(() => {});
        ahead.push(asked);
      }
      const shown = await ahead.shift();
      const block = await this.#whole(node, writer, { at, head, shown });
      const { tip } = writer.tail;
      if (!block || (tip && block.parentHash !== tip.hash)) return false;
      if (this.#isStale()) throw new NodeFault("Source stood still for long");
      await writer.publish(block, signal);
      this.#orphans = 0;
      this.#soundAt = this.#clock.monotonic();
      await this.#report.block(block, signal);
    }
    return true;
  }

  /** The block, as complete as possible; nothing while waiting may help. */
  async #whole(
    node: EvmNode,
    writer: ChainWriter,
    { at, head, shown }: {
      at: number;
      head: EvmHead;
      shown: EvmBlock | undefined;
    },
  ): Promise<EvmBlock | undefined> {
    let block = shown;
    let named: Pick<EvmHead, "hash" | "timestampMs"> | undefined;
    if (!block) {
      // Its name is known from the head or from its child.
      const child = at === head.height ? undefined : await node.headAt(at + 1);
      named = child ? { ...child, hash: child.parentHash } : undefined;
      if (at === head.height) named = head;
      if (named) block = await node.block(at, named.hash);
    }
    if (block && !block.missing.includes("receipts")) {
      this.#hidden = undefined;
      return block;
    }
    const now = this.#clock.monotonic();
    if (this.#hidden?.height !== at) {
      this.#hidden = { height: at, since: now };
    }
    const waited = now - this.#hidden.since;
    if (block) return waited < RECEIPTS_MS ? undefined : block;
    const { tip } = writer.tail;
    return named && tip && waited >= HIDDEN_MS
      ? nameOnly({ ...named, parentHash: tip.hash, height: at })
      : undefined;
  }

  async #publishFinality(
    node: EvmNode,
    writer: ChainWriter,
    signal: AbortSignal,
  ): Promise<void> {
    const { tip } = writer.tail;
    if (!tip || tip.hash === this.#finalityOf) return;
    const { finalAfter } = this.#options;
    if (finalAfter === undefined) {
      for (const level of ["safe", "final"] as const) {
        const head = await node.level(level);
        if (head) await writer.finality(level, head, signal);
      }
    } else {
      const block = writer.tail.at(tip.height - finalAfter);
      if (block) await writer.finality("final", block, signal);
    }
    this.#finalityOf = tip.hash;
  }

  async #reportOn(
    node: EvmNode,
    writer: ChainWriter,
    signal: AbortSignal,
  ): Promise<void> {
    if (!this.#report.isDue) return;
    const vitals = await node.vitals();
    const { height } = await node.head();
    const behindMs = this.#behind
      ? this.#clock.monotonic() - this.#behind.from
      : 0;
    const isSyncing = vitals.syncing || behindMs >= BEHIND_MS;
    const shown = isSyncing
      ? height
      : Math.max(height, writer.tail.tip?.height ?? 0);
    const status = isSyncing ? "SYNCING" : "ONLINE";
    await this.#report.up(status, shown, vitals, signal);
  }
}
