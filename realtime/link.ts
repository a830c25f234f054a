/**
 * Links notify instances of each other's commits. A link is a hint: the log
 * repairs events that it loses, duplicates or reorders.
 *
 * @module
 */
import type { Entry } from "../store/entry.ts";
import type { Head } from "../store/event_log.ts";

/** The kinds of link. */
export type LinkName = "broadcast" | "doorbell" | "local" | "notify";

/** Receives the events of a link, for measurements. */
export interface LinkObserver {
  /** Events were posted, or the bell was rung. */
  posted?(link: LinkName): void;
  /** A message arrived; `incomplete` when an earlier one was lost. */
  received?(link: LinkName, incomplete: boolean): void;
  /** A ring of this instance returned through the store. */
  rang?(ms: number): void;
  /** The store could not be rung or watched. */
  linkFailed?(link: LinkName): void;
}

/** The end of one channel's log. */
export interface ChannelHead extends Head {
  /** Canonical name. */
  readonly channel: string;
}

/** What one instance sends to the others. */
export interface Hint {
  /** Events just committed; none when only the bell rang. */
  readonly events: readonly Entry[];
  /** Ends of channels, as the sender knows them. */
  readonly heads?: readonly ChannelHead[];
  /** Whether events were or may have been left out, so that the log must be read. */
  readonly incomplete: boolean;
}

/** A connection between instances; best effort. */
export interface Link extends Disposable {
  /** Sends to every other instance, never to the sender. Must not throw. */
  publish(events: readonly Entry[]): void;
  /** Registers the only listener, which must not throw. */
  receive(listener: (hint: Hint) => void): void;
}
