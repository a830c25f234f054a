/**
 * A subscriber as a stream sees it.
 *
 * @module
 */
import type { Entry } from "../store/entry.ts";

/** A subscriber's position in a stream: the only cost of a slow subscriber. */
export interface Cursor {
  /** Number of the last event delivered to the subscriber. */
  seq: number;
  /** The log that `seq` counts in. */
  epoch: string;
  /** Up to this number events are history to this subscriber. */
  replayUntil: number;
  /** Whether it takes events at its own pace instead of as they arrive. */
  behind: boolean;
  /** Sends the due events, as far as the socket accepts them. Must not throw. */
  advance(): void;
}

/** A subscriber to the events of a stream that match a filter. */
export interface FilteredCursor extends Cursor {
  /**
   * Sends events that match, in order; those up to its position were sent.
   * Called only while it is not behind. Must not throw.
   */
  take(entries: readonly Entry[]): void;
}
