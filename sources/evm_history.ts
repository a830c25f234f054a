/**
 * What was published of a chain, read back from the service's own log: the
 * source keeps no state of its own between two runs.
 *
 * @module
 */
import type { AnyEvent, Event } from "../protocol/messages.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { Messages, Occurrence, TxPayload } from "./evm_messages.ts";
import type { FinalityLevel } from "./evm_view.ts";
import type { RetryingPublisher } from "./retrying_publisher.ts";
import { MAX_PAGE_EVENTS } from "./source.ts";
import { Tail } from "./tail.ts";
import type { Placed } from "./tail.ts";

/** Most pages of a channel that are read for one question. */
export const MAX_PAGES = 500;
/** Events of `blocks` that are folded at the start. */
const TAIL_EVENTS = 2 * MAX_PAGE_EVENTS;
/** Events of `transactions` from which the pool is read at the start. */
const POOL_EVENTS = 20 * MAX_PAGE_EVENTS;

/** The newest block of each level that was published as such. */
export type Floors = Map<FinalityLevel, Pick<Placed, "hash" | "height">>;

/** The end of the chain as it was published. */
export interface Standing {
  /** Its newest blocks. */
  readonly tail: Tail;
  /** What is final. */
  readonly floors: Floors;
}

/** What was published of a block on `transactions`. */
interface Found {
  readonly at: Occurrence;
  /** Whether nothing older can be about it. */
  isClosed: boolean;
  /** How many it holds, once {@link Event} `BLOCK_COMPLETE` was read. */
  count: number | undefined;
  readonly undone: Set<string>;
  readonly transactions: Map<string, TxPayload>;
}

/** Reads one chain's events back. */
export class PublishedHistory {
  readonly #publisher: RetryingPublisher;
  readonly #messages: Messages;

  /** Reads nothing yet. */
  constructor(publisher: RetryingPublisher, messages: Messages) {
    this.#publisher = publisher;
    this.#messages = messages;
  }

  /** Folds the newest events of `blocks`. */
  async standing(signal: AbortSignal): Promise<Standing> {
    const tail = new Tail();
    const floors: Floors = new Map();
    const events = await this.#newest("blocks", TAIL_EVENTS, signal);
    for (const { type, id, payload } of events) {
      if (type === "NEW_BLOCK") {
        tail.add(placed(payload), this.#messages.revertsIn(id));
      } else if (type === "BLOCK_REVERTED") tail.revert(payload.blockId);
      else if (type === "CHAIN_RESET") {
        tail.reset(payload.keeps?.height);
        if (payload.keeps) anchor(tail, payload.keeps);
        for (const [level, { height }] of floors) {
          if (height > (payload.keeps?.height ?? -1)) floors.delete(level);
        }
      } else if (type === "FINALITY") {
        const { level, blockId: hash, height } = payload;
        floors.set(level, { hash, height });
      }
    }
    return { tail, floors };
  }

  /**
   * Canonical blocks as `blocks` folds, newest first, to the end of the log.
   *
   * @param signal ends reading.
   */
  async *blocks(signal: AbortSignal): AsyncGenerator<Placed> {
    const gone = new Map<string, number>();
    let ceiling = Infinity;
    for await (const { type, payload } of this.#back("blocks", signal)) {
      if (type === "BLOCK_REVERTED") {
        gone.set(payload.blockId, (gone.get(payload.blockId) ?? 0) + 1);
      } else if (type === "CHAIN_RESET") {
        if (!payload.keeps) return;
        ceiling = Math.min(ceiling, payload.keeps.height);
      } else if (type === "NEW_BLOCK") {
        const block = placed(payload);
        const times = gone.get(block.hash) ?? 0;
        if (times > 0) gone.set(block.hash, times - 1);
        else if (block.height <= ceiling) yield block;
      }
    }
  }

  /**
   * The ids of what was published of a block, besides the block itself.
   *
   * @param at a block.
   * @param signal ends reading.
   */
  async idsOf(at: Occurrence, signal: AbortSignal): Promise<Set<string>> {
    const ids = new Set<string>();
    for (const channel of ["dag", "transactions", "logs"]) {
      for await (const event of this.#back(channel, signal)) {
        ids.add(event.id);
        if (heightOf(event) < at.height) break;
      }
    }
    return ids;
  }

  /**
   * What was published on `transactions` as standing in some blocks.
   *
   * @param blocks any number.
   * @param signal ends reading.
   * @returns transactions by the block's hash, in their order; no entry for a
   * block of which the log no longer holds all.
   */
  async transactionsOf(
    blocks: readonly Occurrence[],
    signal: AbortSignal,
  ): Promise<Map<string, TxPayload[]>> {
    const open = new Map(blocks.map((at): [string, Found] => [
      this.#messages.placeOf(at),
      {
        at,
        isClosed: false,
        count: undefined,
        undone: new Set(),
        transactions: new Map(),
      },
    ]));
    const all = [...open.values()];
    if (open.size > 0) {
      const toStart = () => all.forEach((found) => found.isClosed = true);
      for await (const event of this.#back("transactions", signal, toStart)) {
        this.#take(event, open);
        const height = heightOf(event);
        for (const [place, found] of open) {
          if (height >= found.at.height) continue;
          found.isClosed = true;
          open.delete(place);
        }
        if (open.size === 0) break;
      }
    }
    return new Map(
      all.filter(({ isClosed, count, transactions }) =>
        isClosed || transactions.size === count
      ).map(({ at, undone, transactions }) => [
        at.hash,
        [...transactions.values()].filter(({ txId }) => !undone.has(txId))
          .sort((a, b) => (a.index ?? 0) - (b.index ?? 0)),
      ]),
    );
  }

  /** The newest of what was published on `transactions`, oldest first. */
  async transactions(signal: AbortSignal): Promise<TxPayload[]> {
    const events = await this.#newest("transactions", POOL_EVENTS, signal);
    return events.flatMap(({ type, payload }) =>
      type === "TX_RECEIVED" ? [payload] : []
    );
  }

  #take(event: AnyEvent, open: ReadonlyMap<string, Found>): void {
    const { type, id, payload } = event;
    if (type === "BLOCK_COMPLETE") {
      for (const found of open.values()) {
        if (id !== this.#messages.completeId(found.at, "transactions")) {
          continue;
        }
        found.count = payload.transactions;
      }
    }
    if (type !== "TX_RECEIVED") return;
    const found = open.get(this.#messages.placeIn(id));
    if (payload.left) found?.undone.add(payload.txId);
    else found?.transactions.set(payload.txId, payload);
  }

  /** The newest of a channel's events that are of this chain, oldest first. */
  async #newest(
    channel: string,
    limit: number,
    signal: AbortSignal,
  ): Promise<AnyEvent[]> {
    const events: AnyEvent[] = [];
    for await (const event of this.#back(channel, signal)) {
      if (events.push(event) === limit) break;
    }
    return events.reverse();
  }

  /**
   * This chain's events of a channel, newest first.
   *
   * @param onStart called when the first event of the log was read.
   */
  async *#back(
    channel: string,
    signal: AbortSignal,
    onStart = () => {},
  ): AsyncGenerator<AnyEvent> {
    let before: AnyEvent | undefined;
    for (let pages = 0; pages < MAX_PAGES; pages++) {
      let page: AnyEvent[];
      try {
        const options = { limit: MAX_PAGE_EVENTS, before };
        page = await this.#publisher.page(channel, options, signal);
      } catch (error) {
        // Another log began in between: there is nothing older in this one.
        const code = error instanceof Refusal ? error.code : undefined;
        if (code === "INVALID_PAYLOAD" && before) return;
        throw error;
      }
      yield* page.filter(({ id }) => this.#messages.owns(id)).reverse();
      [before] = page;
      if (before && before.seq !== 1) continue;
      if (before || pages === 0) onStart();
      return;
    }
  }
}

/** A block as a tail keeps it. */
function placed(
  { blockId: hash, previousHash: parentHash = "", height }: Event<
    "NEW_BLOCK"
  >["payload"],
): Placed {
  return { hash, parentHash, height };
}

/** Makes a block the tip of which only the name is known. */
export function anchor(
  tail: Tail,
  { blockId: hash, height }: { blockId: string; height: number },
): void {
  if (tail.tip?.hash !== hash) tail.add({ hash, parentHash: "", height });
}

/** The height that an event is about; none: above all. */
function heightOf({ type, payload }: AnyEvent): number {
  switch (type) {
    case "TX_RECEIVED":
      return payload.blockHeight ?? payload.left?.height ?? Infinity;
    case "TX_LOGS":
      return payload.blockHeight;
    case "BLOCK_COMPLETE":
    case "LOGS_REVERTED":
      return payload.height;
    case "DAG_UPDATE":
      return payload.metadata?.layer ?? Infinity;
    default:
      return Infinity;
  }
}
