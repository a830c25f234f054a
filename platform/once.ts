/**
 * Work that is done when it is first needed.
 *
 * @module
 */

/**
 * Makes a value on the first call, and remembers it; a failure is forgotten.
 *
 * @param make called once at a time.
 */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    if (made) return made;
    made = make();
    made.catch(() => made = undefined);
    return made;
  };
}
