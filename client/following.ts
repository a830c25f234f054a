/**
 * Types of what follows: a transaction, the chain, what matches a filter.
 *
 * @module
 */
import type { Handler } from "./messages.ts";
import type { Failure, Gap } from "./state.ts";
import type { Position } from "../protocol/commands.ts";
import type { Filter } from "../protocol/filters.ts";
import type { Event, MessageType } from "../protocol/messages.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Goal } from "../protocol/states.ts";

export type { Filter } from "../protocol/filters.ts";
export type { Goal, TrackedState } from "../protocol/states.ts";

/** What is waited for. */
export interface TrackOptions {
  /** The state at which the iteration ends. Default `final`. */
  readonly until?: Goal;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
}

/** A block by its name and place. */
export interface BlockPlace {
  /** Its name. */
  readonly blockId: string;
  /** Blocks above genesis. */
  readonly height: number;
}

/** How the chain changed. */
export type ChainChange =
  & {
    /** Keep it to go on from here: see {@link ChainOptions.after}. */
    readonly position: Position | undefined;
  }
  & (
    /** A block joined, and is as firm as asked for. */
    | { readonly type: "add"; readonly block: Event<"NEW_BLOCK"> }
    /** A block that was added left; the newest leaves first. */
    | {
      readonly type: "revert";
      /** Which. */
      readonly place: BlockPlace;
      /** Its event, where this iteration added it. */
      readonly block?: Event<"NEW_BLOCK"> | undefined;
    }
    /** All above a block is void; reverts of what was added here come first. */
    | {
      readonly type: "reset";
      /** The newest block that still stands; `null`: none. */
      readonly keeps: BlockPlace | null;
    }
    /** Events are lost for good: blocks may have joined and left unseen. */
    | { readonly type: "gap"; readonly gap: Gap }
  );

/** Which blocks, and when. */
export interface ChainOptions {
  /**
   * How firm a block must be: `final`, `safe`, or this many blocks on top of
   * it. Default 0: as soon as it joins.
   */
  readonly level?: "final" | "safe" | number;
  /** Which chain, such as `evm:1`. Default: that of the first event. */
  readonly chain?: string;
  /**
   * Go on after the change with this `position`. Of blocks that were added
   * before it only their reverts are yielded.
   */
  readonly after?: Position;
  /** Begin with this many of the newest events, 0 to 1,000. */
  readonly last?: number;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
}

/** What is watched, and from where. */
export interface WatchOptions {
  /** What events have to match; PROTOCOL.md lists the fields. */
  readonly filter: Filter;
  /** Replay what matched after this position. */
  readonly after?: Position;
  /** Replay what matched of this many of the newest events, 0 to 1,000. */
  readonly last?: number;
  /**
   * Its name on the wire, 1 to 64 of letters, digits, `_ . : -`, unique on the
   * connection. A new one when absent.
   */
  readonly as?: string;
  /**
   * Receives what a handler threw, once for each. Default: of `client.watch`,
   * as the client's; of this module, the console.
   */
  readonly onError?: (error: unknown) => void;
}

/** Changes of the values of a filter with one clause. */
export interface WatchEdit {
  /** Values to add. */
  readonly add?: readonly string[];
  /** Values to remove. */
  readonly remove?: readonly string[];
  /** The field they belong to; needed when the filter has several. */
  readonly field?: string;
  /** Deliver what the added values missed since this position first. */
  readonly after?: Position;
}

/** A filtered subscription. Its methods need no `this`. */
export interface Watch {
  /** Its name on the wire. */
  readonly name: string;
  /** `joining`, `joined`, or `rejected`: see `code`. */
  readonly status: "joining" | "joined" | "rejected";
  /** Why it was rejected; asked again with the next connection. */
  readonly code: RefusalCode | Failure["code"] | undefined;
  /** Up to here everything that matches was delivered; keep it to resume. */
  readonly position: Position | undefined;
  /**
   * Calls `handler` for every event of a type that matches.
   *
   * @returns its undo.
   */
  on<Type extends MessageType>(type: Type, handler: Handler<Type>): () => void;
  /**
   * Calls `listener` when events are lost for good.
   *
   * @returns its undo.
   */
  onGap(listener: (gap: Gap) => void): () => void;
  /**
   * Calls `listener` when the position moves without an event.
   *
   * @returns its undo.
   */
  onProgress(listener: (position: Position) => void): () => void;
  /**
   * Edits the filter in place, once it is joined; it counts after reconnects,
   * too.
   *
   * @returns from which position on it counts, and what was rejected.
   * @throws {RequestError} the server's refusal, or `CONNECTION_LOST` and the
   * like, after which the edit is not in force: do it again.
   */
  edit(edit: WatchEdit): Promise<ReplyPayload<"watched">>;
  /** Leaves for good. */
  close(): void;
}
