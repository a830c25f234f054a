/**
 * Connections to PostgreSQL, and the tables in it.
 *
 * @module
 */
import postgres from "postgres";
import type { Clock } from "../platform/clock.ts";
import { Deadline, TimedOut, within } from "../platform/deadline.ts";
import { systemRandom } from "../platform/random.ts";
import { MIGRATION_LOCK, migrationFor, MIGRATIONS } from "./postgres_schema.ts";

/** A pool of connections of the client library. */
export type Sql = ReturnType<typeof postgres>;

/**
 * One statement to the database.
 *
 * @throws {TimedOut} after the deadline of calls.
 * @throws {StoreBusy} when nothing was changed and a retry may succeed.
 */
export type Call = <Rows extends postgres.Row[] = postgres.Row[]>(
  ask: (sql: Sql) => postgres.PendingQuery<postgres.Row[]>,
) => Promise<postgres.RowList<Rows>>;

/**
 * Connections of one instance, besides the one for LISTEN. Commits have their
 * own pool, so that reads are answered while commits wait for a standby.
 */
const CONNECTIONS = { reads: 3, commits: 3 } as const;

/**
 * Connections of one instance by purpose, each with one statement at a time, so
 * that waiting statements can be withdrawn. With several in flight, the client
 * would assign the answer of a withdrawn statement to the next one.
 */
export interface Pools {
  /** Read-only statements. */
  readonly reads: Sql;
  /** Statements that may change something. */
  readonly commits: Sql;
}

/** Number of connections of {@link Pools}. */
export const POOL_SIZE: number = CONNECTIONS.reads + CONNECTIONS.commits;
/** Deadline of the first connection and the tables, in milliseconds. */
const OPEN_DEADLINE_MS = 15_000;
/** Deadline of one attempt to connect, in seconds. */
const CONNECT_TIMEOUT_S = 3;
/** Ceilings of the pause before a reconnect, in seconds. */
const RECONNECT = { base: 0.05, cap: 1 };
/**
 * Errors after which nothing was changed and a retry may succeed: serialization
 * failure, deadlock, lock not available, a read-only server after a failover,
 * and a cancelled statement.
 * @see {@link https://www.postgresql.org/docs/current/errcodes-appendix.html}
 */
export const BUSY: ReadonlySet<unknown> = new Set([
  "40001",
  "40P01",
  "55P03",
  "25006",
  "57014",
]);
/**
 * Errors of prepared statements behind a transaction pooler: not found, or
 * already existing.
 */
export const UNPREPARED: ReadonlySet<unknown> = new Set(["26000", "42P05"]);

/**
 * Codes of `data_corrupted` and `index_corrupted`.
 *
 * @see {@link https://www.postgresql.org/docs/current/errcodes-appendix.html}
 */
export const DAMAGED: ReadonlySet<unknown> = new Set(["XX001", "XX002"]);
/** The tables were created by a later version of this program. */
export class NewerStore extends Error {
  /** Distinguishes it from bugs at startup. */
  override readonly name = "NewerStore";

  /** Names both versions. @param version of the tables, counted from 1. */
  constructor(version: number) {
    super(
      `The tables in the database are of version ${version}, and this program supports ${MIGRATIONS.length}: run the later version of the program`,
    );
  }
}

/**
 * Connects with the first statement.
 *
 * @param url one host or several; absent parts are read from the environment.
 * @param prepare whether statements are prepared.
 */
export function connect(url: string, prepare: boolean): Pools {
  const { reads, commits } = CONNECTIONS;
  return {
    reads: open(url, { prepare, max: reads, max_pipeline: 0 }),
    commits: open(url, { prepare, max: commits, max_pipeline: 0 }),
  };
}

function open(
  url: string,
  // The types of the client lack `max_pipeline`.
  options: { prepare: boolean; max: number; max_pipeline?: number },
): Sql {
  const settings = {
    ...options,
    // Arrays are passed as text, so their types need not be fetched.
    fetch_types: false,
    onnotice: () => {},
    connect_timeout: CONNECT_TIMEOUT_S,
    // A connection is used until it breaks.
    max_lifetime: null,
    backoff: (tries: number) =>
      systemRandom() *
      Math.min(RECONNECT.cap, RECONNECT.base * 2 ** Math.min(tries, 10)),
    connection: { application_name: "kaldrix" },
  };
  const sql = postgres(url, settings);
  // The address or the environment names them; no connection exists yet.
  if (sql.options.host.length === 1) return sql;
  // With several hosts, only the primary must be used. With one host there is no
  // choice, and a pooler in front of it may not support the query.
  return postgres(url, { ...settings, target_session_attrs: "primary" });
}

/** How long statements in flight may take when connections are closed. */
export const CLOSE_MS = 1_000;

/**
 * Closes all connections, up to a deadline, because the client may wait forever
 * for one that does not end.
 */
export async function disconnect(
  pools: Readonly<Record<string, Sql>>,
  clock: Pick<Clock, "after">,
): Promise<void> {
  const timeout = CLOSE_MS / 1_000;
  const ended = Promise.all(
    Object.values(pools).map((sql) => sql.end({ timeout })),
  );
  await within(clock, 2 * CLOSE_MS, "The database", ended).catch(() => {});
}

/**
 * Creates or migrates the tables, one instance at a time.
 *
 * @param schema a plain name.
 * @throws {NewerStore} when they are of a later version.
 * @throws {TimedOut} when no database answers in time.
 */
export async function migrate(
  url: string,
  schema: string,
  clock: Pick<Clock, "after">,
): Promise<void> {
  const sql = open(url, { prepare: false, max: 1 });
  try {
    const work = bringUpToDate(sql, schema);
    await within(clock, OPEN_DEADLINE_MS, "The store", work);
  } finally {
    await disconnect({ sql }, clock);
  }
}

async function bringUpToDate(sql: Sql, schema: string): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`select pg_advisory_xact_lock(${MIGRATION_LOCK})`;
    const [there] = await tx`
      select from pg_namespace where nspname = ${schema}`;
    // Checked first: a user without the right to create schemas may use one.
    if (!there) await tx.unsafe(`create schema ${schema}`);
    await tx.unsafe(
      `create table if not exists ${schema}.version (made integer not null)`,
    );
    const [row] = await tx.unsafe(`select made from ${schema}.version`);
    const version = Number(row?.["made"] ?? 0);
    if (version > MIGRATIONS.length) throw new NewerStore(version);
    for (let next = version; next < MIGRATIONS.length; next++) {
      await tx.unsafe(migrationFor(schema, next));
    }
    await tx.unsafe(
      row
        ? `update ${schema}.version set made = ${MIGRATIONS.length}`
        : `insert into ${schema}.version values (${MIGRATIONS.length})`,
    );
  });
}

/** Concurrent statements, and their rounds, to detect a pooler. */
const PROBES = { atOnce: 24, rounds: 4 };
/** Their deadline, in milliseconds; a pooler may never answer them. */
const PROBE_MS = 2_000;

/**
 * Whether a connection keeps its prepared statements. Behind a transaction
 * pooler it does not, which several concurrent statements reveal.
 */
export async function keeps(
  sql: Sql,
  clock: Pick<Clock, "after">,
): Promise<boolean> {
  using deadline = new Deadline(clock, PROBE_MS, "The store");
  try {
    for (let round = 0; round < PROBES.rounds; round++) {
      const asked = Array.from(
        { length: PROBES.atOnce },
        (_, i) => sql`select ${i}::integer`,
      );
      await deadline.race(Promise.all(asked));
    }
    return true;
  } catch (error) {
    if (error instanceof TimedOut || UNPREPARED.has(codeOf(error))) {
      return false;
    }
    throw error;
  }
}

/**
 * Withdraws a statement after its deadline. A commit that the database has
 * received is not cancelled: cancelling one that waits for a standby would end
 * the wait, and data that only the primary has would appear acknowledged.
 *
 * @param query the client's query object.
 * @param isCommit whether it may change something.
 */
export function withdraw(
  query: Pick<postgres.PendingQuery<postgres.Row[]>, "cancel">,
  isCommit: boolean,
): void {
  // Set by the client once it has sent it.
  const isSent = "state" in query && query.state !== null;
  if (!isCommit || !isSent) query.cancel();
}

/** The code of an error of the database, if it is one. */
export function codeOf(error: unknown): unknown {
  return error instanceof postgres.PostgresError ? error.code : undefined;
}
