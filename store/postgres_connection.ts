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

/** Connections, as the client hands them out. */
export type Sql = ReturnType<typeof postgres>;

/**
 * One question to the database.
 *
 * @throws {TimedOut} after the deadline of calls.
 * @throws {StoreBusy} when nothing was done and the next try may pass.
 */
export type Call = <Rows extends postgres.Row[] = postgres.Row[]>(
  ask: (sql: Sql) => postgres.PendingQuery<postgres.Row[]>,
) => Promise<postgres.RowList<Rows>>;

/**
 * Connections of one instance, besides the one that listens. Commits have their
 * own: while they wait for a standby, reads are answered.
 */
const CONNECTIONS = { reads: 3, commits: 3 } as const;

/**
 * Connections of one instance by what they are for, each with one statement at
 * a time: what waits can still be withdrawn. Of several on their way the client
 * would give the answer of one that was withdrawn to the next.
 */
export interface Pools {
  /** Questions that change nothing. */
  readonly reads: Sql;
  /** Statements that may change something. */
  readonly commits: Sql;
}

/** How many connections {@link Pools} has. */
export const POOL_SIZE: number = CONNECTIONS.reads + CONNECTIONS.commits;
/** How long the first connection and the tables may take, in milliseconds. */
const OPEN_DEADLINE_MS = 15_000;
/** Longest try to connect, in seconds. */
const CONNECT_TIMEOUT_S = 3;
/** Ceilings of the wait before connecting again, in seconds. */
const RECONNECT = { base: 0.05, cap: 1 };
/**
 * Errors after which nothing was done and the next try may pass: serialization
 * failure, deadlock, lock not available, a read-only server after a failover,
 * and a statement that was cancelled.
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
 * A pooler between transactions knows nothing of prepared statements: not
 * found, or there already.
 */
export const UNPREPARED: ReadonlySet<unknown> = new Set(["26000", "42P05"]);

/**
 * Codes of `data_corrupted` and `index_corrupted`.
 *
 * @see {@link https://www.postgresql.org/docs/current/errcodes-appendix.html}
 */
export const DAMAGED: ReadonlySet<unknown> = new Set(["XX001", "XX002"]);
/** The tables were made by a later version of this program. */
export class NewerStore extends Error {
  /** Distinguishes it from bugs at startup. */
  override readonly name = "NewerStore";

  /** Names both versions. @param version of the tables, counted from 1. */
  constructor(version: number) {
    super(
      `The tables in the database are of version ${version}, and this program knows ${MIGRATIONS.length}: run the later version of the program`,
    );
  }
}

/**
 * Connects as soon as something is asked.
 *
 * @param url one host or several; absent parts come from the environment.
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
  // The types of the client do not know of `max_pipeline`.
  options: { prepare: boolean; max: number; max_pipeline?: number },
): Sql {
  const settings = {
    ...options,
    // Arrays are passed as text: their types need not be known.
    fetch_types: false,
    onnotice: () => {},
    connect_timeout: CONNECT_TIMEOUT_S,
    // A connection serves until it breaks.
    max_lifetime: null,
    backoff: (tries: number) =>
      systemRandom() *
      Math.min(RECONNECT.cap, RECONNECT.base * 2 ** Math.min(tries, 10)),
    connection: { application_name: "kaldrix" },
  };
  const sql = postgres(url, settings);
  // The address, or the environment, names them; nothing has connected yet.
  if (sql.options.host.length === 1) return sql;
  // A standby must not be taken for the primary; with one host there is no
  // choice, and a pooler in front of it may not know the question.
  return postgres(url, { ...settings, target_session_attrs: "primary" });
}

/** How long what is under way may take when connections are closed. */
export const CLOSE_MS = 1_000;

/**
 * Closes all connections; gives up on one that does not end, since the client
 * may wait for it without end.
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
 * Makes the tables, or brings them up to date, one instance at a time.
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
    // Asked first: who may not make schemas may use one that is there.
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

/** Statements asked at once, and how often, to find a pooler. */
const PROBES = { atOnce: 24, rounds: 4 };
/** How long they may take, in milliseconds; a pooler may let them hang. */
const PROBE_MS = 2_000;

/**
 * Whether a connection keeps what was prepared on it. Behind a pooler that
 * hands out a connection for a transaction it does not, which shows as soon as
 * several ask at once.
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
 * Withdraws a question whose deadline is over. A commit that the database has
 * is left to it: cancelling one that waits for a standby would end the wait, and
 * what only the primary has would look acknowledged.
 *
 * @param query as the client made it.
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
