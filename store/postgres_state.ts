/**
 * The state of the database: its guarantees and its size.
 *
 * @module
 */
import type { Call } from "./postgres_connection.ts";
import type { DatabaseState } from "./store.ts";

/** The part of {@link DatabaseState} that the database reports. */
export type StandingState = Omit<DatabaseState, "calls" | "connections">;

interface StateRow {
  readonly primary: boolean;
  readonly synchronous: boolean;
  /** Decimal digits; `null` without the right to read it. */
  readonly standbys: string | null;
  readonly bytes: string;
  readonly rows: string;
  readonly dead: string;
}

/**
 * Queries the database.
 *
 * @param call runs a statement.
 * @param schema holds the tables.
 */
export async function stateOf(
  call: Call,
  schema: string,
): Promise<StandingState> {
  const [row] = await call<StateRow[]>((sql) =>
    // Only members of pg_read_all_stats can read the standbys.
    sql`select not pg_is_in_recovery() as primary,
      current_setting('synchronous_standby_names') <> '' and
        current_setting('synchronous_commit') not in ('off', 'local')
        as synchronous,
      case when pg_has_role('pg_read_all_stats', 'usage') then (
        select count(*) from pg_stat_replication
        where sync_state in ('sync', 'quorum')
      ) end as standbys,
      pg_total_relation_size(oid) as bytes,
      pg_stat_get_live_tuples(oid) as rows,
      pg_stat_get_dead_tuples(oid) as dead
      from pg_class where oid = ${`${schema}.kv`}::text::regclass`
  );
  const { primary, synchronous, standbys, bytes, rows, dead } = row!;
  return {
    isPrimary: primary,
    isSynchronous: synchronous,
    standbys: standbys === null ? undefined : Number(standbys),
    bytes: Number(bytes),
    rows: Number(rows),
    deadRows: Number(dead),
  };
}
