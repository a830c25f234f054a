/**
 * Values in PostgreSQL's text format: its client supports neither bytes in
 * arrays nor arrays of types unknown to it.
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

/** An array of bytes in PostgreSQL's text format. */
export function bytesOf(all: readonly Uint8Array[]): string {
  return `{${all.map((it) => `"\\\\x${hexOf(it)}"`).join()}}`;
}

/** An array of numbers in PostgreSQL's text format. */
export function arrayOf(all: readonly (number | bigint | null)[]): string {
  return `{${all.map((it) => it ?? "NULL").join()}}`;
}
