/**
 * Who owns what in a made-up chain: accounts, the pool of transactions that
 * wait, and what becomes of them in a block.
 *
 * @module
 */
import { hash as digestOf } from "node:crypto";
import type { Event, PayloadOf } from "../protocol/messages.ts";
import type { Story } from "./chain_story.ts";

/** Most gas of all transactions of a block. */
export const BLOCK_GAS_LIMIT = 1_000_000;
/** What every account begins with, in grains. */
export const INITIAL_BALANCE = 1_000_000_000_000n;
/** Most transactions that wait for a block. */
const MAX_POOL = 400;
const ACCOUNTS = 48;
const TRANSFER_GAS = 21_000;

type Transaction = PayloadOf<"TX_RECEIVED">;

interface Account {
  readonly address: string;
  /** Without what is waiting in the pool. */
  balance: bigint;
  /** What transactions in the pool may cost at most. */
  reserved: bigint;
  nonce: number;
}

/** What a block carries out. */
export interface Executed {
  /** Confirmed or failed, in order. */
  readonly transactions: Transaction[];
  /** Gas of all of them. */
  readonly gasUsed: number;
  /** What all of them paid, in grains. */
  readonly fees: bigint;
}

/** All accounts, and what they are about to do. */
export class Ledger {
  readonly #story: Story;
  readonly #accounts = new Map<string, Account>();
  readonly #pool: Transaction[] = [];

  /**
   * Opens the accounts; a chain that was resumed has others than before.
   *
   * @param life names the accounts.
   */
  constructor(story: Story, life: string) {
    this.#story = story;
    for (let i = 0; i < ACCOUNTS; i++) {
      const digest = digestOf("sha256", `${life}/account/${i}`);
      const address = `0x${digest.slice(0, 40)}`;
      this.#accounts.set(address, {
        address,
        balance: INITIAL_BALANCE,
        reserved: 0n,
        nonce: 0,
      });
    }
  }

  /** What an account holds, in grains; `undefined` when there is none. */
  balanceOf(address: string): bigint | undefined {
    return this.#accounts.get(address)?.balance;
  }

  /**
   * The pool is gone: what was pending is told as what became of it.
   *
   * @param events of `transactions`, oldest first.
   */
  resume(
    blocks: readonly Event<"NEW_BLOCK">[],
    events: readonly Event<"TX_RECEIVED">[],
  ): void {
    const open = new Map<string, Transaction>();
    for (const { payload } of events) {
      if (payload.status === "pending") open.set(payload.txId, payload);
      else open.delete(payload.txId);
    }
    const done = new Map(
      blocks.flatMap(({ payload }) => payload.transactions ?? [])
        .map((tx) => [tx.txId, tx]),
    );
    for (const tx of open.values()) {
      this.#story.later(1, () =>
        this.#say(
          done.get(tx.txId) ?? {
            ...tx,
            status: "failed",
            timestamp: this.#story.instant,
            reason: "expired",
          },
        ));
    }
  }

  /**
   * New transactions come in: some six a second, more at busy times.
   *
   * @param step of the chain, counted from 0.
   */
  receive(step: number): void {
    const busy = 1 + 0.6 * Math.sin(step / 900);
    for (let chance = 0.62 * busy; this.#story.chance(chance); chance *= 0.35) {
      if (this.#pool.length === MAX_POOL) return;
      const tx = this.#newTransaction();
      if (tx) this.#say(tx);
    }
  }

  /** Takes from the pool what fits into a block, and carries it out. */
  execute(): Executed {
    const transactions: Transaction[] = [];
    let gas = 0;
    let fees = 0n;
    while (this.#pool.length > 0) {
      const tx = this.#pool[0]!;
      if (gas + tx.gasLimit > BLOCK_GAS_LIMIT) break;
      this.#pool.shift();
      const call = tx.data !== undefined;
      const failed = call && this.#story.chance(0.12);
      const gasUsed = !call || failed
        ? tx.gasLimit
        : Math.floor(tx.gasLimit * (0.6 + this.#story.random() * 0.35));
      const fee = BigInt(gasUsed) * BigInt(tx.gasPrice);
      gas += gasUsed;
      fees += fee;
      const from = this.#accounts.get(tx.from)!;
      from.reserved -= costOf(tx);
      from.balance -= fee;
      if (!failed) {
        from.balance -= BigInt(tx.amount);
        this.#accounts.get(tx.to)!.balance += BigInt(tx.amount);
      }
      transactions.push({
        ...tx,
        status: failed ? "failed" : "confirmed",
        timestamp: this.#story.instant,
        gasUsed,
        fee: String(fee),
        ...(failed ? { reason: "reverted" } : {}),
      });
    }
    return { transactions, gasUsed: gas, fees };
  }

  /** Tells of transactions what their block says already, and which it is. */
  settle(transactions: readonly Transaction[], blockId: string): void {
    for (const tx of transactions) this.#say({ ...tx, blockId });
  }

  #newTransaction(): Transaction | undefined {
    const story = this.#story;
    const accounts = [...this.#accounts.values()];
    const from = story.pick(accounts);
    const to = story.pick(accounts.filter((account) => account !== from));
    const call = story.chance(0.35);
    const content = {
      from: from.address,
      to: to.address,
      amount: String(
        call && story.chance(0.5)
          ? 0n
          : story.grains(1, 9_999) * 10n ** story.grains(3, 6),
      ),
      gasPrice: String(story.between(5, 40)),
      gasLimit: call ? story.between(40, 120) * 1_000 : TRANSFER_GAS,
      nonce: from.nonce,
      ...(call ? { data: this.#callData(to.address) } : {}),
      status: "pending" as const,
      timestamp: story.instant,
    };
    const cost = costOf(content);
    if (from.balance - from.reserved < cost) return undefined;
    from.reserved += cost;
    from.nonce++;
    const txId = `0x${digestOf("sha256", JSON.stringify(content))}`;
    const tx = { txId, ...content };
    this.#pool.push(tx);
    return tx;
  }

  #callData(to: string): string {
    const selector = this.#story.pick(["a9059cbb", "095ea7b3", "23b872dd"]);
    const value = this.#story.between(1, 1_000_000_000).toString(16);
    return `0x${selector}${to.slice(2).padStart(64, "0")}${
      value.padStart(64, "0")
    }`;
  }

  #say(tx: Transaction): void {
    this.#story.say("TX_RECEIVED", `tx:${tx.txId}:${tx.status}`, tx);
  }
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
