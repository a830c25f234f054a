/**
 * Types for following a transaction, the chain, and filtered events.
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

/** Options of tracking a transaction. */
export interface TrackOptions {
  /** The state at which the iteration ends. Default `final`. */
  readonly until?: Goal;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
}

/** A block by its name and height. */
export interface BlockPlace {
  /** Its name. */
  readonly blockId: string;
  /** Blocks above genesis. */
  readonly height: number;
}

/** A change of the chain. */
export type ChainChange =
  & {
    /** Store it to resume from here: see {@link ChainOptions.after}. */
    readonly position: Position | undefined;
  }
  & (
    /** A block joined, and has the requested finality. */
    | { readonly type: "add"; readonly block: Event<"NEW_BLOCK"> }
    /** An added block was reverted; the newest is reverted first. */
    | {
      readonly type: "revert";
      /** Which. */
      readonly place: BlockPlace;
      /** Its event, where this iteration added it. */
      readonly block?: Event<"NEW_BLOCK"> | undefined;
    }
    /** All blocks above a block are void; reverts of added blocks precede this. */
    | {
      readonly type: "reset";
      /** The newest block that is still valid; `null`: none. */
      readonly keeps: BlockPlace | null;
    }
    /** Events are permanently lost: blocks may have joined and been reverted. */
    | { readonly type: "gap"; readonly gap: Gap }
  );

/** Options of following the chain. */
export interface ChainOptions {
  /**
   * Required finality of a block: `final`, `safe`, or a number of blocks above
   * it. Default 0: as soon as it joins.
   */
  readonly level?: "final" | "safe" | number;
  /** The chain, such as `evm:1`. Default: that of the first event. */
  readonly chain?: string;
  /**
   * Resume after the change with this `position`. Of blocks that were added
   * before it only the reverts are yielded.
   */
  readonly after?: Position;
  /** Begin with this many of the newest events, 0 to 1,000. */
  readonly last?: number;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
}

/** Options of a filtered subscription. */
export interface WatchOptions {
  /** The filter; PROTOCOL.md lists the fields. */
  readonly filter: Filter;
  /** Replay matching events after this position. */
  readonly after?: Position;
  /** Replay matching events among this many of the newest, 0 to 1,000. */
  readonly last?: number;
  /**
   * Its name on the wire, 1 to 64 of letters, digits, `_ . : -`, unique on the
   * connection. A new one when absent.
   */
  readonly as?: string;
  /**
   * Receives the first error of each handler. Default: in `client.watch` the
   * client's, in this module the console.
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
  /** First deliver the events that match the added values since this position. */
  readonly after?: Position;
}

/** A filtered subscription. Its methods need no `this`. */
export interface Watch {
  /** Its name on the wire. */
  readonly name: string;
  /** `joining`, `joined`, or `rejected`: see `code`. */
  readonly status: "joining" | "joined" | "rejected";
  /** Why it was rejected; requested again with the next connection. */
  readonly code: RefusalCode | Failure["code"] | undefined;
  /** Every match up to here was delivered; store it to resume. */
  readonly position: Position | undefined;
  /**
   * Calls `handler` for every matching event of a type.
   *
   * @returns a function that removes the handler.
   */
  on<Type extends MessageType>(type: Type, handler: Handler<Type>): () => void;
  /**
   * Calls `listener` when events are permanently lost.
   *
   * @returns a function that removes the listener.
   */
  onGap(listener: (gap: Gap) => void): () => void;
  /**
   * Calls `listener` when the position advances without an event.
   *
   * @returns a function that removes the listener.
   */
  onProgress(listener: (position: Position) => void): () => void;
  /**
   * Edits the filter in place, once joined; the edit survives reconnects.
   *
   * @returns the position from which the edit applies, and rejected values.
   * @throws {RequestError} the server's refusal, or an error such as
   * `CONNECTION_LOST`, after which the edit does not apply: repeat it.
   */
  edit(edit: WatchEdit): Promise<ReplyPayload<"watched">>;
  /** Leaves permanently. */
  close(): void;
}
