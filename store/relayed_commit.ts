/**
 * A commit whose parts another store collects.
 *
 * @module
 */
import type { Check, Commit, CommitResult, Key, SetOptions } from "./store.ts";

/** The collector of a commit's parts; the result of committing is open. */
interface Collected {
  check(...checks: readonly Check[]): unknown;
  set(key: Key, value: unknown, options?: SetOptions): unknown;
  delete(key: Key): unknown;
  sum(key: Key, by: bigint): unknown;
}

/** Forwards checks and mutations, and commits through its own function. */
export class RelayedCommit implements Commit {
  readonly #collected: Collected;
  readonly #make: () => Promise<CommitResult>;

  /**
   * Empty.
   *
   * @param collected receives checks and mutations.
   * @param make commits the collected parts; as {@link Commit.commit}.
   */
  constructor(collected: Collected, make: () => Promise<CommitResult>) {
    this.#collected = collected;
    this.#make = make;
  }

  /** See {@link Commit.check}. */
  check(...checks: readonly Check[]): this {
    this.#collected.check(...checks);
    return this;
  }

  /** See {@link Commit.set}. */
  set(key: Key, value: unknown, options?: SetOptions): this {
    this.#collected.set(key, value, options);
    return this;
  }

  /** See {@link Commit.delete}. */
  delete(key: Key): this {
    this.#collected.delete(key);
    return this;
  }

  /** See {@link Commit.sum}. */
  sum(key: Key, by: bigint): this {
    this.#collected.sum(key, by);
    return this;
  }

  /** See {@link Commit.commit}. */
  commit(): Promise<CommitResult> {
    return this.#make();
  }
}
