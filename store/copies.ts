/**
 * Copies of a store in a file.
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

/** First parts of the keys of the security state. */
const SECURITY_PREFIXES = ["block", "revocation", "security", "operator"];
/** More entries than any store has. */
const ALL_PAGES = 2 ** 31 - 1;
/** How long an entry without its own expiry is kept, in milliseconds. */
const ENDLESS_MS = 366 * 24 * 3_600_000;
/** How long an entry is kept beyond its own expiry, in milliseconds. */
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
    // In one step: several steps restart whenever the service writes.
    await backup(database, to, { rate: ALL_PAGES });
  } finally {
    database.close();
  }
}

/** Parts that {@link restore} needs. */
export interface RestoreOptions {
  /** The file of the store; need not exist. */
  readonly path: string;
  /** A copy that {@link backUp} made. */
  readonly from: string;
  /** Measures the expiry of entries, and paces retries. */
  readonly clock: Clock;
  /** Creates the new epochs of all channels. */
  readonly nextId: (now: number) => string;
}

/**
 * Replaces a store by a copy. The current store's security state is carried
 * over, because a revoked token must stay revoked; all channels get new epochs,
 * because numbers will be assigned again.
 *
 * @returns the new path of the current store, which was free; nothing when there
 * was no store.
 * @throws {PlaceError} when `from` is not an undamaged copy, or the service runs
 * on the current store; nothing was changed then.
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
    // The journal of a deleted store must not apply to another.
    await removeStore(path);
  }
  await moveStore(staged, path);
  return hasPresent ? replaced : undefined;
}

/** Copies the security state of `from` to `to`. */
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

/** Throws if a file is not an undamaged database. */
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

/** Throws if an instance serves from a store. */
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

/** The name, with a number if it is taken: no store is overwritten. */
async function freeName(name: string): Promise<string> {
  let free = name;
  for (let i = 2; await exists(free); i++) free = `${name}-${i}`;
  return free;
}

/** Moves a file with its journal, which holds changes that the file does not have yet. */
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
