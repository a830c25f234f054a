/**
 * Values as PostgreSQL reads them from text: its client writes neither bytes
 * in arrays nor arrays of which it does not know the type.
 *
 * @module
 */

/** Bytes as hexadecimal digits. */
export function hexOf(bytes: Uint8Array): string {
  // The client's bytes are Node's, whose `toHex` may be missing.
  return new Uint8Array(bytes).toHex();
}

/** Bytes as a parameter. */
export function bytea(bytes: Uint8Array): string {
  return `\\x${hexOf(bytes)}`;
}

/** An array of bytes as PostgreSQL reads it: the client writes none itself. */
export function bytesOf(all: readonly Uint8Array[]): string {
  return `{${all.map((it) => `"\\\\x${hexOf(it)}"`).join()}}`;
}

/** An array of numbers as PostgreSQL reads it. */
export function arrayOf(all: readonly (number | bigint | null)[]): string {
  return `{${all.map((it) => it ?? "NULL").join()}}`;
}
