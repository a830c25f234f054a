/**
 * What `decode()` answers, for its tests.
 */
import assert from "node:assert/strict";
import { decode } from "../../protocol/decode.ts";
import type { ClientFrame } from "../../protocol/decode.ts";
import { Refusal } from "../../protocol/refusals.ts";
import type { RefusalCode } from "../../protocol/refusals.ts";

/** The longest frame, in bytes. */
export const MAX_BYTES = 65_536;

/** Codes that bad input may have; never `INTERNAL`. */
export const CODES: ReadonlySet<RefusalCode> = new Set([
  "INVALID_JSON",
  "INVALID_MESSAGE",
  "UNKNOWN_TYPE",
  "INVALID_PAYLOAD",
  "INVALID_SUBSCRIPTION",
  "UNKNOWN_CHANNEL",
  "UNSUPPORTED_VERSION",
  "MESSAGE_TOO_LARGE",
]);

/** The refusal that `run` throws. */
export function refusalOf(run: () => unknown): Refusal {
  try {
    run();
  } catch (error) {
    assert(error instanceof Refusal, `not a refusal: ${error}`);
    return error;
  }
  assert.fail("was not refused");
}

/** The refusal that `frame` is answered with. */
export function refused(frame: unknown, maxBytes = MAX_BYTES): Refusal {
  const data = typeof frame === "string" ? frame : JSON.stringify(frame);
  return refusalOf(() => decode(data, maxBytes));
}

/** What `frame` is decoded to. */
export function accepted(frame: unknown, maxBytes = MAX_BYTES): ClientFrame {
  return decode(JSON.stringify(frame), maxBytes);
}

/** A block with `extra` fields. */
export const block = (extra: object = {}) => ({
  type: "NEW_BLOCK",
  payload: {
    blockId: "abc123",
    height: 15_420,
    timestamp: "2025-08-07T10:00:00Z",
    ...extra,
  },
});

/** A `subscribe` for `channels`. */
export const subscribe = (...channels: unknown[]) => ({
  type: "subscribe",
  payload: { channels },
});

/** The required fields of a transaction. */
export const TRANSACTION = {
  txId: "tx1",
  from: "0x123",
  to: "0x456",
  amount: "1000",
  gasPrice: "10",
  gasLimit: 21_000,
  nonce: 1,
  status: "pending",
  timestamp: "2025-08-07T10:00:00Z",
};
