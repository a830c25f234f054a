/**
 * A bounded set of entries, replicated from the store into the memory of every
 * instance.
 *
 * @module
 */

/** What changed in memory, by this instance or another. */
export interface Change<Value> {
  /** Entries that are new or have another value. */
  readonly put: readonly (readonly [key: string, value: Value])[];
  /** Entries that are gone, with their last value. */
  readonly deleted: readonly (readonly [key: string, value: Value])[];
}

/**
 * Entries by key. A change takes effect here at once and on other instances
 * within a second. What cannot be written now is written when the store is
 * back; what is known stays in force meanwhile.
 */
export interface SharedSet<Value> extends AsyncDisposable {
  /** Fulfilled once the store was read for the first time, or could not be. */
  readonly ready: Promise<void>;
  /** `degraded` while the store is away or does not have every change yet. */
  readonly state: "ok" | "degraded";
  /** How many entries are kept, ended ones included. */
  readonly size: number;
  /** Whether there is no room for another entry. */
  readonly isFull: boolean;
  /** The entry under `key`, unless it has ended. */
  get(key: string): Value | undefined;
  /** All entries that have not ended. */
  values(): Iterable<Value>;
  /**
   * Keeps `value`, here at once.
   *
   * @param key at most some 1,000 bytes.
   * @param value small plain data, as JSON has it.
   * @returns fulfilled when all instances can know.
   * @throws {Refusal} `STORE_UNAVAILABLE` when it holds here only, for now.
   * @throws {RangeError} when there is no room; nothing was kept then.
   */
  put(key: string, value: Value): Promise<void>;
  /**
   * Deletes what is under `key`, here at once.
   *
   * @returns fulfilled when all instances can know.
   * @throws {Refusal} `STORE_UNAVAILABLE` when it holds here only, for now.
   */
  delete(key: string): Promise<void>;
  /** Reads the store now if it has changed; never rejects. */
  refresh(): Promise<void>;
}
