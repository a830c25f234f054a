/**
 * Publishes a chain: knows what was published and what it takes to publish
 * something else. Each step leaves a log from which the next run can go on: a block is
 * announced first and completed after, its revert begins with what depends on
 * it and ends with the block.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { AnyMessage } from "../protocol/messages.ts";
import { anchor, PublishedHistory } from "./evm_history.ts";
import type { Floors } from "./evm_history.ts";
import { Messages } from "./evm_messages.ts";
import type { Occurrence, TxPayload } from "./evm_messages.ts";
import { Pool } from "./evm_pool.ts";
import type { Moment } from "./evm_pool.ts";
import type { EvmBlock, EvmTransaction, FinalityLevel } from "./evm_view.ts";
import type { RetryingPublisher } from "./retrying_publisher.ts";
import type { Log } from "./source.ts";
import { Tail } from "./tail.ts";
import type { Placed } from "./tail.ts";

/** Transactions of canonical blocks kept in memory, for their revert. */
export const MAX_KEPT_TRANSACTIONS = 20_000;

/** What a {@link ChainWriter} needs. */
export interface WriterOptions {
  /** Which chain, such as `evm:1`. */
  readonly chain: string;
  /** Where messages go. */
  readonly publisher: RetryingPublisher;
  /** The time of messages. */
  readonly clock: Clock;
  /** Records reverts and resets. */
  readonly log: Log;
}

/** A canonical block, as far as it is known. */
export type Kept = Pick<Placed, "hash" | "height">;

/** What is known for the revert of a block. */
interface Undoing {
  /** Transactions that were published as standing, by the block's hash. */
  readonly standing: ReadonlyMap<string, readonly TxPayload[]>;
  /** Ids that were published already. */
  readonly ids?: ReadonlySet<string>;
}

/** One chain as it is published. */
export class ChainWriter {
  readonly #publisher: RetryingPublisher;
  readonly #messages: Messages;
  readonly #history: PublishedHistory;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #pool: Pool;
  readonly #transactions = new Map<string, TxPayload[]>();
  #kept = 0;
  #tail = new Tail();
  #floors: Floors = new Map();
  /** What of the newest block was published, when not all of it was. */
  #unfinished: ReadonlySet<string> | undefined;

  /** Knows nothing before {@link resume}. */
  constructor({ chain, publisher, clock, log }: WriterOptions) {
    this.#publisher = publisher;
    this.#clock = clock;
    this.#log = log;
    this.#messages = new Messages(chain);
    this.#history = new PublishedHistory(publisher, this.#messages);
    this.#pool = new Pool(this.#messages);
  }

  /** Which chain. */
  get chain(): string {
    return this.#messages.chain;
  }

  /** The newest canonical blocks. */
  get tail(): Tail {
    return this.#tail;
  }

  /** Transactions published as pending. */
  get pool(): Pool {
    return this.#pool;
  }

  /** Whether parts of the newest block have yet to be published. */
  get isUnfinished(): boolean {
    return this.#unfinished !== undefined;
  }

  /** The newest block published as final. */
  get final(): Kept | undefined {
    return this.#floors.get("final");
  }

  /** Reads what was published before, and ends a revert that was begun. */
  async resume(signal: AbortSignal): Promise<void> {
    const { tail, floors } = await this.#history.standing(signal);
    this.#tail = tail;
    this.#floors = floors;
    const events = await this.#history.transactions(signal);
    const owed = this.#pool.resume(events, this.#moment());
    await this.#publisher.send(owed, signal);
    for (;;) {
      const at = this.#tip();
      if (!at) return;
      const ids = await this.#history.idsOf(at, signal);
      const isComplete = ids.has(this.#messages.completeId(at, "logs"));
      if (!this.#isReverting(at, ids)) {
        if (!isComplete && at.parentHash !== "") this.#unfinished = ids;
        return;
      }
      const standing = await this.#standingIn([at], signal);
      await this.#revert(at, { standing, reason: "reorg", ids }, signal);
    }
  }

  /** Remembers canonical blocks below the oldest known one. */
  older(signal: AbortSignal): AsyncGenerator<Placed> {
    return this.#history.blocks(signal);
  }

  /**
   * Publishes a block that follows the newest one.
   *
   * @param block with the newest canonical block as its parent.
   */
  async publish(block: EvmBlock, signal: AbortSignal): Promise<void> {
    const at = this.#occurrence(block);
    const messages = this.#all(block, at);
    this.#tail.add(at);
    await this.#publisher.send(messages, signal);
  }

  /**
   * Publishes what is missing of the newest block.
   *
   * @param block the newest canonical block.
   */
  async finish(block: EvmBlock, signal: AbortSignal): Promise<void> {
    const ids = this.#unfinished ?? new Set();
    this.#unfinished = undefined;
    const [, ...rest] = this.#all(block, this.#occurrence(block));
    await this.#publisher.send(rest.filter(({ id }) => !ids.has(id!)), signal);
  }

  /**
   * Reverts all blocks above a canonical one, newest first.
   *
   * @param keeps the newest block that stands, known to have been published or
   * to be the parent of what was.
   * @param reason `reorg` or `rollback`.
   */
  async revertTo(
    keeps: Kept,
    reason: string,
    signal: AbortSignal,
  ): Promise<void> {
    this.#unfinished = undefined;
    const gone = this.#above(keeps.height);
    const final = Math.max(
      -1,
      ...[...this.#floors.values()].map(({ height }) => height),
    );
    this.#log("source_reorg", {
      depth: gone.length,
      from: gone.at(-1)?.height,
    });
    if (keeps.height < final) {
      await this.#alertFinality(keeps.height, signal);
      await this.reset(keeps, "finality_broken", signal);
      return;
    }
    const standing = await this.#standingIn(gone, signal);
    let isReset = false;
    for (const at of gone) {
      if (!standing.has(at.hash) && !isReset) {
        isReset = true;
        await this.#publisher.send([
          this.#messages.reset("transactions", keeps, {
            reason: "deeper_than_kept",
            from: at,
            now: this.#clock.now(),
          }),
        ], signal);
      }
      await this.#revert(at, { standing, reason }, signal);
    }
    this.#stand(keeps);
  }

  /**
   * Voids all blocks above one, known or not.
   *
   * @param keeps the newest canonical block; none when absent.
   * @param reason as in `CHAIN_RESET`.
   */
  async reset(
    keeps: Kept | undefined,
    reason: string,
    signal: AbortSignal,
  ): Promise<void> {
    this.#unfinished = undefined;
    const from = this.#tip();
    if (!from) return;
    const gone = this.#above(keeps?.height ?? -1);
    this.#log("source_chain_reset", {
      reason,
      from: from.height,
      keeps: keeps?.height ?? null,
    });
    const standing = await this.#standingIn(gone, signal);
    for (const at of gone) await this.#undo(at, { standing }, signal);
    const now = this.#clock.now();
    await this.#publisher.send(
      (["transactions", "logs", "dag", "blocks"] as const).map((channel) =>
        this.#messages.reset(channel, keeps, { reason, from, now })
      ),
      signal,
    );
    this.#tail.reset(keeps?.height);
    for (const [level, { height }] of this.#floors) {
      if (height > (keeps?.height ?? -1)) this.#floors.delete(level);
    }
    if (keeps) this.#stand(keeps);
  }

  /**
   * Publishes that a block reached a level, if it is canonical and this is new.
   *
   * @param level of the block.
   * @param head the newest block of that level.
   */
  async finality(
    level: FinalityLevel,
    { height, hash }: Kept,
    signal: AbortSignal,
  ): Promise<void> {
    const known = this.#tail.at(height);
    const before = this.#floors.get(level)?.height ?? -1;
    if (known?.hash !== hash || height <= before) return;
    // Only its name is known: it was never published.
    if (known.parentHash === "") return;
    this.#floors.set(level, { height, hash });
    await this.#publisher.send([
      this.#messages.finality(
        level,
        this.#occurrence(known),
        this.#clock.now(),
      ),
    ], signal);
  }

  /** Publishes that transactions are pending, as far as that is news. */
  async pending(
    transactions: readonly EvmTransaction[],
    signal: AbortSignal,
  ): Promise<void> {
    const at = this.#moment();
    await this.#publisher.send(
      transactions.flatMap((tx) => this.#pool.add(tx, at)),
      signal,
    );
  }

  /** Transactions that the node should be asked about. */
  due(limit: number): string[] {
    return this.#pool.due(this.#moment(), limit);
  }

  /**
   * A node answered for a pending transaction.
   *
   * @param found what it knows of the transaction.
   */
  async checked(
    hash: string,
    found: EvmTransaction | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const gone = this.#pool.checked(hash, found, this.#moment());
    if (gone.length > 0) await this.#publisher.send(gone, signal);
  }

  /** All messages about a block, in their order; it counts as published. */
  #all(block: EvmBlock, at: Occurrence): AnyMessage[] {
    const mined = this.#messages.mined(block, at);
    const payloads = mined.map(({ payload }) => payload);
    const replaced = this.#pool.mine(payloads, this.#moment());
    this.#keep(at.hash, payloads);
    return [
      this.#messages.block(block, at),
      this.#messages.added(at, block.timestampMs),
      ...mined,
      ...replaced,
      this.#messages.complete(block, at, "transactions"),
      ...this.#messages.logs(block, at),
      this.#messages.complete(block, at, "logs"),
    ];
  }

  /** Takes back one block, the newest. */
  async #revert(
    at: Occurrence,
    { reason, ...undoing }: Undoing & { reason: string },
    signal: AbortSignal,
  ): Promise<void> {
    await this.#undo(at, undoing, signal);
    const now = this.#clock.now();
    await this.#publisher.send(
      [this.#messages.reverted(at, reason, now)],
      signal,
    );
    this.#tail.revert(at.hash);
  }

  /** Takes back what depends on a block. */
  async #undo(
    at: Occurrence,
    { standing, ids }: Undoing,
    signal: AbortSignal,
  ): Promise<void> {
    const moment = this.#moment();
    const { now } = moment;
    const transactions = [...standing.get(at.hash) ?? []].reverse();
    for (const payload of transactions) this.#pool.restore(payload, moment);
    this.#forget(at.hash);
    const messages = [
      ...transactions.map((tx) => this.#messages.unmined(tx, at, now)),
      this.#messages.logsReverted(at, now),
      this.#messages.removed(at, now),
    ];
    await this.#publisher.send(
      messages.filter(({ id }) => !ids?.has(id!)),
      signal,
    );
  }

  /** Transactions of blocks, from memory or else from the log. */
  async #standingIn(
    blocks: readonly Occurrence[],
    signal: AbortSignal,
  ): Promise<Map<string, readonly TxPayload[]>> {
    const standing = new Map<string, readonly TxPayload[]>();
    for (const { hash } of blocks) {
      const kept = this.#transactions.get(hash);
      if (kept) standing.set(hash, kept);
    }
    const rest = blocks.filter(({ hash }) => !standing.has(hash));
    const read = await this.#history.transactionsOf(rest, signal);
    return new Map([...standing, ...read]);
  }

  async #alertFinality(height: number, signal: AbortSignal): Promise<void> {
    const { chain } = this;
    const now = this.#clock.now();
    await this.#publisher.send([{
      type: "ALERT_TRIGGERED",
      id: `${chain}:alert:finality_broken:${height}:${now}`,
      payload: {
        type: "finality_broken",
        severity: "critical",
        subject: chain,
        message:
          `${chain} reverted blocks above height ${height} that were final`,
        timestamp: new Date(now).toISOString(),
      },
    }], signal);
  }

  /** Makes the block the tip, whether or not it was published. */
  #stand({ hash, height }: Kept): void {
    anchor(this.#tail, { blockId: hash, height });
  }

  #isReverting(at: Occurrence, ids: ReadonlySet<string>): boolean {
    const { now } = this.#moment();
    const place = `:pending:reorg:${this.#messages.placeOf(at)}`;
    return ids.has(this.#messages.logsReverted(at, now).id!) ||
      ids.has(this.#messages.removed(at, now).id!) ||
      [...ids].some((id) => id.endsWith(place));
  }

  #keep(hash: string, payloads: readonly TxPayload[]): void {
    this.#forget(hash);
    // Call data is not published again, and is most of the memory.
    const slim = payloads.map(({ data: _, ...rest }) => rest);
    this.#transactions.set(hash, slim as TxPayload[]);
    this.#kept += slim.length;
    for (const oldest of this.#transactions.keys()) {
      if (this.#kept <= MAX_KEPT_TRANSACTIONS) break;
      this.#forget(oldest);
    }
  }

  #forget(hash: string): void {
    this.#kept -= this.#transactions.get(hash)?.length ?? 0;
    this.#transactions.delete(hash);
  }

  #above(height: number): Occurrence[] {
    return this.#tail.above(height).map((block) => this.#occurrence(block));
  }

  #tip(): Occurrence | undefined {
    const { tip } = this.#tail;
    return tip && this.#occurrence(tip);
  }

  #occurrence({ hash, parentHash, height }: Placed): Occurrence {
    return { hash, parentHash, height, reverts: this.#tail.reverts(hash) };
  }

  #moment(): Moment {
    return { now: this.#clock.now(), monotonic: this.#clock.monotonic() };
  }
}
