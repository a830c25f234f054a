/**
 * What the service does for a caller, in messages of its budget: beyond the
 * message that asked for it.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Principal } from "../security/principal.ts";
import type { SessionGuard } from "./session_guard.ts";

/** Channels subscribed to for the price of one message. */
export const CHANNELS_PER_MESSAGE = 4;
/** What is read of the log for the price of one message, in UTF-16 units. */
export const READ_LENGTH_PER_MESSAGE = 32 * 1_024;

/** The price of subscribing to `count` channels, in messages. */
export function priceOfChannels(count: number): number {
  return Math.floor(count / CHANNELS_PER_MESSAGE);
}

/** The price of reading events of `length` UTF-16 units, in messages. */
export function priceOfReading(length: number): number {
  return Math.floor(length / READ_LENGTH_PER_MESSAGE);
}

/** What a connection pays with, from its own budget and that of its address. */
export interface Account extends Reader {
  /**
   * Admits `count` messages; 0, when omitted, asks whether anything is owed.
   *
   * @param ref names the frame refused.
   * @throws {Refusal} `RATE_LIMITED`.
   */
  admit(count?: number, ref?: () => string | undefined): void;
  /**
   * Charges for one page of the log, before it is read.
   *
   * @returns milliseconds to wait before that; 0: now.
   */
  charge(): number;
  /** Charges for channels that are subscribed to. */
  subscribing(channels: number): void;
}

/**
 * The account of a connection.
 *
 * @param guard knows its budgets.
 * @param principal who is at its other end now.
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

/** Who reads the log. */
export interface Reader {
  /** Whose share of the line to the log it takes. */
  readonly address: string;
  /**
   * Admits one read.
   *
   * @throws {Refusal} `RATE_LIMITED` while earlier ones are to be paid.
   */
  admit(): void;
  /** Charges for events that were read, of `length` UTF-16 units. */
  read(length: number): void;
}

/** The service itself: pays nothing. */
export const FREE_READER: Reader = {
  address: "",
  admit: () => {},
  read: () => {},
};
