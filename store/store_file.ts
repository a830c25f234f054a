/**
 * The file that a store is kept in, as other programs change it: they move it,
 * replace it, cut it off, fill its disk. Deno KV notices none of these: it
 * goes on writing to a file that no process will find, and ends the process on
 * a full disk.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { RelayedCommit } from "./relayed_commit.ts";
import { StoreUnusable } from "./store.ts";
import type {
  Commit,
  Found,
  Key,
  ListOptions,
  Present,
  Selector,
  SetOptions,
  Store,
  StoreLimits,
} from "./store.ts";

/**
 * Free space that is left to the store for what it writes by itself, in bytes:
 * below it nothing is accepted. On a small disk it is {@link FLOOR_PART} of it.
 */
export const FLOOR_BYTES = 64 * 2 ** 20;
/** The largest part of a disk that is left free. */
export const FLOOR_PART = 1 / 8;
/** A look at the file counts for so long, in milliseconds. */
export const FILE_CHECK_MS = 20;
/** How a file of SQLite begins. */
const MAGIC = "SQLite format 3\0";
const MIB = 2 ** 20;

/** Sizes of a disk, in bytes. */
export interface Disk {
  /** All of it. */
  readonly size: number;
  /** What this process may still write. */
  readonly free: number;
}

/** Looks at the disk of a file; nothing when that is not permitted. */
export type LookAtDisk = (path: string) => Disk | undefined;

/** How a {@link StoreFile} looks at its disk. */
export interface StoreFileOptions {
  /** Measures how old a look is. */
  readonly clock: Pick<Clock, "monotonic">;
  /** The real one when omitted. */
  readonly disk?: LookAtDisk;
}

/** The place at `KV_PATH` cannot hold a store. */
export class PlaceError extends Error {
  /** Lets a caller tell it from other errors. */
  override readonly name = "PlaceError";

  /**
   * Names the place and what is wrong.
   *
   * @param path the place.
   * @param reason what is wrong with it.
   * @param options the usual `cause`.
   */
  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`${path}: ${reason}`, options);
  }
}

/** A file of a store, watched from when it is opened. */
export class StoreFile {
  readonly #path: string;
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #disk: LookAtDisk;
  readonly #identity: string;
  /** In bytes; a database never becomes smaller by itself. */
  #size = 0;
  #checkedAt = -Infinity;

  private constructor(
    path: string,
    identity: string,
    { clock, disk }: Required<StoreFileOptions>,
  ) {
    this.#path = path;
    this.#identity = identity;
    this.#clock = clock;
    this.#disk = disk;
  }

  /**
   * Makes sure that a store can be opened at `path` and written to; an empty
   * file is left where there was none.
   *
   * @param path where the store is, or is to be.
   * @param options how to look at the disk.
   * @throws {PlaceError} says what is wrong with the place.
   */
  static async open(
    path: string,
    { clock, disk }: StoreFileOptions,
  ): Promise<StoreFile> {
    const identity = await openable(path);
    const file = new StoreFile(path, identity, {
      clock,
      disk: disk ?? await diskLooks(),
    });
    try {
      file.check();
    } catch (error) {
      if (!(error instanceof StoreUnusable)) throw error;
      throw new PlaceError(path, error.message, { cause: error });
    }
    return file;
  }

  /**
   * Makes sure that the store is still the file at its path, and that there is
   * room to write. A look that is new enough counts. Looking blocks this thread
   * for some 40 µs, as the write that follows it does; handing it to another
   * thread takes longer.
   *
   * @throws {StoreUnusable} says why nothing may be written now.
   */
  check(): void {
    if (this.#clock.monotonic() - this.#checkedAt < FILE_CHECK_MS) return;
    const found = findFile(this.#path);
    if (found?.identity !== this.#identity) {
      throw new StoreUnusable(
        found === undefined
          ? "the store's file was moved or deleted while it was in use; put it back, or restart"
          : "the store's file was replaced while it was in use; restart",
      );
    }
    if (found.size < this.#size) {
      throw new StoreUnusable(
        "the store's file was cut off while it was in use; restore a copy",
      );
    }
    this.#size = found.size;
    const disk = this.#disk(this.#path);
    if (disk) {
      // What stands in the journal will be written to the database as well.
      const free = disk.free - sizeOf(journalOf(this.#path));
      const floor = Math.min(FLOOR_BYTES, disk.size * FLOOR_PART);
      if (free < floor) {
        throw new StoreUnusable(
          `the disk of the store has room for ${
            inMib(Math.max(0, free))
          } MiB beside its journal, and ${inMib(floor)} MiB are kept free`,
        );
      }
    }
    this.#checkedAt = this.#clock.monotonic();
  }
}

function inMib(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}

/** @returns what tells the file from others. */
async function openable(path: string): Promise<string> {
  try {
    const options = { read: true, write: true, create: true };
    using file = await Deno.open(path, options);
    const { size, isFile } = await file.stat();
    if (!isFile) throw new PlaceError(path, "it is not a file");
    const begin = new Uint8Array(MAGIC.length);
    const length = size > 0 ? await file.read(begin) ?? 0 : 0;
    const isDatabase =
      new TextDecoder().decode(begin.subarray(0, length)) === MAGIC;
    if (size > 0 && !isDatabase) {
      throw new PlaceError(path, "the file there is not a database");
    }
  } catch (error) {
    if (error instanceof PlaceError) throw error;
    throw new PlaceError(path, reasonOf(error), { cause: error });
  }
  return findFile(path)?.identity ?? "";
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "its folder does not exist";
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder";
  if (error instanceof Deno.errors.NotADirectory) {
    return "its folder is not a folder";
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return "this user may not write there";
  }
  return error instanceof Error ? error.message : String(error);
}

/** @returns nothing when no file is there. */
function findFile(
  path: string,
): { identity: string; size: number } | undefined {
  try {
    const { dev, ino, size } = Deno.statSync(path);
    return { identity: `${dev}:${ino}`, size };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The journal of SQLite beside its database. */
export function journalOf(path: string): string {
  return `${path}-wal`;
}

/** @returns 0 where there is no file, or where it may not be looked at. */
function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch {
    return 0;
  }
}

/** Looks at real disks; loaded only where a file is used. */
async function diskLooks(): Promise<LookAtDisk> {
  const { statfsSync } = await import("node:fs");
  return (path) => {
    try {
      const { bsize, blocks, bavail } = statfsSync(path);
      return { size: blocks * bsize, free: bavail * bsize };
    } catch {
      return undefined;
    }
  };
}

/**
 * Lets a store write only while its file is in order; it can be read always.
 *
 * @param store kept in `file`; closed with the one returned.
 * @param file looked at before every commit.
 */
export function guarded(store: Store, file: StoreFile): Store {
  return new GuardedStore(store, file);
}

class GuardedStore implements Store {
  readonly limits: StoreLimits;
  readonly #store: Store;
  readonly #file: StoreFile;

  constructor(store: Store, file: StoreFile) {
    this.limits = store.limits;
    this.#store = store;
    this.#file = file;
  }

  get<Value>(key: Key): Promise<Found<Value>> {
    return this.#store.get(key);
  }

  getMany<Value>(keys: readonly Key[]): Promise<Found<Value>[]> {
    return this.#store.getMany(keys);
  }

  async set(key: Key, value: unknown, options?: SetOptions): Promise<void> {
    this.#file.check();
    await this.#store.set(key, value, options);
  }

  list<Value>(
    selector: Selector,
    options?: ListOptions,
  ): AsyncIterable<Present<Value>> {
    return this.#store.list(selector, options);
  }

  atomic(): Commit {
    const commit = this.#store.atomic();
    return new RelayedCommit(commit, async () => {
      this.#file.check();
      return await commit.commit();
    });
  }

  watch<Value>(keys: readonly Key[]): ReadableStream<Found<Value>[]> {
    return this.#store.watch(keys);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
