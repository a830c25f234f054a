/**
 * The witness: a record beside a store that outlives the store's replacement.
 *
 * @module
 */

/** The content of a witness. */
export interface Testimony {
  /** Versionstamp of a mark that the store has committed; empty before the first. */
  readonly stamp: string;
  /** Identity of the file; it changes when the file is restored from a copy. */
  readonly file: string;
  /** When it was written, in epoch milliseconds. */
  readonly writtenAt: number;
}

/** Storage beside the store. */
export interface Witness {
  /**
   * Reads the record.
   *
   * @returns nothing before the first write.
   * @throws when reading fails.
   */
  read(): Promise<Testimony | undefined>;
  /** Identity of the file, created if needed; nothing where there can be none. */
  name(): Promise<string | undefined>;
  /** Writes the versionstamp of a mark that the store has committed. */
  write(stamp: string): Promise<void>;
}

/** The witness of stores without storage beside them: it never disagrees. */
export const NO_WITNESS: Witness = {
  read: () => Promise.resolve(undefined),
  name: () => Promise.resolve(undefined),
  write: () => Promise.resolve(),
};

/**
 * A witness in a file.
 *
 * @param file its path; created with the first write.
 */
export function fileWitness(file: string): Witness {
  return {
    async read() {
      try {
        const info = await Deno.stat(file);
        const stamp = await Deno.readTextFile(file);
        const writtenAt = info.mtime?.getTime() ?? 0;
        return { stamp: stamp.trim(), file: identityOf(info), writtenAt };
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return undefined;
        throw error;
      }
    },
    async name() {
      // Opened to append, since it must stay the same file.
      (await Deno.open(file, { append: true, create: true })).close();
      return identityOf(await Deno.stat(file));
    },
    async write(stamp) {
      await Deno.writeTextFile(file, stamp);
    },
  };
}

/** The identity of a file: a copy has another inode or a later birth time. */
function identityOf({ ino, birthtime }: Deno.FileInfo): string {
  return `${ino ?? 0}.${birthtime?.getTime() ?? 0}`;
}
