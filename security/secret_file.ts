/**
 * Secrets that a file holds.
 *
 * @module
 */

/** Longest file that holds a secret, in bytes. */
export const MAX_SECRET_FILE_BYTES = 16_384;

/**
 * The secret in a file, without the line break that editors put at its end.
 *
 * @param path of the file.
 * @param readFile reads it; the machine's own when omitted.
 * @returns nothing when the file cannot be read, is empty or is longer than
 * {@link MAX_SECRET_FILE_BYTES}.
 */
export function secretIn(
  path: string,
  readFile: (path: string) => string = Deno.readTextFileSync,
): string | undefined {
  try {
    const text = readFile(path);
    if (text.length > MAX_SECRET_FILE_BYTES) return undefined;
    return text.trim() || undefined;
  } catch {
    return undefined;
  }
}
