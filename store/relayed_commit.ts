/**
 * A commit that is collected for another store.
 *
 * @module
 */
import type { Check, Commit, CommitResult, Key, SetOptions } from "./store.ts";

/** What a store collects for a commit, whatever making it returns. */
interface Collected {
  check(...checks: readonly Check[]): unknown;
  set(key: Key, value: unknown, options?: SetOptions): unknown;
  delete(key: Key): unknown;
  sum(key: Key, by: bigint): unknown;
}

/** Hands everything on, and is made in a way of its own. */
export class RelayedCommit implements Commit {
  readonly #collected: Collected;
  readonly #make: () => Promise<CommitResult>;

  /**
   * Empty.
   *
   * @param collected receives checks and mutations.
   * @param make makes what was collected; as {@link Commit.commit}.
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
