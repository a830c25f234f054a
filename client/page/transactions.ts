/**
 * Transactions as rows of a list.
 *
 * @module
 */
import type { PayloadOf } from "../../protocol/messages.ts";
import type { TransactionRow } from "./rows.ts";

/**
 * The row of a transaction.
 *
 * @param received the new event about it.
 * @param at the instant of that event, in epoch milliseconds.
 * @param before its row until now.
 * @returns `before` itself when nothing differs, since a block and the
 * transaction's own event report the same.
 */
export function transactionRow(
  received: PayloadOf<"TX_RECEIVED">,
  at: number,
  before?: TransactionRow,
): TransactionRow {
  const { status, blockHeight: height, cause, chain = "" } = received;
  const isReverted = status === "pending" && cause === "reorg";
  const isSame = before?.status === status &&
    before.isReverted === isReverted &&
    (height === undefined || before.height === height);
  if (isSame) return before;
  return {
    id: received.txId,
    from: received.from,
    to: received.to,
    amount: received.amount,
    status,
    chain,
    height,
    isReverted,
    since: before?.since ?? at,
    settledAt: status === "pending" ? undefined : at,
  };
}
