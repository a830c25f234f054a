/**
 * The events to revert together with blocks, read from the log: the transactions
 * that a block lists and whose newest event names that block, and whether any of
 * them emitted contract events.
 *
 * @module
 */
import type { LogSource } from "../store/ingest.ts";
import { transactionIds } from "./chain_events.ts";
import type { ChainBlock, Payload } from "./chain_events.ts";

/** Most transactions reverted one by one; more are reset at once. */
export const MAX_TAKEN_BACK = 400;
/** Longest `NEW_BLOCK` that is read again, in bytes. */
const MAX_BLOCK_BYTES = 1024 * 1024;
/** Newest events read at once. */
const READS_AT_ONCE = 50;

/** Statuses of a transaction in a block. */
const HELD: ReadonlySet<unknown> = new Set(["confirmed", "failed"]);

/** The events to revert together with a block. */
export interface Taken {
  /** Payloads of the newest events of its transactions, in reverse order. */
  readonly transactions: readonly Payload[];
  /** Whether its contract events were published. */
  readonly hasLogs: boolean;
}

/** Reads the events to revert together with blocks. */
export class TakenBack {
  readonly #known = new Map<string, Taken | undefined>();

  /**
   * The events to revert together with a block.
   *
   * @returns nothing when they are unknown, `"unread"` before {@link read}.
   */
  of({ place }: ChainBlock): Taken | undefined | "unread" {
    if (!place) return undefined;
    const name = nameOf(place);
    return this.#known.has(name) ? this.#known.get(name) : "unread";
  }

  /**
   * Reads the events to revert together with blocks.
   *
   * @throws errors of the store.
   */
  async read(blocks: readonly ChainBlock[], log: LogSource): Promise<void> {
    let left = MAX_TAKEN_BACK;
    for (const block of blocks) {
      const { place } = block;
      if (!place) continue;
      const taken = left < 0 ? undefined : await takenBy(block, log, left);
      left = taken ? left - taken.transactions.length : -1;
      this.#known.set(nameOf(place), taken);
    }
  }

  /** Discards the events read. */
  clear(): void {
    this.#known.clear();
  }
}

function nameOf({ epoch, seq }: NonNullable<ChainBlock["place"]>): string {
  return `${epoch}:${seq}`;
}

async function takenBy(
  { blockId, place }: ChainBlock,
  log: LogSource,
  most: number,
): Promise<Taken | undefined> {
  const { epoch, seq } = place!;
  const { entries: [entry] } = await log.read("blocks", {
    after: seq - 1,
    upTo: seq,
    limit: 1,
    maxBytes: MAX_BLOCK_BYTES,
  });
  if (entry?.epoch !== epoch || entry.seq !== seq) return undefined;
  const { payload } = JSON.parse(entry.json) as { payload: Payload };
  const ids = transactionIds(payload).toReversed();
  const count = Math.max(ids.length, Number(payload["transactionCount"] ?? 0));
  const isWhole = count === ids.length && !payload["transactionsOmitted"];
  if (!isWhole || count > most) return undefined;
  const transactions: Payload[] = [];
  let hasLogs = false;
  for (let i = 0; i < ids.length; i += READS_AT_ONCE) {
    const some = ids.slice(i, i + READS_AT_ONCE);
    for (const payload of await newest("transaction", some, log)) {
      const { status, blockId: holder = blockId } = payload;
      const isTaken = HELD.has(status) && holder === blockId;
      if (isTaken) transactions.push(payload);
    }
    // One is enough to decide.
    if (hasLogs) continue;
    const logs = await newest("logs", some, log);
    hasLogs = logs.some((payload) => payload["blockId"] === blockId);
  }
  return { transactions, hasLogs };
}

/** Payloads of the newest events about some transactions. */
async function newest(
  kind: "transaction" | "logs",
  ids: readonly string[],
  log: LogSource,
): Promise<Payload[]> {
  const frames = await Promise.all(
    ids.map((id) => log.latest(`${kind}:${id}`)),
  );
  return frames.flatMap((frame) =>
    frame === undefined ? [] : [JSON.parse(frame).payload as Payload]
  );
}
