/**
 * State of the database under the store, where it is one: durability, size and
 * load.
 *
 * @module
 */
import type { Logger } from "../platform/logger.ts";
import type { DatabaseState, Store } from "../store/store.ts";
import type { InstrumentName, Reading } from "./instruments.ts";
import type { Condition } from "./readiness.ts";

/** What operators read of a database without a synchronous standby. */
export const MAY_LOSE = "an acknowledged event may be lost with the primary";

/** What {@link Database} needs. */
export interface DatabaseOptions {
  /** Reports its state, if it has one. */
  readonly store: Pick<Store, "state">;
  /** Receives what changed. */
  readonly logger: Pick<Logger, "warn" | "info">;
}

/** Follows the database of a store. */
export class Database {
  readonly #options: DatabaseOptions;
  #state: DatabaseState | undefined;
  #reported: string | undefined;

  /** Knows nothing before the first {@link look}. */
  constructor(options: DatabaseOptions) {
    this.#options = options;
  }

  /**
   * Reads its state, and writes a line to the log when that has changed.
   *
   * @returns a condition that never makes the instance unready, since the log
   * checks whether the store can be used. Nothing where it is no database.
   */
  async look(): Promise<Condition | undefined> {
    const { store, logger } = this.#options;
    if (!store.state) return undefined;
    try {
      this.#state = await store.state();
    } catch {
      this.#state = undefined;
      return { ok: true, degraded: true, detail: "it does not answer" };
    }
    const { isSafe, degraded, detail } = standing(this.#state);
    if (detail !== this.#reported) {
      this.#reported = detail;
      logger[isSafe ? "info" : "warn"]("database", { detail });
    }
    return { ok: true, degraded, detail };
  }

  /** The readings as of the last look; none while it does not answer. */
  readings(): Reading[] {
    if (!this.#state) return [];
    const { isPrimary, isSynchronous, standbys, ...sizes } = this.#state;
    const one = (name: InstrumentName, value: number): Reading => ({
      name,
      labels: {},
      value,
    });
    return [
      one("kaldrix_database_primary", Number(isPrimary)),
      one("kaldrix_database_synchronous", Number(isSynchronous)),
      ...standbys === undefined
        ? []
        : [one("kaldrix_database_standbys", standbys)],
      one("kaldrix_database_bytes", sizes.bytes),
      one("kaldrix_database_rows", sizes.rows),
      one("kaldrix_database_dead_rows", sizes.deadRows),
      one("kaldrix_database_calls", sizes.calls),
      one("kaldrix_database_connections", sizes.connections),
    ];
  }
}

/** What a state means for those whose events are acknowledged. */
function standing({ isPrimary, isSynchronous, standbys }: DatabaseState): {
  isSafe: boolean;
  degraded: boolean;
  detail: string;
} {
  if (!isPrimary) {
    const detail = "a standby, which takes no writes";
    return { isSafe: false, degraded: true, detail };
  }
  if (!isSynchronous) {
    // A managed database may replicate where PostgreSQL does not see it.
    const detail = `primary, no synchronous standby: ${MAY_LOSE}`;
    return { isSafe: false, degraded: false, detail };
  }
  if (standbys === 0) {
    const detail = "primary, no synchronous standby is connected: commits wait";
    return { isSafe: false, degraded: true, detail };
  }
  const count = standbys === undefined ? "" : `, ${standbys} connected`;
  const detail = `primary, commits wait for a standby${count}`;
  return { isSafe: true, degraded: false, detail };
}
