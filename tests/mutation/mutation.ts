/**
 * Does the suite notice? Each mutation is a small fault; the tests named
 * beside it have to fail once it is in place.
 *
 * @module
 */

/** One fault, and the tests that have to notice it. */
export interface Mutation {
  /** What stops holding, as a sentence. */
  readonly fault: string;
  /** Path of the file, from the project's root. */
  readonly file: string;
  /** Text that stands in the file exactly once. */
  readonly find: string;
  /** What stands there instead. */
  readonly replace: string;
  /** Paths of the test files that have to fail. */
  readonly tests: readonly string[];
}

/** How a mutation ended. */
export type Outcome =
  /** Its tests failed, as they have to. */
  | "killed"
  /** Its tests passed: none notices this fault. */
  | "survived"
  /** The text is not in the file exactly once: the list is out of date. */
  | "not found";

/** Where mutations are tried: a copy that may be broken. */
export interface Workbench {
  /** Reads a file of the copy. */
  read(path: string): Promise<string>;
  /** Writes a file of the copy. */
  write(path: string, text: string): Promise<void>;
  /** Runs test files in the copy. */
  passes(tests: readonly string[]): Promise<boolean>;
}

/**
 * Puts a mutation in place, runs its tests, and takes it out again.
 *
 * @param mutation which fault.
 * @param bench where.
 */
export async function tried(
  { file, find, replace, tests }: Mutation,
  bench: Workbench,
): Promise<Outcome> {
  const text = await bench.read(file);
  if (text.split(find).length !== 2) return "not found";
  // A function, since a `$` in the text would mean something otherwise.
  await bench.write(file, text.replace(find, () => replace));
  try {
    return await bench.passes(tests) ? "survived" : "killed";
  } finally {
    await bench.write(file, text);
  }
}
