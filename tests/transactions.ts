/**
 * Transactions as publishers report them, for tests that care for a few of
 * their fields.
 *
 * @module
 */
import fc from "fast-check";
import type { PayloadOf } from "../protocol/messages.ts";

/** What {@link txReceived} makes. */
interface TxReceived {
  readonly type: "TX_RECEIVED";
  readonly payload: PayloadOf<"TX_RECEIVED">;
}

/**
 * A `TX_RECEIVED`.
 *
 * @param fields `txId`, `status`, and whatever else the test is about.
 */
export function txReceived(
  fields:
    & { readonly txId: string; readonly status: string }
    & Readonly<Record<string, unknown>>,
): TxReceived {
  const payload = {
    from: "f",
    to: "t",
    amount: "1",
    gasPrice: "1",
    gasLimit: 1,
    nonce: 1,
    timestamp: "2026-01-01T00:00:00.000Z",
    ...fields,
  };
  return { type: "TX_RECEIVED", payload } as TxReceived;
}

/** What random publishers report: a status, or `back` after a reorganisation. */
export const anyReport = fc.constantFrom(
  "pending",
  "confirmed",
  "confirmed",
  "failed",
  "dropped",
  "back",
);

/**
 * The fields of such a report.
 *
 * @param blockId the block that holds the transaction, if one does.
 */
export function reported(
  report: string,
  blockId: string | undefined,
  blockHeight: number,
): { readonly status: string } & Readonly<Record<string, unknown>> {
  if (report === "back") return { status: "pending", cause: "reorg" };
  const isHeld = blockId && (report === "confirmed" || report === "failed");
  return { status: report, ...(isHeld ? { blockId, blockHeight } : {}) };
}
