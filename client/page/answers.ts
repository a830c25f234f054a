/**
 * What the service answers about one block or transaction.
 *
 * @module
 */
import type { PayloadOf } from "../../protocol/messages.ts";
import type { ReplyPayload } from "../../protocol/replies.ts";
import type { TrackedState } from "../../protocol/states.ts";
import { NEEDS_TOKEN } from "./words.ts";

/** How long an answer may take, in milliseconds. */
export const ANSWER_MS = 10_000;

/** The current state of a block. */
export type BlockAnswer = ReplyPayload<"block_response">;
/** The current state of a transaction. */
export type TransactionAnswer = Omit<TrackedState, "end"> & {
  /** The newest event about it; `null` when none is known. */
  readonly event:
    | {
      readonly timestamp: string;
      readonly payload: PayloadOf<"TX_RECEIVED">;
    }
    | null;
};

/** Transactions of an address, the newest first. */
export interface AddressAnswer {
  /** Each with the newest event about it. */
  readonly transactions: readonly TransactionAnswer[];
  /** The `before` of the next page; `null` on the last. */
  readonly next: string | null;
}

/** No answer, or a refusal. The message is for people. */
export class AnswerError extends Error {
  /** Distinguishes it from others. */
  override readonly name = "AnswerError";
  /** Milliseconds after which asking again makes sense; absent when unknown. */
  readonly retryAfterMs: number | undefined;

  /** Gives the reason. */
  constructor(message: string, retryAfterMs?: number) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * Asks for a block.
 *
 * @param block its id or height.
 * @param limit most transactions answered.
 * @param after place in the block after which transactions are answered.
 * @throws {AnswerError} when there is no answer.
 */
export async function readBlock(
  block: string,
  limit: number,
  after?: number,
): Promise<BlockAnswer> {
  const query = after === undefined ? "" : `&after=${after}`;
  const path = `/api/blocks/${
    encodeURIComponent(block)
  }?limit=${limit}${query}`;
  return await read(path) as BlockAnswer;
}

/**
 * Asks for a transaction.
 *
 * @throws {AnswerError} when there is no answer.
 */
export async function readTransaction(
  txId: string,
): Promise<TransactionAnswer> {
  const path = `/api/transactions/${encodeURIComponent(txId)}`;
  return await read(path) as TransactionAnswer;
}

/**
 * Asks for a page of an address's transactions; it may be empty though there
 * are older ones.
 *
 * @param before `next` of the page before; absent for the newest.
 * @throws {AnswerError} when there is no answer.
 */
export async function readAddress(
  address: string,
  before?: string,
): Promise<AddressAnswer> {
  const query = before === undefined
    ? ""
    : `?before=${encodeURIComponent(before)}`;
  const path = `/api/addresses/${encodeURIComponent(address)}/transactions`;
  return await read(path + query) as AddressAnswer;
}

async function read(path: string): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS) });
  } catch {
    throw new AnswerError("The service does not answer");
  }
  const { ok, status, headers } = response;
  const body = await response.json().catch(() => ({})) as {
    message?: string;
  };
  if (ok) return body;
  if (status === 401) throw new AnswerError(NEEDS_TOKEN);
  const retryAfter = Number(headers.get("retry-after") ?? NaN) * 1_000;
  throw new AnswerError(
    body.message ?? `The service answers with status ${status}`,
    Number.isNaN(retryAfter) ? undefined : retryAfter,
  );
}
