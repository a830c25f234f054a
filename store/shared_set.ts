/**
 * A bounded set of entries, replicated from the store into the memory of every
 * instance.
 *
 * @module
 */

/** A change in memory, by this instance or another. */
export interface Change<Value> {
  /** Entries that are new or have another value. */
  readonly put: readonly (readonly [key: string, value: Value])[];
  /** Removed entries, with their last value. */
  readonly deleted: readonly (readonly [key: string, value: Value])[];
}

/**
 * Entries by key. A change applies here at once and on other instances within a
 * second. Changes that cannot be written now are written when the store is
 * reachable again; entries in memory stay in force meanwhile.
 */
export interface SharedSet<Value> extends AsyncDisposable {
  /** Fulfilled once the first read of the store has succeeded or failed. */
  readonly ready: Promise<void>;
  /** `degraded` while the store is unreachable or does not have every change yet. */
  readonly state: "ok" | "degraded";
  /** Number of entries, expired ones included. */
  readonly size: number;
  /** Whether the bound of entries is reached. */
  readonly isFull: boolean;
  /** The entry of `key`, unless it has expired. */
  get(key: string): Value | undefined;
  /** All entries that have not expired. */
  values(): Iterable<Value>;
  /**
   * Stores `value`, in this instance at once.
   *
   * @param key at most about 1,000 bytes.
   * @param value small plain data, as JSON has it.
   * @returns fulfilled when the store has it, for all instances.
   * @throws {Refusal} `STORE_UNAVAILABLE` when it applies only here for now.
   * @throws {RangeError} when the bound is reached; nothing was stored then.
   */
  put(key: string, value: Value): Promise<void>;
  /**
   * Deletes the entry of `key`, in this instance at once.
   *
   * @returns fulfilled when the store has it, for all instances.
   * @throws {Refusal} `STORE_UNAVAILABLE` when it applies only here for now.
   */
  delete(key: string): Promise<void>;
  /** Reads the store now if it has changed; never rejects. */
  refresh(): Promise<void>;
}
