/**
 * The position of the client in a channel, and what follows from it for each
 * event: the application receives every number once and in order, or a gap.
 *
 * @module
 */
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Listeners } from "./listeners.ts";
import type { ChannelState, Gap } from "./types.ts";

/** Handlers of events by type. */
export type Handlers = Map<string, Listeners<never>>;

/** A holder of a channel. */
export interface Holder {
  /** Handlers of its events; absent where the client's own are meant. */
  readonly handlers?: Handlers;
  /** Listeners to its gaps. */
  readonly gaps?: Listeners<Gap>;
  /** Ends its iterations. */
  readonly ends?: Listeners<void>;
}

/** What the client knows of a channel it joined. */
export interface Cursor {
  /** As asked for; canonical once the server answered. */
  name: string;
  /** As first asked for, if that was an alias. */
  alias?: string;
  /** What applications see of it, but for the position. */
  view: View;
  /** Last event delivered; nothing while unknown or without retention. */
  position?: Position | undefined;
  /** How many events to replay while there is no position. */
  last?: number | undefined;
  /** Who holds it; left when none does. */
  readonly holders: Set<Holder>;
  /** `core.received` when its latest event was delivered. */
  at: number;
  /** Most events before the position that a later joining asked for. */
  back?: number | undefined;
  /** Events that wait until that history was delivered. */
  held?: Event[] | undefined;
  /** The `subscribe` that waits for its answer. */
  ref?: string | undefined;
  /** Times asked for what is missing since an event was delivered. */
  tries: number;
}

/** An event: shape checked, content not. */
export interface Event {
  /** Its message type. */
  readonly type: string;
  /** All other fields. */
  readonly [field: string]: unknown;
}

type View = { -readonly [Key in ViewKey]: ChannelState[Key] } & {
  code?: ChannelState["code"];
};
type ViewKey = "status" | "recovered" | "caughtUp";

/** One channel as `subscribed` names it. */
type Answer = ReplyPayload<"subscribed">["channels"][number];

/**
 * Judges an event by its number.
 *
 * @returns `true`: deliver it; `false`: seen before; `"hole"`: something
 * before it is missing.
 */
export function take(
  cursor: Cursor,
  { epoch, seq }: { readonly [field: string]: unknown },
): boolean | "hole" {
  const { position } = cursor;
  if (seq === undefined) return true;
  // A channel that had no event yet: the first one names its log.
  if (seq === 1 && position?.epoch === "0") position.epoch = epoch as string;
  if (!position || position.epoch !== epoch) return "hole";
  if ((seq as number) <= position.seq) return false;
  if (seq !== position.seq + 1) return "hole";
  position.seq++;
  cursor.tries = 0;
  return true;
}

/**
 * Takes the answer to a `subscribe`. Lost events are reported by a later `gap`.
 */
export function answered(
  cursor: Cursor,
  { epoch, seq, recovered }: Answer,
): void {
  cursor.view = { status: "joined", recovered, caughtUp: 0 };
  cursor.ref = undefined;
  // Events that arrived before the answer may have advanced the position.
  if (recovered && cursor.position?.epoch === epoch) return;
  cursor.position = epoch === null || seq === null ? undefined : { epoch, seq };
}

/**
 * Takes a `gap`: moves the position past the lost events.
 *
 * @returns whether to report the gap; otherwise something before
 * the gap is missing, too.
 */
export function skip(
  cursor: Cursor,
  { from, to, epoch, reason }: Gap,
): boolean {
  const { position } = cursor;
  if (position?.epoch !== epoch) cursor.position = { epoch, seq: to };
  // A log that lost its newest events assigns their numbers again.
  else if (reason !== "position_unknown") {
    if (from > position.seq + 1) return false;
    position.seq = Math.max(position.seq, to);
  }
  return true;
}
