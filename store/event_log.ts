/**
 * The log: the truth that links only hint at. `stored_event_log.ts` keeps it
 * in a {@link Store}; anything that passes `tests/contracts/event_log_contract.ts`
 * may stand in its place.
 *
 * @module
 */
import type { Tags } from "../protocol/messages.ts";
import type { LoggedEntry } from "./entry.ts";

/** Epoch of a channel that has had no event yet; nothing comes before it. */
export const UNBORN_EPOCH = "0";

/** Where a channel's log ends. */
export interface Head {
  /** Identity of the log; {@link UNBORN_EPOCH} before its first event. */
  readonly epoch: string;
  /** Newest number; 0 before the first event. */
  readonly seq: number;
}

/** Who publishes, as far as the log limits it. */
export interface Publisher {
  /** Its name: an idempotency key is the publisher's own. */
  readonly subject: string;
  /** Rooms that it may begin within the retention time. */
  readonly maxRooms: number;
}

/** An event on its way into the log. */
export interface Draft {
  /** Canonical name of its channel. */
  readonly channel: string;
  /** Its message type. */
  readonly type: string;
  /** Its payload as JSON. */
  readonly payloadText: string;
  /** The same before it was encoded, for those who judge it. */
  readonly payload?: Readonly<Record<string, unknown>> | undefined;
  /** What it can be filtered by. */
  readonly tags: Tags;
  /** The publisher's idempotency key. */
  readonly id: string | undefined;
  /** Whose it is; the service's own when absent. */
  readonly publisher?: Publisher | undefined;
  /** What it is the latest state of: keys to ask by, the lasting one first. */
  readonly keys: readonly string[];
  /** The publish it belongs to, as a W3C `traceparent`; absent when not traced. */
  readonly trace?: string;
}

/** What a publisher receives of an event besides its position. */
export interface Remarks {
  /** What it should publish too. */
  readonly missing?: Missing | undefined;
  /** Parents of a node that are not known. */
  readonly missingParents?: string[] | undefined;
  /** The status that stands, and that this one cannot follow. */
  readonly contradicts?: Contradicted | undefined;
}

/** A status of a transaction that another contradicts. */
export interface Contradicted {
  /** As in `TX_RECEIVED`. */
  readonly status: string;
  /** The block that holds it, where that is known. */
  readonly blockId?: string | undefined;
}

/** Where an event stands. */
export interface StreamPosition extends Remarks {
  /** The publisher's id, or the server's. */
  readonly id: string;
  /** Canonical name of the channel. */
  readonly channel: string;
  /** Identity of the log. */
  readonly epoch: string;
  /** Position in it, from 1. */
  readonly seq: number;
}

/** Heights of a chain of which nothing is known, both included. */
export interface Missing {
  /** The lowest. */
  readonly from: number;
  /** The highest. */
  readonly to: number;
}

/** Which events a page holds. */
export interface PageRange {
  /** The last number before the page. */
  readonly after: number;
  /** The last number that may be in it. */
  readonly upTo: number;
  /** Most events in it. */
  readonly limit: number;
  /** The page ends early after this many bytes, never before one event. */
  readonly maxBytes: number;
  /** Takes the page from the end of the range instead of its start. */
  readonly newest?: boolean;
}

/** Numbers from one to another, both included. */
export interface SeqRange {
  /** The first. */
  readonly from: number;
  /** The last. */
  readonly to: number;
}

/** Events of a channel, in the order of their numbers. */
export interface LogPage {
  /** Numbers may be missing where retention has begun to delete them. */
  readonly entries: readonly LoggedEntry[];
  /**
   * Numbers whose events are stored but damaged, in order, none beyond the
   * last entry unless the page ends there.
   */
  readonly unreadable: readonly SeqRange[];
}

/** How many latest states are read. */
export interface StatesRange {
  /** Most of them. */
  readonly limit: number;
  /** UTF-16 units after which the page ends. */
  readonly maxLength: number;
}

/** Latest states of a kind. */
export interface StatesPage {
  /** Their frames. */
  readonly frames: readonly string[];
  /** Whether these are all. */
  readonly isWhole: boolean;
}

/** How much of a channel is kept. */
export interface Retention {
  /** Newest events kept, at least. */
  readonly events: number;
  /** How long an event is kept at least, in milliseconds. */
  readonly ms: number;
}

/** What happened in the log, for metrics, alerts and the journal. */
export interface LogObserver {
  /** A commit succeeded. */
  committed?(events: number, ms: number): void;
  /** A commit lost a race and is tried again. */
  conflicted?(): void;
  /** A commit or read failed. */
  failed?(error: unknown): void;
  /** Stored events of a channel were found damaged. */
  unreadable?(channel: string, range: SeqRange): void;
  /** Events were deleted early, to keep the log within its bytes. */
  evicted?(channel: string, bytes: number): void;
}

/**
 * Appends events to channels and reads them back by number. All reads throw
 * whatever the store throws while it cannot be reached.
 */
export interface EventLog {
  /**
   * Registers who receives this log's own commits: each once, events in the
   * order of their numbers, before their publishers get their answer.
   *
   * @param listener must not throw.
   * @param ready asked before each further commit, which waits for the promise
   * it returns, for a fraction of a second at most: a listener that cannot
   * keep up slows publishers down.
   */
  onCommit(
    listener: (entries: readonly LoggedEntry[]) => void,
    ready?: () => Promise<void> | undefined,
  ): void;
  /**
   * Appends events, all or none, in their order.
   *
   * @param drafts at least one; together small enough for one commit.
   * @returns where each stands; for an `id` that its publisher used within
   * `ID_MEMORY_MS`, where it came to stand then.
   * @throws {Refusal} `MESSAGE_TOO_LARGE` when they do not fit in one commit,
   * `ID_CONFLICT` when an `id` was used for something else, `PARENT_UNKNOWN`
   * and `STATUS_CONFLICT` where such messages are refused, `TOO_MANY_ROOMS`,
   * `STORE_UNAVAILABLE` when the commit failed or too much waits.
   */
  append(drafts: readonly Draft[]): Promise<readonly StreamPosition[]>;
  /**
   * Reads where channels' logs end.
   *
   * @param channels canonical names.
   * @returns their heads, in the same order.
   */
  heads(channels: readonly string[]): Promise<Head[]>;
  /**
   * Whether all events of a channel after a position are those after the same
   * number in its present log.
   *
   * @param channel canonical name.
   * @param position of whatever log the channel had.
   */
  continues(channel: string, position: Head): Promise<boolean>;
  /**
   * Reads the oldest number still kept.
   *
   * @param channel canonical name.
   * @returns 1 or more; one past the head when nothing is kept.
   */
  oldest(channel: string): Promise<number>;
  /**
   * Reads events in the order of their numbers.
   *
   * @param channel canonical name.
   * @param range which, and how many of them.
   */
  read(channel: string, range: PageRange): Promise<LogPage>;
  /**
   * Reads the newest event about something.
   *
   * @param key as in {@link Draft.keys}.
   * @returns its frame, or nothing when none is known any more.
   */
  latest(key: string): Promise<string | undefined>;
  /**
   * Reads the newest event about each thing of a kind.
   *
   * @param kind such as `validator`.
   * @param most how many of them.
   * @returns frames, in the order of the things' names.
   */
  states(kind: string, most: StatesRange): Promise<StatesPage>;
  /** Resolves when no commit and no deletion is under way. */
  settled(): Promise<void>;
}
