/**
 * Copies of a store that is kept in a file.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import { renewEpochs } from "./continuity.ts";
import { openStore } from "./deno_kv.ts";
import { IN_USE, isInUse } from "./in_use.ts";
import { deleteRows } from "./log_retention.ts";
import { isBusy } from "./store.ts";
import type { Store } from "./store.ts";
import { journalOf, PlaceError } from "./store_file.ts";

/** Where the security state is, by the first part of its keys. */
const SECURITY_PREFIXES = ["block", "revocation", "security", "operator"];
/** More than any store has. */
const ALL_PAGES = 2 ** 31 - 1;
/** How long an entry that has no end of its own is kept, in milliseconds. */
const ENDLESS_MS = 366 * 24 * 3_600_000;
/** How long an entry is kept beyond its own end, in milliseconds. */
const AFTER_END_MS = 24 * 3_600_000;

/**
 * Copies a store as of one moment, while it is in use.
 *
 * @param path the file of the store.
 * @param to a file that does not exist yet.
 * @throws {PlaceError} when there is no store at `path`, or a file at `to`.
 */
export async function backUp(path: string, to: string): Promise<void> {
  await sound(path);
  if (await exists(to)) throw new PlaceError(to, "there is a file already");
  const { backup, DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    // In one step: several begin again whenever the service writes.
    await backup(database, to, { rate: ALL_PAGES });
  } finally {
    database.close();
  }
}

/** What {@link restore} needs. */
export interface RestoreOptions {
  /** The file of the store; need not exist. */
  readonly path: string;
  /** A copy that {@link backUp} made. */
  readonly from: string;
  /** Ends of entries, pace of retries. */
  readonly clock: Clock;
  /** Names the epochs that all channels get. */
  readonly nextId: (now: number) => string;
}

/**
 * Puts a copy in the place of a store. The present store's security state is
 * carried over, since a token that was revoked must stay revoked; all channels
 * get new epochs, since numbers will be given twice.
 *
 * @returns where the present store was moved, a name that was free; nothing
 * when there was none.
 * @throws {PlaceError} when `from` is no sound copy, or the service runs on the
 * present store; nothing was done then.
 */
export async function restore(
  { path, from, clock, nextId }: RestoreOptions,
): Promise<string | undefined> {
  await sound(from);
  const hasPresent = await exists(path);
  if (hasPresent) {
    await sound(path);
    await mustBeIdle(path, clock);
  }
  const staged = `${path}.restoring`;
  await removeStore(staged);
  await Deno.copyFile(from, staged);
  const restored = await openStore(staged, { clock });
  try {
    if (hasPresent) {
      const present = await openStore(path, { clock });
      try {
        await carryOver(present, restored, clock);
      } finally {
        await present.close();
      }
    }
    await renewEpochs({ store: restored, clock, nextId });
  } finally {
    await restored.close();
  }
  const replaced = await freeName(`${path}.replaced`);
  if (hasPresent) {
    await moveStore(path, replaced);
  } else {
    // The journal of a store that was deleted belongs to no other.
    await removeStore(path);
  }
  await moveStore(staged, path);
  return hasPresent ? replaced : undefined;
}

/** Makes the security state of `to` that of `from`. */
async function carryOver(from: Store, to: Store, clock: Clock): Promise<void> {
  const retry = <T>(work: () => Promise<T>) =>
    retryWhileBusy({ clock, isBusy }, work);
  for (const name of SECURITY_PREFIXES) {
    const prefix = [name];
    while (await retry(() => deleteRows(to, { prefix })) > 0);
    for await (const { key, value } of from.list<unknown>({ prefix })) {
      const commit = to.atomic();
      if (typeof value === "bigint") commit.sum(key, value);
      else {
        const { until } = value as { until?: number };
        const expireIn = until === undefined
          ? ENDLESS_MS
          : Math.max(0, until - clock.now()) + AFTER_END_MS;
        commit.set(key, value, { expireIn });
      }
      await retry(() => commit.commit());
    }
  }
}

/** Makes sure that a file is a database without damage. */
async function sound(path: string): Promise<void> {
  if (!await exists(path)) throw new PlaceError(path, "there is no file");
  const { DatabaseSync } = await import("node:sqlite");
  const result = (() => {
    try {
      const database = new DatabaseSync(path, { readOnly: true });
      try {
        return database.prepare("PRAGMA quick_check(1)").get();
      } finally {
        database.close();
      }
    } catch (cause) {
      throw new PlaceError(path, "the file is not a sound store", { cause });
    }
  })();
  if (result?.["quick_check"] === "ok") return;
  throw new PlaceError(path, "the file is not a sound store");
}

/** Makes sure that no instance serves from a store. */
async function mustBeIdle(path: string, clock: Clock): Promise<void> {
  const store = await openStore(path, { clock });
  try {
    if (await isInUse(store, clock)) throw new PlaceError(path, IN_USE);
  } finally {
    await store.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The name, with a number where it is taken: no store is written over. */
async function freeName(name: string): Promise<string> {
  let free = name;
  for (let i = 2; await exists(free); i++) free = `${name}-${i}`;
  return free;
}

/** Its journal holds what the file itself does not hold yet. */
async function moveStore(from: string, to: string): Promise<void> {
  await Deno.rename(from, to);
  const journal = journalOf(from);
  if (await exists(journal)) await Deno.rename(journal, journalOf(to));
  await removeIfThere(`${from}-shm`);
}

async function removeStore(path: string): Promise<void> {
  for (const file of [path, journalOf(path), `${path}-shm`]) {
    await removeIfThere(file);
  }
}

async function removeIfThere(path: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path);
}
