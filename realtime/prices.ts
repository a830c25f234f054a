/**
 * Prices of work for a caller, in messages of its budget, beyond the message
 * that requested it.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Principal } from "../security/principal.ts";
import type { SessionGuard } from "./session_guard.ts";

/** Channels subscribed to for the price of one message. */
export const CHANNELS_PER_MESSAGE = 4;
/** Length of log read for the price of one message, in UTF-16 units. */
export const READ_LENGTH_PER_MESSAGE = 32 * 1_024;

/** The price of subscribing to `count` channels, in messages. */
export function priceOfChannels(count: number): number {
  return Math.floor(count / CHANNELS_PER_MESSAGE);
}

/** The price of reading events of `length` UTF-16 units, in messages. */
export function priceOfReading(length: number): number {
  return Math.floor(length / READ_LENGTH_PER_MESSAGE);
}

/** The account of a connection: its own budget and that of its address. */
export interface Account extends Reader {
  /**
   * Admits `count` messages; 0, the default, checks for a debt.
   *
   * @param ref `id` of the refused frame.
   * @throws {Refusal} `RATE_LIMITED`.
   */
  admit(count?: number, ref?: () => string | undefined): void;
  /**
   * Charges for one page of the log, before it is read.
   *
   * @returns milliseconds to wait before the read; 0: none.
   */
  charge(): number;
  /** Charges for subscribed channels. */
  subscribing(channels: number): void;
}

/**
 * The account of a connection.
 *
 * @param guard holds its budgets.
 * @param principal the client's current principal.
 */
export function accountOf(
  guard: SessionGuard,
  principal: () => Principal,
): Account {
  return {
    address: guard.address,
    admit(count = 0, ref) {
      const retryAfterMs = guard.admit(principal(), count);
      if (retryAfterMs === 0) return;
      const options = { retryAfterMs, ref: ref?.() };
      throw new Refusal("RATE_LIMITED", undefined, options);
    },
    charge: () => guard.admit(principal()),
    read: (length) => guard.spend(principal(), priceOfReading(length)),
    subscribing: (count) => guard.spend(principal(), priceOfChannels(count)),
  };
}

/** A reader of the log, and its account. */
export interface Reader {
  /** The caller whose share of the read queue it uses. */
  readonly address: string;
  /**
   * Admits one read.
   *
   * @throws {Refusal} `RATE_LIMITED` while earlier reads are unpaid.
   */
  admit(): void;
  /** Charges for events read, of `length` UTF-16 units. */
  read(length: number): void;
}

/** The service itself: pays nothing. */
export const FREE_READER: Reader = {
  address: "",
  admit: () => {},
  read: () => {},
};
