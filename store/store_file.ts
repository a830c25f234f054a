/**
 * The file of a store, which other programs may move, replace or truncate, and
 * whose disk they may fill. Deno KV detects none of these: it continues to write
 * to a file that no process will find, and ends the process on a full disk.
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
 * Free space reserved for the store's own writes, in bytes: below it no write is
 * accepted. On a small disk it is {@link FLOOR_PART} of the disk.
 */
export const FLOOR_BYTES = 64 * 2 ** 20;
/** The largest part of a disk that is reserved. */
export const FLOOR_PART = 1 / 8;
/** How long a check of the file is valid, in milliseconds. */
export const FILE_CHECK_MS = 20;
/** The first bytes of a file of SQLite. */
const MAGIC = "SQLite format 3\0";
const MIB = 2 ** 20;

/** Sizes of a disk, in bytes. */
export interface Disk {
  /** Total size. */
  readonly size: number;
  /** Space that this process may still write. */
  readonly free: number;
}

/** Reads the disk of a file; nothing without permission. */
export type LookAtDisk = (path: string) => Disk | undefined;

/** How a {@link StoreFile} reads its disk. */
export interface StoreFileOptions {
  /** Measures the age of a check. */
  readonly clock: Pick<Clock, "monotonic">;
  /** The real one when omitted. */
  readonly disk?: LookAtDisk;
}

/** No store can be opened at `KV_PATH`. */
export class PlaceError extends Error {
  /** Distinguishes it from other errors. */
  override readonly name = "PlaceError";

  /**
   * Names the path and the reason.
   *
   * @param path the path.
   * @param reason why no store can be opened.
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
   * Verifies that a store can be opened at `path` and written to; creates an
   * empty file where there is none.
   *
   * @param path path of the store, existing or new.
   * @param options how to read the disk.
   * @throws {PlaceError} with the reason.
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
   * Verifies that the store is still the file at its path, and that the disk has
   * space. A recent check is reused. A check blocks this thread for about 40 µs,
   * as the following write does; another thread would take longer.
   *
   * @throws {StoreUnusable} with the reason.
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
      // The content of the journal will be written to the database too.
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

/** @returns an identity that distinguishes the file from others. */
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

/** @returns nothing when there is no file. */
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

/** @returns 0 without a file or without permission. */
function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch {
    return 0;
  }
}

/** Reads real disks; loaded only where a file is used. */
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
 * Makes a store refuse writes while its file is unusable; reads are not affected.
 *
 * @param store the store in `file`; closed with the one returned.
 * @param file checked before every commit.
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
