/**
 * Deletes rows that have expired: PostgreSQL does not do it by itself.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { systemRandom } from "../platform/random.ts";
import type { Call } from "./postgres_connection.ts";

/** How often expired rows are looked for, in milliseconds. */
export const SWEEP_MS = 5_000;
/** Most rows deleted in one statement. */
export const SWEEP_ROWS = 1_000;
/**
 * Pause after a statement that left some, in milliseconds: at most 10,000 rows
 * a second, several times as many as publishing with ids can make.
 */
export const SWEEP_AGAIN_MS = 100;

/** What a {@link Sweeper} needs. */
export interface SweeperOptions {
  /** Asks the database. */
  readonly call: Call;
  /** The schema that holds the tables. */
  readonly schema: string;
  /** Paces it. */
  readonly clock: Pick<Clock, "after">;
}

/**
 * Deletes expired rows until it is disposed. Several of them, one an instance,
 * do not wait for each other.
 */
export class Sweeper implements Disposable {
  readonly #options: SweeperOptions;
  #next: Disposable;
  #isOver = false;

  /** Begins. */
  constructor(options: SweeperOptions) {
    this.#options = options;
    this.#next = this.#after(SWEEP_MS * (0.5 + systemRandom()));
  }

  /** Ends it; a statement under way may still take effect. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#next[Symbol.dispose]();
  }

  #after(ms: number): Disposable {
    return this.#options.clock.after(ms, async () => {
      // After a failure, the next sweep takes them.
      const rows = await this.#sweep().catch(() => 0);
      if (this.#isOver) return;
      this.#next = this.#after(
        rows === SWEEP_ROWS
          ? SWEEP_AGAIN_MS
          : SWEEP_MS * (0.5 + systemRandom()),
      );
    });
  }

  async #sweep(): Promise<number> {
    const { call, schema } = this.#options;
    const { count } = await call((sql) => {
      const kv = sql(`${schema}.kv`);
      // An array, so that the selection is made once, with its limit.
      return sql`delete from ${kv} where key = any(array(
        select key from ${kv} where expires < now()
        limit ${SWEEP_ROWS} for update skip locked))`;
    });
    await call((sql) =>
      sql`delete from ${sql(`${schema}.watched`)} where until < now()`
    );
    return count;
  }
}
