/**
 * Transactions as publishers report them, for tests that care for a few of
 * their fields.
 *
 * @module
 */
import type { AnyMessage } from "../protocol/messages.ts";

/**
 * A `TX_RECEIVED`.
 *
 * @param fields `txId`, `status`, and whatever else the test is about.
 */
export function txReceived(
  fields:
    & { readonly txId: string; readonly status: string }
    & Readonly<
      Record<string, unknown>
    >,
): AnyMessage {
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
  return { type: "TX_RECEIVED", payload } as AnyMessage;
}
