/**
 * What is written beside a store, and outlives its being replaced.
 *
 * @module
 */

/** What a witness holds. */
export interface Testimony {
  /** Versionstamp of a mark that the store has kept; empty before the first. */
  readonly stamp: string;
  /** Which file it is: another one after it was restored from a copy. */
  readonly file: string;
  /** When it was written, in epoch milliseconds. */
  readonly writtenAt: number;
}

/** A place beside the store. */
export interface Witness {
  /**
   * Reads what was written.
   *
   * @returns nothing when nothing ever was.
   * @throws when that cannot be found out.
   */
  read(): Promise<Testimony | undefined>;
  /** Names the file, made if need be; nothing where there can be none. */
  name(): Promise<string | undefined>;
  /** Writes the versionstamp of a mark that the store has kept. */
  write(stamp: string): Promise<void>;
}

/** Of stores that have no place beside them: they never disagree. */
export const NO_WITNESS: Witness = {
  read: () => Promise.resolve(undefined),
  name: () => Promise.resolve(undefined),
  write: () => Promise.resolve(),
};

/**
 * A witness in a file.
 *
 * @param file its path; made when it is first written.
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

/** A copy has another number, or was born later. */
function identityOf({ ino, birthtime }: Deno.FileInfo): string {
  return `${ino ?? 0}.${birthtime?.getTime() ?? 0}`;
}
