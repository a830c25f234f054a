/**
 * The interface between a chain and the service: a {@link Source} watches a
 * chain and passes messages to a {@link Publisher}.
 *
 * @module
 */
import type { AnyEvent, AnyMessage } from "../protocol/messages.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { Heights, RefusalCode } from "../protocol/refusals.ts";

/** Most events of one page of a channel's history. */
export const MAX_PAGE_EVENTS = 1_000;

/** Which page of a channel's history is read. */
export interface PageOptions {
  /** Most events, 1 to {@link MAX_PAGE_EVENTS}. */
  readonly limit: number;
  /** The page ends before this event of the channel; at its end when absent. */
  readonly before?: AnyEvent | undefined;
}

/** What a service reports of a message that it keeps. */
export interface Kept {
  /** Heights before a block that must be published too. */
  readonly missing?: Heights | undefined;
}

/** Where messages go, and where published events can be read again. */
export interface Publisher {
  /**
   * Publishes messages, in order; resolves when every one of them is kept.
   *
   * @param messages 1 to 100.
   * @returns what the service reports of each, in the same order; nothing when it
   * reports nothing.
   * @throws {Refusal} when the service refuses; other errors when it cannot be
   * reached.
   */
  publish(messages: readonly AnyMessage[]): Promise<readonly Kept[] | void>;
  /**
   * Reads a page of a channel's history.
   *
   * @param channel canonical name.
   * @param options how many events, and before which.
   * @returns events, oldest first; none at the beginning of the kept log.
   * @throws as {@link Publisher.publish}.
   */
  page(channel: string, options: PageOptions): Promise<AnyEvent[]>;
}

/** Watches a chain and publishes what it sees. */
export interface Source {
  /**
   * Runs until aborted. Faults that may pass (the node or the service is away,
   * the rate limit is reached) are logged and waited out.
   *
   * @param signal ends the run; a request under way is finished first.
   * @throws {Refusal} `UNAUTHENTICATED`, `TOKEN_EXPIRED` or `FORBIDDEN` when
   * the service does not let this publisher publish: waiting cannot help;
   * `PARENT_UNKNOWN` when it refuses a block because others are `missing`, and
   * these cannot be had.
   */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Records what an operator may want to know.
 *
 * @param event snake_case name, one of a few.
 * @param fields what it is about; never a secret, never a whole URL.
 */
export type Log = (
  event: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** Refusals for which the publisher is the cause, and waiting does not help. */
const PUBLISHER_AT_FAULT: ReadonlySet<RefusalCode> = new Set([
  "UNAUTHENTICATED",
  "TOKEN_EXPIRED",
  "FORBIDDEN",
]);

/**
 * Whether an error means that this publisher may not publish at all.
 *
 * @param error whatever was thrown.
 */
export function isFinal(error: unknown): error is Refusal {
  return error instanceof Refusal && PUBLISHER_AT_FAULT.has(error.code);
}

/**
 * Whether an error means that others are missing before a block, for which the
 * service refuses it.
 *
 * @param error whatever was thrown.
 */
export function isOrphan(error: unknown): boolean {
  return error instanceof Refusal && error.code === "PARENT_UNKNOWN";
}

/**
 * What may be logged of an error: a refusal's code and issues, else its class
 * and first line.
 *
 * @param error whatever was thrown.
 */
export function describe(error: unknown): Record<string, unknown> {
  if (error instanceof Refusal) return { ...error.toJSON() };
  if (!(error instanceof Error)) return { message: "unknown" };
  const [line = ""] = error.message.split("\n");
  return { code: error.name, message: line.slice(0, 200) };
}
