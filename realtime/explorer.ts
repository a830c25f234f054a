/**
 * The current state of a block (status, finality, transactions) and of the
 * transactions of an address.
 *
 * @module
 */
import { chainOf, transactionIds } from "../chain/chain_events.ts";
import type { Payload } from "../chain/chain_events.ts";
import type { Chains } from "../chain/ingest.ts";
import { wasReplaced } from "../chain/replaced.ts";
import { lookedUpState } from "../chain/transaction_state.ts";
import type { Channel } from "../protocol/channels.ts";
import type { CommandPayload } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { TrackedState } from "../protocol/states.ts";
import type { Principal } from "../security/principal.ts";
import { requireReading } from "../security/rights.ts";
import { searchAddress } from "./address_search.ts";
import type { AddressQuery } from "./address_search.ts";
import type { Hub } from "./hub.ts";
import type { Reader } from "./prices.ts";
import { Turns } from "./turns.ts";

/** Blocks read at once. */
export const MAX_BLOCKS_AT_ONCE = 4;
/** Most blocks that wait to be read. */
export const MAX_BLOCKS_WAITING = 1_000;
/** Most blocks that wait to be read for one address. */
export const MAX_BLOCKS_WAITING_PER_ADDRESS = 64;
/** Longest result, in UTF-16 units of its events, but at least one event. */
export const MAX_BLOCK_ANSWER_LENGTH = 768 * 1024;

const BLOCKS: Channel = { name: "blocks", kind: "blocks" };
const TRANSACTIONS: Channel = { name: "transactions", kind: "transactions" };
const LOGS: Channel = { name: "logs", kind: "logs" };

/** An event as a JSON value. */
interface Data {
  readonly type: string;
  readonly payload: Payload;
}

/** The parts of a block that a caller may read. */
interface Readable {
  readonly transactions: boolean;
  readonly logs: boolean;
}

/** Transactions of an address. */
export interface AddressPage {
  /** As in the query. */
  readonly address: string;
  /** State and newest event of each, newest first. */
  readonly transactions: readonly (TrackedState & {
    readonly event: Record<string, unknown>;
  })[];
  /** Where to continue, as `epoch:seq`; `null`: the whole log was searched. */
  readonly next: string | null;
}

/** Looks blocks and addresses up. */
export class Explorer {
  readonly #hub: Hub;
  readonly #chains: Chains;
  readonly #turns = new Turns({
    atOnce: MAX_BLOCKS_AT_ONCE,
    waiting: MAX_BLOCKS_WAITING,
    waitingEach: MAX_BLOCKS_WAITING_PER_ADDRESS,
  });

  /** Reads through `hub`, follows `chains`. */
  constructor({ hub, chains }: { hub: Hub; chains: Chains }) {
    this.#hub = hub;
    this.#chains = chains;
  }

  /**
   * Looks a block up.
   *
   * @param query its id or height, and a range of its transactions.
   * @param principal needs the right to read; transactions are left out when it
   * may not read them.
   * @param reader is charged for the read.
   * @throws {Refusal} `FORBIDDEN`, `RATE_LIMITED`, `STORE_UNAVAILABLE`.
   */
  async block(
    query: CommandPayload<"block">,
    principal: Principal,
    reader: Reader,
  ): Promise<ReplyPayload<"block_response">> {
    requireReading(principal, BLOCKS);
    const readable = {
      transactions: principal.mayRead(TRANSACTIONS),
      logs: principal.mayRead(LOGS),
    };
    return await this.#turns.run(reader.address, () => {
      reader.admit();
      return this.#read(query, readable, reader);
    });
  }

  /**
   * Looks up the transactions of an address in the stored log.
   *
   * @param query the address, and a range of its transactions.
   * @param principal needs the right to read.
   * @param reader is charged for the read.
   * @throws {Refusal} `FORBIDDEN`, `INVALID_PAYLOAD` for a position of another
   * log, `RATE_LIMITED`, `STORE_UNAVAILABLE`.
   */
  async address(
    query: AddressQuery,
    principal: Principal,
    reader: Reader,
  ): Promise<AddressPage> {
    requireReading(principal, TRANSACTIONS);
    return await this.#turns.run(reader.address, async () => {
      reader.admit();
      const { frames, next, length } = await searchAddress(query, this.#hub);
      await this.#follow();
      reader.read(length);
      return {
        address: query.address,
        transactions: await Promise.all(
          frames.map((frame) => this.#transaction(frame)),
        ),
        next: next ? `${next.epoch}:${next.seq}` : null,
      };
    });
  }

  async #transaction(
    frame: string,
  ): Promise<AddressPage["transactions"][number]> {
    const event = JSON.parse(frame) as Data & Record<string, unknown>;
    const { payload } = event;
    const txId = payload["txId"] as string;
    const [chains, log] = [this.#chains, this.#hub];
    return { ...await lookedUpState(txId, payload, chains, log), event };
  }

  /** Follows the chains to their current ends. */
  async #follow(): Promise<void> {
    const [head] = await this.#hub.heads([BLOCKS.name]);
    await this.#chains.follow(BLOCKS.name, head!, this.#hub);
  }

  async #read(
    { block, after, limit }: CommandPayload<"block">,
    readable: Readable,
    reader: Reader,
  ): Promise<ReplyPayload<"block_response">> {
    const text = await this.#hub.latest(`block:${block}`) ??
      await this.#hub.latest(`block#${block}`);
    const event = text === undefined ? null : JSON.parse(text) as Data;
    await this.#follow();
    const ids = event?.type === "NEW_BLOCK"
      ? transactionIds(event.payload)
      : [];
    const transactions: Record<string, unknown>[] = [];
    const logs: Record<string, unknown>[] = [];
    const isWhole = readable.transactions;
    let at = after + 1;
    let length = text?.length ?? 0;
    const end = isWhole ? Math.min(ids.length, at + limit) : at;
    for (; at < end && length < MAX_BLOCK_ANSWER_LENGTH; at++) {
      const [found, written] = await Promise.all([
        this.#hub.latest(`transaction:${ids[at]}`),
        readable.logs ? this.#hub.latest(`logs:${ids[at]}`) : undefined,
      ]);
      if (found !== undefined) transactions.push(JSON.parse(found));
      length += (found?.length ?? 0) + (written?.length ?? 0);
      if (written === undefined) continue;
      const data = JSON.parse(written) as Data & Record<string, unknown>;
      const { blockId } = event!.payload;
      // It may be of another block that contained the transaction before.
      if (data.payload["blockId"] === blockId) logs.push(data);
    }
    reader.read(length);
    return {
      block,
      ...await this.#standing(event),
      event: event as Record<string, unknown> | null,
      total: ids.length,
      transactions,
      logs,
      next: isWhole && at < ids.length ? at - 1 : null,
    };
  }

  async #standing(
    event: Data | null,
  ): Promise<Pick<ReplyPayload<"block_response">, "status" | "finality">> {
    if (!event) return { status: "unknown", finality: "none" };
    const name = chainOf(event.payload);
    const chain = this.#chains.find(name);
    const blockId = event.payload["blockId"] as string;
    const height = event.payload["height"] as number;
    const block = { chain: name, blockId, height };
    const isGone = event.type === "BLOCK_REVERTED" ||
      chain?.spine.standingOf(blockId, height) === "gone" ||
      await wasReplaced(block, this.#chains, this.#hub);
    if (isGone) return { status: "reverted", finality: "none" };
    if (!chain || height > chain.spine.safe) {
      return { status: "standing", finality: "none" };
    }
    const finality = height <= chain.spine.final ? "final" : "safe";
    return { status: "standing", finality };
  }
}
