/**
 * How instances learn of each other's commits. A link only hints: what it
 * loses, doubles or reorders, the log repairs.
 *
 * @module
 */
import type { Entry } from "../store/entry.ts";
import type { Head } from "../store/event_log.ts";

/** The kinds of link. */
export type LinkName = "broadcast" | "doorbell" | "local" | "notify";

/** Called with what happens on a link, for measurements. */
export interface LinkObserver {
  /** Events were posted, or the bell was rung. */
  posted?(link: LinkName): void;
  /** Something arrived; `incomplete` when something before it was lost. */
  received?(link: LinkName, incomplete: boolean): void;
  /** A ring of this instance's own came back through the store. */
  rang?(ms: number): void;
  /** The store could not be rung or watched. */
  linkFailed?(link: LinkName): void;
}

/** Where one channel ends. */
export interface ChannelHead extends Head {
  /** Canonical name. */
  readonly channel: string;
}

/** What one instance sends to the others. */
export interface Hint {
  /** Events just committed; none when only the bell rang. */
  readonly events: readonly Entry[];
  /** Where channels end now, as far as the sender knows. */
  readonly heads?: readonly ChannelHead[];
  /** Whether something was, or may have been, left out: read the log. */
  readonly incomplete: boolean;
}

/** A way between instances; best effort. */
export interface Link extends Disposable {
  /** Sends to every other instance, never to the sender. Must not throw. */
  publish(events: readonly Entry[]): void;
  /** Registers the only listener, which must not throw. */
  receive(listener: (hint: Hint) => void): void;
}
