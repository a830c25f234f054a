/**
 * Balances of a simulated chain: accounts, the pool of waiting transactions,
 * and their outcome in a block.
 *
 * @module
 */
import { hash as digestOf } from "node:crypto";
import type { Event, PayloadOf } from "../protocol/messages.ts";
import type { Story } from "./chain_story.ts";

/** Most gas of all transactions of a block. */
export const BLOCK_GAS_LIMIT = 1_000_000;
/** Initial balance of every account, in grains. */
export const INITIAL_BALANCE = 1_000_000_000_000n;
/** Most transactions that wait for a block. */
const MAX_POOL = 400;
/** How often a step replaces, and drops, a transaction that waits. */
const REPLACE_CHANCE = 0.02;
const DROP_CHANCE = 0.006;
const ACCOUNTS = 48;
const TRANSFER_GAS = 21_000;
/** Selector of `transfer(address,uint256)`. */
const TRANSFER_CALL = "0xa9059cbb";
/** Topic of `Transfer(address,address,uint256)`. */
const TRANSFER_TOPIC =
  "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

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

/** A block by its name and place. */
export interface Place {
  /** Its name. */
  readonly blockId: string;
  /** Blocks above genesis. */
  readonly height: number;
}

/** A transaction as it waited, and its outcome. */
interface Done {
  readonly waiting: Transaction;
  readonly isFailed: boolean;
  readonly fee: bigint;
}

/** All accounts, and their waiting transactions. */
export class Ledger {
  readonly #story: Story;
  readonly #life: string;
  readonly #chain: string;
  /** What was done in the newest blocks, oldest first. */
  readonly #blocks: Done[][] = [];
  readonly #accounts = new Map<string, Account>();
  readonly #pool: Transaction[] = [];

  /**
   * Opens the accounts; a chain that was resumed has others than before.
   *
   * @param names `life` names the accounts, `chain` the chain.
   */
  constructor(
    story: Story,
    { life, chain }: { life: string; chain: string },
  ) {
    this.#story = story;
    this.#life = digestOf("sha256", life).slice(0, 8);
    this.#chain = chain;
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
   * The pool is gone: what was pending is in a block, or dropped.
   *
   * @param events of `transactions`, oldest first.
   * @param complete blocks of which all transactions were published.
   */
  resume(
    blocks: readonly Event<"NEW_BLOCK">[],
    events: readonly Event<"TX_RECEIVED">[],
    complete: ReadonlySet<string>,
  ): void {
    const open = new Map<string, Transaction>();
    for (const { payload } of events) {
      if (payload.status === "pending") open.set(payload.txId, payload);
      else open.delete(payload.txId);
    }
    const done = new Map(
      blocks.flatMap(({ payload }) =>
        (payload.transactions ?? []).map((tx, at): [string, Transaction] => [
          tx.txId,
          mined(tx, payload, at),
        ])
      ),
    );
    for (const tx of open.values()) {
      this.#story.later(1, () =>
        this.#emit(
          done.get(tx.txId) ?? {
            ...tx,
            status: "dropped",
            timestamp: this.#story.instant,
          },
          this.#life,
        ));
    }
    const newest = blocks.at(-1)?.payload;
    if (!newest || complete.has(newest.blockId)) return;
    // A block may have been published, and not all of its transactions.
    this.#story.later(
      1,
      () => this.#emitComplete(newest, newest.transactions ?? []),
    );
  }

  /**
   * New transactions enter: some six a second, more at busy times.
   *
   * @param step of the chain, counted from 0.
   */
  receive(step: number): void {
    const busy = 1 + 0.6 * Math.sin(step / 900);
    for (let chance = 0.62 * busy; this.#story.chance(chance); chance *= 0.35) {
      if (this.#pool.length === MAX_POOL) return;
      const tx = this.#newTransaction();
      if (tx) this.#emit(tx);
    }
    if (this.#story.chance(REPLACE_CHANCE)) this.#replace();
    if (this.#story.chance(DROP_CHANCE)) this.#drop();
  }

  /**
   * Takes the newest block back: balances as before, its transactions wait
   * again.
   *
   * @param left the block, for the transactions to name.
   */
  revert(left: Place): void {
    for (const { waiting, isFailed, fee } of this.#blocks.pop()!.reverse()) {
      const from = this.#accounts.get(waiting.from)!;
      from.balance += fee;
      from.reserved += costOf(waiting);
      if (!isFailed) {
        from.balance += BigInt(waiting.amount);
        this.#accounts.get(waiting.to)!.balance -= BigInt(waiting.amount);
      }
      this.#pool.unshift(waiting);
      this.#emit({
        ...waiting,
        // They are void: those who received by them receive this, too.
        ...moved({ ...waiting, status: isFailed ? "failed" : "confirmed" }),
        timestamp: this.#story.instant,
        cause: "reorg",
        left: { ...left },
      }, `reorg:${left.blockId.slice(2, 18)}`);
    }
    this.#story.emit("LOGS_REVERTED", `logs-reverted:${left.blockId}`, {
      chain: this.#chain,
      ...left,
      timestamp: this.#story.instant,
    });
  }

  /** The oldest block that could be reverted no longer can. */
  forget(): void {
    this.#blocks.shift();
  }

  /** Takes from the pool what fits into a block, and carries it out. */
  execute(): Executed {
    const transactions: Transaction[] = [];
    const done: Done[] = [];
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
      done.push({ waiting: tx, isFailed: failed, fee });
      transactions.push({
        ...tx,
        status: failed ? "failed" : "confirmed",
        timestamp: this.#story.instant,
        gasUsed,
        fee: String(fee),
        ...(failed ? { reason: "reverted" } : {}),
      });
    }
    this.#blocks.push(done);
    return { transactions, gasUsed: gas, fees };
  }

  /** Publishes the transactions of a block, and that these were all. */
  settle(transactions: readonly Transaction[], place: Place): void {
    const { blockId } = place;
    for (const [index, tx] of transactions.entries()) {
      this.#emit(mined(tx, place, index), blockId.slice(2, 18));
    }
    this.#emitComplete(place, transactions);
  }

  /** Ends a block on `transactions`, and publishes it on `logs`. */
  #emitComplete(
    { blockId, height }: Place,
    transactions: readonly Transaction[],
  ): void {
    const complete = {
      chain: this.#chain,
      blockId,
      height,
      transactions: transactions.length,
      failed: transactions.filter(({ status }) => status === "failed").length,
      timestamp: this.#story.instant,
    };
    this.#story.emit("BLOCK_COMPLETE", `complete:${blockId}`, complete);
    for (const [index, tx] of transactions.entries()) {
      const call = tokenCallOf(tx);
      if (!call) continue;
      const place = `${tx.txId}:${blockId.slice(2, 18)}`;
      this.#story.emit("TX_LOGS", `logs:${place}`, {
        chain: this.#chain,
        txId: tx.txId,
        blockId,
        blockHeight: height,
        index,
        logs: [{
          address: tx.to,
          topics: [TRANSFER_TOPIC, wordOf(tx.from), wordOf(call.to)],
          data: `0x${BigInt(call.amount).toString(16).padStart(64, "0")}`,
          logIndex: 0,
        }],
        timestamp: this.#story.instant,
      });
    }
    this.#story.emit(
      "BLOCK_COMPLETE",
      `complete:logs:${blockId}`,
      complete,
      "logs",
    );
  }

  /** One that waits is sent again with a higher price. */
  #replace(): void {
    if (this.#pool.length === 0) return;
    const story = this.#story;
    const at = story.between(0, this.#pool.length - 1);
    const { txId, ...before } = this.#pool[at]!;
    const gasPrice = String(
      Number(before.gasPrice) + story.between(2, 10),
    );
    const content = { ...before, gasPrice, timestamp: story.instant };
    const from = this.#accounts.get(before.from)!;
    const more = costOf(content) - costOf(before);
    if (this.#spendable(from) < more) return;
    from.reserved += more;
    const tx = { txId: nameOf(content), ...content };
    this.#pool[at] = tx;
    this.#emit(tx);
    this.#emit({
      txId,
      ...before,
      status: "replaced",
      timestamp: story.instant,
      replacedBy: tx.txId,
    });
  }

  /** The last of a sender's that wait is forgotten. */
  #drop(): void {
    if (this.#pool.length === 0) return;
    const { from: address } = this.#story.pick(this.#pool);
    const from = this.#accounts.get(address)!;
    const at = this.#pool.findIndex((tx) =>
      tx.from === address && tx.nonce === from.nonce - 1
    );
    const [tx] = this.#pool.splice(at, 1);
    from.nonce--;
    from.reserved -= costOf(tx!);
    this.#emit({
      ...tx!,
      status: "dropped",
      timestamp: this.#story.instant,
    });
  }

  /**
   * What an account may spend: not what waits in the pool, and not what it got
   * in blocks that may yet be reverted.
   */
  #spendable({ address, balance, reserved }: Account): bigint {
    const recent = this.#blocks.flat().filter(({ waiting, isFailed }) =>
      waiting.to === address && !isFailed
    );
    return recent.reduce(
      (rest, { waiting }) => rest - BigInt(waiting.amount),
      balance - reserved,
    );
  }

  #newTransaction(): Transaction | undefined {
    const story = this.#story;
    const accounts = [...this.#accounts.values()];
    const from = story.pick(accounts);
    const to = story.pick(accounts.filter((account) => account !== from));
    const call = story.chance(0.35);
    const content = {
      chain: this.#chain,
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
    if (this.#spendable(from) < cost) return undefined;
    from.reserved += cost;
    from.nonce++;
    const tx = { txId: nameOf(content), ...content };
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

  /** @param occurrence distinguishes this status from the same one before. */
  #emit(tx: Transaction, occurrence = ""): void {
    const suffix = occurrence === "" ? "" : `:${occurrence}`;
    this.#story.emit("TX_RECEIVED", `tx:${tx.txId}:${tx.status}${suffix}`, tx);
  }
}

/** A transaction with its block, and what it moved there. */
function mined(
  tx: Transaction,
  { blockId, height }: Place,
  index: number,
): Transaction {
  return { ...tx, blockId, blockHeight: height, index, ...moved(tx) };
}

/** What a transaction moves in a block. */
function moved(tx: Transaction): Pick<Transaction, "transfers"> {
  const { from, to, amount, status } = tx;
  const native = { asset: "native" as const, from, to, amount };
  const call = tokenCallOf(tx);
  const transfers = [
    ...(status === "confirmed" && amount !== "0" ? [native] : []),
    ...(call ? [{ asset: "erc20" as const, token: to, from, ...call }] : []),
  ];
  return transfers.length === 0 ? {} : { transfers };
}

/** The token movement that a successful call makes. */
function tokenCallOf(
  { data, status }: Transaction,
): { to: string; amount: string } | undefined {
  if (status !== "confirmed" || !data?.startsWith(TRANSFER_CALL)) {
    return undefined;
  }
  const [to, amount] = [data.slice(34, 74), data.slice(74)];
  return { to: `0x${to}`, amount: String(BigInt(`0x${amount}`)) };
}

function wordOf(address: string): string {
  return `0x${address.slice(2).padStart(64, "0")}`;
}

function nameOf(content: Omit<Transaction, "txId">): string {
  return `0x${digestOf("sha256", JSON.stringify(content))}`;
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
