/**
 * A node, the service, the source and the exchange, each a process, and what
 * chance does to them. The exchange's ledger is compared with the node's own
 * balances, at any time: what is settled is final, and never changes.
 *
 * @module
 */
import assert from "node:assert/strict";
import { seeded } from "../fakes/random.ts";
import { TestServer } from "../server.ts";
import { Anvil } from "../sources/anvil.ts";
import { until } from "../until.ts";
import { Program } from "./program.ts";
import { balanceCall, creation, transferCall } from "./token.ts";

/** Addresses of customers. */
const CUSTOMERS = 1_000;
/** Blocks of an epoch of the node: that many are safe, twice as many final. */
const EPOCH = 4;
/** Deepest reorganisation; what is safe is never reverted. */
const MAX_DEPTH = EPOCH;
/** Accounts of the node that pay. */
const PAYERS = 6;
const GAS = "0x30d40";
const CHAIN = "evm:31337";

/** What a transaction is made of, so that the same one can be sent again. */
interface Request {
  readonly from: string;
  readonly to: string;
  readonly nonce: string;
  readonly gasPrice: string;
  readonly gas: string;
  readonly value?: string;
  readonly data?: string;
}

/** The exchange's file, as far as it is looked at. */
interface Ledger {
  readonly cursor?: {
    readonly block?: { readonly height: number; readonly blockId: string };
  };
  readonly deposits: Readonly<
    Record<string, {
      readonly height: number;
      readonly blockId: string;
      readonly credits: readonly {
        readonly address: string;
        readonly asset: string;
        readonly amount: string;
      }[];
    }>
  >;
}

/** What happened in a world, for reports. */
export interface Tally {
  /** Deposits credited. */
  credits: number;
  /** Comparisons of the ledger with the node's balances. */
  checks: number;
  /** Reorganisations. */
  reorgs: number;
  /** Blocks that they reverted. */
  reverted: number;
  /** Processes killed. */
  kills: number;
  /** Transactions sent, those sent again included. */
  sent: number;
  /** Credits taken back. */
  takenBack: number;
}

const hex = (value: number | bigint) => `0x${value.toString(16)}`;

/** Everything, for one seed. */
export class World implements AsyncDisposable {
  /** What happened so far. */
  readonly tally: Tally = {
    credits: 0,
    checks: 0,
    reorgs: 0,
    reverted: 0,
    kills: 0,
    sent: 0,
    takenBack: 0,
  };
  readonly #random: () => number;
  readonly #parts = new AsyncDisposableStack();
  readonly #customers: readonly string[];
  readonly #requests = new Map<string, Request>();
  #anvil!: Anvil;
  #server!: TestServer;
  #source!: Program;
  #exchange!: Program;
  #ledgerFile = "";
  #payers: readonly string[] = [];
  #token = "";
  #tip = 0;
  /** The highest block there ever was: what is safe follows from it. */
  #peak = 0;
  #isServing = true;
  #checkedAt = "";

  private constructor(seed: number) {
    this.#random = seeded(seed);
    this.#customers = Array.from(
      { length: CUSTOMERS },
      (_, at) =>
        `0x${
          (BigInt(seed + 1) << 64n | BigInt(at + 1)).toString(16).padStart(
            40,
            "c",
          )
        }`,
    );
  }

  /** Starts all of it; resolves when the exchange missed nothing so far. */
  static async start(seed: number): Promise<World> {
    const world = new World(seed);
    try {
      await world.#begin();
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
    return world;
  }

  async #begin(): Promise<void> {
    const parts = this.#parts;
    const folder = await Deno.makeTempDir({ prefix: "kaldrix-exchange-" });
    parts.defer(() => Deno.remove(folder, { recursive: true }));
    this.#anvil = parts.use(await Anvil.start({ slotsInEpoch: EPOCH }));
    this.#payers = (await this.#anvil.ask("eth_accounts")).slice(0, PAYERS);
    this.#server = parts.use(
      await TestServer.start({ settings: { RETENTION_EVENTS: "10000" } }),
    );
    await this.#makeToken();
    this.#source = parts.use(
      new Program({
        args: [
          "sources/evm_main.ts",
          ...["--rpc", this.#anvil.url, "--publish", this.#server.url],
          ...["--from", "1"],
        ],
        rights: ["--allow-net", "--allow-env=PUBLISH_TOKEN"],
        env: { PUBLISH_TOKEN: await this.#server.token("publisher") },
      }),
    );
    const addresses = `${folder}/addresses.txt`;
    await Deno.writeTextFile(addresses, this.#customers.join("\n"));
    this.#ledgerFile = `${folder}/ledger.json`;
    this.#exchange = parts.use(
      new Program({
        args: [
          "docs/examples/exchange.ts",
          ...[this.#server.socketUrl, CHAIN, addresses, this.#ledgerFile],
        ],
        rights: ["-RW", "--allow-net"],
      }),
    );
    this.#exchange.start();
    this.#source.start();
    await until(
      async () => (await this.#read())?.cursor !== undefined,
      "the exchange begins",
    );
  }

  /** Ends all processes, and removes their files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }

  /** Something happens; then what is settled is compared. */
  async step(): Promise<void> {
    const kind = this.#random();
    if (kind < 0.4) {
      for (let sent = this.#upTo(5); sent > 0; sent--) await this.#pay();
      await this.pay();
    } else if (kind < 0.5) await this.#outbid();
    else if (kind < 0.55) await this.#drop();
    else if (kind < 0.65) await this.#mine(1 + this.#upTo(3));
    else if (kind < 0.8) await this.#reorganise();
    else await this.#kill();
    await this.#revive(0.4);
    await new Promise((resolve) => setTimeout(resolve, this.#upTo(150)));
    await this.#check();
  }

  /** A payment, and a block with it. */
  async pay(): Promise<void> {
    await this.#pay();
    await this.#mine(1);
  }

  /** What was final is replaced: no chain should do that. */
  async breakFinality(): Promise<void> {
    await this.#revert(3 * EPOCH);
  }

  /** All run again, all becomes final, and the ledger is the node's. */
  async end(): Promise<void> {
    await this.#revive(1);
    await this.#mine(2 * EPOCH + 2);
    const { hash } = await this.#block("finalized");
    await until(
      async () => (await this.#read())?.cursor?.block?.blockId === hash,
      `the exchange settles: ${this.#exchange.errors} ${this.#source.errors}`,
    );
    await this.#check();
  }

  /** A whole number from 0 to below `bound`. */
  #upTo(bound: number): number {
    return Math.floor(this.#random() * bound);
  }

  #pick<T extends string | undefined>(list: readonly T[]): T {
    return list[this.#upTo(list.length)]!;
  }

  // deno-lint-ignore no-explicit-any -- what a node answers has no static type.
  #block(tag: string): Promise<any> {
    return this.#anvil.ask("eth_getBlockByNumber", tag, false);
  }

  async #makeToken(): Promise<void> {
    const [creator, ...others] = this.#payers as [string, ...string[]];
    const hash = await this.#anvil.ask("eth_sendTransaction", {
      ...{ from: creator, data: creation(), gas: "0x100000" },
    });
    await this.#mine(1);
    const made = await this.#anvil.ask("eth_getTransactionReceipt", hash);
    this.#token = made.contractAddress;
    for (const to of others) {
      await this.#anvil.ask("eth_sendTransaction", {
        ...{ from: creator, to: this.#token, gas: GAS },
        data: transferCall(to, 1_000n),
      });
    }
    await this.#mine(2 * EPOCH);
  }

  async #mine(count: number): Promise<void> {
    for (let made = 0; made < count; made++) {
      await this.#anvil.mine();
      this.#peak = Math.max(this.#peak, ++this.#tip);
    }
  }

  async #send(request: Request): Promise<void> {
    this.tally.sent++;
    try {
      const hash = await this.#anvil.ask("eth_sendTransaction", request);
      this.#requests.set(hash, request);
    } catch {
      // Its place is taken: nodes refuse such a one.
    }
  }

  /** A payment in coins or tokens, mostly to a customer; tokens may not do. */
  async #pay(): Promise<void> {
    const from = this.#pick(this.#payers);
    const nonce = await this.#anvil.ask(
      ...["eth_getTransactionCount", from, "pending"] as const,
    );
    await this.#send(this.#payment(from, nonce, 2));
  }

  #payment(from: string, nonce: string, gwei: number): Request {
    const isOurs = this.#random() < 0.8;
    const to = isOurs ? this.#pick(this.#customers) : this.#pick(this.#payers);
    const gasPrice = hex(BigInt(gwei) * 10n ** 9n);
    const common = { from, nonce, gasPrice, gas: GAS };
    if (this.#random() < 0.5) {
      return { ...common, to, value: hex(1 + this.#upTo(1_000_000)) };
    }
    const data = transferCall(to, BigInt(1 + this.#upTo(400)));
    return { ...common, to: this.#token, data };
  }

  async #pendingOnes(): Promise<(string | undefined)[]> {
    const { pending } = await this.#anvil.ask("txpool_content");
    return Object.values(pending as Record<string, Record<string, object>>)
      .flatMap((of) => Object.values(of) as { hash: string }[])
      .map(({ hash }) => hash);
  }

  /** A payment is replaced by another with the same nonce. */
  async #outbid(): Promise<void> {
    await this.#pay();
    const hash = this.#pick(await this.#pendingOnes());
    if (hash === undefined) return;
    const { from, nonce, gasPrice } = this.#requests.get(hash)!;
    const gwei = Number(BigInt(gasPrice) / 10n ** 9n);
    await this.#send(this.#payment(from, nonce, 2 * gwei));
  }

  async #drop(): Promise<void> {
    await this.#pay();
    const hash = this.#pick(await this.#pendingOnes());
    if (hash === undefined) return;
    await this.#anvil.ask("anvil_dropTransaction", hash);
  }

  /**
   * The newest blocks are replaced. Of their transactions some come back, in
   * the same or another block, some lose their nonce to others, some are gone.
   */
  async #reorganise(): Promise<void> {
    const floor = Math.max(this.#peak - EPOCH, 0);
    const depth = Math.min(1 + this.#upTo(MAX_DEPTH), this.#tip - floor);
    if (depth > 0) await this.#revert(depth);
  }

  async #revert(depth: number): Promise<void> {
    this.tally.reorgs++;
    this.tally.reverted += depth;
    const gone: string[] = [];
    for (let height = this.#tip - depth + 1; height <= this.#tip; height++) {
      gone.push(...(await this.#block(hex(height))).transactions);
    }
    if (this.#random() < 0.3) {
      await this.#anvil.ask("anvil_reorg", depth, []);
    } else {
      await this.#anvil.ask("anvil_rollback", depth);
      this.#tip -= depth;
    }
    for (const hash of gone) {
      const request = this.#requests.get(hash)!;
      const { from, nonce } = request;
      const chance = this.#random();
      if (chance < 0.7) await this.#send(request);
      else if (chance < 0.9) await this.#send(this.#payment(from, nonce, 3));
      if (this.#random() < 0.2) await this.#mine(1);
    }
    await this.#mine(Math.max(1, this.#peak - this.#tip + this.#upTo(2)));
  }

  async #kill(): Promise<void> {
    this.tally.kills++;
    const chance = this.#random();
    if (chance < 0.5) await this.#killExchange();
    else if (chance < 0.8) await this.#source.kill();
    else if (this.#isServing) {
      this.#isServing = false;
      await this.#server.stop("SIGKILL");
    }
  }

  async #killExchange(): Promise<void> {
    const code = await this.#exchange.kill();
    assert.equal(code, undefined, this.#exchange.errors);
  }

  /** What was killed comes back, each by chance. */
  async #revive(chance: number): Promise<void> {
    if (this.#random() < chance) this.#exchange.start();
    if (this.#random() < chance) this.#source.start();
    if (this.#random() >= chance || this.#isServing) return;
    this.#isServing = true;
    await this.#server.begin();
  }

  /** The file, once there is one; it is never half written. */
  async #read(): Promise<Ledger | undefined> {
    try {
      return JSON.parse(await Deno.readTextFile(this.#ledgerFile));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /**
   * The ledger holds the balances that the node reports at the settled
   * block, and every credit there ever was is in a standing, final block.
   */
  async #check(): Promise<void> {
    // The entries that it recorded before.
    const { lines } = this.#exchange;
    const { cursor, deposits = {} } = await this.#read() ?? {};
    const settled = cursor?.block;
    if (!settled || settled.blockId === this.#checkedAt) return;
    this.#checkedAt = settled.blockId;
    this.tally.checks++;
    const { number } = await this.#block("finalized");
    assert.ok(
      settled.height <= Number(number),
      "only what is final is settled",
    );
    const { hash } = await this.#block(hex(settled.height));
    assert.equal(settled.blockId, hash);

    const credited = Object.entries(deposits);
    this.tally.credits = credited.length;
    const holders = await this.#anvil.askAll(
      credited.map(([txId]) => ["eth_getTransactionReceipt", txId]),
    );
    for (const [at, [txId, { blockId, height }]] of credited.entries()) {
      assert.equal(holders[at]?.blockHash, blockId, `${txId} stands`);
      assert.ok(height <= settled.height);
    }
    const ledger = new Map<string, bigint>();
    for (const [, { credits }] of credited) {
      for (const { address, asset, amount } of credits) {
        const account = `${asset} ${address}`;
        ledger.set(account, (ledger.get(account) ?? 0n) + BigInt(amount));
      }
    }
    const at = hex(settled.height);
    const coins = await this.#anvil.askAll(
      this.#customers.map((it) => ["eth_getBalance", it, at]),
    );
    const tokens = await this.#anvil.askAll(
      this.#customers.map((it) => [
        "eth_call",
        { to: this.#token, data: balanceCall(it) },
        at,
      ]),
    );
    const node = new Map<string, bigint>();
    for (const [at, address] of this.#customers.entries()) {
      node.set(`native ${address}`, BigInt(coins[at]));
      node.set(`${this.#token} ${address}`, BigInt(tokens[at]));
    }
    for (const [account, amount] of node) {
      assert.equal(ledger.get(account) ?? 0n, amount, account);
      ledger.delete(account);
    }
    assert.deepEqual([...ledger], [], "nothing else is credited");
    const ids = new Set(credited.map(([txId]) => txId));
    const said = new Set<string>();
    this.tally.takenBack = 0;
    for (const line of lines) {
      const [, txId] = /^credit (\w+)/.exec(line) ?? [];
      if (txId !== undefined) said.add(txId);
      else if (said.delete(line.slice("take back ".length))) {
        this.tally.takenBack++;
      }
    }
    for (const txId of said) {
      assert.ok(ids.has(txId), `${txId} was credited, and is no more`);
    }
  }
}
