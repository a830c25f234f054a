/**
 * What blocks take along that are about to be reverted, read from the log: the
 * transactions that the block lists and whose newest event reports that it holds
 * them, and whether any of them wrote contract events.
 *
 * @module
 */
import type { LogSource } from "../store/ingest.ts";
import { transactionIds } from "./chain_events.ts";
import type { ChainBlock, Payload } from "./chain_events.ts";

/** Most transactions taken back one by one; more are a reset. */
export const MAX_TAKEN_BACK = 400;
/** Longest `NEW_BLOCK` that is read again, in bytes. */
const MAX_BLOCK_BYTES = 1024 * 1024;
/** Newest events read at once. */
const READS_AT_ONCE = 50;

/** Statuses of a transaction that a block holds. */
const HELD: ReadonlySet<unknown> = new Set(["confirmed", "failed"]);

/** What a block takes along. */
export interface Taken {
  /** Payloads of the newest events of its transactions, last first. */
  readonly transactions: readonly Payload[];
  /** Whether contract events of it were published. */
  readonly hasLogs: boolean;
}

/** Reads what has to be taken back with blocks. */
export class TakenBack {
  readonly #known = new Map<string, Taken | undefined>();

  /**
   * What a block takes along.
   *
   * @returns nothing when it cannot be known, `"unread"` before {@link read}.
   */
  of({ place }: ChainBlock): Taken | undefined | "unread" {
    if (!place) return undefined;
    const name = nameOf(place);
    return this.#known.has(name) ? this.#known.get(name) : "unread";
  }

  /**
   * Reads what blocks take along.
   *
   * @throws whatever the store throws.
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

  /** Forgets what was read. */
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
    // One is enough to know.
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
