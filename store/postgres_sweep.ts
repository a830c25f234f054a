/**
 * Deletes expired rows, because PostgreSQL does not expire rows itself.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { systemRandom } from "../platform/random.ts";
import type { Call } from "./postgres_connection.ts";

/** Interval of deleting expired rows, in milliseconds. */
export const SWEEP_MS = 5_000;
/** Most rows deleted in one statement. */
export const SWEEP_ROWS = 1_000;
/**
 * Pause after a statement that reached its limit, in milliseconds: at most
 * 10,000 rows a second, several times the rate of publishing with ids.
 */
export const SWEEP_AGAIN_MS = 100;

/** Parts that a {@link Sweeper} needs. */
export interface SweeperOptions {
  /** Runs a statement. */
  readonly call: Call;
  /** The schema that holds the tables. */
  readonly schema: string;
  /** Paces it. */
  readonly clock: Pick<Clock, "after">;
}

/**
 * Deletes expired rows until it is disposed. The sweepers of several instances
 * do not wait for each other.
 */
export class Sweeper implements Disposable {
  readonly #options: SweeperOptions;
  #next: Disposable;
  #isOver = false;

  /** Starts. */
  constructor(options: SweeperOptions) {
    this.#options = options;
    this.#next = this.#after(SWEEP_MS * (0.5 + systemRandom()));
  }

  /** Stops; a statement in flight may still take effect. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#next[Symbol.dispose]();
  }

  #after(ms: number): Disposable {
    return this.#options.clock.after(ms, async () => {
      // After a failure, the next sweep deletes them.
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
      // An array, so that the selection runs once, with its limit.
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
