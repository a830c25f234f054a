/**
 * The tables of the store in PostgreSQL, by version.
 *
 * @module
 */

/** Identifies the lock under which tables are created and migrated. */
export const MIGRATION_LOCK = 7_260_110;
/** Raised by `commit()` when a check failed after a write. */
export const CONFLICT = "KX001";
/** Raised by `commit()` when an amount is added to a value that is no counter. */
export const NO_COUNTER = "KX002";

/**
 * Migrations from one version of the tables to the next; the version is the
 * number of applied ones. Each is one transaction, and may use `$schema`.
 */
export const MIGRATIONS: readonly string[] = [
  `
create table $schema.kv (
  key bytea primary key,
  value bytea,
  count numeric(20),
  kind smallint not null,
  stamp bigint not null,
  expires timestamptz
) with (
  -- Heads and counters are written all the time: room for them on their page,
  -- and vacuum before a fiftieth of the table is dead.
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_cost_delay = 0,
  toast.autovacuum_vacuum_scale_factor = 0.02,
  toast.autovacuum_vacuum_cost_delay = 0,
  -- Giving empty pages at the end back would lock the table, here and on
  -- standbys; they are filled again anyway.
  vacuum_truncate = off,
  toast.vacuum_truncate = off
);
-- Rows of the log are JSON of some KiB: compressing costs more than it saves.
alter table $schema.kv alter column value set storage external;
create index kv_expires on $schema.kv (expires) where expires is not null;
create table $schema.watched (
  key bytea primary key,
  until timestamptz not null
);
create sequence $schema.stamp cache 1;

create function $schema.commit(
  check_keys bytea[], check_stamps bigint[],
  set_keys bytea[], set_values bytea[], set_kinds smallint[], set_ms bigint[],
  sum_keys bytea[], sum_by numeric[],
  delete_keys bytea[],
  announcement text
) returns bigint language plpgsql as $commit$
declare
  made bigint;
  written bigint;
  checked bytea;
  absent bytea[];
begin
  -- By name first, since a key that is checked may not exist; in one order
  -- for all, so that two commits do not wait for each other.
  for checked in select distinct k from unnest(check_keys) k order by 1 loop
    perform pg_advisory_xact_lock(
      hashtextextended(encode(checked, 'hex'), hashtext('$schema'))
    );
  end loop;
  -- A commit without checks may be writing to one of them just now. What is
  -- deleted is locked in one order with what is set, and counters come last:
  -- two commits that write the same keys do not wait for each other.
  perform from $schema.kv
  where key = any(
    case when cardinality(delete_keys) = 0 then check_keys
    else check_keys || set_keys || delete_keys end
  ) order by key for update;
  if exists (
    select from unnest(check_keys, check_stamps) as c(key, stamp)
    left join $schema.kv on kv.key = c.key
    where kv.stamp is distinct from c.stamp
  ) then
    return null;
  end if;
  absent := array(
    select c.key from unnest(check_keys, check_stamps) as c(key, stamp)
    where c.stamp is null
  );
  -- After the locks: a later state of a key has a greater stamp.
  made := nextval('$schema.stamp');
  insert into $schema.kv as old (key, value, kind, stamp, expires)
  select s.key, s.value, s.kind, made,
    clock_timestamp() + s.ms * interval '1 millisecond'
  from unnest(set_keys, set_values, set_kinds, set_ms)
    as s(key, value, kind, ms)
  order by s.key
  on conflict (key) do update set value = excluded.value, count = null,
    kind = excluded.kind, stamp = excluded.stamp, expires = excluded.expires
  where old.key <> all(absent);
  get diagnostics written = row_count;
  if written < cardinality(set_keys) then
    raise exception 'a key that was absent is there' using errcode = 'KX001';
  end if;
  if cardinality(delete_keys) > 0 then
    delete from $schema.kv where key = any(delete_keys);
  end if;
  if cardinality(sum_keys) > 0 then
    insert into $schema.kv as old (key, count, kind, stamp)
    select s.key, s.by, 2, made
    from unnest(sum_keys, sum_by) as s(key, by)
    order by s.key
    on conflict (key) do update set stamp = excluded.stamp,
      count = mod(old.count + excluded.count, 18446744073709551616)
    where old.kind = 2;
    get diagnostics written = row_count;
    if written < cardinality(sum_keys) then
      raise exception 'a key holds no counter' using errcode = 'KX002';
    end if;
  end if;
  perform pg_notify('$schema', 'key ' || encode(key, 'hex'))
  from $schema.watched
  where key = any(set_keys || sum_keys || delete_keys);
  if announcement is not null then
    perform pg_notify('$schema', 'say ' || announcement);
  end if;
  return made;
end $commit$;
`,
];

/**
 * One migration for a schema.
 *
 * @param schema a plain lower-case name, as {@link isSchemaName} accepts.
 */
export function migrationFor(schema: string, version: number): string {
  return MIGRATIONS[version]!.replaceAll("$schema", schema);
}

/** Whether a name may be used in SQL without quoting. */
export function isSchemaName(name: string): boolean {
  return /^[a-z][a-z0-9_]{0,50}$/.test(name);
}
