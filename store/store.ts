/**
 * The seam to storage: the part of an ordered key-value store with atomic commits
 * that the service uses. `deno_kv.ts` implements it; any implementation must pass
 * `tests/contracts/store_contract.ts`.
 *
 * @module
 */

/** One part of a key. Strings sort before numbers, each in their own order. */
export type KeyPart = string | number;

/**
 * A key of the store. Keys sort part by part; strings by their UTF-8 bytes,
 * numbers by value.
 */
export type Key = readonly KeyPart[];

/**
 * The state of a key: it changes with each write, and is greater (as text) than
 * that of every earlier commit; `null` while the key has no value.
 */
export type Versionstamp = string | null;

/** A stored entry. */
export interface Present<Value> {
  /** Its key. */
  readonly key: Key;
  /** `bigint` for a counter. */
  readonly value: Value;
  /** The commit that wrote it. */
  readonly versionstamp: string;
}

/** The state of a key: an entry, or no value. */
export type Found<Value> = Present<Value> | {
  /** A key without a value. */
  readonly key: Key;
  /** No value. */
  readonly value: null;
  /** The absence of a value is a state too, and can be checked. */
  readonly versionstamp: null;
};

/** The state that a key must have for a commit to take effect. */
export interface Check {
  /** The key. */
  readonly key: Key;
  /** The state that was read. */
  readonly versionstamp: Versionstamp;
}

/**
 * A selection of entries: those whose keys begin with `prefix` and are longer,
 * optionally from `start` (inclusive) or before `end` (exclusive); or those
 * between two keys.
 */
export type Selector =
  | { readonly prefix: Key }
  | { readonly prefix: Key; readonly start: Key }
  | { readonly prefix: Key; readonly end: Key }
  | { readonly start: Key; readonly end: Key };

/** Options of a list. */
export interface ListOptions {
  /** Most entries; all when absent. */
  readonly limit?: number;
  /** Entries read at once, up to 500; 100 when absent. */
  readonly batchSize?: number;
  /** From the last entry to the first. */
  readonly reverse?: boolean;
}

/** Options of a write. */
export interface SetOptions {
  /**
   * Milliseconds after which the entry may be deleted. This is the earliest
   * time, not the exact one: an entry that must expire stores its expiry in its
   * value.
   */
  readonly expireIn?: number;
}

/** The result of a commit. */
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

/** A commit being built: all of it takes effect, or nothing. */
export interface Commit {
  /** Makes the commit fail unless these keys still have the given states. */
  check(...checks: readonly Check[]): this;
  /**
   * Writes a value: plain data as JSON has it, or a `Uint8Array`.
   *
   * @param key its key.
   * @param value not a counter: only {@link sum} creates one.
   */
  set(key: Key, value: unknown, options?: SetOptions): this;
  /** Deletes the value of a key; an absent value is no error. */
  delete(key: Key): this;
  /**
   * Adds to a counter, modulo 2^64; an absent one starts at 0. Commits that only
   * add never conflict.
   *
   * @param by zero or more.
   */
  sum(key: Key, by: bigint): this;
  /**
   * Executes the commit.
   *
   * @throws {StoreBusy} when another writer was faster; nothing was changed.
   * @throws {StoreUnusable} when writes are not allowed; nothing was changed.
   * @throws {TimedOut} after {@link CALL_DEADLINE_MS}; it may still take effect.
   * @throws {TypeError} when it exceeds {@link Store.limits}.
   * @throws other errors of the store; it may have taken effect.
   */
  commit(): Promise<CommitResult>;
}

/** The limits of a store. */
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

/** Short messages in commits, delivered to all instances that share the store. */
export interface Announcements {
  /** Longest text, in bytes. */
  readonly maxBytes: number;
  /**
   * Adds a message to a commit: it is delivered if the commit takes effect. Best
   * effort.
   *
   * @param commit of the same store; one message each, the last wins.
   * @param text at most {@link maxBytes}.
   */
  attach(commit: Commit, text: string): void;
  /**
   * Registers a listener for messages, including those of this connection.
   *
   * @param listener must not throw; called with `undefined` when messages may
   * have been missed, and once at the start.
   * @returns dispose it to end.
   */
  listen(listener: (text: string | undefined) => void): Disposable;
}

/** The state of the database of a store. */
export interface DatabaseState {
  /** Whether it accepts writes. */
  readonly isPrimary: boolean;
  /** Whether a commit waits until a standby has it too. */
  readonly isSynchronous: boolean;
  /** Connected standbys that commits may wait for; absent without the right to read it. */
  readonly standbys: number | undefined;
  /** Bytes of the table with its indexes. */
  readonly bytes: number;
  /** Estimated number of rows. */
  readonly rows: number;
  /** Estimated number of deleted or replaced rows that are not yet vacuumed. */
  readonly deadRows: number;
  /** Calls of this instance that wait for an answer. */
  readonly calls: number;
  /** Connections of this instance that they share. */
  readonly connections: number;
}

/**
 * Deadline of one call, in milliseconds; one batch of a list is a call. An
 * unreachable store must not block its callers.
 */
export const CALL_DEADLINE_MS = 3_000;

/**
 * An ordered key-value store. Reads are consistent: they include every commit
 * that was acknowledged before they began, on any connection.
 *
 * All reads throw {@link TimedOut} after {@link CALL_DEADLINE_MS}, and other
 * errors while the store is unreachable.
 */
export interface Store extends AsyncDisposable {
  /** Its limits. */
  readonly limits: StoreLimits;
  /** Messages that commits carry; absent where the store has none. */
  readonly announcements?: Announcements;
  /** Reads the state of the database; absent for other stores. */
  state?(): Promise<DatabaseState>;
  /** Reads the state of a key. */
  get<Value>(key: Key): Promise<Found<Value>>;
  /**
   * Reads several keys at once.
   *
   * @param keys at most {@link StoreLimits.getManyKeys}.
   */
  getMany<Value>(keys: readonly Key[]): Promise<Found<Value>[]>;
  /** Writes one value in its own commit. */
  set(key: Key, value: unknown, options?: SetOptions): Promise<void>;
  /** Lists entries in the order of their keys. */
  list<Value>(
    selector: Selector,
    options?: ListOptions,
  ): AsyncIterable<Present<Value>>;
  /** Starts building a commit. */
  atomic(): Commit;
  /**
   * Watches keys: yields their states now and after changes, only the newest.
   * Changes by other processes may be missed, so callers must poll too.
   *
   * @param keys at most {@link StoreLimits.watchKeys}.
   * @returns cancel it to end.
   */
  watch<Value>(keys: readonly Key[]): ReadableStream<Found<Value>[]>;
  /** Closes the store; calls in flight may fail. May be called again. */
  close(): Promise<void>;
}

/** Another writer was faster: nothing was changed, and a retry may succeed. */
export class StoreBusy extends Error {
  /** Names the kind of error in a log line. */
  override readonly name = "StoreBusy";

  /** Stores the cause. @param cause the error of the store. */
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** Stored data is unreadable: a retry cannot succeed. */
export class StoreDamaged extends Error {
  /** Names the kind of error in a log line. */
  override readonly name = "StoreDamaged";

  /** Stores the cause. @param cause the error of the store. */
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/**
 * The store cannot be written now: nothing was changed, and a retry will fail
 * too. The message gives the reason, and may be shown to any client.
 */
export class StoreUnusable extends Error {
  /** Names the kind of error in a log line. */
  override readonly name = "StoreUnusable";
}

/** Whether an error of a store means that nothing was changed and a retry may succeed. */
export function isBusy(error: unknown): boolean {
  return error instanceof StoreBusy;
}
