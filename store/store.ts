/**
 * The seam to what lasts: an ordered key-value store with atomic commits, as
 * much of one as the service uses. `deno_kv.ts` stands behind it; whatever
 * passes `tests/contracts/store_contract.ts` may.
 *
 * @module
 */

/** One part of a key. Strings sort before numbers, each in their own order. */
export type KeyPart = string | number;

/**
 * A name in the store. Keys sort part by part; strings by their UTF-8 bytes,
 * numbers by value.
 */
export type Key = readonly KeyPart[];

/**
 * The state of a key: another one after each write to it, greater (as text)
 * than that of every earlier commit; `null` while nothing is stored under it.
 */
export type Versionstamp = string | null;

/** Something that is stored. */
export interface Present<Value> {
  /** Where it is stored. */
  readonly key: Key;
  /** `bigint` for a counter. */
  readonly value: Value;
  /** The commit that wrote it. */
  readonly versionstamp: string;
}

/** What stands under a key: a value, or nothing. */
export type Found<Value> = Present<Value> | {
  /** Where nothing is stored. */
  readonly key: Key;
  /** Nothing. */
  readonly value: null;
  /** That nothing is stored is a state too, and can be checked. */
  readonly versionstamp: null;
};

/** The state that a key must have for a commit to take effect. */
export interface Check {
  /** Which key. */
  readonly key: Key;
  /** As it was found. */
  readonly versionstamp: Versionstamp;
}

/**
 * Which entries to list: those whose keys begin with `prefix` and are longer,
 * of these from `start` (inclusive) or before `end` (exclusive); or those
 * between two keys.
 */
export type Selector =
  | { readonly prefix: Key }
  | { readonly prefix: Key; readonly start: Key }
  | { readonly prefix: Key; readonly end: Key }
  | { readonly start: Key; readonly end: Key };

/** How to list. */
export interface ListOptions {
  /** Most entries; all when absent. */
  readonly limit?: number;
  /** Entries read at once, up to 500; 100 when absent. */
  readonly batchSize?: number;
  /** From the last entry to the first. */
  readonly reverse?: boolean;
}

/** How to write. */
export interface SetOptions {
  /**
   * Milliseconds after which the entry may be deleted. That is the earliest
   * time, not the time: what must end keeps its own end in its value.
   */
  readonly expireIn?: number;
}

/** How a commit ended. */
export type CommitResult =
  | {
    /** All of it took effect. */
    readonly ok: true;
    /** The state of every key that it wrote. */
    readonly versionstamp: string;
  }
  | {
    /** A check failed and nothing took effect. */
    readonly ok: false;
  };

/** A commit in the making: all of it takes effect, or nothing. */
export interface Commit {
  /** Lets the commit take effect only while these keys are as they were found. */
  check(...checks: readonly Check[]): this;
  /**
   * Writes a value: plain data as JSON has it, or a `Uint8Array`.
   *
   * @param key its name.
   * @param value no counter: only {@link sum} makes one.
   */
  set(key: Key, value: unknown, options?: SetOptions): this;
  /** Deletes what stands under a key; nothing there is no error. */
  delete(key: Key): this;
  /**
   * Adds to a counter, modulo 2^64; one that is absent counts from 0. Commits
   * that only add never conflict.
   *
   * @param by zero or more.
   */
  sum(key: Key, by: bigint): this;
  /**
   * Makes it take effect.
   *
   * @throws {StoreBusy} when another writer was faster; nothing was done.
   * @throws {StoreUnusable} when nothing may be written; nothing was done.
   * @throws {TimedOut} after {@link CALL_DEADLINE_MS}; it may still take effect.
   * @throws {TypeError} when it is beyond {@link Store.limits}.
   * @throws whatever else the store throws; it may have taken effect.
   */
  commit(): Promise<CommitResult>;
}

/** What a store accepts at most. */
export interface StoreLimits {
  /** Bytes of one key. */
  readonly keyBytes: number;
  /** Bytes of one value. */
  readonly valueBytes: number;
  /** Bytes of keys and values of one commit. */
  readonly commitBytes: number;
  /** Bytes of all keys of one commit. */
  readonly commitKeyBytes: number;
  /** Mutations of one commit. */
  readonly commitMutations: number;
  /** Checks of one commit. */
  readonly commitChecks: number;
  /** Keys of one {@link Store.getMany}. */
  readonly getManyKeys: number;
  /** Keys of one {@link Store.watch}. */
  readonly watchKeys: number;
}

/** Short messages that travel with commits to all who share the store. */
export interface Announcements {
  /** Longest text, in bytes. */
  readonly maxBytes: number;
  /**
   * Lets a commit carry a message: it is delivered when the commit takes
   * effect, and only then. Best effort.
   *
   * @param commit of the same store; one message each, the last wins.
   * @param text at most {@link maxBytes}.
   */
  attach(commit: Commit, text: string): void;
  /**
   * Receives messages, those of this connection too.
   *
   * @param listener must not throw; called with `undefined` when some may have
   * been missed, and once at the beginning.
   * @returns dispose it to end.
   */
  listen(listener: (text: string | undefined) => void): Disposable;
}

/** How the database under a store stands. */
export interface DatabaseState {
  /** Whether it takes writes. */
  readonly isPrimary: boolean;
  /** Whether a commit waits until a standby has it, too. */
  readonly isSynchronous: boolean;
  /** Connected standbys that commits may wait for, where that may be seen. */
  readonly standbys: number | undefined;
  /** Bytes of the table with its indexes. */
  readonly bytes: number;
  /** Rows, as the database estimates them. */
  readonly rows: number;
  /** Rows that are deleted or replaced, and not yet vacuumed: an estimate. */
  readonly deadRows: number;
  /** Calls of this instance that wait for an answer. */
  readonly calls: number;
  /** Connections of this instance that they share. */
  readonly connections: number;
}

/**
 * How long one call may take, in milliseconds; one batch of a list is a call.
 * A store that is out of reach must not hold up its callers.
 */
export const CALL_DEADLINE_MS = 3_000;

/**
 * An ordered key-value store. Reads are consistent: they see every commit that
 * was acknowledged before they began, by whatever connection.
 *
 * All reads throw {@link TimedOut} after {@link CALL_DEADLINE_MS}, and
 * whatever the store throws while it cannot be reached.
 */
export interface Store extends AsyncDisposable {
  /** What it accepts at most. */
  readonly limits: StoreLimits;
  /** Messages that commits carry; absent where the store has none. */
  readonly announcements?: Announcements;
  /** Asks how the database stands; absent where the store is none. */
  state?(): Promise<DatabaseState>;
  /** Reads what stands under a key. */
  get<Value>(key: Key): Promise<Found<Value>>;
  /**
   * Reads several keys at once.
   *
   * @param keys at most {@link StoreLimits.getManyKeys}.
   */
  getMany<Value>(keys: readonly Key[]): Promise<Found<Value>[]>;
  /** Writes one value: a commit of its own. */
  set(key: Key, value: unknown, options?: SetOptions): Promise<void>;
  /** Lists entries in the order of their keys. */
  list<Value>(
    selector: Selector,
    options?: ListOptions,
  ): AsyncIterable<Present<Value>>;
  /** Begins a commit. */
  atomic(): Commit;
  /**
   * Follows keys: yields their states now and again after changes, the newest
   * only. Changes by other processes may be missed, so callers poll as well.
   *
   * @param keys at most {@link StoreLimits.watchKeys}.
   * @returns cancel it to end.
   */
  watch<Value>(keys: readonly Key[]): ReadableStream<Found<Value>[]>;
  /** Lets go of it; calls under way may fail. Again is harmless. */
  close(): Promise<void>;
}

/** Another writer was faster: nothing was done, and the next try may pass. */
export class StoreBusy extends Error {
  /** Names the kind of error in a log line. */
  override readonly name = "StoreBusy";

  /** Keeps the cause. @param cause what the store answered. */
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** What is stored cannot be read where it was asked for: trying again is vain. */
export class StoreDamaged extends Error {
  /** Names the kind of error in a log line. */
  override readonly name = "StoreDamaged";

  /** Keeps the cause. @param cause what the store answered. */
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/**
 * The store must not be written to now: nothing was done, and the next try will
 * not pass either. The message gives the reason, and may be shown to any client.
 */
export class StoreUnusable extends Error {
  /** Names the kind of error in a log line. */
  override readonly name = "StoreUnusable";
}

/** Whether an error of a store means that nothing was done and another try may succeed. */
export function isBusy(error: unknown): boolean {
  return error instanceof StoreBusy;
}
