/**
 * What a block is now: whether it stands, how firmly, and what it holds.
 *
 * @module
 */
import { chainOf, transactionIds } from "../chain/chain_events.ts";
import type { Payload } from "../chain/chain_events.ts";
import type { Chains } from "../chain/ingest.ts";
import type { Channel } from "../protocol/channels.ts";
import type { CommandPayload } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import { requireReading } from "../security/rights.ts";
import type { Hub } from "./hub.ts";
import type { Reader } from "./prices.ts";
import { Turns } from "./turns.ts";

/** Blocks read at once. */
export const MAX_BLOCKS_AT_ONCE = 4;
/** Most blocks that wait to be read. */
export const MAX_BLOCKS_WAITING = 1_000;
/** Most blocks that wait to be read for one address. */
export const MAX_BLOCKS_WAITING_PER_ADDRESS = 64;
/** Longest answer, in UTF-16 units of its events, but never less than one. */
export const MAX_BLOCK_ANSWER_LENGTH = 768 * 1024;

const BLOCKS: Channel = { name: "blocks", kind: "blocks" };
const TRANSACTIONS: Channel = { name: "transactions", kind: "transactions" };

/** An event as a JSON value. */
interface Data {
  readonly type: string;
  readonly payload: Payload;
}

/** Looks blocks up. */
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
   * @param query its id or height, and which of its transactions.
   * @param principal whose right to read counts; transactions are left out
   * when it may not read those.
   * @param reader who pays for it.
   * @throws {Refusal} `FORBIDDEN`, `RATE_LIMITED`, `STORE_UNAVAILABLE`.
   */
  async block(
    query: CommandPayload<"block">,
    principal: Principal,
    reader: Reader,
  ): Promise<ReplyPayload<"block_response">> {
    requireReading(principal, BLOCKS);
    const isWhole = principal.mayRead(TRANSACTIONS);
    return await this.#turns.run(reader.address, () => {
      reader.admit();
      return this.#read(query, isWhole, reader);
    });
  }

  async #read(
    { block, after, limit }: CommandPayload<"block">,
    isWhole: boolean,
    reader: Reader,
  ): Promise<ReplyPayload<"block_response">> {
    const text = await this.#hub.latest(`block:${block}`) ??
      await this.#hub.latest(`block#${block}`);
    const event = text === undefined ? null : JSON.parse(text) as Data;
    const [head] = await this.#hub.heads([BLOCKS.name]);
    await this.#chains.follow(BLOCKS.name, head!, this.#hub);
    const ids = event?.type === "NEW_BLOCK"
      ? transactionIds(event.payload)
      : [];
    const transactions: Record<string, unknown>[] = [];
    let at = after + 1;
    let length = text?.length ?? 0;
    const end = isWhole ? Math.min(ids.length, at + limit) : at;
    for (; at < end && length < MAX_BLOCK_ANSWER_LENGTH; at++) {
      const found = await this.#hub.latest(`transaction:${ids[at]}`);
      if (found === undefined) continue;
      transactions.push(JSON.parse(found));
      length += found.length;
    }
    reader.read(length);
    return {
      block,
      ...this.#standing(event),
      event: event as Record<string, unknown> | null,
      total: ids.length,
      transactions,
      next: isWhole && at < ids.length ? at - 1 : null,
    };
  }

  #standing(
    event: Data | null,
  ): Pick<ReplyPayload<"block_response">, "status" | "finality"> {
    if (!event) return { status: "unknown", finality: "none" };
    const chain = this.#chains.find(chainOf(event.payload));
    const blockId = event.payload["blockId"] as string;
    const height = event.payload["height"] as number;
    const oldest = chain?.spine.tail[0];
    // What is older than the tail is judged by its newest event alone.
    const isGone = event.type === "BLOCK_REVERTED" ||
      (oldest !== undefined && height >= oldest.height &&
        !chain!.spine.named(blockId));
    if (isGone) return { status: "reverted", finality: "none" };
    if (!chain || height > chain.safe && height > chain.spine.final) {
      return { status: "standing", finality: "none" };
    }
    const finality = height <= chain.spine.final ? "final" : "safe";
    return { status: "standing", finality };
  }
}
