/**
 * A subscriber as a stream sees it.
 *
 * @module
 */
import type { Entry } from "../store/entry.ts";

/** A subscriber's position in a stream: all that a slow one costs. */
export interface Cursor {
  /** Number of the last event handed to the subscriber. */
  seq: number;
  /** The log that `seq` counts in. */
  epoch: string;
  /** Up to this number events are history to this subscriber. */
  replayUntil: number;
  /** Whether it takes events at its own pace instead of as they arrive. */
  behind: boolean;
  /** Takes what is due, as far as the socket lets it. Must not throw. */
  advance(): void;
}

/** A subscriber to the events of a stream that match a filter. */
export interface FilteredCursor extends Cursor {
  /**
   * Sends events that match, in order; those up to its position are known.
   * Called only while it is not behind. Must not throw.
   */
  take(entries: readonly Entry[]): void;
}
