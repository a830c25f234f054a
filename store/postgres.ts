/**
 * The store in PostgreSQL: one table, and one function that is a commit.
 *
 * @module
 */
import type postgres from "postgres";
import type { Clock } from "../platform/clock.ts";
import { systemClock } from "../platform/clock.ts";
import { TimedOut, within } from "../platform/deadline.ts";
import { POSTGRES_LIMITS, PostgresCommit } from "./postgres_commit.ts";
import type { CommitParts } from "./postgres_commit.ts";
import {
  BUSY,
  CLOSE_MS,
  codeOf,
  connect,
  DAMAGED,
  disconnect,
  keeps,
  migrate,
  POOL_SIZE,
  UNPREPARED,
  withdraw,
} from "./postgres_connection.ts";
import type { Call, Pools, Sql } from "./postgres_connection.ts";
import { decodeKey, encodeKey } from "./postgres_keys.ts";
import { arrayOf, bytea, bytesOf, hexOf } from "./postgres_params.ts";
import { foundOf, rangeOf, stampOf, versionstampOf } from "./postgres_rows.ts";
import type { Row } from "./postgres_rows.ts";
import { CONFLICT, isSchemaName, NO_COUNTER } from "./postgres_schema.ts";
import { stateOf } from "./postgres_state.ts";
import { Sweeper } from "./postgres_sweep.ts";
import { CALL_DEADLINE_MS, StoreBusy, StoreDamaged } from "./store.ts";
import type {
  Announcements,
  CommitResult,
  DatabaseState,
  Found,
  Key,
  ListOptions,
  Present,
  Selector,
  SetOptions,
  Store,
} from "./store.ts";

/** Longest text of an announcement, in bytes. PostgreSQL allows 7,999. */
export const MAX_ANNOUNCEMENT_BYTES = 7_000;
/** Most rows that one batch of a list reads. */
const LIST_BATCH = 500;
/** How long a key counts as watched after its watcher's last renewal. */
const WATCHED = "5 minutes";
/** Interval of a watcher's renewals, in milliseconds. */
const WATCH_AGAIN_MS = 60_000;
/** Pause before a failed renewal is retried, in milliseconds. */
const WATCH_RETRY_MS = 1_000;
/**
 * Time without an answer to any read after which connections are replaced, in
 * milliseconds. A host that vanished closes none of them, and the operating
 * system would retransmit for a quarter of an hour.
 */
export const SILENT_MS = 3 * CALL_DEADLINE_MS;
/** Subject of errors about calls that take too long. */
const WHAT = "The store";

/** How {@link openPostgres} opens. */
export interface PostgresOptions {
  /** Measures deadlines; the machine's own when absent. */
  readonly clock?: Pick<Clock, "after" | "monotonic">;
  /** The schema that holds the tables; `kaldrix` when absent. */
  readonly schema?: string;
}

/**
 * Opens a store; creates or migrates its tables, one instance at a time.
 *
 * @param url `postgres://user:secret@host,host2/database`; with several hosts
 * the writable one is used. Absent parts are read from the `PG...`
 * variables.
 * @param options time, and the schema of the tables.
 * @throws {NewerStore} when the tables are of a later version.
 * @throws {TimedOut} when no database answers in time.
 * @throws errors of the database.
 */
export async function openPostgres(
  url: string,
  { clock = systemClock, schema = "kaldrix" }: PostgresOptions = {},
): Promise<PostgresStore> {
  if (!isSchemaName(schema)) throw new RangeError(`No schema name: ${schema}`);
  await migrate(url, schema, clock);
  const pools = connect(url, true);
  try {
    const prepares = await keeps(pools.reads, clock);
    if (prepares) {
      return new PostgresStore(url, pools, { schema, clock, prepares });
    }
  } catch (error) {
    await disconnect({ ...pools }, clock);
    throw error;
  }
  await disconnect({ ...pools }, clock);
  const plain = connect(url, false);
  return new PostgresStore(url, plain, { schema, clock, prepares: false });
}

/** A {@link Store} in PostgreSQL, with announcements and the database's state. */
export class PostgresStore implements Store {
  readonly limits = POSTGRES_LIMITS;
  /** Carried by NOTIFY inside the commit. */
  readonly announcements: Announcements = {
    maxBytes: MAX_ANNOUNCEMENT_BYTES,
    attach: (commit, text) => (commit as PostgresCommit).announce(text),
    listen: (listener) => this.#announced(listener),
  };
  readonly #url: string;
  readonly #schema: string;
  readonly #clock: Pick<Clock, "after" | "monotonic">;
  #pools: Pools;
  #prepares: boolean;
  #isOpen = true;
  /** When the last read was answered or refused, on the monotonic clock. */
  #answeredAt: number;
  readonly #calls = new Set<Promise<unknown>>();
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #listeners = new Set<(text: string | undefined) => void>();
  #listening: Promise<unknown> | undefined;
  readonly #sweeper: Disposable;
  #watchAgain: Disposable | undefined;

  /** Use {@link openPostgres}. */
  constructor(url: string, pools: Pools, { schema, clock, prepares }: {
    schema: string;
    clock: Pick<Clock, "after" | "monotonic">;
    prepares: boolean;
  }) {
    this.#url = url;
    this.#pools = pools;
    this.#schema = schema;
    this.#clock = clock;
    this.#prepares = prepares;
    this.#answeredAt = clock.monotonic();
    this.#sweeper = new Sweeper({ call: this.#change, schema, clock });
  }

  async get<Value>(key: Key): Promise<Found<Value>> {
    return (await this.getMany<Value>([key]))[0]!;
  }

  async getMany<Value>(keys: readonly Key[]): Promise<Found<Value>[]> {
    if (keys.length > POSTGRES_LIMITS.getManyKeys) {
      throw new TypeError(`Too many keys (max ${POSTGRES_LIMITS.getManyKeys})`);
    }
    const names = keys.map(encodeKey);
    const rows = await this.#ask<Row[]>((sql) =>
      sql`select key, value, count, kind, stamp from ${this.#table(sql)}
        where key = any(${bytesOf(names)}::text::bytea[])`
    );
    const found = new Map(rows.map((row) => [hexOf(row.key), row]));
    return keys.map((key, i) => foundOf(key, found.get(hexOf(names[i]!))));
  }

  async set(key: Key, value: unknown, options?: SetOptions): Promise<void> {
    await this.atomic().set(key, value, options).commit();
  }

  async *list<Value>(
    selector: Selector,
    { limit = Infinity, batchSize = 100, reverse = false }: ListOptions = {},
  ): AsyncGenerator<Present<Value>> {
    let [start, end] = rangeOf(selector);
    for (let left = limit; left > 0;) {
      const take = Math.min(left, batchSize, LIST_BATCH);
      const rows = await this.#ask<Row[]>((sql) => {
        const order = reverse ? sql`order by key desc` : sql`order by key`;
        return sql`select key, value, count, kind, stamp
          from ${this.#table(sql)}
          where key >= ${bytea(start)}::text::bytea
            and key < ${bytea(end)}::text::bytea
          ${order} limit ${take}`;
      });
      for (const row of rows) {
        yield foundOf<Value>(decodeKey(row.key), row) as Present<Value>;
      }
      if (rows.length < take) return;
      left -= rows.length;
      const last = new Uint8Array(rows.at(-1)!.key);
      if (reverse) end = last;
      else start = Uint8Array.of(...last, 0);
    }
  }

  atomic(): PostgresCommit {
    return new PostgresCommit((parts) => this.#commit(parts));
  }

  watch<Value>(keys: readonly Key[]): ReadableStream<Found<Value>[]> {
    const names = keys.map((key) => hexOf(encodeKey(key)));
    let last: string | undefined;
    let isOpen = true;
    let isReading = false;
    let again = false;
    let ring = () => {};
    return new ReadableStream<Found<Value>[]>({
      start: (controller) => {
        ring = async () => {
          again = true;
          if (isReading) return;
          isReading = true;
          while (again && isOpen && this.#isOpen) {
            again = false;
            try {
              const entries = await this.getMany<Value>(keys);
              const now = entries.map((it) => it.versionstamp).join();
              if (isOpen && now !== last) {
                last = now;
                controller.enqueue(entries);
              }
            } catch {
              this.#signSoon();
            }
          }
          isReading = false;
        };
        for (const name of names) {
          const all = this.#watchers.get(name);
          if (all) all.add(ring);
          else this.#watchers.set(name, new Set([ring]));
        }
        void this.#watched();
        ring();
      },
      cancel: () => {
        isOpen = false;
        for (const name of names) {
          const all = this.#watchers.get(name);
          all?.delete(ring);
          if (all?.size === 0) this.#watchers.delete(name);
        }
      },
    });
  }

  #announced(listener: (text: string | undefined) => void): Disposable {
    this.#listeners.add(listener);
    this.#listen();
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  async state(): Promise<DatabaseState> {
    const calls = this.#calls.size;
    const state = await stateOf(this.#ask, this.#schema);
    return { ...state, calls, connections: POOL_SIZE };
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#sweeper[Symbol.dispose]();
    this.#watchAgain?.[Symbol.dispose]();
    this.#watchers.clear();
    this.#listeners.clear();
    // A connection that is still being opened would outlive the others.
    const listening = this.#listening ?? Promise.resolve();
    await within(this.#clock, CLOSE_MS, WHAT, listening).catch(() => {});
    await disconnect({ ...this.#pools }, this.#clock);
    await Promise.allSettled(this.#calls);
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #table(sql: Sql) {
    return sql(`${this.#schema}.kv`);
  }

  async #commit(parts: CommitParts): Promise<CommitResult> {
    const { checks, sets, sums, deletes, announcement } = parts;
    try {
      const [row] = await this.#change<{ stamp: string | null }[]>((sql) =>
        sql`select ${sql(this.#schema)}.commit(
          ${bytesOf(checks.map(({ key }) => encodeKey(key)))}::text::bytea[],
          ${arrayOf(checks.map((it) => stampOf(it)))}::text::bigint[],
          ${bytesOf(sets.map(({ name }) => name))}::text::bytea[],
          ${bytesOf(sets.map(({ bytes }) => bytes))}::text::bytea[],
          ${arrayOf(sets.map(({ kind }) => kind))}::text::smallint[],
          ${arrayOf(sets.map(({ ms }) => ms))}::text::bigint[],
          ${bytesOf(sums.map(({ name }) => name))}::text::bytea[],
          ${arrayOf(sums.map(({ by }) => by))}::text::numeric[],
          ${bytesOf(deletes)}::text::bytea[],
          ${announcement}::text) as stamp`
      );
      const { stamp } = row!;
      return stamp === null
        ? { ok: false }
        : { ok: true, versionstamp: versionstampOf(stamp) };
    } catch (error) {
      const code = codeOf(error);
      if (code === CONFLICT) return { ok: false };
      if (code === NO_COUNTER) {
        throw new TypeError("A key holds no counter", { cause: error });
      }
      throw error;
    }
  }

  readonly #ask: Call = (ask) => this.#call("reads", ask);
  readonly #change: Call = (ask) => this.#call("commits", ask);

  /** Runs a statement with a deadline, and classifies its errors. */
  async #call<Rows extends postgres.Row[]>(
    pool: keyof Pools,
    ask: (sql: Sql) => postgres.PendingQuery<postgres.Row[]>,
  ): Promise<postgres.RowList<Rows>> {
    const query = ask(this.#pools[pool]);
    try {
      const work = query as unknown as Promise<postgres.RowList<Rows>>;
      const call = within(this.#clock, CALL_DEADLINE_MS, WHAT, work);
      this.#calls.add(call);
      const rows = await call.finally(() => this.#calls.delete(call));
      if (pool === "reads") this.#answered();
      return rows;
    } catch (error) {
      if (error instanceof TimedOut) {
        withdraw(query, pool === "commits");
        if (pool === "reads" && this.#isSilent()) this.#reconnect();
      } else if (pool === "reads") this.#answered();
      const code = codeOf(error);
      if (UNPREPARED.has(code)) this.#doWithoutPreparing();
      else if (DAMAGED.has(code)) throw new StoreDamaged(error);
      else if (!BUSY.has(code)) throw error;
      throw new StoreBusy(error);
    }
  }

  #answered(): void {
    this.#answeredAt = this.#clock.monotonic();
  }

  #isSilent(): boolean {
    return this.#clock.monotonic() - this.#answeredAt >= SILENT_MS;
  }

  #doWithoutPreparing(): void {
    if (!this.#prepares) return;
    this.#prepares = false;
    this.#reconnect();
  }

  #reconnect(): void {
    if (!this.#isOpen) return;
    this.#answered();
    const before = this.#pools;
    this.#pools = connect(this.#url, this.#prepares);
    this.#listening = undefined;
    this.#listen();
    void disconnect({ ...before }, this.#clock);
  }

  /** Reconnects by itself; announcements missed meanwhile are reported as lost. */
  #listen(): void {
    if (this.#watchers.size + this.#listeners.size === 0) return;
    this.#listening ??= this.#pools.reads.listen(
      this.#schema,
      (text) => this.#received(text),
      () => {
        this.#ringAll();
        for (const listener of this.#listeners) listener(undefined);
      },
    ).catch(() => {
      this.#listening = undefined;
      this.#signSoon();
    });
  }

  #received(text: string): void {
    const [kind, rest] = [text.slice(0, 4), text.slice(4)];
    if (kind === "key ") {
      for (const ring of this.#watchers.get(rest) ?? []) ring();
    }
    if (kind === "say ") {
      for (const listener of this.#listeners) listener(rest);
    }
  }

  /** Records the watched keys, so that commits notify only for these. */
  async #watched(): Promise<void> {
    this.#watchedAgainIn(WATCH_AGAIN_MS);
    this.#listen();
    const names = [...this.#watchers.keys()].map((hex) =>
      Uint8Array.fromHex(hex)
    );
    try {
      await this.#change((sql) =>
        sql`insert into ${sql(`${this.#schema}.watched`)}
          select key, now() + ${WATCHED}::text::interval
          from unnest(${bytesOf(names)}::text::bytea[]) as key
          order by key
          on conflict (key) do update set until = excluded.until`
      );
      // Earlier commits notified no listener.
      this.#ringAll();
    } catch {
      this.#signSoon();
    }
  }

  #ringAll(): void {
    for (const all of this.#watchers.values()) for (const ring of all) ring();
  }

  /** Handles a failure after which a watch may miss a commit. */
  #signSoon(): void {
    this.#watchAgain?.[Symbol.dispose]();
    this.#watchAgain = undefined;
    if (this.#isOpen) this.#watchedAgainIn(WATCH_RETRY_MS);
  }

  #watchedAgainIn(ms: number): void {
    this.#watchAgain ??= this.#clock.after(ms, () => {
      this.#watchAgain = undefined;
      if (this.#watchers.size + this.#listeners.size > 0) void this.#watched();
    });
  }
}
